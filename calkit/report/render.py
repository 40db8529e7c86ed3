"""render_report: a report as one HTML page that needs nothing else, or as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from calkit.errors import UsageError
from calkit.evaluation.result import p_text
from calkit.metrics import get_metric
from calkit.plotting.base import labels_of
from calkit.printing import json_text
from calkit.registry import Registry
from calkit.report.comparison_figures import comparison_pictures, difference_pictures, overlay_pictures
from calkit.report.figures import Picture, colour_of, history_pictures, reliability_picture
from calkit.report.model import Report, Subject
from calkit.report.part_figures import class_pictures, group_pictures
from calkit.report.slider import slider_data
from calkit.report.svg import shared_glyphs
from calkit.report.tables import bin_rows, class_rows, flat_rows, made_rows, shown_groups, tiles, worst_rows
from calkit.report.templating import assets, environment, template_errors
from calkit.report.values import Diagram, Measure, MetricInfo
from calkit.report.words import (
    after_words,
    brief,
    comparison_sentences,
    fitted_text,
    label_of,
    notes,
    subject_sentences,
    verdict,
    worst_words,
)

__all__ = ["REPORT_FORMATS", "render_report"]

#: Functions that turn a report into text, by the name of the format.
REPORT_FORMATS: Registry[Callable[[Report, Path | None], str]] = Registry("report format")


def render_report(report: Report, form: str = "html", *, template: str | Path | None = None) -> str:
    """Return a report as text.

    Parameters
    ----------
    report : Report
        From :func:`calkit.report.make_report`.
    form : {"html", "json"}, default="html"
        One page with its styles, pictures and one small script inside, which loads nothing; or the same as data.
    template : str or Path, optional
        A Jinja template of your own for the page. It may begin with ``{% extends "report.html" %}`` and replace some
        of its blocks: `style`, `header`, `comparison`, `subjects`, `made`, `reading`, `footer`. It runs as code does:
        take none that you do not trust.

    Returns
    -------
    str

    Raises
    ------
    NotFoundError
        If the format is unknown.
    FileFormatError
        If the template is not there, or is no template.
    UsageError
        If a template is given for data.

    Examples
    --------
    >>> from calkit.datasets import digits_path
    >>> from calkit.report import make_report, render_report
    >>> report = make_report([digits_path()], metrics=["ece"], confidence_level=None)
    >>> render_report(report).startswith("<!doctype html>")
    True
    """
    return REPORT_FORMATS[form](report, None if template is None else Path(template))


@REPORT_FORMATS.register("html")
def _html(report: Report, own: Path | None) -> str:
    with template_errors(own):
        template = environment(_FILTERS, _FUNCTIONS, own).get_template("report.html" if own is None else own.name)
    glyphs: dict[str, str] = {}
    pictures = _pictures(report, glyphs)
    known = dict(
        report=report,
        calibrated=any(subject.after for subject in report.subjects),
        glyphs=shared_glyphs(glyphs),
        sweeps={subject.name: _sweep(subject) for subject in report.subjects if subject.sweep is not None},
        **assets(),
        **pictures,
    )
    with template_errors(own):
        return template.render(known)


@REPORT_FORMATS.register("json")
def _json(report: Report, own: Path | None) -> str:
    if own is not None:
        raise UsageError("a template is one of a page: leave it out, or take the format html.")
    return json_text(report.to_dict()) + "\n"


def _sweep(subject: Subject) -> dict[str, Any]:
    """Return what the slider shows, with the fitted temperatures marked."""
    fitted = {label_of(r): r.temperature for r in subject.after if r.temperature is not None}
    return {} if subject.sweep is None else slider_data(subject.sweep, fitted)


def _pictures(report: Report, glyphs: dict[str, str]) -> dict[str, Any]:
    """Draw everything: by subject, and of all subjects together."""
    subjects, level = report.subjects, report.confidence_level
    histories = {s.name: s.training.history for s in subjects if s.training is not None and s.training.history}
    return {
        "diagrams": {subject.name: _diagrams(subject, f"r{i}", level, glyphs) for i, subject in enumerate(subjects)},
        "epochs": {subject.name: _epochs(subject, f"e{i}", glyphs) for i, subject in enumerate(subjects)},
        "histories": {
            subject.name: history_pictures({subject.name: histories[subject.name]}, f"h{i}", glyphs=glyphs)
            for i, subject in enumerate(subjects)
            if subject.name in histories
        },
        "groups": {s.name: group_pictures(s, report.metrics, f"g{i}", glyphs=glyphs) for i, s in enumerate(subjects)},
        "worst": {subject.name: class_pictures(subject, f"w{i}", glyphs=glyphs) for i, subject in enumerate(subjects)},
        "comparison": comparison_pictures(subjects, report.metrics, "c", glyphs=glyphs) if len(subjects) > 1 else [],
        "overlays": overlay_pictures(subjects, "v", glyphs=glyphs) if len(subjects) > 1 else [],
        "differences": difference_pictures(report, "d", glyphs=glyphs),
        "overlaid": _overlaid(subjects, histories, glyphs) if len(histories) > 1 else [],
    }


def _diagrams(subject: Subject, prefix: str, level: float | None, glyphs: dict[str, str]) -> list[Picture]:
    pictures = []
    for k, result in enumerate(subject.results):
        told = fitted_text(result)
        title = f"{label_of(result)}, {told}" if told else label_of(result)
        pictures.append(_diagram(result.diagram, title, f"{prefix}-{k}", subject, glyphs, level))
    return pictures


def _epochs(subject: Subject, prefix: str, glyphs: dict[str, str]) -> list[Picture]:
    saved = () if subject.training is None else subject.training.saved_epochs
    return [_diagram(item.diagram, f"epoch {item.epoch}", f"{prefix}-{item.epoch}", subject, glyphs) for item in saved]


def _diagram(
    diagram: Diagram, title: str, prefix: str, subject: Subject, glyphs: dict[str, str], level: float | None = None
) -> Picture:
    return reliability_picture(diagram, title, prefix, target=subject.target, level=level, glyphs=glyphs)


def _overlaid(subjects: Sequence[Subject], histories: Mapping[str, Any], glyphs: dict[str, str]) -> list[Picture]:
    colours = [colour_of(i) for i, subject in enumerate(subjects) if subject.name in histories]
    return history_pictures(histories, "o", colours=colours, glyphs=glyphs)


def _cell(measure: Measure, info: MetricInfo) -> str:
    return get_metric(info.spec).format(measure.value)


def _interval(measure: Measure, info: MetricInfo) -> str:
    """Return the interval as tables show it; empty where there is none."""
    if measure.low is None or measure.high is None:
        return ""
    metric = get_metric(info.spec)
    return f"[{metric.format(measure.low)}, {metric.format(measure.high)}]"


def _floor(measure: Measure, info: MetricInfo) -> str:
    """Return what a perfectly calibrated model would show, as tables show it; empty where there is no such thing."""
    if measure.floor is None:
        return ""
    shown = f"noise {get_metric(info.spec).format(measure.floor)}"
    if measure.p_value is None:
        return shown
    return f"{shown}, p\N{NO-BREAK SPACE}{p_text(measure.p_value)}".replace("< ", "<\N{NO-BREAK SPACE}")


_FILTERS: dict[str, Callable[..., Any]] = {
    "cell": _cell,
    "interval": _interval,
    "floor": _floor,
    "label": label_of,
    "fitted": fitted_text,
    "verdict": verdict,
    "bins": bin_rows,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "colour_of": colour_of,
    "after_words": after_words,
    "notes": notes,
    "comparison_sentences": comparison_sentences,
    "subject_sentences": subject_sentences,
    "brief": brief,
    "flat": flat_rows,
    "class_rows": class_rows,
    "made": made_rows,
    "tiles": tiles,
    "shown_groups": shown_groups,
    "worst_rows": worst_rows,
    "worst_words": worst_words,
    "labels_of": labels_of,
}
