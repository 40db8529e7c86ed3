"""Means over the rows that are right, and over those that are wrong: what histories of training show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from calkit.stats.rows import Rows
from calkit.stats.statistic import Statistic

__all__ = ["OutcomeTotal", "OutcomeTotals"]


@dataclass(frozen=True, eq=False)
class OutcomeTotals:
    """Weighted sums of a quantity over the correct rows (first) and over the misclassified ones (second).

    Attributes
    ----------
    count : ndarray of int64, shape (2,)
        Rows.
    weight : ndarray of float64, shape (2,)
        Sum of the weights.
    total : ndarray of float64, shape (2,)
        Weighted sum of the quantity.
    """

    count: NDArray[np.int64]
    weight: NDArray[np.float64]
    total: NDArray[np.float64]

    def __add__(self, other: OutcomeTotals) -> OutcomeTotals:
        return OutcomeTotals(self.count + other.count, self.weight + other.weight, self.total + other.total)

    @property
    def mean(self) -> float:
        """Weighted mean over all rows."""
        return float(self.total.sum() / self.weight.sum())

    @property
    def correct_mean(self) -> float:
        """Weighted mean over the correct rows; NaN if there are none."""
        return self._mean_of(0)

    @property
    def misclassified_mean(self) -> float:
        """Weighted mean over the misclassified rows; NaN if there are none."""
        return self._mean_of(1)

    def _mean_of(self, outcome: int) -> float:
        return float(self.total[outcome] / self.weight[outcome]) if self.weight[outcome] else float("nan")


@dataclass(frozen=True)
class OutcomeTotal(Statistic[OutcomeTotals]):
    """Statistic: the weighted total of one quantity of :class:`~calkit.stats.Rows`, by whether the row is right.

    Parameters
    ----------
    quantity : {"nll", "entropy", "confidence", "p_true"}
        Which one.
    """

    quantity: Literal["nll", "entropy", "confidence", "p_true"]
    is_sum: ClassVar[bool] = True

    @property
    def needs_distribution(self) -> bool:  # type: ignore[override]
        """Whether the scores of all classes are needed."""
        return self.quantity != "confidence"

    def measure(self, rows: Rows) -> OutcomeTotals:
        """Return the :class:`OutcomeTotals` of one block."""
        outcome = np.where(rows.correct, 0, 1)
        values = getattr(rows, self.quantity)
        return OutcomeTotals(
            np.bincount(outcome, minlength=2),
            np.bincount(outcome, rows.weight, 2).astype(np.float64),
            np.bincount(outcome, values if rows.weight is None else values * rows.weight, 2).astype(np.float64),
        )
