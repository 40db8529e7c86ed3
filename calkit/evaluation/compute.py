"""All metrics of some predictions, from one pass over the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Unpack

from calkit.errors import InputError, UsageError
from calkit.evaluation.asked import choose_metrics
from calkit.evaluation.label_errors import LABEL_ERROR, marked
from calkit.evaluation.parts import with_groups, with_label_errors
from calkit.evaluation.result import Evaluation
from calkit.evaluation.values import as_resampling, evaluation_of, statistics_of
from calkit.executors import Executor, open_executor
from calkit.metrics import Metric
from calkit.metrics.base import as_predictions
from calkit.metrics.pos_label import with_event
from calkit.metrics.shared import ArrayArguments
from calkit.predictions import Predictions, not_predictions
from calkit.shards import Shards
from calkit.stats import By, View, summarize
from calkit.stats.rows import CLASS_COLUMNS

__all__ = ["evaluate"]


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
        A group for each row, or the name of one of the columns of the predictions. The values, with intervals if asked
        for, are given for its groups too, and the worst group with a correction for how many there are. All
        predictions of classes have the columns ``"predicted class"`` and ``"true class"``.
    label_errors : str or array-like, optional
        Rows that are known to be mislabelled: booleans of shape (n,), places of rows, or a column of truth values.
        `label_errors` of the result tells the values without those rows, and how much of each value they make up.
    confidence_level : float, optional
        Give each value an interval that covers the population's with this probability: 0.95. The rows are taken to be
        drawn independently. Metrics without a sound interval have None; ``calkit metrics NAME`` says why.
    n_resamples : int, default=1000
        Draws of outcomes for floors, and of rows for the intervals of AURC and of CORP's parts. Those of means need
        none: they are found from sums over 1,024 folds of rows (each row by itself up to 1,024 rows).
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
        `normalize`, as for :func:`~calkit.ece`; beside arrays or predictions, `pos_label`.

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
    y_true, given = with_event(y_true, None if isinstance(y_true, Shards) else y_proba, {"target": target, **arguments})
    target, asked_by = given.pop("target"), by
    if isinstance(y_true, Predictions | Shards):
        predictions, metrics = y_true, _metrics_after(y_proba, metrics, given)
        predictions, by = _grouped(predictions, by)
    else:
        predictions, by = _predictions_of(y_true, y_proba, target, by, given)
    # Groups are headed by the name of their column or series, if it has one.
    heading = asked_by if isinstance(asked_by, str) else str(getattr(asked_by, "name", None) or "by")
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
        found = replace(with_groups(found, statistics, by, summaries, layout, resampling), by=heading)
    return found if errors is None else with_label_errors(found, statistics, errors, summaries, layout, resampling)


def _grouped(predictions: Predictions | Shards, by: Any) -> tuple[Predictions | Shards, str | None]:
    """Return predictions with a column of groups, and its name."""
    if by is None or isinstance(by, str):
        return predictions, by
    if not isinstance(predictions, Predictions):
        raise UsageError("by of shards is the name of a column, since their rows are read elsewhere.")
    return predictions.replace(columns={**predictions.columns, "by": by}), "by"


def _marked(predictions: Predictions | Shards, label_errors: Any) -> tuple[Predictions | Shards, str]:
    """Return the predictions, and the column that tells which rows are mislabelled."""
    if isinstance(predictions, Predictions):
        return marked(predictions, label_errors), LABEL_ERROR
    if not isinstance(label_errors, str):
        raise UsageError("label_errors of shards is the name of a column, since their rows are read elsewhere.")
    return predictions, label_errors


def _metrics_after(
    second: Any, metrics: Iterable[str | Metric] | None, arguments: Mapping[str, Any]
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
    y_true: Any, y_proba: Any, target: str | View | None, by: Any, arguments: Mapping[str, Any]
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
    if by in CLASS_COLUMNS if isinstance(by, str) else by is None:
        return as_predictions(y_true, y_proba, target=target, **arguments), by
    return as_predictions(y_true, y_proba, target=target, by=by, **arguments), "by"
