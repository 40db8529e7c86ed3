"""render_report: a report as one HTML page that needs nothing else, or as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from calkit.metrics import get_metric
from calkit.registry import Registry
from calkit.report.figures import Picture, colour_of, comparison_pictures, history_pictures, reliability_picture
from calkit.report.model import Diagram, Measure, MetricInfo, Report, Result, Subject
from calkit.report.words import after_words, comparison_sentences, fitted_text, label_of, notes, subject_sentences
from calkit.specs import parse_spec

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["REPORT_FORMATS", "render_report"]

#: Functions that turn a report into text, by the name of the format.
REPORT_FORMATS: Registry[Callable[[Report], str]] = Registry("report format")

# Being sure is no virtue by itself: no value of these stands out as the best.
_NEITHER = frozenset({"s99"})


def render_report(report: Report, form: str = "html") -> str:
    """Return a report as text.

    Parameters
    ----------
    report : Report
        From :func:`calkit.report.make_report`.
    form : {"html", "json"}, default="html"
        One page with its styles and pictures inside, which loads nothing and runs no script; or the same as data.

    Returns
    -------
    str

    Raises
    ------
    NotFoundError
        If the format is unknown.

    Examples
    --------
    >>> from calkit.datasets import digits_path
    >>> from calkit.report import make_report, render_report
    >>> report = make_report([digits_path()], metrics=["ece"], confidence_level=None)
    >>> render_report(report).startswith("<!doctype html>")
    True
    """
    return REPORT_FORMATS[form](report)


@REPORT_FORMATS.register("html")
def _html(report: Report) -> str:
    style = resources.files("calkit.report").joinpath("static/report.css").read_text(encoding="utf-8")
    template = _environment().get_template("report.html")
    results = [result for subject in report.subjects for result in subject.results]
    return template.render(report=report, style=style, all_results=results, **_pictures(report))


@REPORT_FORMATS.register("json")
def _json(report: Report) -> str:
    return json.dumps(report.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _environment() -> Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("calkit.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        cell=_cell, interval=_interval, label=label_of, fitted=fitted_text, sentences=subject_sentences, bins=_bins
    )
    environment.globals.update(
        colour_of=colour_of,
        after_words=after_words,
        best=_best,
        notes=notes,
        comparison_sentences=comparison_sentences,
        flat=_flat,
    )
    return environment


def _pictures(report: Report) -> dict[str, Any]:
    """Draw everything: by subject, and of all subjects together."""
    subjects = report.subjects
    histories = {s.name: s.training.history for s in subjects if s.training is not None and s.training.history}
    return {
        "diagrams": {subject.name: _diagrams(subject, f"r{i}") for i, subject in enumerate(subjects)},
        "epochs": {subject.name: _epochs(subject, f"e{i}") for i, subject in enumerate(subjects)},
        "histories": {
            subject.name: history_pictures({subject.name: histories[subject.name]}, f"h{i}")
            for i, subject in enumerate(subjects)
            if subject.name in histories
        },
        "comparison": comparison_pictures(subjects, report.metrics, "c") if len(subjects) > 1 else [],
        "overlaid": _overlaid(subjects, histories) if len(histories) > 1 else [],
    }


def _diagrams(subject: Subject, prefix: str) -> list[Picture]:
    pictures = []
    for k, result in enumerate(subject.results):
        told = fitted_text(result)
        title = f"{label_of(result)}, {told}" if told else label_of(result)
        pictures.append(reliability_picture(result.diagram, title, f"{prefix}-{k}"))
    return pictures


def _epochs(subject: Subject, prefix: str) -> list[Picture]:
    saved = () if subject.training is None else subject.training.saved_epochs
    return [reliability_picture(item.diagram, f"epoch {item.epoch}", f"{prefix}-{item.epoch}") for item in saved]


def _overlaid(subjects: Sequence[Subject], histories: Mapping[str, Any]) -> list[Picture]:
    colours = [colour_of(i) for i, subject in enumerate(subjects) if subject.name in histories]
    return history_pictures(histories, "o", colours=colours)


def _cell(measure: Measure, info: MetricInfo) -> str:
    return get_metric(info.spec).format(measure.value)


def _interval(measure: Measure, info: MetricInfo) -> str:
    """Return the interval as tables show it; empty where there is none."""
    if measure.low is None or measure.high is None:
        return ""
    metric = get_metric(info.spec)
    return f"[{metric.format(measure.low)}, {metric.format(measure.high)}]"


def _best(results: Iterable[Result], info: MetricInfo) -> str:
    """Return the best value as it is printed; empty where none is better than another."""
    if parse_spec(info.spec).name in _NEITHER:
        return ""
    values = [result.values[info.spec].value for result in results if info.spec in result.values]
    known = [value for value in values if not math.isnan(value)]
    metric = get_metric(info.spec)
    if len({metric.format(value) for value in known}) < 2:
        return ""
    return metric.format(max(known) if info.higher_is_better else min(known))


def _bins(diagram: Diagram) -> list[tuple[str, ...]]:
    """Return a row of texts for each bin that holds samples."""
    bins = diagram.to_bins()
    rows = []
    for i, count in enumerate(diagram.count):
        if bins.weight[i]:
            shares = (bins.share[i], bins.mean_confidence[i], bins.accuracy[i], bins.gap[i])
            shown = (f"{100 * share:.2f}".replace("-", "−") for share in shares)
            rows.append((f"{diagram.lower[i]:.3f} to {diagram.upper[i]:.3f}", f"{count:,}", *shown))
    return rows


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return keys and values as texts, those of inner tables with dots between."""
    rows = []
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += _flat(value, f"{name}.")
        else:
            rows.append((name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)))
    return rows
