"""The best temperature of a grid, with most of the grid never evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["GridMinimum", "pruned_minimum"]

# Rounding of the bound: a candidate is skipped only if its bound is above the best value by more than this.
_SLACK = 1e-12

Evaluate = Callable[[int], tuple[float, float]]


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


def pruned_minimum(evaluate: Evaluate, size: int) -> GridMinimum:
    """Find the first smallest of values that are each bounded from below by the size of a falling gap.

    For every binned calibration error, whatever the bins, error(T) >= |mean confidence(T) - accuracy|, and mean
    confidence falls as T rises. So the gap's change of sign is bracketed, and from there the search walks outwards
    as long as the bound leaves hope.

    Parameters
    ----------
    evaluate : callable
        Takes an index, returns (value, gap); value >= |gap|, and gap does not rise with the index.
    size : int
        Number of candidates.

    Returns
    -------
    GridMinimum
        The same index and value as evaluating all candidates would give.
    """
    values: NDArray[np.float64] = np.full(size, np.nan)
    gaps: NDArray[np.float64] = np.full(size, np.nan)

    def gap(index: int) -> float:
        if np.isnan(gaps[index]):
            values[index], gaps[index] = evaluate(index)
        return float(gaps[index])

    crossing = _bracket(gap, gaps, size)
    best = float(np.nanmin(values))
    for path in (range(crossing, -1, -1), range(crossing + 1, size)):
        for index in path:
            # Gaps are monotone, so once the bound of an evaluated point is too high, so are all beyond it.
            if abs(gap(index)) > best + _SLACK:
                break
            best = min(best, float(values[index]))
    index = int(np.nanargmin(values))
    return GridMinimum(index, float(values[index]), int(np.count_nonzero(~np.isnan(values))))


def _bracket(gap: Callable[[int], float], gaps: NDArray[np.float64], size: int) -> int:
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
