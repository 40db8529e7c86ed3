"""What an evaluation found: values by metric, what they are worth, groups; as text, tables and plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from calkit.errors import CalkitError
from calkit.evaluation.worst import WorstGroup
from calkit.inference.judgement import Judgement, Limits
from calkit.metrics import Metric, get_metric
from calkit.metrics.base import worst_group
from calkit.registry import unknown_name
from calkit.stats import BinSums
from calkit.tabular import Tabular

__all__ = ["Evaluation", "LabelErrors", "fitted_text", "p_text"]


@dataclass(frozen=True)
class Evaluation(Tabular, Mapping[str, float]):
    """Values of metrics, by their spec: ``evaluation["ece"]``.

    Attributes
    ----------
    values_by_spec : dict
        Each value as a fraction (never in percent), by the metric's spec string.
    metrics : tuple of Metric
        The metrics, in the order asked for.
    n_samples : int
        Rows that count: of a weight above 0, and of a label that is not left out. Those of groups add up to it.
    n_classes : int or None
        None for (confidence, correct) pairs.
    kind : str
        Kind of the scores.
    meta : mapping
        What was known of the predictions: file, split, calibrator.
    confidence_level : float or None
        That of the intervals; None where none were asked for.
    judgements : mapping of str to Judgement
        What each value is worth, by spec, found when it is first asked for: its interval if asked for, its floor (what
        a perfectly calibrated model with these predictions would show) and p-value, where it is a calibration error.
    by : str or None
        The column that tells the groups; None where no groups were asked for.
    groups : dict of Evaluation
        The evaluation of the rows of each value of that column; their p-values are corrected for its number of values
        (``judgement(spec).p_adjusted``, Holm's method).
    worst_groups : dict of WorstGroup
        By spec: the group with the worst value, with limits and a p-value that allow for how many groups there are.
    label_errors : LabelErrors or None
        What the rows that are known to be mislabelled do; None where none were named.
    bins : dict of BinSums
        By spec: the sums over bins of equal width that a value comes from, where it does (ECE, MCE). Diagrams are made
        of them, without the rows: ``ReliabilityDisplay.from_evaluation(evaluation)``.
    """

    values_by_spec: dict[str, float]
    metrics: tuple[Metric, ...]
    n_samples: int
    n_classes: int | None
    kind: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    confidence_level: float | None = None
    judgements: Mapping[str, Judgement] = field(default_factory=dict)
    by: str | None = None
    groups: Mapping[Any, Evaluation] = field(default_factory=dict)
    worst_groups: Mapping[str, WorstGroup] = field(default_factory=dict)
    label_errors: LabelErrors | None = None
    bins: Mapping[str, BinSums] = field(default_factory=dict, repr=False, compare=False)

    @property
    def intervals(self) -> dict[str, Limits | None]:
        """Lower and upper limit of each value, by spec; None where a metric has no interval. Empty unless asked for."""
        if self.confidence_level is None:
            return {}
        return {spec: self.judgement(spec).interval for spec in self.values_by_spec}

    def judgement(self, spec: str) -> Judgement:
        """Return what a value is worth: interval, floor and p-value, as far as there are any."""
        return self.judgements.get(self._own_spec(spec) or "", Judgement())

    def __getitem__(self, spec: str) -> float:
        own = self._own_spec(spec)
        if own is None:
            raise unknown_name("metric", str(spec), self.values_by_spec, of="this evaluation")
        return self.values_by_spec[own]

    def __contains__(self, spec: object) -> bool:
        return self._own_spec(spec) is not None

    def spec_of(self, metric: Metric) -> str:
        """Return the spec under which the value of a metric stands here.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        own = self._own_spec(metric.spec)
        if own is None:
            raise unknown_name("metric", metric.spec, self.values_by_spec, of="this evaluation")
        return own

    def _own_spec(self, spec: object) -> str | None:
        """Return the spec under which a metric stands here, if it does: names have aliases, defaults may be given."""
        if not isinstance(spec, str) or spec in self.values_by_spec:
            return spec if isinstance(spec, str) else None
        try:
            written = get_metric(spec).spec
        except CalkitError:
            return None
        return written if written in self.values_by_spec else None

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_spec)

    def __len__(self) -> int:
        return len(self.values_by_spec)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON."""
        data = {
            **self.meta,
            "kind": self.kind,
            "n_samples": self.n_samples,
            "n_classes": self.n_classes,
            "metrics": dict(self.values_by_spec),
            "details": self._details(),
        }
        targets = {m.spec: m.view.spec for m in self.metrics if m.view is not None and m.view_shown}
        if targets:
            data["targets"] = targets
        if self.by is not None:
            data["by"] = self.by
            data["groups"] = [{"group": label, **group.numbers()} for label, group in self.groups.items()]
            data["worst"] = {metric.spec: self.worst(metric) for metric in self.metrics}
            data["worst_groups"] = {spec: worst.to_dict() for spec, worst in self.worst_groups.items()}
        if self.label_errors is not None:
            data["label_errors"] = self.label_errors.to_dict()
        if self.confidence_level is not None:
            data["confidence_level"] = self.confidence_level
            data["intervals"] = self._interval_lists()
        return data

    def worst(self, metric: str | Metric) -> Any:
        """Return the label of the group with the worst value of a metric; None if no group has a value."""
        spec = metric if isinstance(metric, str) else metric.spec
        known = {own.spec: own for own in self.metrics}
        own = known.get(self._own_spec(spec) or "")
        if own is None:
            raise unknown_name("metric", spec, known, of="this evaluation")
        return worst_group(own, {label: group[own.spec] for label, group in self.groups.items()})

    def numbers(self) -> dict[str, Any]:
        """Return as plain data what differs from group to group."""
        data: dict[str, Any] = {"n_samples": self.n_samples, "metrics": dict(self.values_by_spec)}
        data["details"] = self._details()
        return data if self.confidence_level is None else {**data, "intervals": self._interval_lists()}

    def interval_text(self, metric: Metric) -> str:
        """Return the interval of a metric as tables show it: ``[4.41, 6.91]``; empty if it has none."""
        limits = self.judgement(metric.spec).interval
        return "" if limits is None else f"[{', '.join(metric.format(limit) for limit in limits)}]"

    def floor_text(self, metric: Metric, words: str = "perfect model of this size:") -> str:
        """Return floor and p-value as tables show them: ``(perfect model of this size: 2.40, p .21)``."""
        found = self.judgement(metric.spec)
        if found.floor is None:
            return ""
        p = found.p_value if found.p_adjusted is None else found.p_adjusted
        p_value = "" if p is None else f", p {p_text(p)}"
        return f"({words} {metric.format(found.floor.mean)}{p_value})"

    def _details(self) -> dict[str, Any]:
        return {spec: self.judgement(spec).to_dict(value) for spec, value in self.values_by_spec.items()}

    def _interval_lists(self) -> dict[str, list[float] | None]:
        limits = self.intervals
        return {spec: None if found is None else list(found) for spec, found in limits.items()}

    def columns(self) -> dict[str, list[Any]]:
        """Return a row for each metric as columns: value, interval, floor and p-value, None where there is none.

        If there are groups, their rows follow those of all rows; ``group`` has their names, and ``p_adjusted`` the
        p-values corrected for how many they are.
        """
        parts: dict[Any, Evaluation] = {None: self, **self.groups}
        rows = [(name, part, m, part.judgement(m.spec)) for name, part in parts.items() for m in part.metrics]
        columns: dict[str, list[Any]] = {
            "group": [None if name is None else str(name) for name, *_ in rows],
            "metric": [metric.spec for _, _, metric, _ in rows],
            "value": [part[metric.spec] for _, part, metric, _ in rows],
            "low": [None if found.interval is None else found.interval[0] for *_, found in rows],
            "high": [None if found.interval is None else found.interval[1] for *_, found in rows],
            "floor": [None if found.floor is None else found.floor.mean for *_, found in rows],
            "floor_p95": [None if found.floor is None else found.floor.p95 for *_, found in rows],
            "p_value": [found.p_value for *_, found in rows],
            "p_adjusted": [found.p_adjusted for *_, found in rows],
        }
        if not self.groups:
            del columns["group"], columns["p_adjusted"]
        return columns

    def _repr_html_(self) -> str:
        """Return the values as notebooks show them."""
        from calkit.notebook import html_table

        rows = [[m.heading, m.format(self[m.spec]), self.interval_text(m), self.floor_text(m)] for m in self.metrics]
        classes = "" if self.n_classes is None else f", {self.n_classes} classes"
        return html_table(["metric", "value", "interval", "floor"], rows, f"{self.n_samples:,} samples{classes}")

    def __str__(self) -> str:
        width = max(len(metric.heading) for metric in self.metrics)
        lines = [
            f"{metric.heading:<{width}}  {metric.format(self[metric.spec]):>8}  "
            f"{self.interval_text(metric)} {self.floor_text(metric)}".rstrip()
            for metric in self.metrics
        ]
        classes = "" if self.n_classes is None else f", {self.n_classes} classes"
        level = "" if self.confidence_level is None else f"; {self.confidence_level * 100:g} % intervals"
        groups = [f"\n{self.by} = {label}: {group}" for label, group in self.groups.items()]
        errors = self.label_errors
        known = [] if errors is None else [f"\nwithout {errors.n_errors} mislabelled rows: {errors.without}"]
        return "\n".join([f"{self.n_samples} samples{classes}{level}", *lines, *known, *groups])


@dataclass(frozen=True)
class LabelErrors:
    """What the rows that are known to be mislabelled do to an evaluation.

    Attributes
    ----------
    n_errors : int
        Rows that are mislabelled.
    without : Evaluation
        That of the other rows.
    effects : dict of float
        By spec: the value of all rows minus that without the mislabelled ones.
    """

    n_errors: int
    without: Evaluation
    effects: dict[str, float]

    @classmethod
    def of(cls, whole: Evaluation, without: Evaluation, n_errors: int) -> LabelErrors:
        """Compare the evaluation of all rows with that of the rows that are not mislabelled."""
        return cls(n_errors, without, {spec: value - without[spec] for spec, value in whole.items()})

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return {"n_errors": self.n_errors, "effects": dict(self.effects), "without": self.without.numbers()}


def fitted_text(
    fitted: Mapping[str, float | int | str], symbols: Mapping[str, str] | None = None, *, digits: int = 4
) -> str:
    """Return what a calibrator has fitted as people read it.

    Parameters
    ----------
    fitted : mapping of str to float
        As an evaluation's ``meta["calibrator"]["fitted"]`` has it.
    symbols : mapping of str to str, optional
        What to call a value instead of its name: ``{"temperature": "T"}``.
    digits : int, default=4
        Significant digits.

    Examples
    --------
    >>> fitted_text({"temperature": 2.51489}, {"temperature": "T"})
    'T = 2.515'
    """
    names = symbols or {}
    shown = {name: f"{value:.{digits}g}" if isinstance(value, float) else f"{value}" for name, value in fitted.items()}
    return ", ".join(f"{names.get(name, name)} = {value}" for name, value in shown.items())


def p_text(p_value: float) -> str:
    """Return a p-value as tables show it: ``.21``, ``< .001``.

    Examples
    --------
    >>> p_text(0.2134), p_text(0.0004), p_text(1.0)
    ('.21', '< .001', '1')
    """
    if p_value < 0.001:
        return "< .001"
    digits = 3 if p_value < 0.0995 else 2
    return f"{p_value:.{digits}f}".lstrip("0") if p_value < 0.995 else "1"
