"""Floors of measures that are functions of the whole curve of residuals: drawn from cells of about equal variance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from calkit.estimators.cumulative import averaged_two_bin_of, null_cells, null_sd
from calkit.estimators.ranked import Ranked
from calkit.estimators.witness import witnessed_gaps
from calkit.inference.cells import CellSums, draw_gaps
from calkit.inference.few_events import expected_of_forecasts
from calkit.inference.floors import NullLaw, brownian_law, drawn_law
from calkit.inference.laws import MEAN_LARGEST, MEAN_RANGE, largest_tail, range_tail

__all__ = [
    "averaged_two_bin_law",
    "kernel_draws",
    "kernel_law",
    "kolmogorov_smirnov_law",
    "kuiper_law",
    "lipschitz_law",
    "null_noise",
]

FloatArray = NDArray[np.float64]

# A 1-Lipschitz function hardly moves within a cell.
_LIPSCHITZ_CELLS = 256
# Distinct forecasts below which a curve of residuals reaches less far than a Brownian motion, by some percent.
_FEW_STEPS = 100
# Draws that are as large as the value but for rounding count as large.
_LARGER = 1 + 1e-9


def kolmogorov_smirnov_law(forecasts: Ranked, n_draws: int, random: np.random.Generator) -> NullLaw:
    """Return the law of max |S|: that of the largest absolute value of a Brownian motion; drawn of few steps."""
    if _few_steps(forecasts):
        return _law(forecasts, np.abs(_curves(forecasts, n_draws, random)).max(axis=1))
    return brownian_law(null_sd(forecasts), MEAN_LARGEST, largest_tail)


def kuiper_law(forecasts: Ranked, n_draws: int, random: np.random.Generator) -> NullLaw:
    """Return the law of max S - min S: that of the range of a Brownian motion; drawn of few steps."""
    if _few_steps(forecasts):
        s = _curves(forecasts, n_draws, random)
        return _law(forecasts, np.maximum(s.max(axis=1), 0) - np.minimum(s.min(axis=1), 0))
    return brownian_law(null_sd(forecasts), MEAN_RANGE, range_tail)


def averaged_two_bin_law(forecasts: Ranked, n_draws: int, random: np.random.Generator) -> NullLaw:
    """Return the law of the averaged two-bin error, by drawing curves."""
    place, noise = null_noise(forecasts, n_draws, random)
    return _law(forecasts, averaged_two_bin_of(np.cumsum(noise, axis=1), place))


def kernel_law(
    forecasts: Ranked, n_draws: int, random: np.random.Generator, width: float, own: bool, *, root: bool = False
) -> NullLaw:
    """Return the law of the mean of ``r_i r_j exp(-|p_i - p_j| / width)`` over pairs, or of its root.

    See :func:`kernel_draws`.
    """
    draws = kernel_draws(forecasts, n_draws, random, width, own)
    law = _law(forecasts, draws)
    return replace(law.root, mean=float(np.sqrt(np.maximum(draws, 0)).mean())) if root else law


def kernel_draws(
    forecasts: Ranked, n_draws: int, random: np.random.Generator, width: float, own: bool, n_cells: int = 512
) -> FloatArray:
    """Draw the mean of ``r_i r_j exp(-|p_i - p_j| / width)`` over pairs, by drawing cells.

    Parameters
    ----------
    forecasts : Ranked
    n_draws : int
    random : numpy.random.Generator
    width : float
    own : bool
        Whether the pairs of a forecast with itself count.
    n_cells : int
    """
    place, noise = null_noise(forecasts, n_draws, random, n_cells)
    kernel = np.exp(-np.abs(place[:, None] - place) / width)
    values = ((noise @ kernel) * noise).sum(axis=1)
    if not own:
        total = forecasts.total**2
        others = total - float(forecasts.squared_weight.sum())
        values = (values - _own_squares(forecasts, null_cells(forecasts, n_cells), noise)) * (
            total / others if others > 0 else np.nan
        )
    return np.asarray(values)


def _own_squares(forecasts: Ranked, last: NDArray[np.intp], noise: FloatArray) -> FloatArray:
    """Return Σ w² r² of drawn outcomes, over the square of the total: ``r² = p (1 - p) + (1 - 2 p) r``."""
    weight, squares = (
        np.diff(np.cumsum(part)[last], prepend=0.0) for part in (forecasts.weight, forecasts.squared_weight)
    )
    slope = (1 - 2 * forecasts.probability[last]) * squares / weight
    return np.asarray((float(forecasts.variance.sum()) / forecasts.total + noise @ slope / _LARGER) / forecasts.total)


def lipschitz_law(forecasts: Ranked, n_draws: int, random: np.random.Generator) -> NullLaw:
    """Return the law of the smooth calibration error, by drawing cells."""
    return _law(forecasts, witnessed_gaps(*null_noise(forecasts, n_draws, random, _LIPSCHITZ_CELLS)))


def null_noise(
    forecasts: Ranked, n_draws: int, random: np.random.Generator, n_cells: int = 512
) -> tuple[FloatArray, FloatArray]:
    """Return places of cells (m,), and draws (n_draws, m) of their mean residuals over all forecasts."""
    last = null_cells(forecasts, n_cells)
    place = forecasts.probability[last]
    if expected_of_forecasts(forecasts).few:
        gaps = draw_gaps(_cells_of(forecasts, np.append(0, last[:-1] + 1)), n_draws, random)
        return place, gaps * (-_LARGER / forecasts.total)
    variance = np.diff(np.cumsum(forecasts.variance)[last], prepend=0.0)
    return place, random.standard_normal((n_draws, len(place))) * (np.sqrt(variance) / forecasts.total)


def _few_steps(forecasts: Ranked) -> bool:
    """Whether the curve has too few steps, or too few events, for the law of a Brownian motion, which has no steps."""
    expected = expected_of_forecasts(forecasts)
    return expected.few or (len(forecasts.weight) < _FEW_STEPS and expected.events > 0)


def _law(forecasts: Ranked, draws: FloatArray) -> NullLaw:
    return drawn_law(draws, expected=expected_of_forecasts(forecasts))


def _curves(forecasts: Ranked, n_draws: int, random: np.random.Generator) -> FloatArray:
    return np.cumsum(null_noise(forecasts, n_draws, random)[1], axis=1)


def _cells_of(forecasts: Ranked, start: NDArray[np.intp]) -> CellSums:
    """Return the sums of cells that begin at given places: what is needed to draw their gaps."""
    w, squares, p = forecasts.weight, forecasts.squared_weight, forecasts.probability
    nothing = np.zeros(len(p))
    parts = (w**2 / squares, w, squares, w * p, forecasts.positive, w * p * (1 - p), forecasts.variance)
    return CellSums(*[np.add.reduceat(part, start) for part in (*parts, nothing, nothing, nothing)])
