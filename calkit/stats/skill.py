"""Proper scores beside the shares of the classes: what skill scores need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from calkit.stats.folds import FoldSums
from calkit.stats.means import RowMean
from calkit.stats.rows import Rows
from calkit.stats.statistic import Statistic, fewer_folds
from calkit.stats.views import View

__all__ = ["SkillSums", "SkillTotals"]


@dataclass(frozen=True, eq=False)
class SkillSums:
    """A score's total, and how often each class came; that an event came or did not are two classes.

    Attributes
    ----------
    weight : float
        Sum of the weights.
    total : float
        Weighted sum of the score, a sum over the classes if it is one.
    came : ndarray of float64, shape (K,)
        Weight of the rows of each class.
    """

    weight: float
    total: float
    came: NDArray[np.float64]

    def __add__(self, other: SkillSums) -> SkillSums:
        return SkillSums(self.weight + other.weight, self.total + other.total, self.came + other.came)

    @property
    def rate(self) -> NDArray[np.float64]:
        """Share of each class."""
        return np.asarray(self.came / self.weight)

    @property
    def other_rate(self) -> NDArray[np.float64]:
        """Share of all classes but each one: one minus its share, which would lose the digits of rare ones."""
        before, after = (np.append(0.0, came[:-1].cumsum()) for came in (self.came, self.came[::-1]))
        return np.asarray((before + after[::-1]) / self.weight)

    @property
    def mean(self) -> float:
        """Weighted mean of the score."""
        return self.total / self.weight


@dataclass(frozen=True)
class SkillTotals(Statistic[Any]):
    """Statistic: the total of a proper score of the rows, or of the forecasts of a view, and what came.

    Parameters
    ----------
    quantity : {"nll", "brier"}
    view : View, optional
        Whose forecasts; None for the probabilities of all classes.
    """

    quantity: Literal["nll", "brier"]
    view: View | None = None
    is_sum: ClassVar[bool] = True
    groupable: ClassVar[bool] = True
    sees_views: ClassVar[bool] = True
    needs_distribution: bool = True

    def on(self, view: View) -> SkillTotals:
        """Return the same score of another view's forecasts."""
        return replace(self, view=view)

    def measure(self, rows: Rows) -> SkillSums:
        """Return the :class:`SkillSums` of one block."""
        score = RowMean(self.quantity, self.view).measure(rows)
        weight = np.ones(len(rows)) if rows.weight is None else rows.weight
        return SkillSums(score.weight, self.per_event * score.total, weight @ self._came(rows))

    @property
    def per_event(self) -> int:
        """How many times the score of an event is in the sum over the two classes that it makes."""
        return 2 if self.view is not None and self.quantity == "brier" else 1

    def measure_folds(self, rows: Rows, fold: NDArray[np.intp], n_folds: int) -> FoldSums:
        """Return the score's total of each fold, and beside it the weight of what came."""
        came = self._came(rows)
        fewer = fewer_folds(n_folds, came.shape[1] + 1)
        fold = fold % fewer
        score = RowMean(self.quantity, self.view).measure_folds(rows, fold, fewer)
        row, event = np.nonzero(came)
        share = came[row, event] if rows.weight is None else came[row, event] * rows.weight[row]
        size = came.shape[1]
        total = np.bincount(fold[row] * size + event, share, fewer * size).reshape(fewer, size)
        return FoldSums(score.weight, np.column_stack([self.per_event * score.total.reshape(fewer), total]))

    def _came(self, rows: Rows) -> NDArray[np.float64]:
        if self.view is None:
            came: NDArray[Any] = rows.one_hot if rows.votes is None else rows.votes
        else:
            outcome = rows.forecasts(self.view).outcome.astype(np.float64)
            came = np.column_stack([outcome, 1 - outcome])
        return came.astype(np.float64)
