"""Forecasts in the order of their probabilities, and sums over those of equal probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ranked", "ranked", "sorted_binary"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranked:
    """Distinct probabilities in rising order, with sums over the forecasts that have them.

    Attributes
    ----------
    probability : ndarray of float64, shape (m,)
    weight : ndarray of float64, shape (m,)
        Sum of the weights.
    positive : ndarray of float64, shape (m,) or (r, m)
        Weighted sum of the outcomes; of several sets of outcomes of the same forecasts, one a row.
    squared_weight : ndarray of float64, shape (m,)
        Sum of the squared weights.
    """

    probability: FloatArray
    weight: FloatArray
    positive: FloatArray
    squared_weight: FloatArray

    @property
    def total(self) -> float:
        """Sum of all weights."""
        return float(self.weight.sum())

    @property
    def residual(self) -> FloatArray:
        """Outcomes minus probabilities, weighted and summed."""
        return self.positive - self.weight * self.probability

    @property
    def variance(self) -> FloatArray:
        """Variance of the residuals if the outcomes are drawn from the probabilities."""
        return self.squared_weight * self.probability * (1 - self.probability)

    def merged(self, start: NDArray[np.intp]) -> Ranked:
        """Return the same with those from each of some places up to the next as one, at their mean probability.

        Parameters
        ----------
        start : ndarray of intp
            Rising, the first 0.

        Examples
        --------
        >>> import numpy as np
        >>> found = ranked(np.array([0.1, 0.3, 0.7]), np.array([True, False, True])).merged(np.array([0, 2]))
        >>> found.probability.tolist(), found.weight.tolist(), found.positive.tolist()
        ([0.2, 0.7], [2.0, 1.0], [1.0, 1.0])
        """
        sums = (self.weight * self.probability, self.weight, self.positive, self.squared_weight)
        said, weight, positive, squares = (np.add.reduceat(part, start, axis=-1) for part in sums)
        return Ranked(said / weight, weight, positive, squares)


def ranked(probability: FloatArray, outcome: NDArray[Any], weight: FloatArray | None = None) -> Ranked:
    """Sort forecasts by probability and sum those of equal probability; those of weight 0 are left out.

    Parameters
    ----------
    probability : ndarray of float64, shape (n,)
        In [0, 1].
    outcome : ndarray of bool or float, shape (n,)
        In [0, 1].
    weight : ndarray of float64, shape (n,), optional

    Examples
    --------
    >>> import numpy as np
    >>> found = ranked(np.array([0.7, 0.2, 0.7]), np.array([True, False, False]))
    >>> found.probability.tolist(), found.weight.tolist(), found.positive.tolist()
    ([0.2, 0.7], [1.0, 2.0], [0.0, 1.0])
    """
    if weight is None and outcome.dtype == bool:
        # Rounding may have put a probability just above 1 or below 0.
        p, came = sorted_binary(np.clip(probability, 0, 1), outcome)
        positive, mass = came.astype(np.float64), None
    else:
        if weight is not None and not (weight > 0).all():
            kept = weight > 0
            probability, outcome, weight = probability[kept], outcome[kept], weight[kept]
        order = np.argsort(probability, kind="stable")
        p, positive = probability[order], outcome[order].astype(np.float64)
        mass = None if weight is None else weight[order]
        positive = positive if mass is None else positive * mass
    new = np.ones(len(p), dtype=bool)
    np.not_equal(p[1:], p[:-1], out=new[1:])
    if new.all():
        ones = np.ones(len(p))
        return Ranked(p, *((ones, positive, ones) if mass is None else (mass, positive, mass**2)))
    start = np.flatnonzero(new)
    total = np.add.reduceat(positive, start)
    if mass is None:
        count = np.diff(start, append=len(p)).astype(np.float64)
        return Ranked(p[start], count, total, count)
    return Ranked(p[start], np.add.reduceat(mass, start), total, np.add.reduceat(mass**2, start))


def sorted_binary(probability: FloatArray, outcome: NDArray[np.bool_]) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Sort probabilities and outcomes together, as whole numbers: several times faster than by ranks.

    The bit pattern of a float64 in [0, 2) has two leading zeros, so the outcome fits in below it.
    """
    # Adding 0 turns -0 into 0.
    key = (probability + 0.0).view(np.int64) << 1
    key |= outcome
    key.sort()
    positive = (key & 1).astype(bool)
    key >>= 1
    return key.view(np.float64), positive
