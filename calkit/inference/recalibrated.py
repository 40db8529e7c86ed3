"""Intervals of scores after isotonic recalibration on the same rows, which noise makes better than they are."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.estimators.corp import isotonic_curve, miscalibration
from calkit.estimators.ranked import Ranked
from calkit.inference.judgement import Judgement
from calkit.inference.resampling import Resampling
from calkit.inference.whole import drawn_rows_law, ranked_pairs
from calkit.stats import ConfidencePairs, Pairs, Statistic, View

__all__ = ["RecalibratedInference"]

FloatArray = NDArray[np.float64]


def _brier(y: FloatArray, q: FloatArray) -> FloatArray:
    return np.asarray((y - q) ** 2)


def _log(y: FloatArray, q: FloatArray) -> FloatArray:
    return np.asarray(-special.xlogy(y, q) - special.xlog1py(1 - y, -q))


#: Scores of rows, by name.
_SCORES = {"brier": _brier, "log": _log}


@dataclass(frozen=True)
class RecalibratedInference:
    """For CORP's refinement, or its discrimination, which is that of the best constant less it.

    The curve of the population is among those that the fitted one was chosen from, so that the refinement is at most
    the mean score of that curve, a mean of rows; and less than it by what the fit gains by noise, of which the
    miscalibration of a calibrated model is the measure.

    Parameters
    ----------
    score : {"brier", "log"}
    discrimination : bool
    statistic : Pairs
    """

    score: str
    discrimination: bool
    statistic: Statistic[Any] = Pairs()  # noqa: RUF009 - frozen
    interval: ClassVar[str] = "Student's t about the isotonic curve, and what that gains by noise; conservative"

    def on(self, view: View) -> RecalibratedInference | None:
        """Return the method for another view; None for one with keys, whose forecasts depend on each other."""
        return None if view.keyed else replace(self, statistic=self.statistic.on(view))

    def statistics(self, resampling: Resampling) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted."""
        return () if resampling.confidence_level is None else (self.statistic,)

    def judge(self, value: float, summaries: tuple[Any, ...], resampling: Resampling) -> Judgement:
        """Return the interval, if it is asked for; none for a single row, or soft labels."""
        if not summaries or not math.isfinite(value):
            return Judgement()
        pairs: ConfidencePairs = summaries[0]
        forecasts = ranked_pairs(pairs)
        rows = forecasts.total**2 / float(forecasts.squared_weight.sum())
        if pairs.correct.dtype != bool or rows <= 1:
            return Judgement()
        tail = (1 - resampling.level) / 2
        measure = partial(miscalibration, score=self.score)
        gained = drawn_rows_law(measure, forecasts, resampling.n_resamples, resampling.random).critical(tail)
        step = self._sd(pairs, forecasts) * -float(special.stdtrit(rows - 1, tail))
        if self.discrimination:
            return Judgement((value - step - gained, value + step))
        return Judgement((value - step, value + step + gained))

    def _sd(self, pairs: ConfidencePairs, forecasts: Ranked) -> float:
        """Return the standard deviation of the mean score about the curve, or of what a constant has more."""
        score = _SCORES[self.score]
        weight = np.ones(len(pairs)) if pairs.weight is None else pairs.weight
        kept = weight > 0
        w, y = weight[kept], pairs.correct[kept].astype(np.float64)
        place = np.searchsorted(forecasts.probability, np.clip(pairs.confidence[kept], 0, 1))
        each = score(y, isotonic_curve(forecasts)[np.minimum(place, len(forecasts.weight) - 1)])
        if self.discrimination:
            each = score(y, np.full_like(y, float(w @ y) / float(w.sum()))) - each
        each = each - float(w @ each) / float(w.sum())
        return math.sqrt(float((w**2) @ each**2)) / float(w.sum())
