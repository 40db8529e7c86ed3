"""make_report: measure every entry, uncalibrated and after its calibrators."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calkit._version import __version__
from calkit.errors import FileFormatError
from calkit.evaluation import DEFAULT_METRICS, as_resampling
from calkit.io import load_predictions
from calkit.metrics import Metric, get_metric
from calkit.predictions import Predictions
from calkit.report.contrasts import Measured, changed, contrasts_of, differences_of, distinct_of
from calkit.report.entries import Entry, told_apart
from calkit.report.measure import Asked, diagram_of, measured, metric_target, swept
from calkit.report.model import Report, Result, SavedEpoch, Subject, Training
from calkit.report.values import MetricInfo

if TYPE_CHECKING:
    from calkit.runs import RunFolder
    from calkit.stats import View

__all__ = ["REPORT_METRICS", "make_report"]

#: What reports show unless told otherwise: the metrics of :func:`calkit.evaluate`; the error stands for the accuracy.
REPORT_METRICS = tuple(name for name in DEFAULT_METRICS if name != "accuracy")

# Diagrams over the epochs: the paper's Figure 2 has four.
_SAVED_EPOCHS = 6


def make_report(
    entries: Iterable[Entry | str | Path],
    *,
    metrics: Iterable[str | Metric] | None = None,
    target: str | View | None = None,
    by: str | None = None,
    n_bins: int = 15,
    confidence_level: float | None = 0.95,
    n_resamples: int = 1000,
    random_state: int = 0,
    title: str = "Calibration report",
    command: str | None = None,
) -> Report:
    """Measure classifiers before and after calibration.

    Parameters
    ----------
    entries : iterable of Entry, str or Path
        A path (a file with a validation and a test split, or a run folder) stands for ``Entry.from_path(path)``: a
        temperature fitted on the validation split, figures of the test split.
    metrics : iterable of str or Metric, optional
        By default those of :data:`REPORT_METRICS` that the scores allow.
    target : str or View, optional
        What is judged, as for :func:`calkit.evaluate`: ``"positive:class=NAME"``, ``"classwise"``, ``"top-5"``; by
        default the predicted class, also of one column of scores, and of multi-label predictions each label.
    by : str, optional
        One of the columns of the predictions, ``"predicted class"`` or ``"true class"``: the values are given for each
        group of rows too. At most 100 groups.
    n_bins : int, default=15
        Bins of the diagrams.
    confidence_level : float or None, default=0.95
        Level of the intervals; None for none.
    n_resamples, random_state : int
        Number and seed of the resamples behind the intervals.
    title : str, default="Calibration report"
    command : str, optional
        What to type to make it again, for those who read it.

    Returns
    -------
    Report
        Plain data; :func:`calkit.report.render_report` makes a page of it.

    Raises
    ------
    InputError
        If there are no entries, or scores are impossible.
    FileFormatError
        If a file is missing or damaged.
    NotFoundError
        If a target or the column `by` is unknown.
    UsageError
        If a file has no validation or no test split, a metric is not defined for the target, or `by` has more than 100
        values.

    Examples
    --------
    >>> from calkit.datasets import digits_path
    >>> from calkit.report import make_report
    >>> report = make_report([digits_path()], metrics=["error", "ece"], confidence_level=None)
    >>> (subject,) = report.subjects
    >>> [f"{result.values['ece'].value:.3f}" for result in subject.results]
    ['0.130', '0.027']
    """
    opened = [entry if isinstance(entry, Entry) else Entry.from_path(entry) for entry in entries]
    names = told_apart(opened)
    wanted = None if metrics is None else [get_metric(metric) for metric in metrics]
    resampling = as_resampling(confidence_level, n_resamples, random_state, floors=False)
    how: dict[str, Any] = {"n_bins": n_bins, "resampling": resampling, "target": target, "by": by}
    found = [_subject(name, entry, wanted, how) for name, entry in zip(names, opened, strict=True)]
    subjects, measures = [subject for subject, _ in found], [measured for _, measured in found]
    shown = {spec: None for subject in subjects for result in subject.results for spec in result.values}
    return Report(
        title=title,
        calkit=__version__,
        metrics=tuple(_info(get_metric(spec), opened, target) for spec in shown),
        subjects=tuple(subjects),
        n_bins=n_bins,
        confidence_level=confidence_level,
        random_state=random_state,
        n_resamples=n_resamples,
        command=command,
        versions={"python": platform.python_version(), "numpy": np.__version__},
        distinct=distinct_of(subjects, measures, resampling),
        contrasts=contrasts_of(subjects, measures, resampling),
        differences=differences_of(subjects, measures, resampling),
    )


def _info(metric: Metric, entries: Sequence[Entry], target: str | View | None) -> MetricInfo:
    if target is not None or all(entry.predictions.one_column for entry in entries):
        predictions = entries[0].predictions
        metric = metric.bind(predictions, metric_target(predictions, target))
    return MetricInfo(metric.spec, metric.heading, metric.percent, metric.higher_is_better)


def _subject(
    name: str, entry: Entry, metrics: Sequence[Metric] | None, how: Mapping[str, Any]
) -> tuple[Subject, Measured]:
    predictions = entry.predictions
    asked = Asked.of(predictions, _defaults(predictions) if metrics is None else metrics, **how)
    before, paired = measured(predictions, asked)
    results, known = [before], [paired]
    for label, calibrator in entry.calibrators:
        found, paired = measured(calibrator.apply(predictions), asked)
        known.append(paired)
        told = calibrator.describe()
        results.append(
            replace(
                found,
                calibrator=label,
                fitted=told.fitted,
                fitted_on=entry.fitted_on,
                symbols=told.symbols,
                notes=told.sentences,
                temperature=told.temperature,
            )
        )
    names = predictions.class_names
    subject = Subject(
        name=name,
        source=entry.source,
        split=predictions.meta.get("split"),
        kind=predictions.kind,
        n_samples=predictions.n_counted,
        n_classes=predictions.n_classes,
        class_names=None if names is None else tuple(str(item) for item in names),
        results=tuple(results),
        training=None if entry.run is None else _training(entry.run, predictions, asked),
        sweep=swept(predictions, asked, _temperatures(results)),
        fit_samples=entry.fit_samples,
        target=asked.view.spec,
        by=asked.by,
        warnings=tuple(entry.warnings),
    )
    counted = Measured(predictions, asked.metrics, tuple(known))
    return changed(subject, counted, asked.resampling), counted


def _temperatures(results: Sequence[Result]) -> list[float]:
    return [result.temperature for result in results if result.temperature is not None]


def _defaults(predictions: Predictions) -> list[Metric]:
    metrics = [get_metric(name) for name in REPORT_METRICS]
    return [metric for metric in metrics if not (predictions.kind == "confidence" and metric.needs_distribution)]


def _training(run: RunFolder, predictions: Predictions, asked: Asked) -> Training:
    return Training(
        recipe=dict(run.recipe),
        history=tuple(run.history),
        saved_epochs=_saved_epochs(run, predictions, asked),
        versions=_versions(run.path / "versions.json"),
    )


def _versions(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{path} cannot be read: {error}.") from None
    if not isinstance(found, dict):
        raise FileFormatError(f"{path} is damaged: a JSON object is wanted.")
    return found


def _saved_epochs(run: RunFolder, predictions: Predictions, asked: Asked) -> tuple[SavedEpoch, ...]:
    """Return the diagrams of some of the epochs whose logits were saved, evenly chosen, the last among them."""
    epochs = run.logits_epochs
    if len(epochs) < 2:
        return ()
    if len(epochs) > _SAVED_EPOCHS:
        step = (len(epochs) - 1) / (_SAVED_EPOCHS - 1)
        epochs = [epochs[round(i * step)] for i in range(_SAVED_EPOCHS)]
    split = predictions.meta.get("split")
    found = []
    for epoch in epochs:
        saved = load_predictions(run.logits(epoch), split=split)
        found.append(SavedEpoch(epoch, diagram_of(saved, asked.n_bins, asked.view)))
    return tuple(found)
