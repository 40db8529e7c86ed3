"""The predictions a classifier is sure of: how many they are, and how many of them are right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calkit.stats.forecasts import Forecasts
from calkit.stats.statistic import ForecastStatistic
from calkit.stats.views import TOP, View

__all__ = ["Tail", "TailSums"]


@dataclass(frozen=True)
class TailSums:
    """Sums over all rows and over the confident ones.

    Attributes
    ----------
    count : int
        Confident rows.
    weight, correct : float
        Weight of the confident rows, and of those among them that are right.
    total_weight : float
        Weight of all rows.
    """

    count: int
    weight: float
    correct: float
    total_weight: float

    def __add__(self, other: TailSums) -> TailSums:
        return TailSums(
            self.count + other.count,
            self.weight + other.weight,
            self.correct + other.correct,
            self.total_weight + other.total_weight,
        )

    @property
    def share(self) -> float:
        """Share of the samples that are confident, in [0, 1]."""
        return self.weight / self.total_weight

    @property
    def accuracy(self) -> float:
        """Accuracy of the confident samples, in [0, 1]; NaN if there are none."""
        return self.correct / self.weight if self.weight else float("nan")


@dataclass(frozen=True)
class Tail(ForecastStatistic[TailSums]):
    """Statistic: forecasts whose probability is at least `threshold`.

    The threshold is rounded to the precision the probabilities were stored in, as edges of bins are.
    """

    threshold: float = 0.99
    view: View = TOP
    is_sum: ClassVar[bool] = True

    def count(self, forecasts: Forecasts) -> TailSums:
        """Return the :class:`TailSums` of one block."""
        sure = forecasts.at_least(self.threshold)
        right = sure * forecasts.outcome
        return TailSums(int(sure.sum()), forecasts.sum(sure), forecasts.sum(right), forecasts.total_weight)
