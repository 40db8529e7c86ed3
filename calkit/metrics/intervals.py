"""How uncertain a metric is: intervals that cover the value of the population the rows were drawn from.

Each metric names the method that suits it. Proportions have an exact interval. Means are bootstrapped. Calibration
errors are sums of absolute gaps, which noise makes too large, the more so the smaller the gaps are: their interval
allows for both extremes, see :class:`GapInterval`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError, UsageError
from calkit.stats import BinSums, Folds, FoldSums, SquaredWeights, Statistic, View

__all__ = [
    "GapInterval",
    "IntervalMethod",
    "LargestGapInterval",
    "Limits",
    "MeanInterval",
    "ProportionInterval",
    "Resampling",
]

#: Lower and upper limit.
Limits = tuple[float, float]

# Numbers that a step of the resampling holds at a time.
_STEP_NUMBERS = 1 << 20

# Gaps within so many standard errors of 0 may all be noise.
_NOISE_ERRORS = 2.0


@dataclass(frozen=True)
class Resampling:
    """What is asked of intervals.

    Attributes
    ----------
    confidence_level : float
        How often an interval shall cover the truth, in (0, 1).
    n_resamples : int
        How often folds are drawn anew.
    seed : int
    """

    confidence_level: float
    n_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        level, n, seed = self.confidence_level, self.n_resamples, self.seed
        if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
            raise InputError(f"confidence_level must be a share between 0 and 1, such as 0.95, but is {level!r}.")
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise InputError(f"n_resamples must be a positive whole number, but is {n!r}.")
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise UsageError(f"random_state must be a whole number that is not negative, or None, but is {seed!r}.")

    @property
    def folds(self) -> Folds:
        """How rows are dealt to folds."""
        return Folds(self.seed)

    @property
    def tails(self) -> tuple[float, float]:
        """Shares of the probability below the lower and the upper limit."""
        return (1 - self.confidence_level) / 2, (1 + self.confidence_level) / 2

    def draws(self, n_folds: int, width: int = 1) -> Iterator[NDArray[np.float64]]:
        """Yield how often each of so many folds is drawn, some replicates at a time: arrays of shape (r, n_folds).

        They are the same for every metric. ``width`` is how many numbers a replicate of the caller has.
        """
        random = np.random.default_rng([self.seed, n_folds])
        step = max(1, min(self.n_resamples, _STEP_NUMBERS // max(width, n_folds)))
        for start in range(0, self.n_resamples, step):
            r = min(step, self.n_resamples - start)
            drawn = random.integers(0, n_folds, (r, n_folds)) + n_folds * np.arange(r)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=r * n_folds)
            yield counts.reshape(r, n_folds).astype(np.float64)


class IntervalMethod(Protocol):
    """A way to find an interval for a metric."""

    def on(self, view: View, /) -> IntervalMethod | None:
        """Return the method for the metric of another view; None if it does not hold there."""

    def statistics(self, resampling: Resampling, /) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted for it."""

    def limits(self, value: float, summaries: tuple[Any, ...], resampling: Resampling, /) -> Limits | None:
        """Return the limits, given the value and what was counted; None if the data cannot tell."""


@dataclass(frozen=True)
class ProportionInterval:
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

    def on(self, view: View) -> ProportionInterval | None:
        """Return the method for another view; None for one with keys, whose forecasts depend on each other."""
        return None if view.keyed else replace(self, statistic=self.statistic.on(view))

    def statistics(self, _: Resampling) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted."""
        return self.statistic, SquaredWeights(self.statistic)

    def limits(self, _: float, summaries: tuple[Any, ...], resampling: Resampling) -> Limits | None:
        """Return the limits; None if there are no rows to speak of."""
        hits, weight = self.parts(summaries[0])
        squared = self.parts(summaries[1])[1]
        if not weight:
            return None
        rows = weight**2 / squared
        low, high = clopper_pearson(np.array([hits / weight * rows]), np.array([rows]), *resampling.tails)
        return float(low[0]), float(high[0])


def clopper_pearson(
    hits: NDArray[np.float64], rows: NDArray[np.float64], lower_tail: float, upper_tail: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the exact limits of a probability of which so many of so many rows are known to be hits."""
    from scipy.special import betaincinv

    misses = rows - hits
    low, high = np.zeros_like(rows), np.ones_like(rows)
    some, few = hits > 0, misses > 0
    low[some] = betaincinv(hits[some], misses[some] + 1, lower_tail)
    high[few] = betaincinv(hits[few] + 1, misses[few], upper_tail)
    return low, high


def _drawn_from(sums: FoldSums) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights and sums, (m,) and (m, k), of the folds that hold rows."""
    filled = sums.weight > 0
    return sums.weight[filled], sums.total[filled].reshape(int(filled.sum()), -1) / sums.n_keys


@dataclass(frozen=True)
class MeanInterval:
    """Percentiles of the bootstrap, for the mean of a quantity over rows.

    Parameters
    ----------
    statistic : Statistic
        One that is `groupable`.
    """

    statistic: Statistic[Any]

    def on(self, view: View) -> MeanInterval:
        """Return the method for another view."""
        return replace(self, statistic=self.statistic.on(view))

    def statistics(self, resampling: Resampling) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted."""
        return (self.statistic.folded(resampling.folds),)

    def limits(self, value: float, summaries: tuple[Any, ...], resampling: Resampling) -> Limits | None:
        """Return the limits; None for a single row."""
        weight, total = _drawn_from(summaries[0])
        if len(weight) < 2:
            return None
        means = np.concatenate([(counts @ total)[:, 0] / (counts @ weight) for counts in resampling.draws(len(weight))])
        low, high = np.quantile(means, resampling.tails)
        return min(float(low), value), max(float(high), value)


def unchanged(sums: FoldSums, _: float) -> FoldSums:
    """Return the sums unchanged: the metric is the sum of their absolute values over the weight."""
    return sums


@dataclass(frozen=True)
class GapInterval:
    """For a sum of absolute gaps, which noise makes larger than it is: a bootstrap that allows for any such bias.

    The gaps are g + d, where d is noise, whose distribution the bootstrap knows: that of the gaps of a resample minus
    those of the sample. How much d adds to Σ|g| depends on the true g: most where they are 0, nothing where they are
    large. The lower limit supposes the most, as if all gaps were nearer to 0 by two standard errors; the upper limit
    the least, as if no gap could change its sign. Percentiles of resampled values, in contrast, are those of a sample
    with the noise in it twice, and miss a small error always.

    Parameters
    ----------
    statistic : Statistic
        What gives the gaps of each fold.
    signal : callable
        Turns those sums, and the metric's value, into the gaps whose absolute values the metric adds.
    """

    statistic: Statistic[Any]
    signal: Callable[[FoldSums, float], FoldSums] = unchanged

    def on(self, view: View) -> GapInterval:
        """Return the method for another view."""
        return replace(self, statistic=self.statistic.on(view))

    def statistics(self, resampling: Resampling) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted."""
        return (self.statistic.folded(resampling.folds),)

    def limits(self, value: float, summaries: tuple[Any, ...], resampling: Resampling) -> Limits | None:
        """Return the limits; None for a single row."""
        sums = self.statistic.folded(resampling.folds).to_folds(summaries[0])
        weight, gaps = _drawn_from(self.signal(sums, value))
        if len(weight) < 2:
            return None
        gap = gaps.sum(axis=0) / weight.sum()
        error = np.sqrt(((gaps - gap * weight[:, None]) ** 2).sum(axis=0)) / weight.sum()
        near = np.sign(gap) * np.maximum(np.abs(gap) - _NOISE_ERRORS * error, 0)
        most, least = [], []
        for counts in resampling.draws(len(weight), gaps.shape[1]):
            noise = (counts @ gaps) / (counts @ weight)[:, None] - gap
            most.append(np.abs(near + noise).sum(axis=1) - np.abs(near).sum())
            least.append(noise @ np.sign(gap))
        below, above = resampling.tails
        low = value - float(np.quantile(np.concatenate(most), above))
        high = value - float(np.quantile(np.concatenate(least), below))
        return min(low, value), max(high, value)


@dataclass(frozen=True)
class LargestGapInterval:
    """For the largest gap of a bin: exact limits of the accuracy of every bin, which hold all at once (Bonferroni).

    Parameters
    ----------
    statistic : Statistic
    to_bins : callable
        Turns its summary into the sums over bins.
    """

    statistic: Statistic[Any]
    to_bins: Callable[[Any], BinSums]

    def on(self, view: View) -> LargestGapInterval | None:
        """Return the method for another view; None for one with keys."""
        return None if view.keyed else replace(self, statistic=self.statistic.on(view))

    def statistics(self, _: Resampling) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted."""
        return (self.statistic, SquaredWeights(self.statistic)) if self.statistic.is_sum else (self.statistic,)

    def limits(self, value: float, summaries: tuple[Any, ...], resampling: Resampling) -> Limits | None:
        """Return the limits; None for weighted rows in bins whose edges come from the data."""
        bins = self.to_bins(summaries[0])
        squared = (self.to_bins(summaries[1]) if len(summaries) > 1 else bins).weight
        if len(summaries) == 1 and not np.array_equal(bins.weight, bins.count):
            return None
        filled = bins.weight > 0
        rows = bins.weight[filled] ** 2 / squared[filled]
        below, _ = resampling.tails
        tail = below / len(rows)
        low, high = clopper_pearson(bins.accuracy[filled] * rows, rows, tail, 1 - tail)
        confidence = bins.mean_confidence[filled]
        smallest = np.maximum(np.maximum(confidence - high, low - confidence), 0)
        largest = np.maximum(np.abs(confidence - low), np.abs(confidence - high))
        return min(float(smallest.max()), value), max(float(largest.max()), value)
