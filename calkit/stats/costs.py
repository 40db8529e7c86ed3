"""Costs of decisions that are made from the probabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.stats.folds import FoldSums, sum_folds
from calkit.stats.means import WeightedTotal
from calkit.stats.rows import Rows
from calkit.stats.statistic import Statistic
from calkit.stats.views import TOP, View

__all__ = ["DecisionCost"]


@dataclass(frozen=True)
class DecisionCost(Statistic[WeightedTotal]):
    """Statistic: the weighted total of what it costs to act where the probability is at least a threshold.

    The threshold is the one from which acting pays, rounded to the precision the probabilities were stored in. Of a
    view with keys, each row has the mean over the keys.

    Parameters
    ----------
    false_positive : float
        Cost of acting where the event does not come.
    false_negative : float
        Cost of not acting where it comes.
    view : View
        Whose forecasts.
    """

    false_positive: float
    false_negative: float
    view: View = TOP
    is_sum: ClassVar[bool] = True
    groupable: ClassVar[bool] = True
    sees_views: ClassVar[bool] = True

    @property
    def needs_distribution(self) -> bool:  # type: ignore[override]
        """Whether the scores of all classes are needed."""
        return self.view.needs_distribution

    @property
    def threshold(self) -> float:
        """Probability from which acting pays."""
        return self.false_positive / (self.false_positive + self.false_negative)

    def on(self, view: View) -> DecisionCost:
        """Return the same cost of another view's forecasts."""
        return replace(self, view=view)

    def measure(self, rows: Rows) -> WeightedTotal:
        """Return the :class:`WeightedTotal` of one block."""
        return WeightedTotal(len(rows), rows.total_weight, rows.sum(self._costs(rows)))

    def measure_folds(self, rows: Rows, fold: NDArray[np.intp], n_folds: int) -> FoldSums:
        """Return the sums over the rows of each fold."""
        return sum_folds(fold, n_folds, rows.weight, self._costs(rows))

    def _costs(self, rows: Rows) -> NDArray[np.float64]:
        forecasts = rows.forecasts(self.view)
        y: NDArray[Any] = forecasts.outcome.astype(np.float64)
        act = forecasts.at_least(self.threshold)
        costs = np.where(act, self.false_positive * (1 - y), self.false_negative * y)
        return costs if costs.ndim == 1 else np.asarray(costs.mean(axis=1))
