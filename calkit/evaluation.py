"""All metrics of some predictions, from one pass over the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from calkit.errors import InputError
from calkit.executors import Executor, open_executor
from calkit.metrics import Metric, get_metric
from calkit.predictions import Kind, Predictions
from calkit.registry import unknown_name
from calkit.shards import Shards
from calkit.stats import summarize

__all__ = ["DEFAULT_METRICS", "Evaluation", "choose_metrics", "evaluate"]

#: What :func:`evaluate` computes unless told otherwise: the metrics of the paper.
DEFAULT_METRICS = ("accuracy", "error", "ece", "adaece", "mce", "nll", "brier", "s99", "s99_accuracy")


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
    """

    values_by_spec: dict[str, float]
    metrics: tuple[Metric, ...]
    n_samples: int
    n_classes: int | None
    kind: str
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, spec: str) -> float:
        if spec in self.values_by_spec:
            return self.values_by_spec[spec]
        raise unknown_name("metric of this evaluation", str(spec), self.values_by_spec)

    def __contains__(self, spec: object) -> bool:
        return spec in self.values_by_spec

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_spec)

    def __len__(self) -> int:
        return len(self.values_by_spec)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON."""
        return {
            **self.meta,
            "kind": self.kind,
            "n_samples": self.n_samples,
            "n_classes": self.n_classes,
            "metrics": dict(self.values_by_spec),
        }

    def __str__(self) -> str:
        width = max(len(metric.heading) for metric in self.metrics)
        lines = [f"{metric.heading:<{width}}  {metric.format(self[metric.spec]):>8}" for metric in self.metrics]
        classes = "" if self.n_classes is None else f", {self.n_classes} classes"
        return "\n".join([f"{self.n_samples} samples{classes}", *lines])


def evaluate(
    predictions: Predictions | Shards,
    metrics: Iterable[str | Metric] | None = None,
    *,
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
    executor : str or Executor, optional
        Who adds: ``"serial"``, ``"threads"``, ``"dask"`` (the active client), ``"dask:tcp://10.0.0.1:8786"``,
        ``"dask:local"``. By default threads for more than about two million scores. The values do not depend on it.
    n_jobs : int, optional
        Number of threads, -1 for all cores; the environment variable ``CALKIT_NUM_THREADS`` says how many those are.

    Returns
    -------
    Evaluation
        A mapping from spec to value.

    Raises
    ------
    InputError
        If a score is impossible, or a metric needs the scores of all classes and only pairs are there.
    NotFoundError
        If a metric or an executor is unknown.
    UsageError
        If `n_jobs` is no number of threads, or Dask is asked for and does not answer.

    Examples
    --------
    >>> from calkit import evaluate
    >>> from calkit.datasets import load_digits_logits
    >>> evaluation = evaluate(load_digits_logits("test"), ["error", "ece"])
    >>> sorted(evaluation)
    ['ece', 'error']
    """
    with open_executor(executor, n_jobs) as opened:
        layout = predictions.layout(opened) if isinstance(predictions, Shards) else predictions
        chosen = choose_metrics(metrics, layout.kind)
        summaries = summarize(predictions, [metric.statistic for metric in chosen], executor=opened)
    values = {metric.spec: metric.finish(summaries[metric.statistic]) for metric in chosen}
    return Evaluation(values, chosen, summaries.n_samples, layout.n_classes, layout.kind, dict(predictions.meta))


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
