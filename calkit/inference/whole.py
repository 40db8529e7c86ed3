"""What measures of all forecasts together are worth: of the curve of residuals, of kernels, of sorted outcomes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.estimators.cumulative import null_cells, null_sd
from calkit.estimators.ranked import Ranked, ranked
from calkit.inference.by_class import ByClassInference, ClassDraws, DrawnClassesInference
from calkit.inference.few_events import expected_of_forecasts, uneven_p_value_of_rows
from calkit.inference.flips import lightest_share, one_change_limit, seminorm_flips_limit
from calkit.inference.floors import NullLaw, drawn_law
from calkit.inference.judgement import SEMINORM, Judgement, Limits, lower_limit, seminorm_limits
from calkit.inference.mean_gap import least_mean_gap_of_pairs
from calkit.inference.resampling import Resampling
from calkit.stats import ConfidencePairs, Pairs, Statistic, View
from calkit.stats.unions import Ordinal
from calkit.stats.views import Classwise

__all__ = ["BootstrapInference", "Bounded", "Bounds", "WholeInference", "drawn_rows", "drawn_rows_law", "ranked_pairs"]

FloatArray = NDArray[np.float64]

# Forecasts that are drawn in all: few of many, many of few; but never fewer draws than this.
_DRAWN_FORECASTS, _FEWEST_DRAWS = 5_000_000, 50
# Outcomes that are held at a time.
_HELD_FORECASTS = 1 << 18

# Replicates of a bootstrap that tails can be read off.
_FEWEST_REPLICATES = 200


def ranked_pairs(pairs: ConfidencePairs) -> Ranked:
    """Return pairs in the order of their probabilities."""
    return ranked(pairs.confidence, pairs.correct, pairs.weight)


def drawn_rows_law(
    measure: Callable[[Ranked], FloatArray],
    forecasts: Ranked,
    n_draws: int,
    random: np.random.Generator,
    n_cells: int | None = None,
) -> NullLaw:
    """Return the law of a measure of sets of outcomes, see :func:`drawn_rows`."""
    draws = drawn_rows(measure, forecasts, n_draws, random, n_cells)
    return drawn_law(draws, expected=expected_of_forecasts(forecasts).unbounded)


def drawn_rows(
    measure: Callable[[Ranked], FloatArray],
    forecasts: Ranked,
    n_draws: int,
    random: np.random.Generator,
    n_cells: int | None = None,
) -> FloatArray:
    """Return a measure of sets of outcomes, by drawing those of all forecasts (consistency resampling).

    Fewer draws are made of many forecasts: the p-value is then coarser. Weighted forecasts of equal probability are
    drawn as of the one weight that gives the same variance; if `n_cells` are asked for, so are those of about equal
    probability.
    """
    if n_cells is not None:
        last = null_cells(forecasts, n_cells, even=1.0)
        forecasts = forecasts.merged(np.append(0, last[:-1] + 1))
    n = max(_FEWEST_DRAWS, min(n_draws, _DRAWN_FORECASTS // max(len(forecasts.weight), 1)))
    scale = forecasts.squared_weight / forecasts.weight
    rows = forecasts.weight / scale
    whole = np.maximum(np.rint(rows), 1).astype(np.int64)
    # Where the number of rows is not whole, the share of positives is drawn of the nearest one.
    unit = forecasts.weight / whole
    p = np.clip(forecasts.probability, 0, 1)
    # Of a single row a uniform number tells what came, several times faster than a binomial one.
    several, values = np.flatnonzero(whole > 1), []
    step = max(1, _HELD_FORECASTS // max(len(p), 1))
    for first in range(0, n, step):
        n_sets = min(step, n - first)
        positive = (random.random((n_sets, len(p))) < p) * unit
        if len(several):
            positive[:, several] = random.binomial(whole[several], p[several], (n_sets, len(several))) * unit[several]
        values.append(measure(replace(forecasts, positive=positive)))
    return np.concatenate(values)


@dataclass(frozen=True)
class Bounds:
    """A way to find limits of a measure.

    Attributes
    ----------
    said : str
        For the catalogue.
    limits : callable, optional
        Takes value, pairs, forecasts, the law and what is asked; returns the limits. None for those of a seminorm.
    """

    said: str
    limits: Callable[[float, ConfidencePairs, Ranked, NullLaw, Resampling], Limits] | None = None


class Bounded:
    """A method of inference from pairs, whose limits are found by `bounds`."""

    bounds: Bounds | None
    statistic: Statistic[Any]

    @property
    def interval(self) -> str:
        """How the interval is found."""
        return "none" if self.bounds is None else self.bounds.said

    def statistics(self, _: Resampling) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted."""
        return (self.statistic,)


@dataclass(frozen=True)
class WholeInference(Bounded):
    """For a measure of forecasts in the order of their probabilities.

    Parameters
    ----------
    measure : callable
        Takes :class:`~calkit.estimators.ranked.Ranked`, returns the value; without a `law`, those of several sets of
        outcomes at once.
    law : callable, optional
        Takes forecasts, number of draws and a generator, returns the law of the measure if the model is calibrated. By
        default outcomes are drawn row by row.
    bounds : Bounds, optional
        How limits are found. By default the measure (its root, if `squared`) is a seminorm of the residuals, see
        :func:`~calkit.inference.judgement.seminorm_limits`. None for no interval.
    squared : bool
        Whether the measure is a square.
    mean_share : float
        The measure (its root, if `squared`) is at least this share of the absolute mean residual.
    biased_law : callable, optional
        Of a measure that is a square without the products of each residual with itself: the law with them. The interval
        is then that of the square with them, whose value in the population is the same.
    class_draws : callable, optional
        Takes what `law` takes, returns draws of the measure of one class. By default labels of rows are drawn for the
        floor over classes.
    n_cells : int, optional
        Of a smooth measure of all pairs of forecasts: cells in which outcomes are drawn, for each class by itself.
    statistic : Pairs
    """

    measure: Callable[[Ranked], Any]
    law: Callable[[Ranked, int, np.random.Generator], NullLaw] | None = None
    bounds: Bounds | None = Bounds(SEMINORM)
    squared: bool = False
    mean_share: float = 0.0
    biased_law: Callable[[Ranked, int, np.random.Generator], NullLaw] | None = None
    class_draws: ClassDraws | None = None
    n_cells: int | None = None
    statistic: Statistic[Any] = Pairs()  # noqa: RUF009 a frozen dataclass

    def on(self, view: View) -> WholeInference | ByClassInference | DrawnClassesInference | None:
        """Return the method for another view; None for several labels, which may depend on each other in any way."""
        if isinstance(view, Classwise):
            statistic = self.statistic.on(view)
            draws = self.class_draws
            if self.n_cells is not None:
                draws = partial(drawn_rows, self.measure, n_cells=self.n_cells)
            if draws is not None:
                return DrawnClassesInference(statistic, draws)
            return ByClassInference(statistic, self.measure)
        if isinstance(view, Ordinal) and self.class_draws is None and self.n_cells is None:
            return ByClassInference(self.statistic.on(view), self.measure, ordinal=True)
        return None if view.keyed else replace(self, statistic=self.statistic.on(view))

    def judge(self, value: float, summaries: tuple[Any, ...], resampling: Resampling) -> Judgement:
        """Return floor and p-value, and the interval if it is asked for; nothing for soft labels."""
        pairs: ConfidencePairs = summaries[0]
        if pairs.correct.dtype != bool or math.isnan(value):
            return Judgement()
        forecasts = ranked_pairs(pairs)
        n, random = resampling.n_resamples, resampling.random
        if self.law is not None:
            law = self.law(forecasts, n, random)
        else:
            law = drawn_rows_law(self.measure, forecasts, n, random, self.n_cells)
        p_value = max(law.p_value(value), uneven_p_value_of_rows(pairs.confidence, pairs.correct, pairs.weight))
        found = Judgement(None, law.floor, p_value)
        if resampling.confidence_level is None or self.bounds is None or len(pairs) < 2:
            return found
        low, high = self._limits(value, pairs, forecasts, law, resampling)
        low = lower_limit(low, p_value, resampling.level)
        return replace(found, interval=(min(low, value), max(high, value)))

    def _limits(
        self, value: float, pairs: ConfidencePairs, forecasts: Ranked, law: NullLaw, resampling: Resampling
    ) -> Limits:
        """Return the limits, of the bounds or of a seminorm."""
        if self.bounds is not None and self.bounds.limits is not None:
            return self.bounds.limits(value, pairs, forecasts, law, resampling)
        sd, expected = residual_sd(pairs), null_sd(forecasts)
        least = self.mean_share * least_mean_gap_of_pairs(pairs, resampling.level) if self.mean_share else 0.0
        events = expected_of_forecasts(forecasts)
        change = float((forecasts.squared_weight / forecasts.weight).max()) / forecasts.total
        if self.mean_share == 1:
            least = least or seminorm_flips_limit(value, law, events.change, resampling.tails[0])
        least = least or self.mean_share * one_change_limit(
            law.p_value(value), lightest_share(pairs), resampling.tails[0]
        )
        limits = partial(
            seminorm_limits,
            sd=sd,
            null_sd=expected,
            level=resampling.level,
            least=least,
            change=change,
            few=events.few,
        )
        if not self.squared:
            return limits(value, law)
        square = value
        if self.biased_law is not None:
            law = self.biased_law(forecasts, resampling.n_resamples, resampling.random)
            others = 1 - float(forecasts.squared_weight.sum()) / forecasts.total**2
            square = value * others + sd**2
        low, high = limits(math.sqrt(max(square, 0.0)), law.root)
        # The p-value is that of the square without the products of each residual with itself, if that is the measure.
        return max(low, least) ** 2, high**2


@dataclass(frozen=True)
class BootstrapInference:
    """Percentiles of the bootstrap of rows, for a smooth measure of forecasts in the order of their probabilities.

    Parameters
    ----------
    measure : callable
        Takes :class:`~calkit.estimators.ranked.Ranked`, returns the value.
    statistic : Pairs
    """

    measure: Callable[[Ranked], float]
    statistic: Statistic[Any] = Pairs()  # noqa: RUF009 - frozen
    interval: ClassVar[str] = "percentiles of the bootstrap of rows"

    def on(self, view: View) -> BootstrapInference | None:
        """Return the method for another view; None for one with keys, whose forecasts depend on each other."""
        return None if view.keyed else replace(self, statistic=self.statistic.on(view))

    def statistics(self, resampling: Resampling) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted."""
        return () if resampling.confidence_level is None else (self.statistic,)

    def judge(self, value: float, summaries: tuple[Any, ...], resampling: Resampling) -> Judgement:
        """Return the interval, if it is asked for; none for a single row."""
        if not summaries or len(summaries[0]) < 2 or not math.isfinite(value):
            return Judgement()
        pairs: ConfidencePairs = summaries[0]
        n = max(_FEWEST_REPLICATES, min(resampling.n_resamples, _DRAWN_FORECASTS // len(pairs)))
        values = [self.measure(drawn) for drawn in _redrawn(pairs, n, resampling.random)]
        low, high = np.quantile(values, resampling.tails)
        return Judgement((min(float(low), value), max(float(high), value)))


def _redrawn(pairs: ConfidencePairs, n: int, random: np.random.Generator) -> Iterator[Ranked]:
    """Yield rows drawn with replacement, in the order of their probabilities."""
    pairs = pairs.in_own_order
    p, y = pairs.confidence, pairs.correct.astype(np.float64)
    weight = np.ones(len(p)) if pairs.weight is None else pairs.weight
    start = np.flatnonzero(np.diff(p, prepend=-1.0))
    for _ in range(n):
        drawn = np.bincount(random.integers(0, len(p), len(p)), minlength=len(p)) * weight
        mass, positive, squares = (np.add.reduceat(part, start) for part in (drawn, drawn * y, drawn * weight))
        kept = mass > 0
        if kept.any():
            yield Ranked(p[start][kept], mass[kept], positive[kept], squares[kept])


def residual_sd(pairs: ConfidencePairs) -> float:
    """Return the standard deviation of the mean residual, as the outcomes show it."""
    residual = pairs.correct - pairs.confidence
    if pairs.weight is None:
        return math.sqrt(float((residual**2).sum())) / len(residual)
    return math.sqrt(float(((residual * pairs.weight) ** 2).sum())) / float(pairs.weight.sum())
