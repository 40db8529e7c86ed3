"""All metrics of some predictions, from one pass over the rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypedDict, Unpack

import numpy as np

from calkit.errors import InputError, UsageError
from calkit.evaluated import Evaluation, LabelErrors, fitted_text, p_text
from calkit.executors import Executor, open_executor
from calkit.groups import WorstGroup, among, corrected
from calkit.inference.judgement import Judgement
from calkit.inference.resampling import Resampling
from calkit.label_errors import LABEL_ERROR, as_flag, marked
from calkit.metrics import Metric, get_metric
from calkit.metrics.base import as_predictions, worst_group
from calkit.predictions import Predictions, not_predictions
from calkit.shards import Shards
from calkit.stats import By, Statistic, View, summarize
from calkit.stats.rows import CLASS_COLUMNS
from calkit.stats.views import Layout

__all__ = ["DEFAULT_METRICS", "Evaluation", "asked_metrics", "choose_metrics", "evaluate", "fitted_text", "p_text"]

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


def evaluate(
    y_true: Any,
    y_proba: Any = None,
    metrics: Iterable[str | Metric] | None = None,
    *,
    target: str | View | None = None,
    by: Any = None,
    label_errors: Any = None,
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
        for, are given for its groups too, and the worst group with a correction for how many there are. All
        predictions of classes have the columns ``"predicted class"`` and ``"true class"``.
    label_errors : str or array-like, optional
        Rows that are known to be mislabelled: booleans of shape (n,), places of rows, or a column of truth values.
        `label_errors` of the result tells the values without those rows, and how much of each value they make up.
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
    errors: str | None = None
    if label_errors is not None:
        predictions, errors = _marked(predictions, label_errors)
    resampling = as_resampling(confidence_level, n_resamples, random_state, floors=floors)
    with open_executor(executor, n_jobs) as opened:
        layout = predictions.layout(opened) if isinstance(predictions, Shards) else predictions
        chosen = choose_metrics(metrics, layout, target)
        statistics = statistics_of(chosen, resampling)
        columns = [column for column in (by, errors) if column is not None]
        grouped = [By(statistic, column) for column in columns for statistic in statistics]
        summaries = summarize(predictions, [*statistics, *grouped], executor=opened)
    whole = evaluation_of(chosen, summaries, summaries.n_samples, layout, resampling)
    found = replace(whole, meta=dict(predictions.meta))
    if by is not None:
        found = with_groups(found, statistics, by, summaries, layout, resampling)
    return found if errors is None else _with_label_errors(found, statistics, errors, summaries, layout, resampling)


def _marked(predictions: Predictions | Shards, label_errors: Any) -> tuple[Predictions | Shards, str]:
    """Return the predictions, and the column that tells which rows are mislabelled."""
    if isinstance(predictions, Predictions):
        return marked(predictions, label_errors), LABEL_ERROR
    if not isinstance(label_errors, str):
        raise UsageError("label_errors of shards is the name of a column, since their rows are read elsewhere.")
    return predictions, label_errors


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


def with_groups(
    whole: Evaluation,
    statistics: list[Statistic[Any]],
    by: str,
    summaries: Mapping[Statistic[Any], Any],
    layout: Layout,
    resampling: Resampling | None,
) -> Evaluation:
    """Return the evaluation with those of its groups, from summaries by a column; in the order of their labels."""
    parts = {statistic: summaries[By(statistic, by)] for statistic in statistics}
    found = _evaluations_of(whole, parts, layout, resampling)
    judged = corrected({label: group.judgements for label, group in found.items()})
    groups = {label: replace(group, judgements=judged[label]) for label, group in found.items()}
    names = layout.class_names if by in CLASS_COLUMNS and layout.class_names is not None else None
    named = {label: label if names is None else names[label] for label in groups}
    worst = {}
    for metric in whole.metrics:
        label = worst_group(metric, {label: group[metric.spec] for label, group in groups.items()})
        if label is None:
            continue
        group = groups[label]
        value, judgement = group[metric.spec], group.judgement(metric.spec)
        interval = None
        if resampling is not None and judgement.interval is not None:
            own = {statistic: part.summaries[label] for statistic, part in parts.items()}
            asked = among(resampling, len(groups))
            interval = judgements_of([metric], {metric.spec: value}, own, asked)[metric.spec].interval
        p_values = judgement.p_value, judgement.p_adjusted
        worst[metric.spec] = WorstGroup(named[label], value, group.n_samples, len(groups), interval, *p_values)
    by_name = {named[label]: group for label, group in groups.items()}
    return replace(whole, by=by, groups=by_name, worst_groups=worst)


def _with_label_errors(
    whole: Evaluation,
    statistics: list[Statistic[Any]],
    column: str,
    summaries: Mapping[Statistic[Any], Any],
    layout: Layout,
    resampling: Resampling | None,
) -> Evaluation:
    """Return the evaluation with that of the rows whose labels are right."""
    parts = {statistic: summaries[By(statistic, column)] for statistic in statistics}
    groups = _evaluations_of(whole, parts, layout, resampling)
    flagged = {as_flag(label): group for label, group in groups.items()}
    if False not in flagged:
        raise InputError("label_errors marks every row; metrics need rows whose labels are right.")
    n_errors = flagged[True].n_samples if True in flagged else 0
    return replace(whole, label_errors=LabelErrors.of(whole, flagged[False], n_errors))


def _evaluations_of(
    whole: Evaluation, parts: Mapping[Statistic[Any], Any], layout: Layout, resampling: Resampling | None
) -> dict[Any, Evaluation]:
    """Return the evaluation of each part of the rows, in the order of their labels."""
    counts = next(iter(parts.values())).counts
    labels = sorted(counts, key=lambda label: (label is None, isinstance(label, str), label))
    found = {}
    for label in labels:
        own = {statistic: part.summaries[label] for statistic, part in parts.items()}
        found[label] = evaluation_of(whole.metrics, own, counts[label], layout, resampling)
    return found
