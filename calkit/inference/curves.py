"""Floors of measures that are functions of the whole curve of residuals: drawn from cells of about equal variance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calkit.estimators.cumulative import averaged_two_bin_of, null_cells, null_sd
from calkit.estimators.ranked import Ranked
from calkit.estimators.witness import witnessed_gaps
from calkit.inference.floors import NullLaw, brownian_law, drawn_law
from calkit.inference.laws import MEAN_LARGEST, MEAN_RANGE, largest_tail, range_tail

__all__ = [
    "averaged_two_bin_law",
    "kernel_law",
    "kolmogorov_smirnov_law",
    "kuiper_law",
    "lipschitz_law",
    "null_noise",
]

FloatArray = NDArray[np.float64]

# A 1-Lipschitz function hardly moves within a cell.
_LIPSCHITZ_CELLS = 256


def kolmogorov_smirnov_law(forecasts: Ranked) -> NullLaw:
    """Return the law of max |S|: that of the largest absolute value of a Brownian motion."""
    return brownian_law(null_sd(forecasts), MEAN_LARGEST, largest_tail)


def kuiper_law(forecasts: Ranked) -> NullLaw:
    """Return the law of max S - min S: that of the range of a Brownian motion."""
    return brownian_law(null_sd(forecasts), MEAN_RANGE, range_tail)


def averaged_two_bin_law(forecasts: Ranked, n_draws: int, random: np.random.Generator) -> NullLaw:
    """Return the law of the averaged two-bin error, by drawing curves."""
    place, noise = null_noise(forecasts, n_draws, random)
    return drawn_law(averaged_two_bin_of(np.cumsum(noise, axis=1), place))


def kernel_law(forecasts: Ranked, n_draws: int, random: np.random.Generator, width: float, own: bool) -> NullLaw:
    """Return the law of the mean of ``r_i r_j exp(-|p_i - p_j| / width)`` over pairs, by drawing cells.

    Parameters
    ----------
    forecasts : Ranked
    n_draws : int
    random : numpy.random.Generator
    width : float
    own : bool
        Whether the pairs of a forecast with itself count; if not, their mean is taken off.
    """
    place, noise = null_noise(forecasts, n_draws, random)
    kernel = np.exp(-np.abs(place[:, None] - place) / width)
    values = ((noise @ kernel) * noise).sum(axis=1)
    if not own:
        total = forecasts.total**2
        others = total - float(forecasts.squared_weight.sum())
        values = (values - float(forecasts.variance.sum()) / total) * (total / others if others > 0 else np.nan)
    return drawn_law(values)


def lipschitz_law(forecasts: Ranked, n_draws: int, random: np.random.Generator) -> NullLaw:
    """Return the law of the smooth calibration error, by drawing cells."""
    return drawn_law(witnessed_gaps(*null_noise(forecasts, n_draws, random, _LIPSCHITZ_CELLS)))


def null_noise(
    forecasts: Ranked, n_draws: int, random: np.random.Generator, n_cells: int = 512
) -> tuple[FloatArray, FloatArray]:
    """Return places of cells (m,), and draws (n_draws, m) of their mean residuals over all forecasts."""
    place, variance = null_cells(forecasts, n_cells)
    return place, random.standard_normal((n_draws, len(place))) * np.sqrt(variance)
