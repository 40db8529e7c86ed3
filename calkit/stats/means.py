"""Means of a quantity that each row has by itself: accuracy, NLL, Brier score."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from calkit.stats.folds import FoldSums, sum_folds
from calkit.stats.rows import Rows
from calkit.stats.statistic import Statistic
from calkit.stats.views import View

__all__ = ["RowMean", "RowValues", "WeightedTotal"]


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


class RowValues(Statistic[WeightedTotal]):
    """A statistic that each row has a value of; subclasses are data classes with a field ``view``."""

    is_sum: ClassVar[bool] = True
    groupable: ClassVar[bool] = True
    sees_views: ClassVar[bool] = True

    @abstractmethod
    def values(self, rows: Rows, /) -> NDArray[Any]:
        """Return the value of each row; of a view with keys, the mean over the keys."""

    def on(self, view: View) -> Self:
        """Return the same values of another view's forecasts."""
        return replace(self, view=view)  # type: ignore[type-var]

    def measure(self, rows: Rows) -> WeightedTotal:
        """Return the :class:`WeightedTotal` of one block."""
        return WeightedTotal(len(rows), rows.total_weight, rows.sum(self.values(rows)))

    def measure_folds(self, rows: Rows, fold: NDArray[np.intp], n_folds: int) -> FoldSums:
        """Return the sums over the rows of each fold."""
        return sum_folds(fold, n_folds, rows.weight, np.asarray(self.values(rows), dtype=np.float64))


@dataclass(frozen=True)
class RowMean(RowValues):
    """Statistic: the weighted total of one quantity of the rows, or of the forecasts of a view.

    Parameters
    ----------
    quantity : {"confidence", "correct", "nll", "brier"}
        Of rows: confidence and correctness of the top label, and proper scores of the probabilities of all classes
        (the Brier score is a sum over classes). Of forecasts: their probability, whether the decision was right, and
        the scores of the probability of one event.
    view : View, optional
        Whose forecasts; None for quantities of whole rows.
    """

    quantity: Literal["confidence", "correct", "nll", "brier"]
    view: View | None = None

    @property
    def needs_distribution(self) -> bool:  # type: ignore[override]
        """Whether the scores of all classes are needed."""
        return self.quantity in {"nll", "brier"} if self.view is None else self.view.needs_distribution

    @property
    def needs_squares(self) -> bool:  # type: ignore[override]
        """Whether sums of squares are needed."""
        return self.quantity == "brier" and self.view is None

    def values(self, rows: Rows) -> NDArray[Any]:
        """Return the quantity of each row; of a view with keys, the mean over the keys."""
        if self.view is None:
            return np.asarray(getattr(rows, "hit" if self.quantity == "correct" else self.quantity))
        if self.quantity == "nll" and self.view.tells_all(rows):
            return rows.nll
        values: NDArray[Any]
        if self.quantity == "correct":
            values = self.view.hit(rows)
        else:
            values = getattr(rows.forecasts(self.view), _OF_FORECASTS[self.quantity])
        return values if values.ndim == 1 else values.mean(axis=1, dtype=np.float64)


_OF_FORECASTS = {"confidence": "probability", "nll": "logarithmic", "brier": "squared"}
