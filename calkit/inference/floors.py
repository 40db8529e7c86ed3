"""The floor of a calibration error: what a perfectly calibrated model of this size would show.

It is the distribution of the value if every outcome were drawn from the prediction itself, given the predictions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.inference.cells import CellSums
from calkit.inference.few_events import Expected
from calkit.inference.laws import quantile

__all__ = [
    "Floor",
    "NullLaw",
    "brownian_law",
    "drawn_law",
    "draws_of_one_label",
    "gamma_law",
    "gamma_shape",
    "normal_law",
    "sum_of_gaps_law",
    "third_moments",
]

FloatArray = NDArray[np.float64]

_P95 = 0.05
# Draws above the place where the tail begins. The tails of squares fall ever more slowly: by about so much.
_COUNTED, _SLOWER = 10, 1.1
# Third central moment of |N(0, 1)|, and skewness below which a law is as good as normal.
_FOLDED_SKEW, _LEAST_SKEW = 0.2180, 1e-3
# The skewness beyond which gamma laws have less beyond two standard deviations: that of the exponential law.
_MOST_SKEW = 2.0
_TINY = 1e-300


@dataclass(frozen=True)
class Floor:
    """What a perfectly calibrated model with these predictions would show.

    Attributes
    ----------
    mean : float
        Mean of the metric.
    p95 : float
        Its 95 % quantile.
    """

    mean: float
    p95: float

    @property
    def halved(self) -> Floor:
        """That of half of the metric."""
        return Floor(self.mean / 2, self.p95 / 2)


@dataclass(frozen=True)
class NullLaw:
    """Distribution of a metric if the outcomes are drawn from the predictions.

    Attributes
    ----------
    mean : float
    p_value : callable
        Probability of a value at least as large.
    critical : callable
        Largest value whose p-value is above a given one: a larger one is significant.
    """

    mean: float
    p_value: Callable[[float], float]
    critical: Callable[[float], float]

    def scaled(self, factor: float) -> NullLaw:
        """Return the law of the metric times a positive factor."""
        return NullLaw(
            self.mean * factor,
            lambda value: self.p_value(value / factor),
            lambda probability: self.critical(probability) * factor,
        )

    def not_below(self, other: NullLaw) -> NullLaw:
        """Return the law whose p-values are the larger ones of both; the mean stays."""
        return NullLaw(
            self.mean,
            lambda value: max(self.p_value(value), other.p_value(value)),
            lambda probability: max(self.critical(probability), other.critical(probability)),
        )

    @property
    def root(self) -> NullLaw:
        """The law of the metric's root; its mean is taken to be the root of the mean."""
        return NullLaw(
            math.sqrt(max(self.mean, 0.0)),
            lambda value: self.p_value(value**2),
            lambda probability: math.sqrt(max(self.critical(probability), 0.0)),
        )

    @property
    def floor(self) -> Floor:
        """Mean and 95 % quantile."""
        return Floor(self.mean, self.critical(_P95))


def drawn_law(draws: FloatArray, *, squares: bool = False, expected: Expected | None = None) -> NullLaw:
    """Return the law that draws tell; p-values count the observed value among them, so that tests keep their level.

    Beyond the ten largest draws, of 200 or more, the tail falls exponentially, at the rate of the largest tenth of the
    draws with the noise of that rate: so a p-value can be small enough to be corrected for many groups.

    Parameters
    ----------
    draws : ndarray of float64, shape (n,)
    squares : bool, default=False
        Whether they are squares: then it is the tail of their roots that falls exponentially.
    expected : Expected, optional
        Of a measure (its root, if squares) that is at most the mean absolute residual: where few events are expected,
        draws tell nothing of a tail, but their number is bounded. Draws of rows of one weight tell nothing at all where
        weights differ, and the larger p-value counts.

    Examples
    --------
    >>> import numpy as np
    >>> law = drawn_law(np.arange(99.0))
    >>> law.floor, law.p_value(97.5)
    (Floor(mean=49.0, p95=94.0), 0.02)
    """
    ranked = np.sort(draws)
    n, rounding = len(ranked), 1e-12 * float(max(abs(ranked[0]), abs(ranked[-1]))) if len(ranked) else 0.0
    rare = expected is not None and not expected.has_tail
    tail = None if rare else _Tail.of(np.sqrt(ranked) if squares else ranked)

    def p_value(value: float) -> float:
        # Draws equal to the value but for rounding count as equal.
        least = value - max(1e-12 * abs(value), rounding)
        counted = float(1 + n - np.searchsorted(ranked, least, side="left")) / (n + 1)
        if rare and expected is not None:
            bound = expected.bound(math.sqrt(value) if squares else value)
            return max(counted, bound) if expected.uneven else min(counted, bound)
        if tail is None or counted >= tail.share:
            return counted
        return tail.p_value(math.sqrt(value) if squares else value)

    def critical(probability: float) -> float:
        if tail is not None and probability < tail.share:
            return tail.critical(probability) ** (2 if squares else 1)
        allowed = math.floor(probability * (n + 1) + 1e-9)
        largest = float(ranked[n - allowed]) if allowed > 0 else math.inf
        if expected is None or not expected.uneven:
            return largest
        return max(largest, expected.critical(probability) ** (2 if squares else 1))

    return NullLaw(float(ranked.mean()), p_value, critical)


def draws_of_one_label(draws: FloatArray, n_classes: int) -> FloatArray:
    """Return draws of a mean over classes that were drawn each by itself, as they are where each row has one label.

    A gap in one of K classes is made up in the others: absolute gaps of two classes have a correlation of about
    1 / (K - 1)², as squares have, so that the variance of the mean is larger by K / (K - 1).
    """
    if n_classes < 2:
        return draws
    middle = draws.mean()
    wider = middle + (draws - middle) * math.sqrt(n_classes / (n_classes - 1))
    # Only what may be negative stays so.
    return np.asarray(np.maximum(wider, min(float(draws.min()), 0.0)))


@dataclass(frozen=True)
class _Tail:
    """An exponential tail, known from a number of draws: a Pareto law.

    Attributes
    ----------
    start, share : float
        Where it begins, and the probability of more.
    scale : float
    n : int
        Draws that tell the scale.
    """

    start: float
    share: float
    scale: float
    n: int

    @classmethod
    def of(cls, ranked: FloatArray) -> _Tail | None:
        """Return the tail of sorted draws; None if they are few, or all alike there."""
        top = len(ranked) // 10
        if top < 2 * _COUNTED:
            return None
        scale = _SLOWER * float((ranked[-top:] - ranked[-top - 1]).mean())
        if not 0 < scale < math.inf:
            return None
        return cls(float(ranked[-_COUNTED - 1]), (_COUNTED + 1) / (len(ranked) + 1), scale, top)

    def p_value(self, value: float) -> float:
        return float(self.share * (1 + max(value - self.start, 0.0) / (self.n * self.scale)) ** -self.n)

    def critical(self, probability: float) -> float:
        if probability <= 0:
            return math.inf
        return float(self.start + self.n * self.scale * ((self.share / probability) ** (1 / self.n) - 1))


def normal_law(mean: float, sd: float) -> NullLaw:
    """Return the normal law; one of no width is a point.

    Examples
    --------
    >>> round(normal_law(0.02, 0.001).p_value(0.022), 4)
    0.0228
    """

    def p_value(value: float) -> float:
        return float(special.ndtr((mean - value) / sd)) if sd > 0 else float(value <= mean)

    return NullLaw(mean, p_value, lambda probability: mean - sd * float(special.ndtri(probability)))


def brownian_law(sd: float, mean: float, tail: Callable[[float], float]) -> NullLaw:
    """Return the law of sd times a functional of a Brownian motion, of given mean and tail."""

    def p_value(value: float) -> float:
        return tail(value / sd) if sd > 0 else float(value <= 0)

    return NullLaw(sd * mean, p_value, lambda probability: sd * quantile(tail, probability))


def gamma_law(mean: float, variance: float, third: float) -> NullLaw:
    """Return the gamma law of given mean, variance and third central moment; a normal one where it has no skewness.

    Gamma laws of a skewness above 2 have less beyond two standard deviations, and not more: there the larger p-value
    counts of that and of a skewness of 2.

    Examples
    --------
    >>> law = gamma_law(2.0, 1.0, 1.0)
    >>> round(law.p_value(2.0), 4), round(law.critical(law.p_value(3.0)), 4)
    (0.4335, 3.0)
    """
    if third > _MOST_SKEW * (1 + 1e-9) * variance**1.5 > 0:
        own = _gamma_law(mean, variance, third)
        return own.not_below(_gamma_law(mean, variance, _MOST_SKEW * variance**1.5))
    return _gamma_law(mean, variance, third)


def _gamma_law(mean: float, variance: float, third: float) -> NullLaw:
    shape, sd = float(gamma_shape(variance, third)), math.sqrt(variance)
    step = sd / math.sqrt(shape) if sd > 0 else _TINY

    def p_value(value: float) -> float:
        if sd <= 0:
            return float(value <= mean)
        return float(special.gammaincc(shape, max((value - mean) / step + shape, 0.0)))

    def critical(tail: float) -> float:
        return mean + step * (float(special.gammainccinv(shape, tail)) - shape)

    return NullLaw(mean, p_value, critical)


def gamma_shape(variance: FloatArray | float, third: FloatArray | float) -> FloatArray:
    """Return the shape of the gamma law of this variance and third central moment."""
    skew = np.asarray(third) / np.maximum(variance, 1e-100) ** 1.5
    return np.asarray(4 / np.maximum(skew, _LEAST_SKEW) ** 2)


def third_moments(sums: CellSums) -> FloatArray:
    """Return the third central moment of the absolute gap of each cell: of a normal or of a Poisson variable."""
    return np.maximum(_FOLDED_SKEW * sums.variance**1.5, sums.variance * sums.scale)


def _variance_of_one_label(sums: CellSums, variance: FloatArray, covariance: FloatArray, n_keys: int) -> float:
    """Return the variance of Σ |gap|, given its parts and their covariances with the positives.

    What is linear in the positives is independent only given their total. The rest is correlated as squares are, see
    :func:`draws_of_one_label`, at most: if the bin of one class tells those of others.
    """
    noise = sums.variance
    slope = np.divide(covariance, noise, out=np.zeros_like(noise), where=noise > 0)
    middle = float(covariance.sum() / noise.sum())
    linear = float(((slope - middle) ** 2 * noise).sum())
    rest = float(np.maximum(variance - slope * covariance, 0).sum())
    return linear + rest * (n_keys / (n_keys - 1) if n_keys > 1 else 1.0)


def sum_of_gaps_law(sums: CellSums, n_rows: float, *, n_keys: int = 1, one_label: bool = False) -> NullLaw:
    """Return the law of Σ |gap| / n_rows over many cells, in closed form: a gamma law.

    Parameters
    ----------
    sums : CellSums
        In the order of keys and bins.
    n_rows : float
        What the sum is divided by.
    n_keys : int, default=1
        Number of forecasts of a row. Those of a row that are not of one label may depend on each other in any way: the
        standard deviation is then the most there can be, the sum of those of the keys.
    one_label : bool, default=False
        Whether each row has one positive among the keys (one of K classes), so that the positives of all cells together
        are known: the cells are then independent only given that total.
    """
    mean, covariance = sums.null_moments
    variance, third = np.maximum(sums.variance - mean**2, 0), third_moments(sums)
    if one_label and sums.variance.any():
        sd = math.sqrt(_variance_of_one_label(sums, variance, covariance, n_keys))
        skewed = float(third.sum())
    else:
        sd = float(np.sqrt(variance.reshape(n_keys, -1).sum(axis=1)).sum())
        skewed = float(np.cbrt(third.reshape(n_keys, -1).sum(axis=1)).sum()) ** 3
    return gamma_law(float(mean.sum()), sd**2, skewed).scaled(1 / n_rows)
