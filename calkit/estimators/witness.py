"""Smooth calibration error: the best Lipschitz witness against calibration, found exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calkit.estimators.ranked import Ranked

__all__ = ["lipschitz_witness", "witnessed_gaps"]

FloatArray = NDArray[np.float64]


def lipschitz_witness(forecasts: Ranked) -> float:
    """Return the largest mean of ``w(p) (y - p)`` over all w: [0, 1] -> [-1, 1] that are 1-Lipschitz.

    The distance to calibration is at least half of it and at most twice of it in order (Błasiok, Gopalan, Hu &
    Nakkiran, STOC 2023).

    Examples
    --------
    >>> import numpy as np
    >>> from calkit.estimators.ranked import ranked
    >>> round(lipschitz_witness(ranked(np.array([0.3, 0.3]), np.array([True, False]))), 12)
    0.2
    """
    return float(witnessed_gaps(forecasts.probability, forecasts.residual[None])[0]) / forecasts.total


def witnessed_gaps(probability: FloatArray, residual: FloatArray) -> FloatArray:
    """Return the largest ``Σ w(p) r`` over all 1-Lipschitz w: [0, 1] -> [-1, 1], of each row of residuals r.

    Parameters
    ----------
    probability : ndarray of float64, shape (m,)
        Rising, in [0, 1].
    residual : ndarray of float64, shape (n, m)

    Returns
    -------
    ndarray of float64, shape (n,)

    Notes
    -----
    The dual of this linear program moves residuals to where others cancel them, at the cost of the distance, or takes
    them away, at the cost of 1. No distance is as long as the cost of taking two away, so that what is taken away is
    of the sign of the sum R, and |R| in all. With S the sums of the residuals up to each probability, and T those of
    what is taken away, the cost is ``|R| + Σ |S - T| d``, d being the distance to the next probability: T rises from 0
    to R, and is found by isotonic regression to medians.
    """
    whole = residual.sum(axis=1)
    sign = np.where(whole < 0, -1.0, 1.0)
    sums = np.cumsum(residual[:, :-1], axis=1) * sign[:, None]
    distance = np.diff(probability)
    # Outside of [0, |R|], T cannot follow.
    within = np.clip(sums, 0, np.abs(whole)[:, None])
    rising = _isotonic_medians(within, distance)
    return np.asarray(np.abs(whole) + (np.abs(sums - within) + np.abs(within - rising)) @ distance)


def _isotonic_medians(values: FloatArray, weight: FloatArray) -> FloatArray:
    """Return the rising sequence t of least ``Σ weight |values - t|``, for each row of values (n, m).

    By halving the range of values (Stout, "Isotonic regression via partitioning", Algorithmica 66, 2013): whether t is
    above a threshold is a choice of one place of the sequence, before which it is not, and either part is a problem of
    its own. All parts are halved at the same time.
    """
    levels, rank = np.unique(values, return_inverse=True)
    rank, weights = rank.ravel(), np.tile(weight, len(values))
    n, start = rank.size, np.arange(0, rank.size, max(values.shape[1], 1))
    # The answer of each part lies among levels low to low + width; parts are given by their starts.
    low, width = np.zeros(len(start), dtype=np.intp), len(levels)
    while n and width > 1:
        width = -(-width // 2)
        size = np.diff(start, append=n)
        below = rank < np.repeat(low + width, size)
        gain = np.concatenate([[0.0], np.cumsum(np.where(below, weights, -weights))])
        place = _first_largest(gain, start, size)
        start, low = np.stack([start, place], axis=1).ravel(), np.stack([low, low + width], axis=1).ravel()
        filled = np.diff(start, append=n) > 0
        # Where weights are too small to be added, a part may move above the last level.
        start, low = start[filled], np.minimum(low[filled], len(levels) - 1)
    return levels[np.repeat(low, np.diff(start, append=n))].reshape(values.shape)


def _first_largest(gain: FloatArray, start: NDArray[np.intp], size: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return where, from the start of each part to its end, the running gain is largest."""
    most = np.maximum.reduceat(gain[1:], start)
    reached = np.flatnonzero(gain[1:] == np.repeat(most, size))
    place = reached[np.searchsorted(reached, start)] + 1
    return np.where(most > gain[start], place, start)
