"""All metrics of some predictions, from one pass over the rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from calkit.errors import InputError
from calkit.executors import Executor, open_executor
from calkit.metrics import Metric, get_metric
from calkit.metrics.intervals import Limits, Resampling
from calkit.predictions import Kind, Predictions, not_predictions
from calkit.registry import unknown_name
from calkit.shards import Shards
from calkit.stats import Statistic, summarize

__all__ = ["DEFAULT_METRICS", "Evaluation", "choose_metrics", "evaluate", "fitted_text"]

#: What :func:`evaluate` computes unless told otherwise: the metrics of the paper.
DEFAULT_METRICS = ("accuracy", "error", "ece", "adaece", "mce", "nll", "brier", "s99", "s99_accuracy")

# What fitted values are called where people read them.


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
    intervals : dict
        Lower and upper limit of each value, by spec; None where a metric has no interval. Empty unless asked for.
    """

    values_by_spec: dict[str, float]
    metrics: tuple[Metric, ...]
    n_samples: int
    n_classes: int | None
    kind: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    confidence_level: float | None = None
    intervals: Mapping[str, Limits | None] = field(default_factory=dict)

    def __getitem__(self, spec: str) -> float:
        if spec in self.values_by_spec:
            return self.values_by_spec[spec]
        raise unknown_name("metric", str(spec), self.values_by_spec, of="this evaluation")

    def __contains__(self, spec: object) -> bool:
        return spec in self.values_by_spec

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
        }
        if self.confidence_level is not None:
            data["confidence_level"] = self.confidence_level
            data["intervals"] = {spec: None if limits is None else list(limits) for spec, limits in self._intervals()}
        return data

    def interval_text(self, metric: Metric) -> str:
        """Return the interval of a metric as tables show it: ``[4.41, 6.91]``; empty if it has none."""
        limits = self.intervals.get(metric.spec)
        return "" if limits is None else f"[{', '.join(metric.format(limit) for limit in limits)}]"

    def _intervals(self) -> list[tuple[str, Limits | None]]:
        return [(spec, self.intervals.get(spec)) for spec in self.values_by_spec]

    def __str__(self) -> str:
        width = max(len(metric.heading) for metric in self.metrics)
        lines = [
            f"{metric.heading:<{width}}  {metric.format(self[metric.spec]):>8}  {self.interval_text(metric)}".rstrip()
            for metric in self.metrics
        ]
        classes = "" if self.n_classes is None else f", {self.n_classes} classes"
        level = "" if self.confidence_level is None else f"; {self.confidence_level * 100:g} % intervals"
        return "\n".join([f"{self.n_samples} samples{classes}{level}", *lines])


def evaluate(
    predictions: Predictions | Shards,
    metrics: Iterable[str | Metric] | None = None,
    *,
    confidence_level: float | None = None,
    n_resamples: int = 1000,
    random_state: int | None = 0,
    executor: str | Executor | None = None,
    n_jobs: int | None = None,
) -> Evaluation:
    """Compute metrics, all of them from one pass over the rows (AdaECE of millions of rows takes a second one).

    Parameters
    ----------
    predictions : Predictions or Shards
        For instance from :func:`~calkit.load_predictions`.
    metrics : iterable of str or Metric, optional
        Names with parameters if any (``"ece:n_bins=25"``); by default the metrics of the paper: accuracy, error, ECE,
        AdaECE, MCE, NLL, Brier, S99. For (confidence, correct) pairs, those of them that pairs can tell.
    confidence_level : float, optional
        Give each value an interval that covers the population's with this probability: 0.95. The rows are taken to be
        drawn independently. Metrics without a sound interval have None.
    n_resamples : int, default=1000
        Replicates of the bootstrap, for metrics that need one. They are drawn from sums over 1,024 groups of rows
        (each row by itself up to so many), so rows are read no more often and memory does not grow.
    random_state : int or None, default=0
        Seed of the bootstrap; None for another one each time.
    executor : str or Executor, optional
        Who adds: ``"serial"``, ``"threads"``, ``"dask"`` (the active client), ``"dask:tcp://10.0.0.1:8786"``,
        ``"dask:local"``. By default threads for more than about two million scores. The values do not depend on it.
    n_jobs : int, optional
        Number of threads, -1 for all cores; the environment variable ``CALKIT_NUM_THREADS`` says how many those are.

    Returns
    -------
    Evaluation
        A mapping from spec to value; its `intervals` map spec to (low, high).

    Raises
    ------
    InputError
        If `predictions` are none, a score is impossible, or a metric needs the scores of all classes and only pairs
        are there; or if `confidence_level` or `n_resamples` is impossible.
    NotFoundError
        If a metric or an executor is unknown.
    UsageError
        If `n_jobs` is no number of threads, `random_state` no seed, or Dask is asked for and does not answer.

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
    """
    if not isinstance(predictions, Predictions | Shards):
        raise not_predictions(predictions)
    resampling = as_resampling(confidence_level, n_resamples, random_state)
    with open_executor(executor, n_jobs) as opened:
        layout = predictions.layout(opened) if isinstance(predictions, Shards) else predictions
        chosen = choose_metrics(metrics, layout.kind)
        statistics = statistics_of(chosen, resampling)
        summaries = summarize(predictions, statistics, executor=opened)
    values = {metric.spec: metric.finish(summaries[metric.statistic]) for metric in chosen}
    intervals = {} if resampling is None else intervals_of(chosen, values, summaries, resampling)
    return Evaluation(
        values,
        chosen,
        summaries.n_samples,
        layout.n_classes,
        layout.kind,
        dict(predictions.meta),
        confidence_level,
        intervals,
    )


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


def as_resampling(confidence_level: float | None, n_resamples: int, random_state: int | None) -> Resampling | None:
    """Return what is asked of intervals; None if none are wanted."""
    if confidence_level is None:
        return None
    seed = int(np.random.SeedSequence().generate_state(1)[0]) if random_state is None else random_state
    return Resampling(confidence_level, n_resamples, seed)


def statistics_of(metrics: Iterable[Metric], resampling: Resampling | None) -> list[Statistic[Any]]:
    """Return what has to be counted for metrics, and for their intervals if they are wanted."""
    metrics = list(metrics)
    statistics: list[Statistic[Any]] = [metric.statistic for metric in metrics]
    if resampling is not None:
        for metric in metrics:
            statistics += [] if metric.interval is None else metric.interval.statistics(resampling)
    return statistics


def intervals_of(
    metrics: Iterable[Metric],
    values: Mapping[str, float],
    summaries: Mapping[Statistic[Any], Any],
    resampling: Resampling,
) -> dict[str, Limits | None]:
    """Return the interval of each metric, within its bounds; None where it has none."""
    intervals: dict[str, Limits | None] = {}
    for metric in metrics:
        limits = None
        if metric.interval is not None and not math.isnan(values[metric.spec]):
            found = tuple(summaries[statistic] for statistic in metric.interval.statistics(resampling))
            limits = metric.interval.limits(values[metric.spec], found, resampling)
        if limits is not None:
            lowest, highest = metric.bounds
            limits = max(limits[0], lowest), min(limits[1], highest)
        intervals[metric.spec] = limits
    return intervals


def choose_metrics(metrics: Iterable[str | Metric] | None, kind: Kind) -> tuple[Metric, ...]:
    """Return the metrics asked for, each once; by default those of the paper that the kind of scores allows.

    Raises
    ------
    InputError
        If there are none, or one needs the scores of all classes and only pairs are there.
    NotFoundError
        If a metric is unknown.
    """
    pairs_only = kind == "confidence"
    if metrics is None:
        chosen = [get_metric(name) for name in DEFAULT_METRICS]
        chosen = [metric for metric in chosen if not (pairs_only and metric.needs_distribution)]
    else:
        chosen = [get_metric(metric) for metric in ([metrics] if isinstance(metrics, str) else metrics)]
    for metric in chosen:
        if pairs_only and metric.needs_distribution:
            raise InputError(
                f"{metric.name} needs the scores of all classes, but (confidence, correct) pairs hold one number per "
                "answer; leave it out, or pass logits or probabilities."
            )
    if not chosen:
        raise InputError("metrics is empty: name at least one metric.")
    return tuple({metric.spec: metric for metric in chosen}.values())
