"""Means of a quantity that each row has by itself: accuracy, NLL, Brier score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calkit.stats.groups import GroupSums, sum_groups
from calkit.stats.rows import Rows

__all__ = ["RowMean", "WeightedTotal"]


@dataclass(frozen=True)
class WeightedTotal:
    """Weighted sum of a quantity over rows.

    Attributes
    ----------
    count : int
        Rows.
    weight : float
        Sum of the weights.
    total : float
        Weighted sum of the quantity.
    """

    count: int
    weight: float
    total: float

    def __add__(self, other: WeightedTotal) -> WeightedTotal:
        return WeightedTotal(self.count + other.count, self.weight + other.weight, self.total + other.total)

    @property
    def mean(self) -> float:
        """Weighted mean of the quantity."""
        return self.total / self.weight


@dataclass(frozen=True)
class RowMean:
    """Statistic: the weighted total of one quantity of :class:`~calkit.stats.Rows`.

    Parameters
    ----------
    quantity : {"confidence", "correct", "nll", "brier"}
        Which one.
    """

    quantity: Literal["confidence", "correct", "nll", "brier"]

    @property
    def needs_distribution(self) -> bool:
        """Whether the scores of all classes are needed."""
        return self.quantity in {"nll", "brier"}

    @property
    def needs_squares(self) -> bool:
        """Whether sums of squares are needed."""
        return self.quantity == "brier"

    def measure(self, rows: Rows) -> WeightedTotal:
        """Return the :class:`WeightedTotal` of one block."""
        return WeightedTotal(len(rows), rows.total_weight, rows.sum(getattr(rows, self.quantity)))

    def measure_groups(self, rows: Rows, group: NDArray[np.intp], n_groups: int) -> GroupSums:
        """Return the sums of the quantity over the rows of each group."""
        return sum_groups(group, n_groups, rows.weight, np.asarray(getattr(rows, self.quantity), dtype=np.float64))
