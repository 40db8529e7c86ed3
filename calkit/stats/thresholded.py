"""Forecasts of every class above a threshold, kept: most of many classes are as good as 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from calkit.stats.forecasts import Forecasts
from calkit.stats.pairs import ConfidencePairs
from calkit.stats.parts import Parts
from calkit.stats.statistic import ForecastStatistic
from calkit.stats.views import Classwise, View

__all__ = ["PairsAbove"]


@dataclass(frozen=True)
class PairsAbove(ForecastStatistic[Parts[ConfidencePairs]]):
    """Statistic: probability and outcome of the forecasts of each key whose probability exceeds a threshold.

    The threshold is rounded to the precision the probabilities were stored in, as edges of bins are.

    Parameters
    ----------
    threshold : float
    view : View
        One with keys.
    """

    threshold: float
    view: View = Classwise()  # noqa: RUF009 - frozen
    counts_keys: ClassVar[bool] = True

    def count(self, forecasts: Forecasts) -> Parts[ConfidencePairs]:
        """Return the pairs of each key in one block."""
        threshold = float(np.asarray(self.threshold).astype(forecasts.precision))
        found = {}
        for key in range(forecasts.n_keys):
            column = forecasts.column(key)
            above = column.probability > threshold
            weight = None if column.weight is None else column.weight[above]
            found[key] = ConfidencePairs(column.probability[above], column.outcome[above], weight)
        return Parts(found)
