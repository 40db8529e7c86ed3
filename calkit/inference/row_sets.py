"""What measures of rows in their order are worth: outcomes of all rows are drawn, many sets at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.inference.by_class import ClassesInference, expected_of_labels, label_rows
from calkit.inference.few_events import expected_of_forecasts
from calkit.inference.floors import NullLaw, drawn_law
from calkit.inference.judgement import Judgement
from calkit.inference.resampling import Resampling
from calkit.inference.whole import Bounded, Bounds, ranked_pairs
from calkit.stats import ConfidencePairs, Pairs, Statistic, View
from calkit.stats.views import Classwise

__all__ = ["RowsInference"]

FloatArray = NDArray[np.float64]

#: Takes pairs of n rows and r sets of outcomes, (n, r); returns the values, (r,).
SetsMeasure = Callable[[ConfidencePairs, FloatArray], FloatArray]

_FEWEST_SETS = 50
# Rows that are drawn in all, and held at a time.
_DRAWN_ROWS, _HELD_ROWS = 5_000_000, 1 << 20


def _uniform(n_rows: int, n_keys: int, resampling: Resampling) -> Iterator[NDArray[np.float64]]:
    """Yield uniform numbers, (n_rows, r), for sets of outcomes: fewer sets of many rows and keys."""
    most = _DRAWN_ROWS // (n_rows * n_keys)
    left, random = max(_FEWEST_SETS, min(resampling.n_resamples, most)), resampling.random
    step = max(1, _HELD_ROWS // n_rows)
    while left > 0:
        yield random.random((min(step, left), n_rows)).T
        left -= step


@dataclass(frozen=True)
class RowsInference(Bounded):
    """For a measure of rows in the order in which they come, such as of neighbours.

    Parameters
    ----------
    measure : callable
        Takes :class:`~calkit.stats.ConfidencePairs` and sets of outcomes, (n, r); returns the values, (r,).
    bounds : Bounds, optional
        How limits are found; None for no interval.
    statistic : Pairs
    """

    measure: SetsMeasure
    bounds: Bounds | None = None
    statistic: Statistic[Any] = Pairs()  # noqa: RUF009 - frozen

    def on(self, view: View) -> RowsInference | _RowsOfClassesInference | None:
        """Return the method for another view; None for keys of several labels, which depend on each other."""
        statistic = self.statistic.on(view)
        if isinstance(view, Classwise):
            return _RowsOfClassesInference(statistic, self.measure)
        return None if view.keyed else replace(self, statistic=statistic)

    def judge(self, value: float, summaries: tuple[Any, ...], resampling: Resampling) -> Judgement:
        """Return floor and p-value, and the interval if it is asked for; nothing for soft labels."""
        pairs: ConfidencePairs = summaries[0]
        if pairs.correct.dtype != bool or math.isnan(value):
            return Judgement()
        p, forecasts = np.clip(pairs.confidence, 0, 1), ranked_pairs(pairs)
        drawn = [
            self.measure(pairs, (uniform < p[:, None]).astype(np.float64))
            for uniform in _uniform(len(pairs), 1, resampling)
        ]
        law = drawn_law(np.concatenate(drawn), expected=expected_of_forecasts(forecasts).unbounded)
        found = Judgement(None, law.floor, law.p_value(value))
        if resampling.confidence_level is None or self.bounds is None or self.bounds.limits is None or len(pairs) < 2:
            return found
        low, high = self.bounds.limits(value, pairs, forecasts, law, resampling)
        return replace(found, interval=(min(low, value), max(high, value)))


@dataclass(frozen=True)
class _RowsOfClassesInference(ClassesInference):
    """For the mean over classes of such a measure: the label of each row is drawn once for all classes."""

    measure: SetsMeasure

    def law(self, parts: list[ConfidencePairs], resampling: Resampling) -> NullLaw:
        """Return the law of the mean over classes, if the model is calibrated."""
        p, weight, edges = label_rows(parts, in_order=True)
        low = np.pad(edges[:, :-1], ((0, 0), (1, 0)))
        nothing = np.zeros(len(p), dtype=bool)
        classes = [ConfidencePairs(np.clip(column, 0, 1), nothing, weight) for column in p.T]

        def mean(uniform: FloatArray) -> FloatArray:
            total = np.zeros(uniform.shape[1])
            for k, pairs in enumerate(classes):
                came = (uniform >= low[:, k, None]) & (uniform < edges[:, k, None])
                total += self.measure(pairs, came.astype(np.float64))
            return total / len(classes)

        sets = _uniform(len(p), len(classes), resampling)
        return drawn_law(np.concatenate([mean(uniform) for uniform in sets]), expected=expected_of_labels(parts))
