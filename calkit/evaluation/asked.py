"""Which metrics are asked for, and whether they apply to some predictions."""

from __future__ import annotations

from collections.abc import Iterable

from calkit.errors import InputError
from calkit.metrics import Metric, get_metric
from calkit.stats import View
from calkit.stats.layout import Layout

__all__ = ["DEFAULT_METRICS", "asked_metrics", "choose_metrics"]

#: What :func:`evaluate` computes unless told otherwise: the metrics of the paper.
DEFAULT_METRICS = ("accuracy", "error", "ece", "adaece", "mce", "nll", "brier", "s99", "s99_accuracy")


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
            view = metric.view
            who = metric.name if view is None or not view.needs_distribution else f"target {view.spec!r}"
            raise InputError(
                f"{who} needs the scores of all classes, but (confidence, correct) pairs hold one number per "
                "answer; leave it out, pass logits or probabilities, or judge each confidence as the probability that "
                "the answer is right: evaluate(correct, confidence) (--kind probs --scores confidence --labels "
                "correct)."
            )
