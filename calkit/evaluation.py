"""All metrics of some predictions, from one pass over the rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict, Unpack

import numpy as np

from calkit.errors import CalkitError, InputError
from calkit.executors import Executor, open_executor
from calkit.inference.judgement import Judgement, Limits
from calkit.inference.resampling import Resampling
from calkit.metrics import Metric, get_metric
from calkit.metrics.base import as_predictions, worst_group
from calkit.predictions import Predictions, not_predictions
from calkit.registry import unknown_name
from calkit.shards import Shards
from calkit.stats import By, Statistic, View, summarize
from calkit.stats.views import Layout

__all__ = ["DEFAULT_METRICS", "Evaluation", "asked_metrics", "choose_metrics", "evaluate", "fitted_text"]

#: What :func:`evaluate` computes unless told otherwise: the metrics of the paper.
DEFAULT_METRICS = ("accuracy", "error", "ece", "adaece", "mce", "nll", "brier", "s99", "s99_accuracy")


class ArrayArguments(TypedDict, total=False):
    """Keyword arguments of :func:`evaluate` that go with arrays, as the metric functions have them."""

    from_logits: bool
    sample_weight: Any
    class_names: Any
    labels_from: int
    ignore_label: Any
    class_axis: int | None
    normalize: bool


@dataclass(frozen=True)
class Evaluation(Mapping[str, float]):
    """Values of metrics, by their spec: ``evaluation["ece"]``.

    Attributes
    ----------
    values_by_spec : dict
        Each value as a fraction (never in percent), by the metric's spec string.
    metrics : tuple of Metric
        The metrics, in the order asked for.
    n_samples : int
        Rows counted.
    n_classes : int or None
        None for (confidence, correct) pairs.
    kind : str
        Kind of the scores.
    meta : mapping
        What was known of the predictions: file, split, calibrator.
    confidence_level : float or None
        That of the intervals; None where none were asked for.
    judgements : dict of Judgement
        What each value is worth, by spec: its interval if asked for, its floor (what a perfectly calibrated model with
        these predictions would show) and p-value, where it is a calibration error.
    by : str or None
        The column that tells the groups; None where no groups were asked for.
    groups : dict of Evaluation
        The evaluation of the rows of each value of that column.
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
            data["groups"] = [{"group": label, **group._numbers()} for label, group in self.groups.items()]
            data["worst"] = {metric.spec: self.worst(metric) for metric in self.metrics}
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

    def _numbers(self) -> dict[str, Any]:
        """Return what differs from group to group."""
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
        p_value = "" if found.p_value is None else f", p {p_text(found.p_value)}"
        return f"({words} {metric.format(found.floor.mean)}{p_value})"

    def _details(self) -> dict[str, Any]:
        return {spec: self.judgement(spec).to_dict(value) for spec, value in self.values_by_spec.items()}

    def _interval_lists(self) -> dict[str, list[float] | None]:
        found = {spec: self.intervals.get(spec) for spec in self.values_by_spec}
        return {spec: None if limits is None else list(limits) for spec, limits in found.items()}

    def frame(self) -> dict[str, list[Any]]:
        """Return one row per metric as columns, for ``pandas.DataFrame`` or ``polars.DataFrame``."""
        found = [self.judgement(metric.spec) for metric in self.metrics]
        return {
            "metric": [metric.spec for metric in self.metrics],
            "value": [self[metric.spec] for metric in self.metrics],
            "low": [None if item.interval is None else item.interval[0] for item in found],
            "high": [None if item.interval is None else item.interval[1] for item in found],
            "floor": [None if item.floor is None else item.floor.mean for item in found],
            "p_value": [item.p_value for item in found],
        }

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
        return "\n".join([f"{self.n_samples} samples{classes}{level}", *lines, *groups])


def evaluate(
    y_true: Any,
    y_proba: Any = None,
    metrics: Iterable[str | Metric] | None = None,
    *,
    target: str | View | None = None,
    by: Any = None,
    confidence_level: float | None = None,
    n_resamples: int = 1000,
    random_state: int | None = 0,
    floors: bool = True,
    executor: str | Executor | None = None,
    n_jobs: int | None = None,
    **arguments: Unpack[ArrayArguments],
) -> Evaluation:
    """Compute metrics, all of them from one pass over the rows (AdaECE of millions of rows takes a second one).

    Takes arrays, ``evaluate(y_true, y_proba, metrics)``, or predictions, ``evaluate(predictions, metrics)``.

    Parameters
    ----------
    y_true : array-like of shape (n,) or (n, K), or Predictions or Shards
        True classes, as the metric functions take them; or predictions that hold all that is needed, for instance from
        :func:`~calkit.load_predictions`.
    y_proba : array-like or data frame of shape (n, K) or (n,)
        Probabilities, or logits with ``from_logits=True``. After predictions, the metrics may stand here.
    metrics : iterable of str or Metric, optional
        Names with parameters if any (``"ece:n_bins=25"``); by default the metrics of the paper: accuracy, error, ECE,
        AdaECE, MCE, NLL, Brier, S99. For (confidence, correct) pairs, those of them that pairs can tell.
    target : str or View, optional
        What is judged by the metrics that do not say it themselves (``"ece:target=classwise"``): ``"top"``,
        ``"positive"``, ``"positive:class=NAME"``, ``"classwise"``, ``"top-5"``, ``"ordinal"``, ``"multilabel"``. By
        default the top label of K columns, and of one column the event that is forecast, y = 1.
    by : str, or array-like of shape (n,), optional
        One of the columns of the predictions; beside arrays, a group for each row. The values, with intervals if asked
        for, are given for its groups too.
    confidence_level : float, optional
        Give each value an interval that covers the population's with this probability: 0.95. The rows are taken to be
        drawn independently. Metrics without a sound interval have None.
    n_resamples : int, default=1000
        Draws of outcomes for floors, and of the bootstrap for means: from sums over bins, and over 1,024 folds of rows
        (each row by itself up to 1,024 rows), so rows are read no more often and memory does not grow.
    random_state : int or None, default=0
        Seed of the draws; None for another one each time.
    floors : bool, default=True
        Tell for each calibration error what a perfectly calibrated model with these predictions would show, since noise
        alone makes it larger than 0: mean, 95 % quantile and the p-value of what was found.
    executor : str or Executor, optional
        What runs the pass: ``"serial"``, ``"threads"``, ``"dask"`` (the active client), ``"dask:tcp://10.0.0.1:8786"``,
        ``"dask:local"``. By default threads for more than about two million scores. The values do not depend on it.
    n_jobs : int, optional
        Number of threads, -1 for all cores; the environment variable ``CALKIT_NUM_THREADS`` says how many those are.
    **arguments
        Beside arrays: `from_logits`, `sample_weight`, `class_names`, `labels_from`, `ignore_label`, `class_axis`,
        `normalize`, as for :func:`~calkit.ece`.

    Returns
    -------
    Evaluation
        A mapping from spec to value; its `intervals` map spec to (low, high), its `groups` map the values of column
        `by` to evaluations of their rows.

    Raises
    ------
    InputError
        If there are neither two arrays nor predictions, a score is impossible, or a metric needs the scores of all
        classes and only pairs are there; or if `confidence_level` or `n_resamples` is impossible.
    NotFoundError
        If a metric, a target, an executor or the column `by` is unknown.
    UsageError
        If a metric is not defined for the target, `n_jobs` is no number of threads, `random_state` no seed, or Dask is
        asked for and does not answer.

    Examples
    --------
    >>> from calkit import evaluate
    >>> from calkit.datasets import load_digits_logits
    >>> evaluation = evaluate(load_digits_logits("test"), ["error", "ece"])
    >>> sorted(evaluation)
    ['ece', 'error']
    >>> evaluation = evaluate(load_digits_logits("test"), ["error"], confidence_level=0.95)
    >>> [round(limit, 3) for limit in evaluation.intervals["error"]]
    [0.167, 0.22]
    >>> evaluate([0, 1, 1, 1], [[0.9, 0.1], [0.3, 0.7], [0.6, 0.4], [0.2, 0.8]], ["accuracy"])["accuracy"]
    0.75
    """
    if isinstance(y_true, Predictions | Shards):
        predictions, metrics = y_true, _metrics_after(y_proba, metrics, arguments)
    else:
        predictions, by = _predictions_of(y_true, y_proba, target, by, arguments)
    resampling = as_resampling(confidence_level, n_resamples, random_state, floors=floors)
    with open_executor(executor, n_jobs) as opened:
        layout = predictions.layout(opened) if isinstance(predictions, Shards) else predictions
        chosen = choose_metrics(metrics, layout, target)
        statistics = statistics_of(chosen, resampling)
        grouped = [] if by is None else [By(statistic, by) for statistic in statistics]
        summaries = summarize(predictions, [*statistics, *grouped], executor=opened)
    whole = evaluation_of(chosen, summaries, summaries.n_samples, layout, resampling)
    groups = {} if by is None else groups_of(whole, statistics, by, summaries, layout, resampling)
    return replace(whole, meta=dict(predictions.meta), by=by, groups=groups)


def _metrics_after(
    second: Any, metrics: Iterable[str | Metric] | None, arguments: ArrayArguments
) -> Iterable[str | Metric] | None:
    """Return the metrics asked for of predictions: the second argument, or the one of that name."""
    if arguments:
        names = " and ".join(arguments)
        raise InputError(f"{names} belong{'s' * (len(arguments) == 1)} to arrays; predictions hold it already.")
    if second is None:
        return metrics
    if hasattr(second, "shape") or not isinstance(second, Iterable):
        raise InputError("y_proba must be left out when the first argument is a Predictions.")
    if metrics is not None:
        raise InputError("the metrics are given twice: as the second argument and as metrics=; leave one of them out.")
    return second


def _predictions_of(
    y_true: Any, y_proba: Any, target: str | View | None, by: Any, arguments: ArrayArguments
) -> tuple[Predictions, str | None]:
    """Return predictions of arrays, and the name of the column that tells the groups."""
    if y_proba is None:
        raise not_predictions(y_true)
    names = [y_proba] if isinstance(y_proba, str | Metric) else y_proba if isinstance(y_proba, list | tuple) else []
    if any(isinstance(item, str | Metric) for item in names):
        raise InputError(
            "y_proba holds names of metrics, but the first argument is not a Predictions; pass the probabilities: "
            "evaluate(y_true, y_proba, metrics)."
        )
    return as_predictions(y_true, y_proba, target=target, by=by, **arguments), None if by is None else "by"


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


def as_resampling(
    confidence_level: float | None, n_resamples: int, random_state: int | None, *, floors: bool = True
) -> Resampling | None:
    """Return what is asked of floors and intervals; None if neither are wanted."""
    if confidence_level is None and not floors:
        return None
    seed = int(np.random.SeedSequence().generate_state(1)[0]) if random_state is None else random_state
    return Resampling(confidence_level, n_resamples, seed)


def statistics_of(metrics: Iterable[Metric], resampling: Resampling | None) -> list[Statistic[Any]]:
    """Return what has to be counted for metrics, and for their floors and intervals if they are wanted."""
    metrics = list(metrics)
    statistics: list[Statistic[Any]] = [metric.statistic for metric in metrics]
    if resampling is not None:
        for metric in metrics:
            statistics += [] if metric.inference is None else metric.inference.statistics(resampling)
    return statistics


def judgements_of(
    metrics: Iterable[Metric],
    values: Mapping[str, float],
    summaries: Mapping[Statistic[Any], Any],
    resampling: Resampling,
) -> dict[str, Judgement]:
    """Return what the value of each metric is worth: interval, floor and p-value, as far as it has any."""
    found: dict[str, Judgement] = {}
    for metric in metrics:
        value, inference = values[metric.spec], metric.inference
        if inference is None or math.isnan(value):
            continue
        counted = tuple(summaries[statistic] for statistic in inference.statistics(resampling))
        found[metric.spec] = inference.judge(value, counted, resampling).within(metric.bounds)
    return found


def choose_metrics(
    metrics: Iterable[str | Metric] | None, layout: Layout, target: str | View | None = None
) -> tuple[Metric, ...]:
    """Return the metrics asked for, each once, as they apply to some predictions; by default those of the paper.

    Parameters
    ----------
    metrics : iterable of str or Metric, or None
        By default the metrics of the paper that the kind of scores allows.
    layout : Predictions, Shards or anything with their layout
    target : str or View, optional
        What is judged by those that do not say it themselves.

    Raises
    ------
    InputError
        If there are none, or one needs the scores of all classes and only pairs are there.
    NotFoundError
        If a metric is unknown.
    """
    chosen = [metric.bind(layout, target) for metric in asked_metrics(metrics, layout.kind)]
    _check_kind(chosen, layout.kind)
    return tuple({metric.spec: metric for metric in chosen}.values())


def asked_metrics(metrics: Iterable[str | Metric] | None, kind: str) -> list[Metric]:
    """Return the metrics asked for, each once; see :func:`choose_metrics`, which also binds them to predictions."""
    names: Iterable[str | Metric] = DEFAULT_METRICS if metrics is None else metrics
    asked = [get_metric(name) for name in ([names] if isinstance(names, str) else names)]
    if metrics is None and kind == "confidence":
        asked = [metric for metric in asked if not metric.needs_distribution]
    _check_kind(asked, kind)
    if not asked:
        raise InputError("metrics is empty: name at least one metric.")
    return list({metric.spec: metric for metric in asked}.values())


def _check_kind(metrics: Iterable[Metric], kind: str) -> None:
    for metric in metrics:
        if kind == "confidence" and metric.needs_distribution:
            raise InputError(
                f"{metric.name} needs the scores of all classes, but (confidence, correct) pairs hold one number per "
                "answer; leave it out, or pass logits or probabilities."
            )


def evaluation_of(
    metrics: tuple[Metric, ...],
    summaries: Mapping[Statistic[Any], Any],
    n_samples: int,
    layout: Layout,
    resampling: Resampling | None,
) -> Evaluation:
    """Return the evaluation that summaries tell."""
    values = {metric.spec: metric.value(summaries[metric.statistic]) for metric in metrics}
    judgements = {} if resampling is None else judgements_of(metrics, values, summaries, resampling)
    level = None if resampling is None else resampling.confidence_level
    return Evaluation(
        values,
        metrics,
        n_samples,
        layout.n_classes,
        layout.kind,
        confidence_level=level,
        judgements=judgements,
    )


def groups_of(
    whole: Evaluation,
    statistics: list[Statistic[Any]],
    by: str,
    summaries: Mapping[Statistic[Any], Any],
    layout: Layout,
    resampling: Resampling | None,
) -> dict[Any, Evaluation]:
    """Return the evaluation of each group, from summaries by a column; in the order of the groups' labels."""
    parts = {statistic: summaries[By(statistic, by)] for statistic in statistics}
    counts = next(iter(parts.values())).counts
    labels = sorted(counts, key=lambda label: (label is None, isinstance(label, str), label))
    groups = {}
    for label in labels:
        found = {statistic: parts[statistic].summaries[label] for statistic in statistics}
        groups[label] = evaluation_of(whole.metrics, found, counts[label], layout, resampling)
    return groups
