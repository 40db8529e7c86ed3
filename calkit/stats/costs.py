"""Costs of decisions that are made from the probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.stats.means import RowValues
from calkit.stats.rows import Rows
from calkit.stats.views import TOP, View

__all__ = ["DecisionCost"]


@dataclass(frozen=True)
class DecisionCost(RowValues):
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

    @property
    def needs_distribution(self) -> bool:  # type: ignore[override]
        """Whether the scores of all classes are needed."""
        return self.view.needs_distribution

    @property
    def threshold(self) -> float:
        """Probability from which acting pays."""
        return self.false_positive / (self.false_positive + self.false_negative)

    def values(self, rows: Rows) -> NDArray[np.float64]:
        """Return the cost of each row; of a view with keys, the mean over the keys."""
        forecasts = rows.forecasts(self.view)
        y: NDArray[Any] = forecasts.outcome.astype(np.float64)
        act = forecasts.at_least(self.threshold)
        costs = np.where(act, self.false_positive * (1 - y), self.false_negative * y)
        return costs if costs.ndim == 1 else np.asarray(costs.mean(axis=1))
