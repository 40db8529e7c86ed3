"""What is known of a value beyond itself: interval, floor, p-value; and what finds them for a metric."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

from calkit.inference.few_events import noise_step
from calkit.inference.floors import Floor, NullLaw
from calkit.inference.resampling import Resampling
from calkit.stats import Statistic, View

__all__ = ["SEMINORM", "Inference", "Judgement", "Limits", "Pooled", "lower_limit", "seminorm_limits"]

#: What the catalogue says of intervals by :func:`seminorm_limits`.
SEMINORM = "by the triangle inequality, conservative; 0 inside unless the p-value is small"

#: Lower and upper limit.
Limits = tuple[float, float]


@dataclass(frozen=True)
class Pooled:
    """The error of all classes pooled, bin by bin: a lower bound of the class-wise one, nearly free of noise.

    Attributes
    ----------
    value : float
    floor : Floor
    p_value : float
    """

    value: float
    floor: Floor
    p_value: float


@dataclass(frozen=True)
class Judgement:
    """What a value is worth.

    Attributes
    ----------
    interval : tuple of float, or None
        Limits that hold the population's value, as often as asked for.
    floor : Floor or None
        What a perfectly calibrated model with these predictions would show.
    p_value : float or None
        Probability that it would show as much.
    estimate : float or None
        The value without what noise adds to it, where that can be estimated.
    pooled : Pooled or None
        Beside a class-wise error.
    p_adjusted : float or None
        The p-value corrected for the number of groups, where the rows are one of several.
    """

    interval: Limits | None = None
    floor: Floor | None = None
    p_value: float | None = None
    estimate: float | None = None
    pooled: Pooled | None = None
    p_adjusted: float | None = None

    def to_dict(self, value: float) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        floor = None if self.floor is None else {"mean": self.floor.mean, "p95": self.floor.p95}
        interval = None if self.interval is None else list(self.interval)
        data = {"value": value, "interval": interval, "floor": floor, "p_value": self.p_value}
        if self.p_adjusted is not None:
            data["p_adjusted"] = self.p_adjusted
        if self.estimate is not None:
            data["estimate"] = self.estimate
        if self.pooled is not None:
            pooled = self.pooled
            data["pooled"] = Judgement(None, pooled.floor, pooled.p_value).to_dict(pooled.value)
        return data

    @property
    def halved(self) -> Judgement:
        """What half of the value is worth."""
        pooled = self.pooled
        return replace(
            self,
            interval=None if self.interval is None else (self.interval[0] / 2, self.interval[1] / 2),
            floor=None if self.floor is None else self.floor.halved,
            estimate=None if self.estimate is None else self.estimate / 2,
            pooled=None if pooled is None else Pooled(pooled.value / 2, pooled.floor.halved, pooled.p_value),
        )

    def within(self, bounds: tuple[float, float]) -> Judgement:
        """Return the same with the interval cut to what is possible."""
        if self.interval is None:
            return self
        low, high = (float(limit) for limit in self.interval)
        return replace(self, interval=(max(low, bounds[0]), min(high, bounds[1])))


class Inference(Protocol):
    """A way to find what a metric's value is worth.

    Where its class has a `pairing`, differences of two models on the same rows are found from sums over folds of their
    rows: ``"mean"`` of means, ``"share"`` of shares of rows, ``"gaps"`` of sums of absolute gaps. Without one, from the
    limits of each alone.
    """

    @property
    def interval(self) -> str:
        """How the interval is found, for the catalogue."""

    def on(self, view: View, /) -> Inference | None:
        """Return the way for the metric of another view; None if it does not hold there."""

    def statistics(self, resampling: Resampling, /) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted for it; nothing if there is nothing to find."""

    def judge(self, value: float, summaries: tuple[Any, ...], resampling: Resampling, /) -> Judgement:
        """Return what was found, given the value and what was counted."""


def lower_limit(low: float, p_value: float, level: float, least: float = 0.0) -> float:
    """Return a lower limit, or 0 where the p-value is above the tail: so the two never contradict each other.

    `least` is a limit that is above 0 wherever the p-value is below the tail; it counts where the other one is not.
    """
    if p_value > (1 - level) / 2:
        return 0.0
    return low if low > 0 else least


def seminorm_limits(
    value: float,
    law: NullLaw,
    sd: float,
    null_sd: float,
    level: float,
    least: float = 0.0,
    *,
    change: float = 0.0,
    few: bool = False,
) -> Limits:
    """Return limits of a measure that is a seminorm of the residuals, each row's part of it at most its residual.

    By the triangle inequality the value exceeds the true one by no more than the measure of the noise; and, at the
    witness of the true one, it falls below by no more than a normal variable of the standard deviation of the mean
    residual. So both hold whatever the shape of the miscalibration, up to the normal law, and the lower one is above 0
    only where the p-value is below the tail.

    Parameters
    ----------
    value : float
    law : NullLaw
        Of the measure of the noise, if the model is calibrated.
    sd, null_sd : float
        Standard deviation of the mean residual: as the outcomes show it, and as the probabilities tell it.
    level : float
    least : float
        Another lower limit, which counts where the p-value is below the tail: where hardly any outcome was to come, and
        a few came, the first one is 0.
    change : float
        What one outcome adds to the mean residual at most: where few came, noise is not normal.
    few : bool
        Whether the law is that of few events. It is far from normal, and may be narrower than the noise of more.
    """
    tail = (1 - level) / 2
    ratio = max(sd / null_sd, 1.0) if null_sd > 0 else 1.0
    step, low = noise_step(max(sd, null_sd) ** 2, change, tail), 0.0
    if law.p_value(value) <= tail:
        low = max(value - max(ratio * law.critical(tail), step if few else 0.0), least, 0.0)
    return low, value + step
