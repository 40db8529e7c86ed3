"""Differences of two models on the same rows: what noise they share is allowed for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.inference.means import skewed_limits, skewed_p_value

__all__ = ["Difference", "OneSided", "holm", "mean_difference", "square_and_add"]

FloatArray = NDArray[np.float64]

# A correlation of 1 would leave intervals of no width.
_MOST_CORRELATION = 0.98


@dataclass(frozen=True)
class Difference:
    """A value of one model minus that of another.

    Attributes
    ----------
    value : float
    low, high : float or None
        Limits of the population's difference; None where they cannot be computed.
    p_value : float or None
        Of no difference; below one minus the level only where the limits exclude 0.
    estimate : float or None
        The difference without what noise adds to either value.
    p_adjusted : float or None
        After Holm's correction for all differences of the metric.
    """

    value: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    estimate: float | None = None
    p_adjusted: float | None = None

    @property
    def is_clear(self) -> bool:
        """Whether the limits exclude 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class OneSided:
    """A value of one model, with what is known of it alone.

    Attributes
    ----------
    value, estimate, low, high : float
    """

    value: float
    estimate: float
    low: float
    high: float


def mean_difference(
    one: FloatArray, two: FloatArray, weight: FloatArray, level: float, row: float | None = None
) -> Difference:
    """Return the difference of two means over the same rows.

    Its limits are the wider ones of Student's t of the differences and of that without their skewness (Hall 1992):
    where one model is surer than the other, a few very wrong answers decide, and Student's t does not reach far
    enough; where the differences are as often positive as negative, the skewness that is seen is noise.

    Parameters
    ----------
    one, two : ndarray of shape (n_folds,)
        Sums of the quantity over the rows of each fold.
    weight : ndarray of shape (n_folds,)
        Weights of the folds, all positive.
    level : float
    row : float, optional
        For shares of rows, the weight of a row: one more is then taken to differ in favour of either model (Bonett &
        Price), since rows that all agree do not tell that no others would differ.

    Returns
    -------
    Difference
        Its p-value is that of the level whose limits just reach 0.

    References
    ----------
    Bonett & Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data",
    Journal of Educational and Behavioral Statistics 37, 2012.
    """
    gap, total = one - two, float(weight.sum())
    value = float(gap.sum()) / total
    influence = (gap - value * weight) / total
    if row is not None:
        influence = np.append(influence, np.array([row, -row]) / total)
    if not influence.any():
        return Difference(value, value, value, float(value == 0), value)
    found = [skewed_limits(value, influence, level), skewed_limits(value, influence, level, skewness=0.0)]
    limits = [each for each in found if each is not None]
    if not limits:
        return Difference(value)
    p_value = max(skewed_p_value(value, influence), skewed_p_value(value, influence, skewness=0.0))
    return Difference(value, min(low for low, _ in limits), max(high for _, high in limits), p_value, value)


def square_and_add(
    one: OneSided, two: OneSided, gaps: tuple[FloatArray, FloatArray] | None, level: float
) -> Difference:
    """Return the difference of two calibration errors of the same rows, from the limits of each.

    Each value carries a bias of noise that depends on its model, so that a bootstrap of their difference does not
    cover. The limits of either model allow for its own, and are combined by their squares, with the correlation of the
    noises.

    Parameters
    ----------
    one, two : OneSided
        Each with limits of the level.
    gaps : tuple of ndarray of shape (n_folds, n_bins), or None
        Sums of the gaps of each model over the rows of the same folds: they tell the correlation. A positive one is
        used only if both errors are clearly above 0. Without them the distances are added, which is right for any
        correlation.
    level : float

    References
    ----------
    Zou & Donner, "Construction of confidence limits about effect measures", Statistics in Medicine 27, 2008.
    """
    correlation = -1.0 if gaps is None else _correlation(*gaps)
    if min(one.low, two.low) <= 0:
        correlation = min(correlation, 0.0)

    def added(a: float, b: float) -> float:
        return float(np.sqrt(max(a * a - 2 * correlation * a * b + b * b, 0.0)))

    estimate = one.estimate - two.estimate
    low = estimate - added(one.estimate - one.low, two.high - two.estimate)
    high = estimate + added(one.high - one.estimate, two.estimate - two.low)
    value = one.value - two.value
    return Difference(value, low, high, _p_value(estimate, low, high, level), estimate)


def _correlation(one: FloatArray, two: FloatArray) -> float:
    """Return the correlation of the errors' noise: over folds, each gap counted by the sign of its whole."""
    noises = [gaps @ np.sign(gaps.sum(axis=0)) for gaps in (one, two)]
    if min(np.ptp(noise) for noise in noises) <= 0:
        return 0.0
    return float(np.clip(np.corrcoef(*noises)[0, 1], -1, _MOST_CORRELATION))


def _p_value(estimate: float, low: float, high: float, level: float) -> float:
    """Return the two-sided p-value of no difference that goes with the limits: below 1 - level where they exclude 0."""
    if estimate == 0:
        return 1.0
    reach = estimate - low if estimate > 0 else high - estimate
    if reach <= 0:
        return 0.0
    return float(2 * special.ndtr(special.ndtri((1 - level) / 2) * abs(estimate) / reach))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for looking at many, by Holm's method.

    Parameters
    ----------
    p_values : sequence of float

    Returns
    -------
    list of float
        In the same order.

    References
    ----------
    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, least = [0.0] * len(p_values), 0.0
    for place, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[i]))
        adjusted[i] = least
    return adjusted
