"""Floors of measures that are functions of the whole curve of residuals: drawn from cells of about equal variance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calkit.estimators.cumulative import averaged_two_bin_of, null_cells, null_sd
from calkit.estimators.ranked import Ranked
from calkit.inference.floors import NullLaw, brownian_law, drawn_law
from calkit.inference.laws import MEAN_LARGEST, MEAN_RANGE, largest_tail, range_tail

__all__ = ["averaged_two_bin_law", "kolmogorov_smirnov_law", "kuiper_law", "smooth_error_and_law", "smooth_law"]

FloatArray = NDArray[np.float64]

# Grid of the drawn smooth errors: cells for a bandwidth, and how many there may be.
_CELLS_PER_BANDWIDTH, _FEWEST, _MOST = 4.0, 128, 2048
_HALVINGS = 14


def kolmogorov_smirnov_law(forecasts: Ranked) -> NullLaw:
    """Return the law of max |S|: that of the largest absolute value of a Brownian motion."""
    return brownian_law(null_sd(forecasts), MEAN_LARGEST, largest_tail)


def kuiper_law(forecasts: Ranked) -> NullLaw:
    """Return the law of max S - min S: that of the range of a Brownian motion."""
    return brownian_law(null_sd(forecasts), MEAN_RANGE, range_tail)


def averaged_two_bin_law(forecasts: Ranked, n_draws: int, random: np.random.Generator) -> NullLaw:
    """Return the law of the averaged two-bin error, by drawing curves."""
    place, noise = _noise(forecasts, n_draws, random)
    return drawn_law(averaged_two_bin_of(np.cumsum(noise, axis=1), place))


def smooth_law(forecasts: Ranked, n_draws: int, random: np.random.Generator) -> NullLaw:
    """Return the law of smooth ECE, by drawing curves."""
    return drawn_law(_smooth_errors(*_noise(forecasts, n_draws, random)))


def smooth_error_and_law(forecasts: Ranked, n_draws: int, random: np.random.Generator) -> tuple[float, NullLaw]:
    """Return smooth ECE on the same cells as its law, and the law: for tests, which so keep their level."""
    place, noise = _noise(forecasts, n_draws, random)
    last = np.searchsorted(forecasts.probability, place)
    observed = np.diff(np.cumsum(forecasts.residual)[last], prepend=0.0) / forecasts.total
    values = _smooth_errors(place, np.concatenate([observed[None], noise]))
    return float(values[0]), drawn_law(values[1:])


def _noise(forecasts: Ranked, n_draws: int, random: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return places of cells (m,), and draws (n_draws, m) of their mean residuals over all forecasts."""
    place, variance = null_cells(forecasts)
    return place, random.standard_normal((n_draws, len(place))) * np.sqrt(variance)


def _smooth_errors(place: FloatArray, noise: FloatArray) -> FloatArray:
    """Return the smooth ECE of each draw: cosine moments on a grid, where smoothing is a product."""
    # The bandwidth of pure noise of standard deviation s grows as s^(2/3).
    guess = float(noise.std(axis=0) @ noise.std(axis=0)) ** (1 / 3)
    cells = int(2 ** np.ceil(np.log2(np.clip(_CELLS_PER_BANDWIDTH / max(guess, 1e-9), _FEWEST, _MOST))))
    at = np.clip(place, 0, 1) * cells
    left = np.minimum(at.astype(np.intp), cells - 1)
    share = at - left
    grid = np.zeros((len(noise), cells + 1))
    start = np.flatnonzero(np.diff(left, prepend=-1))
    grid[:, left[start]] += np.add.reduceat(noise * (1 - share), start, axis=1)
    grid[:, left[start] + 1] += np.add.reduceat(noise * share, start, axis=1)
    order = np.arange(cells + 1)
    cosines = np.cos(np.pi * (np.outer(order, order) % (2 * cells)) / cells)
    moments = grid @ cosines
    back = cosines * np.where(order == 0, 1, 2)[:, None]
    trapezoid = np.where((order == 0) | (order == cells), 0.5, 1) / cells
    low, high = np.abs(moments[:, 0]), np.minimum(1, np.abs(grid).sum(axis=1))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        kept = moments * np.exp(-0.5 * (np.pi * order * middle[:, None]) ** 2)
        above = np.abs(kept @ back) @ trapezoid > middle
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return (low + high) / 2
