"""The best temperature of a grid, with most of the grid never evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.subsample import subsample
from calkit.metrics import Metric
from calkit.predictions import Predictions
from calkit.shards import Shards
from calkit.stats import At, RescaledConfidence, RowMean, Temperature, summarize

__all__ = ["GridMinimum", "grid_minimum", "pruned_minimum"]

# Rounding of confidences from float32 logits, and so of bounds: a candidate is skipped only if its bound is above the
# best value by more than this.
_SLACK = 5e-6

# About this many rows give the first guess when there are more.
_SUBSAMPLE = 1000

# An evaluation gives bounds for this number of temperatures on either side, and with them for all beyond.
_REACH = 3

Evaluate = Callable[[int], tuple[float, NDArray[np.float64]]]


@dataclass(frozen=True)
class GridMinimum:
    """Result of a search.

    Attributes
    ----------
    index : int
        Place of the best value; the first of equal ones.
    value : float
    n_evaluations : int
    """

    index: int
    value: float
    n_evaluations: int


def pruned_minimum(evaluate: Evaluate, size: int, start: int) -> GridMinimum:
    """Find the first smallest of values that bound each other.

    Parameters
    ----------
    evaluate : callable
        Takes an index, returns the value there and an array of `size` lower bounds of all values.
    size : int
        Number of candidates.
    start : int
        Index to begin with.

    Returns
    -------
    GridMinimum
        The same index and value as evaluating all candidates would give.
    """
    values: NDArray[np.float64] = np.full(size, np.nan)
    bounds, index, best = np.zeros(size), start, np.inf
    while True:
        values[index], found = evaluate(index)
        np.maximum(bounds, found, out=bounds)
        best = min(best, float(values[index]))
        hopeful = np.flatnonzero(np.isnan(values) & (bounds <= best + _SLACK))
        if not hopeful.size:
            break
        # The lowest bound is the best hope; of equal ones the middle, which halves what is left.
        lowest = hopeful[bounds[hopeful] == bounds[hopeful].min()]
        index = int(lowest[lowest.size // 2])
    index = int(np.nanargmin(values))
    return GridMinimum(index, float(values[index]), int(np.count_nonzero(~np.isnan(values))))


def grid_minimum(predictions: Predictions | Shards, metric: Metric, grid: NDArray[np.float64]) -> GridMinimum:
    """Find the temperature of a grid with the smallest value of a metric that is never less than the gap.

    For every binned calibration error, whatever the bins, error(T) >= |mean confidence(T) - accuracy|. Mean
    confidence falls as T rises, and an evaluation bounds it nearby (:class:`~calkit.stats.RescaledConfidence`).
    """
    size, correct = len(grid), RowMean("correct")
    check = True

    def evaluate(index: int) -> tuple[float, NDArray[np.float64]]:
        nonlocal check
        # At lower temperatures confidence is bounded from below; by that at r = 1 if the grid is too coarse.
        near = np.arange(max(0, index - _REACH), min(size, index + _REACH + 1))
        factors = grid[index] / grid[near]
        bound = RescaledConfidence(tuple(np.where(factors > 2, 1.0, factors).tolist()))
        scaled = Temperature(1 / float(grid[index]))
        statistics = [At(statistic, scaled) for statistic in (metric.statistic, bound, correct)]
        found = summarize(predictions, statistics, check=check)
        value, bounded, right = (found[statistic] for statistic in statistics)
        check = False
        gaps = bounded.means - right.mean
        # Below the index gaps are at least so large, and larger still further down; above it, the other way round.
        below, above = np.zeros(size), np.zeros(size)
        below[near], above[near] = np.where(near <= index, gaps, 0), np.where(near >= index, -gaps, 0)
        bounds = np.maximum(np.maximum.accumulate(below[::-1])[::-1], np.maximum.accumulate(above))
        return metric.value(value), bounds

    return pruned_minimum(evaluate, size, _first_guess(predictions, grid))


def _first_guess(predictions: Predictions | Shards, grid: NDArray[np.float64]) -> int:
    """Return where mean confidence is next to accuracy on a few rows; without them, an eighth of the grid."""
    sample = subsample(predictions, _SUBSAMPLE)
    if sample is None:
        return len(grid) // 8
    block = sample.block(slice(0, sample.n_samples), check=False)
    with np.errstate(all="ignore"):
        distance = block.scores - block.scores.max(axis=1, keepdims=True)
        correct = distance[np.arange(len(block)), block.require_labels()] == 0
        accuracy = np.average(correct, weights=block.sample_weight)
        gaps: dict[int, float] = {}

        def gap(index: int) -> float:
            if index not in gaps:
                factor = distance.dtype.type(1 / grid[index])
                confidence = 1 / np.exp(distance * factor).sum(axis=1)
                gaps[index] = float(np.average(confidence, weights=block.sample_weight) - accuracy)
            return gaps[index]

        _bracket(gap, gaps, len(grid))
    return min(gaps, key=lambda index: abs(gaps[index]))


def _bracket(gap: Callable[[int], float], gaps: dict[int, float], size: int) -> int:
    """Return the last index whose gap is positive (-1 if none is), by secant steps inside the bracket."""
    low, high = -1, size
    index = size // 8
    while high - low > 1:
        if gap(index) > 0:
            low = index
        else:
            high = index
        if low < 0:
            index = high // 2
        elif high == size:
            index = min(2 * low + 1, (low + size) // 2 if 2 * low + 1 >= size else 2 * low + 1)
        else:
            share = gaps[low] / (gaps[low] - gaps[high])
            index = low + round(float(share) * (high - low))
        index = min(max(index, low + 1), high - 1)
    return low
