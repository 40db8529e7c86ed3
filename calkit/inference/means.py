"""Intervals of shares and means of rows: they have no floor, since noise does not make them larger."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.inference.judgement import Judgement
from calkit.inference.resampling import Resampling
from calkit.stats import FoldSums, SquaredWeights, Statistic, View

__all__ = ["MeanInference", "ProportionInference", "RatioInference", "clopper_pearson", "filled_folds"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ProportionInference:
    """Clopper-Pearson: exact for a share of rows; never of width zero, even if all rows agree.

    With weights, the number of rows is replaced by ``(Σw)² / Σw²``, that of equally weighted rows which would tell as
    much (Korn & Graubard 1998).

    Parameters
    ----------
    statistic : Statistic
    parts : callable
        Turns its summary into the weight of the rows that count, and of all rows.
    """

    statistic: Statistic[Any]
    parts: Callable[[Any], tuple[float, float]]
    pairing: ClassVar[str] = "mean"

    def on(self, view: View) -> ProportionInference | None:
        """Return the method for another view; None for one with keys, whose forecasts depend on each other."""
        return None if view.keyed else replace(self, statistic=self.statistic.on(view))

    def statistics(self, resampling: Resampling) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted."""
        return () if resampling.confidence_level is None else (self.statistic, SquaredWeights(self.statistic))

    def judge(self, _: float, summaries: tuple[Any, ...], resampling: Resampling) -> Judgement:
        """Return the interval; none if no rows are counted."""
        if not summaries:
            return Judgement()
        hits, weight = self.parts(summaries[0])
        squared = self.parts(summaries[1])[1]
        if not weight:
            return Judgement()
        rows = weight**2 / squared
        low, high = clopper_pearson(np.array([hits / weight * rows]), np.array([rows]), *resampling.tails)
        return Judgement((float(low[0]), float(high[0])))


def clopper_pearson(
    hits: FloatArray, rows: FloatArray, lower_tail: float, upper_tail: float
) -> tuple[FloatArray, FloatArray]:
    """Return the exact limits of a probability, from the number of rows and the number of hits among them."""
    misses = rows - hits
    low, high = np.zeros_like(rows), np.ones_like(rows)
    some, few = hits > 0, misses > 0
    low[some] = special.betaincinv(hits[some], misses[some] + 1, lower_tail)
    high[few] = special.betaincinv(hits[few] + 1, misses[few], upper_tail)
    return low, high


def filled_folds(sums: FoldSums) -> tuple[FloatArray, FloatArray]:
    """Return weights and sums, (m,) and (m, k), of the folds that hold rows."""
    filled = sums.weight > 0
    return sums.weight[filled], sums.total[filled].reshape(int(filled.sum()), -1)


@dataclass(frozen=True)
class _FoldBootstrap(ABC):
    """Percentiles of the bootstrap, from sums over folds of the rows."""

    statistic: Statistic[Any]

    def on(self, view: View) -> Self:
        """Return the method for another view."""
        return replace(self, statistic=self.statistic.on(view))

    def statistics(self, resampling: Resampling) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted."""
        return () if resampling.confidence_level is None else (self.statistic.folded(resampling.folds),)

    def judge(self, value: float, summaries: tuple[Any, ...], resampling: Resampling) -> Judgement:
        """Return the interval; none for a single row, or where the value of some drawn rows is not defined."""
        if not summaries:
            return Judgement()
        weight, total = filled_folds(summaries[0])
        if len(weight) < 2:
            return Judgement()
        drawn = self._drawn(weight, total, resampling)
        if drawn is None:
            return Judgement()
        low, high = np.quantile(drawn, resampling.tails)
        return Judgement((min(float(low), value), max(float(high), value)))

    @abstractmethod
    def _drawn(self, weight: FloatArray, total: FloatArray, resampling: Resampling) -> FloatArray | None:
        """Return the values of drawn rows, from weights (m,) and sums (m, k) of the folds; None for no interval."""


@dataclass(frozen=True)
class MeanInference(_FoldBootstrap):
    """Percentiles of the bootstrap, for the mean of a quantity over rows.

    Parameters
    ----------
    statistic : Statistic
        One that is `groupable`.
    """

    pairing: ClassVar[str] = "mean"

    def _drawn(self, weight: FloatArray, total: FloatArray, resampling: Resampling) -> FloatArray:
        # Sums over keys stand side by side.
        total = total.sum(axis=1)
        return np.concatenate([(counts @ total) / (counts @ weight) for counts in resampling.draws(len(weight))])


@dataclass(frozen=True)
class RatioInference(_FoldBootstrap):
    """Percentiles of the bootstrap, for a smooth function of several sums over the same rows.

    Parameters
    ----------
    statistic : Statistic
        One that is `groupable`, with several sums of each fold.
    finish : callable
        Turns weight and sums, (k,), into the value.
    """

    finish: Callable[[float, FloatArray], float]

    def _drawn(self, weight: FloatArray, total: FloatArray, resampling: Resampling) -> FloatArray | None:
        drawn = np.array(
            [
                self.finish(float(w), sums)
                for counts in resampling.draws(len(weight), total.shape[1])
                for w, sums in zip(counts @ weight, counts @ total, strict=True)
            ]
        )
        return drawn if np.isfinite(drawn).all() else None
