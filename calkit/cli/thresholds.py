"""``--fail-if``: lines that values must not cross, for continuous integration."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from calkit.errors import UsageError
from calkit.evaluation import Evaluation
from calkit.metrics import Metric, get_metric

__all__ = ["Threshold", "broken", "check_lines", "judged", "limit_key", "parse_threshold"]

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(
    r"(?P<metric>.+?)(?P<part>\.low|\.high|\.worst)?\s*(?P<operator>>=|<=|>|<)\s*"
    r"(?:(?P<baseline>baseline)(?P<of>\.low|\.high)?)?\s*(?P<limit>[+-]?\s*[^<>=%+-][^<>=%]*?)?\s*(?P<percent>%?)",
    re.IGNORECASE,
)


def limit_key(name: str, part: str) -> str:
    """Return how a value or a limit of its interval is written: ``ece``, ``ece.low``."""
    return name if part == "value" else f"{name}.{part}"


@dataclass(frozen=True)
class Threshold:
    """A condition that makes a run fail.

    Attributes
    ----------
    metric : Metric
    operator : str
    limit : float
        As a fraction; beyond the baseline's value if `relative`.
    part : {"value", "low", "high", "worst"}
        What is judged: the value, a limit of its interval, so that only what is sure fails, or the value of the worst
        group.
    relative : bool
        Whether the limit is counted from the baseline's value.
    of : {"value", "low", "high"}
        What of the baseline it is counted from: its value, or a limit of its interval.
    text : str
        The condition as it was written.
    """

    metric: Metric
    operator: str
    limit: float
    part: str = "value"
    relative: bool = False
    of: str = "value"
    text: str = ""

    @property
    def needs_intervals(self) -> bool:
        """Whether a limit of an interval is judged, or is the line."""
        return not {self.part, self.of}.isdisjoint(("low", "high"))

    @property
    def judged(self) -> str:
        """What is judged, as written: ``ece`` or ``ece.low``."""
        return limit_key(self.metric.spec, self.part)

    def found_in(self, evaluation: Evaluation) -> float:
        """Return what is judged; NaN for a limit that the metric does not have.

        Raises
        ------
        UsageError
            If the worst group is judged, and there are no groups.
        """
        if self.part == "value":
            return evaluation[self.metric.spec]
        if self.part == "worst":
            group = self._worst(evaluation)
            return math.nan if group is None else evaluation.groups[group][self.metric.spec]
        limits = evaluation.intervals.get(evaluation.spec_of(self.metric))
        return math.nan if limits is None else limits[self.part == "high"]

    def _worst(self, evaluation: Evaluation) -> Any:
        if not evaluation.groups:
            raise UsageError(f"--fail-if '{self.judged}' judges groups; say which they are: --by COLUMN.")
        return evaluation.worst(self.metric)

    def line(self, baseline: Mapping[str, float] | None) -> float:
        """Return the number the value is held to.

        Raises
        ------
        UsageError
            If it is relative and the baseline does not have the metric.
        """
        if not self.relative:
            return self.limit
        if baseline is None:
            raise UsageError(f"--fail-if '{self.judged}{self.operator}baseline' needs --baseline FILE.")
        spec = self.metric.spec
        key = limit_key(spec, self.of)
        if spec in baseline and key not in baseline:
            raise UsageError(
                f"the baseline has no interval of {spec}; write it with --confidence-level 0.95, or leave "
                f"'.{self.of}' out."
            )
        if spec not in baseline:
            known = ", ".join(name for name in baseline if not name.endswith((".low", ".high"))) or "none"
            raise UsageError(f"the baseline has no value of {spec}; it has {known}. Evaluate it again.")
        return baseline[key] + self.limit

    def broken_by(self, evaluation: Evaluation, baseline: Mapping[str, float] | None = None) -> bool:
        """Tell whether the condition holds; a value that is not a number cannot be judged, so it does."""
        value, line = self.found_in(evaluation), self.line(baseline)
        return math.isnan(value) or math.isnan(line) or _OPERATORS[self.operator](value, line)

    def describe(self, evaluation: Evaluation, baseline: Mapping[str, float] | None = None) -> str:
        """Return in words what was found where."""
        where = " ".join(str(evaluation.meta[key]) for key in ("file", "split") if key in evaluation.meta)
        calibrator = evaluation.meta.get("calibrator")
        after = f" after {calibrator['spec']}" if calibrator else ""
        group = f", {evaluation.by} = {self._worst(evaluation)}" if self.part == "worst" else ""
        noise = self._noise(evaluation, self.found_in(evaluation))
        return f"failed: {self.finding(evaluation, baseline)} for {where}{group}{after}{noise}"

    def finding(self, evaluation: Evaluation, baseline: Mapping[str, float] | None = None, *, word: str = "") -> str:
        """Return what was found beside what it is held to, a word before that: ``ece is 7.2 % (> 5 %)``."""
        value, line = self.found_in(evaluation), self.line(baseline)
        beyond = f" {'+' if self.limit > 0 else '-'} {self._number(abs(self.limit))}" if self.limit else ""
        of = f", {limit_key('baseline', self.of)} {self._number(line - self.limit)}{beyond}" if self.relative else ""
        found = "not known" if math.isnan(value) else self._number(value)
        return f"{self.judged} is {found} ({word}{self.operator} {self._number(line)}{of})"

    def _number(self, value: float) -> str:
        """Return a number in the unit of tables, with the digits that tell a value from its limit."""
        return f"{value * 100:.6g} %" if self.metric.percent else f"{value:.6g}"

    def _noise(self, evaluation: Evaluation, value: float) -> str:
        """Return what to do about a value that a calibrated model would show, too."""
        floor = evaluation.judgement(self.metric.spec).floor if self.part == "value" else None
        if floor is None or self.operator not in (">", ">=") or not value <= floor.p95:
            return ""
        return (
            f"; by chance, a calibrated model shows up to {self._number(floor.p95)} on {evaluation.n_samples:,} rows: "
            f"take more, or judge {self.metric.spec}.low, which fails only where that is sure"
        )


def parse_threshold(text: str) -> Threshold:
    """Parse a condition: ``ece>0.05``, ``accuracy<90%``, ``ece.low>5%``, ``ece>baseline+1%``.

    Raises
    ------
    UsageError
        If it is not of the form METRIC OPERATOR LIMIT, the metric is unknown, or no value of the metric can be on
        that side of the number: such a condition would never hold.

    Examples
    --------
    >>> threshold = parse_threshold("ECE > 5%")
    >>> threshold.metric.name, threshold.operator, threshold.limit
    ('ece', '>', 0.05)
    >>> threshold = parse_threshold("ece.low > baseline.high + 1%")
    >>> threshold.relative, threshold.of
    (True, 'high')
    """
    match = _CONDITION.fullmatch(text.strip())
    # "ece=>5%" is no condition on a metric called "ece=".
    if match is None or match["metric"].endswith("=") or (match["limit"] is None and match["baseline"] is None):
        raise UsageError(
            f"--fail-if takes a condition such as 'ece>0.05', 'accuracy<90%', 'ece.low>5%' or 'ece>baseline+1%', but "
            f"got {text!r}."
        )
    limit, relative = _as_number(text, match["limit"]), match["baseline"] is not None
    metric = get_metric(match["metric"].strip())
    part = (match["part"] or ".value")[1:].lower()
    of = (match["of"] or ".value")[1:].lower()
    limit = limit / 100 if match["percent"] else limit
    threshold = Threshold(metric, match["operator"], limit, part, relative, of, text.strip())
    if not relative and not _can_break(threshold):
        low, high = metric.bounds
        fraction = replace(threshold, limit=limit / 100)
        hint = "" if match["percent"] or not _can_break(fraction) else f" Did you mean {match['limit']}%?"
        raise UsageError(
            f"--fail-if {text!r} can never hold: {metric.name} lies in [{low:g}, {high:g}]. A limit is a fraction, or "
            f"has a percent sign.{hint}"
        )
    return threshold


def _as_number(text: str, limit: str | None) -> float:
    try:
        number = float((limit or "0").replace(" ", ""))
    except ValueError:
        raise UsageError(f"--fail-if {text!r}: {limit!r} is not a number.") from None
    if not math.isfinite(number):
        raise UsageError(f"--fail-if {text!r}: the limit must be finite, but is {limit}.")
    return number


def _can_break(threshold: Threshold) -> bool:
    """Tell whether the limit lies in the range of the metric, with room for a value that breaks it."""
    low, high = threshold.metric.bounds
    end = high if threshold.operator in (">", ">=") else low
    return low <= threshold.limit <= high and _OPERATORS[threshold.operator](end, threshold.limit)


def check_lines(thresholds: Sequence[Threshold], baselines: Sequence[Mapping[str, float]] | None) -> None:
    """Raise if a condition names a baseline that is not there, or a value that it does not have.

    Raises
    ------
    UsageError
    """
    for threshold in thresholds:
        for baseline in (None,) if baselines is None else baselines:
            threshold.line(baseline)


def judged(
    thresholds: Sequence[Threshold],
    evaluations: Sequence[Evaluation],
    baselines: Sequence[Mapping[str, float]] | None = None,
) -> list[tuple[Threshold, Evaluation, Mapping[str, float] | None]]:
    """Return each threshold with each evaluation that it judges, and the baseline of that.

    Where calibrators were applied, the calibrated values are judged, since those are what will be used.

    Parameters
    ----------
    thresholds : sequence of Threshold
    evaluations : sequence of Evaluation
    baselines : sequence of mapping, optional
        Values of the baseline: one for all, or one for each of the evaluations that are judged.

    Raises
    ------
    UsageError
        If there are several baselines, but not one for each evaluation.
    """
    found = [e for e in evaluations if e.meta.get("calibrator")] or list(evaluations)
    against: list[Mapping[str, float] | None] = [None] * len(found)
    if baselines is not None:
        against = [*baselines] * len(found) if len(baselines) == 1 else [*baselines]
        if len(against) != len(found):
            raise UsageError(
                f"the baseline holds {len(baselines)} evaluations, but {len(found)} are judged; name a split of both "
                "(--split), or give a baseline of one evaluation."
            )
    return [(t, e, base) for e, base in zip(found, against, strict=True) for t in thresholds]


def broken(
    thresholds: Sequence[Threshold],
    evaluations: Sequence[Evaluation],
    baselines: Sequence[Mapping[str, float]] | None = None,
) -> list[str]:
    """Return a line for each threshold that an evaluation breaks; parameters are those of :func:`judged`."""
    found = judged(thresholds, evaluations, baselines)
    return [t.describe(e, base) for t, e, base in found if t.broken_by(e, base)]
