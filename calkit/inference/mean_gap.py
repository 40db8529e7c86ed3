"""The least that the mean gap says of an error: exact where few events came, so that noise as seen tells nothing."""

from __future__ import annotations

import numpy as np

from calkit.inference.cells import CellSums
from calkit.inference.means import clopper_pearson
from calkit.stats import ConfidencePairs

__all__ = ["least_mean_gap", "least_mean_gap_of_pairs"]


def least_mean_gap(sums: CellSums, level: float) -> float:
    """Return a lower limit of |mean probability - rate of the event|, which most errors are not below.

    The limits of the rate are those of Clopper & Pearson, with half of the tail that an interval of the level has: this
    limit comes beside another one.

    Examples
    --------
    >>> import numpy as np
    >>> p, y = np.full(100, 0.999), np.arange(100) > 4
    >>> round(least_mean_gap(CellSums.of(np.zeros(100, dtype=int), 1, p, y), 0.95), 3)
    0.013
    """
    probability, outcome, weight, squares = (
        float(part.sum()) for part in (sums.probability, sums.outcome, sums.weight, sums.squared_weight)
    )
    return _least(probability, outcome, weight, squares, level)


def least_mean_gap_of_pairs(pairs: ConfidencePairs, level: float) -> float:
    """Return the same of forecasts one by one."""
    if pairs.weight is None:
        n = float(len(pairs))
        return _least(float(pairs.confidence.sum()), float(pairs.correct.sum()), n, n, level)
    w = pairs.weight
    return _least(float(w @ pairs.confidence), float(w @ pairs.correct), float(w.sum()), float(w @ w), level)


def _least(probability: float, outcome: float, weight: float, squared_weight: float, level: float) -> float:
    rows, tail = weight**2 / squared_weight, (1 - level) / 4
    hits = min(max(outcome / weight, 0.0), 1.0) * rows
    low, high = clopper_pearson(np.array([hits]), np.array([rows]), tail, 1 - tail)
    return max(probability / weight - float(high[0]), float(low[0]) - probability / weight, 0.0)
