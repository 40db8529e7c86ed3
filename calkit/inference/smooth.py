"""What smooth ECE is worth: its floor by drawn residuals on a grid, its interval by the triangle inequality."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.estimators.ranked import Ranked
from calkit.inference.cells import CellSums
from calkit.inference.counts import Cells
from calkit.inference.curves import null_noise
from calkit.inference.floors import NullLaw, drawn_law
from calkit.inference.judgement import Judgement, seminorm_limits
from calkit.inference.resampling import Resampling
from calkit.stats import Statistic, UniformBins, View

__all__ = ["SmoothInference", "smooth_error_and_law", "smooth_law"]

FloatArray = NDArray[np.float64]

# Cells in which residuals are drawn.
_DRAWN_CELLS = 1024
# Grid of the drawn errors: cells for a bandwidth, and how many there may be.
_CELLS_PER_BANDWIDTH, _FEWEST, _MOST = 4.0, 128, 1024
_HALVINGS = 14


@dataclass(frozen=True)
class SmoothInference:
    """For smooth ECE.

    Parameters
    ----------
    cells : Cells
        Sums over fine bins.
    """

    cells: Cells = Cells(UniformBins(_DRAWN_CELLS))  # noqa: RUF009 - frozen

    def on(self, view: View) -> SmoothInference | None:
        """Return the method for another view; None for one with keys, whose forecasts depend on each other."""
        return None if view.keyed else SmoothInference(self.cells.on(view))

    def statistics(self, _: Resampling) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted."""
        return (self.cells,)

    def judge(self, value: float, summaries: tuple[Any, ...], resampling: Resampling) -> Judgement:
        """Return floor and p-value, and the interval if it is asked for; nothing for soft labels."""
        sums: CellSums = summaries[0].filled
        if sums.soft.any():
            return Judgement()
        law = smooth_law(sums, resampling.n_resamples, resampling.random)
        found = Judgement(None, law.floor, law.p_value(value))
        if resampling.confidence_level is None or sums.count.sum() < 2:
            return found
        sd, null_sd = (
            math.sqrt(float(part.sum())) / float(sums.weight.sum()) for part in (sums.residual, sums.variance)
        )
        return replace(found, interval=seminorm_limits(value, law, sd, null_sd, resampling.level))


def smooth_law(sums: CellSums, n_draws: int, random: np.random.Generator) -> NullLaw:
    """Return the law of smooth ECE, from sums over fine bins."""
    sd = np.sqrt(sums.variance) / sums.weight.sum()
    return drawn_law(_smooth_errors(sums.probability / sums.weight, random.standard_normal((n_draws, len(sd))) * sd))


def smooth_error_and_law(forecasts: Ranked, n_draws: int, random: np.random.Generator) -> tuple[float, NullLaw]:
    """Return smooth ECE on the same cells as its law, and the law: for tests, which so keep their level."""
    place, noise = null_noise(forecasts, n_draws, random)
    last = np.searchsorted(forecasts.probability, place)
    observed = np.diff(np.cumsum(forecasts.residual)[last], prepend=0.0) / forecasts.total
    values = _smooth_errors(place, np.concatenate([observed[None], noise]))
    return float(values[0]), drawn_law(values[1:])


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
