"""``--fail-if``: lines that values must not cross, for continuous integration."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from calkit.errors import UsageError
from calkit.evaluation import Evaluation
from calkit.metrics import Metric, get_metric

__all__ = ["Threshold", "parse_threshold"]

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(r"(?P<metric>.+?)\s*(?P<operator>>=|<=|>|<)\s*(?P<limit>[^<>=]+?)\s*(?P<percent>%?)")


@dataclass(frozen=True)
class Threshold:
    """A condition that makes a run fail.

    Attributes
    ----------
    metric : Metric
    operator : str
    limit : float
        As a fraction.
    """

    metric: Metric
    operator: str
    limit: float

    def broken_by(self, evaluation: Evaluation) -> bool:
        """Tell whether the condition holds; a value that is not a number cannot be judged, so it does."""
        value = evaluation[self.metric.spec]
        return math.isnan(value) or _OPERATORS[self.operator](value, self.limit)

    def describe(self, evaluation: Evaluation) -> str:
        """Return in words what was found where."""
        where = " ".join(str(evaluation.meta[key]) for key in ("file", "split") if key in evaluation.meta)
        calibrator = evaluation.meta.get("calibrator")
        after = f" after {calibrator['spec']}" if calibrator else ""
        value = evaluation[self.metric.spec]
        return f"failed: {self.metric.spec} is {value:.6g} ({self.operator} {self.limit:g}) for {where}{after}"


def parse_threshold(text: str) -> Threshold:
    """Parse a condition such as ``ece>0.05`` or ``accuracy<90%``.

    Raises
    ------
    UsageError
        If it is not of the form METRIC OPERATOR NUMBER, the metric is unknown, or no value of the metric can be on
        that side of the number: such a condition would never hold.

    Examples
    --------
    >>> threshold = parse_threshold("ECE > 5%")
    >>> threshold.metric.name, threshold.operator, threshold.limit
    ('ece', '>', 0.05)
    """
    match = _CONDITION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--fail-if takes a condition such as 'ece>0.05' or 'accuracy<90%', but got {text!r}.")
    try:
        limit = float(match["limit"])
    except ValueError:
        raise UsageError(f"--fail-if {text!r}: {match['limit']!r} is not a number.") from None
    if not math.isfinite(limit):
        raise UsageError(f"--fail-if {text!r}: the limit must be finite, but is {match['limit']}.")
    metric = get_metric(match["metric"].strip())
    threshold = Threshold(metric, match["operator"], limit / 100 if match["percent"] else limit)
    if not _can_break(threshold):
        low, high = metric.bounds
        fraction = Threshold(metric, match["operator"], limit / 100)
        hint = "" if match["percent"] or not _can_break(fraction) else f" Did you mean {match['limit']}%?"
        raise UsageError(
            f"--fail-if {text!r} can never hold: {metric.name} lies in [{low:g}, {high:g}]. A limit is a fraction, or "
            f"has a percent sign.{hint}"
        )
    return threshold


def _can_break(threshold: Threshold) -> bool:
    """Tell whether the limit lies in the range of the metric, with room for a value that breaks it."""
    low, high = threshold.metric.bounds
    end = high if threshold.operator in (">", ">=") else low
    return low <= threshold.limit <= high and _OPERATORS[threshold.operator](end, threshold.limit)


def broken(thresholds: Sequence[Threshold], evaluations: Sequence[Evaluation]) -> list[str]:
    """Return a line for each threshold that an evaluation breaks.

    Where calibrators were applied, the calibrated values are judged, since those are what will be used.
    """
    judged = [e for e in evaluations if e.meta.get("calibrator")] or list(evaluations)
    return [t.describe(e) for e in judged for t in thresholds if t.broken_by(e)]
