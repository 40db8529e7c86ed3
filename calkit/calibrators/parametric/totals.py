"""What a parametric fit asks of the data before it begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.stats import Statistic
from calkit.stats.rows import Rows

__all__ = ["ClassTotals", "DataTotals"]


@dataclass(frozen=True, eq=False)
class DataTotals:
    """Totals of rows; ``+`` adds them.

    Attributes
    ----------
    by_class : ndarray of shape (K,)
        Weight of the rows of each class.
    least_weight : float
        Smallest weight of a row.
    impossible : int or None
        Number of the first row whose true class has the logit -inf.
    """

    by_class: NDArray[np.float64]
    least_weight: float
    impossible: int | None

    def __add__(self, other: DataTotals) -> DataTotals:
        rows = [row for row in (self.impossible, other.impossible) if row is not None]
        return DataTotals(
            self.by_class + other.by_class,
            min(self.least_weight, other.least_weight),
            min(rows) if rows else None,
        )

    @property
    def weight(self) -> float:
        """Sum of the weights."""
        return float(self.by_class.sum())

    @property
    def n_classes(self) -> int:
        """Number of classes, K."""
        return len(self.by_class)


@dataclass(frozen=True)
class ClassTotals(Statistic[DataTotals]):
    """Statistic: the weight of each class, and whether a true class is impossible.

    Parameters
    ----------
    n_classes : int
    """

    n_classes: int
    is_sum: ClassVar[bool] = True
    needs_distribution = True

    def measure(self, rows: Rows) -> DataTotals:
        """Return the :class:`DataTotals` of one block."""
        weight = np.ones(len(rows)) if rows.weight is None else rows.weight
        votes = rows.votes
        if votes is None:
            by_class = np.bincount(rows.y_true, weight, self.n_classes).astype(np.float64)
            impossible = np.isneginf(rows.scores[np.arange(len(rows)), rows.y_true])
        else:
            by_class = weight @ votes
            impossible = np.asarray((np.isneginf(rows.scores) & (votes > 0)).any(axis=1))
        first = int(rows.numbers[np.argmax(impossible)]) if impossible.any() else None
        return DataTotals(by_class, float(weight.min()), first)
