"""Intervals of shares and means of rows: they have no floor, since noise does not make them larger."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.inference.judgement import Judgement, Limits
from calkit.inference.resampling import Resampling
from calkit.stats import FoldSums, SquaredWeights, Statistic, View

__all__ = [
    "MeanInference",
    "ProportionInference",
    "RatioInference",
    "clopper_pearson",
    "effective_rows",
    "filled_folds",
    "skewed_limits",
    "skewed_p_value",
]

FloatArray = NDArray[np.float64]


def _same(low: float, high: float) -> Limits:
    return low, high


@dataclass(frozen=True)
class ProportionInference:
    """Clopper-Pearson: exact for a share of rows; never of width zero, even if all rows agree.

    With weights, the number of rows is replaced by that of equally weighted rows which would tell as much, see
    :func:`effective_rows`.

    Parameters
    ----------
    statistic : Statistic
    parts : callable
        Turns its summary into the weight of the rows that count, and of all rows.
    between : callable, optional
        Turns the limits of the share into the smallest and largest value in between, of a function of the share.
    """

    statistic: Statistic[Any]
    parts: Callable[[Any], tuple[float, float]]
    between: Callable[[float, float], Limits] = _same
    pairing: ClassVar[str] = "share"
    interval: ClassVar[str] = "exact (Clopper & Pearson)"

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
        squares = self.parts(summaries[1])
        if not weight:
            return Judgement()
        rows = effective_rows(hits / weight, weight, *squares)
        low, high = clopper_pearson(np.array([hits / weight * rows]), np.array([rows]), *resampling.tails)
        return Judgement(self.between(float(low[0]), float(high[0])))


def effective_rows(share: float, weight: float, squared_hits: float, squared_weight: float) -> float:
    """Return how many rows of one weight would tell as much of a share of rows.

    It is ``(Σw)² / Σw²``, or less where rows of large weight are hits less surely than others: that which has the
    variance of the weighted share.

    Parameters
    ----------
    share : float
        Weighted share of the hits.
    weight, squared_hits, squared_weight : float
        Σ w, Σ w² of the hits, Σ w².

    References
    ----------
    Korn & Graubard, "Confidence intervals for proportions with small expected number of positive counts estimated from
    survey data", Survey Methodology 24, 1998.

    Examples
    --------
    Ten rows of weight 1 that are hits, and two of weight 5, one of them a hit:

    >>> round(effective_rows(0.75, 20.0, 35.0, 60.0), 2), round(20.0**2 / 60.0, 2)
    (4.62, 6.67)
    """
    rows = weight**2 / squared_weight
    variance, even = squared_hits * (1 - 2 * share) + share**2 * squared_weight, share * (1 - share) * squared_weight
    # Rows of one weight are as many as they are, also after rounding; all hits, or none, show no variance.
    return rows * even / variance if variance > (1 + 1e-12) * even > 0 else rows


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


def skewed_limits(value: float, influence: FloatArray, level: float, *, skewness: float | None = None) -> Limits | None:
    """Return limits of a mean, or of a smooth function of means, that allow for the skewness of its rows.

    A few very wrong answers decide a mean of losses, so that it and its standard error err together. Hall's
    transformation, monotone and in closed form, takes the skewness out of Student's t; percentiles of a bootstrap, or
    BCa, do so only in part.

    Parameters
    ----------
    value : float
    influence : ndarray of float64, shape (m,)
        What each of m independent parts of the rows adds to the error of the value, estimated: it sums to about 0.
    level : float
    skewness : float, optional
        By default that of the parts; 0 gives Student's t.

    Returns
    -------
    tuple of float or None
        None if fewer than two parts, or something that is not finite, tell nothing.

    References
    ----------
    Hall, "On the removal of skewness by transformation", Journal of the Royal Statistical Society B 54, 1992.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 3.2])
    >>> low, high = skewed_limits(rows.mean(), (rows - rows.mean()) / 8, 0.95)
    >>> round(low, 2), round(high, 2)
    (0.03, 3.43)
    """
    m, squares = len(influence), float((influence**2).sum())
    if m < 2 or not math.isfinite(squares):
        return None
    if squares == 0:
        return value, value
    skewness = _skewness(influence) if skewness is None else skewness
    t = special.stdtrit(m - 1, np.array([(1 + level) / 2, (1 - level) / 2]))
    if skewness:
        shift = skewness * (t - skewness / 6)
        # The cube root of 1 + shift, less 1: of small shifts without cancellation.
        near = np.abs(shift) < 0.5
        root = np.where(near, np.expm1(np.log1p(np.where(near, shift, 0)) / 3), np.cbrt(1 + shift) - 1)
        t = 3 / skewness * root
    low, high = value - t * math.sqrt(squares * m / (m - 1))
    return min(float(low), value), max(float(high), value)


def skewed_p_value(value: float, influence: FloatArray, *, skewness: float | None = None) -> float:
    """Return the two-sided p-value of a mean of 0 that goes with :func:`skewed_limits`.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 3.2])
    >>> influence = (rows - rows.mean()) / 8
    >>> p_value = skewed_p_value(rows.mean(), influence)
    >>> low, _ = skewed_limits(rows.mean(), influence, 1 - p_value)
    >>> bool(abs(low) < 1e-12)
    True
    """
    m, squares = len(influence), float((influence**2).sum())
    skewness = _skewness(influence) if skewness is None else skewness
    t = value / math.sqrt(squares * m / (m - 1))
    t += skewness * (t**2 / 3 + 1 / 6) + skewness**2 * t**3 / 27
    return 2 * float(special.stdtr(m - 1, -abs(t)))


def _skewness(influence: FloatArray) -> float:
    # Products: a power takes many times as long.
    squares = influence * influence
    return float((squares * influence).sum()) / float(squares.sum()) ** 1.5


@dataclass(frozen=True)
class _FoldInference(ABC):
    """Limits that allow for skewness, from sums over folds of the rows."""

    statistic: Statistic[Any]
    interval: ClassVar[str] = "Student's t without the skewness of the rows (Hall 1992)"

    def on(self, view: View) -> Self:
        """Return the method for another view."""
        return replace(self, statistic=self.statistic.on(view))

    def statistics(self, resampling: Resampling) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted."""
        return () if resampling.confidence_level is None else (self.statistic.folded(resampling.folds),)

    def judge(self, value: float, summaries: tuple[Any, ...], resampling: Resampling) -> Judgement:
        """Return the interval; none for a single row, or where the value without some of the rows is not defined."""
        if not summaries or not math.isfinite(value):
            return Judgement()
        return Judgement(skewed_limits(value, self._influence(*filled_folds(summaries[0])), resampling.level))

    @abstractmethod
    def _influence(self, weight: FloatArray, total: FloatArray) -> FloatArray:
        """Return what each fold adds to the error of the value, from weights (m,) and sums (m, k) of the folds."""


@dataclass(frozen=True)
class MeanInference(_FoldInference):
    """For the mean of a quantity over rows.

    Parameters
    ----------
    statistic : Statistic
        One that is `groupable`.
    """

    pairing: ClassVar[str] = "mean"

    def _influence(self, weight: FloatArray, total: FloatArray) -> FloatArray:
        # Sums over keys stand side by side.
        total = total.sum(axis=1)
        return (total - total.sum() / weight.sum() * weight) / weight.sum()


@dataclass(frozen=True)
class RatioInference(_FoldInference):
    """For a smooth function of several sums over the same rows: its influences are those of the jackknife.

    Parameters
    ----------
    statistic : Statistic
        One that is `groupable`, with several sums of each fold.
    finish : callable
        Turns weight and sums, (k,), into the value.
    """

    finish: Callable[[float, FloatArray], float]

    def _influence(self, weight: FloatArray, total: FloatArray) -> FloatArray:
        weights, sums = weight.sum() - weight, total.sum(axis=0) - total
        if len(weight) < 2:
            return np.empty(0)
        without = np.array([self.finish(float(w), part) for w, part in zip(weights, sums, strict=True)])
        influence = (self.finish(float(weight.sum()), total.sum(axis=0)) - without) * weights / weight.sum()
        return np.asarray(influence - influence.mean())
