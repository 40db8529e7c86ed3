"""Pictures of the parts of one subject: its groups of rows, and its worst classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from calkit.metrics import get_metric
from calkit.plotting.style import as_text, wrapped
from calkit.printing import printable
from calkit.report.contrasts import COMPARED
from calkit.report.figures import Key, Picture, canvas
from calkit.report.model import Subject
from calkit.report.svg import Glyphs, inline_svg
from calkit.report.tables import shown_groups
from calkit.report.values import Measure, MetricInfo
from calkit.report.words import label_of, percent

__all__ = ["class_pictures", "group_pictures"]

_COLOUR, _FLOOR = "#4878a8", "#404040"
_FLOOR_KEY = Key("noise alone", _FLOOR, "|")


def class_pictures(subject: Subject, prefix: str, *, glyphs: Glyphs | None = None) -> list[Picture]:
    """Draw the ECE of the worst classes with its limits, and what noise alone would give; none without such classes."""
    classes = subject.before.classes
    if classes is None or not classes.worst:
        return []
    names = [item.name for item in classes.worst]
    figure, ax = _lines(names)
    for place, item in enumerate(classes.worst):
        _mark(ax, item.ece, place, 100, filled=True)
    ax.set_xlabel("ECE of the class %")
    ax.set_xlim(left=0)
    words = [f"{item.name}: {percent(item.ece.value, 2)}." for item in classes.worst]
    alt = f"Classes that are miscalibrated beyond noise. {' '.join(words)}"
    return [Picture("", inline_svg(figure, prefix=prefix, alt=alt, glyphs=glyphs), alt, (_FLOOR_KEY,))]


def group_pictures(
    subject: Subject, metrics: Sequence[MetricInfo], prefix: str, *, glyphs: Glyphs | None = None
) -> list[Picture]:
    """Draw some metrics of each group: a ring for the uncalibrated scores, a dot after the first calibrator."""
    by_spec = {info.spec: info for info in metrics if info.spec in subject.before.values}
    chosen = [by_spec[spec] for spec in COMPARED if spec in by_spec][:2] or list(by_spec.values())[:2]
    if not subject.before.groups:
        return []
    return [_groups(subject, info, f"{prefix}-{i}", glyphs) for i, info in enumerate(chosen)]


def _groups(subject: Subject, info: MetricInfo, prefix: str, glyphs: Glyphs | None) -> Picture:
    shown = shown_groups(subject)
    figure, ax = _lines([group.label for group in shown[0]])
    metric, scale = get_metric(info.spec), 100 if info.percent else 1
    for k, groups in enumerate(shown[:2]):
        for place, group in enumerate(groups):
            shift = (0.14 if k else -0.14) * (len(shown) > 1)
            _mark(ax, group.values[info.spec], place + shift, scale, filled=k > 0 or len(shown) == 1)
    ax.set_xlabel(info.heading)
    words = [f"{group.label}: {metric.format(group.values[info.spec].value)}." for group in shown[0]]
    alt = f"{info.heading} by {subject.by}, {label_of(subject.before)}. {' '.join(words)}"
    floors = any(group.values[info.spec].floor is not None for group in shown[0])
    svg = inline_svg(figure, prefix=prefix, alt=alt, glyphs=glyphs)
    return Picture(info.heading, svg, alt, (_FLOOR_KEY,) if floors else ())


def _lines(names: Sequence[str]) -> tuple[Any, Any]:
    """Return a figure of one Axes with a line for each name."""
    labels = [wrapped(printable(name), 18) for name in names]
    longest = max(len(line) for label in labels for line in label.split("\n"))
    height = sum(0.26 + 0.13 * label.count("\n") for label in labels)
    figure = canvas(4.4, 0.75 + height, left=0.3 + 0.085 * longest)
    ax = figure.subplots()
    ax.set_yticks(range(len(labels)), [as_text(label) for label in labels])
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.grid(visible=True, axis="x", color="0.5", alpha=0.2, linewidth=0.6)
    ax.locator_params(axis="x", nbins=6)
    return figure, ax


def _mark(ax: Any, measure: Measure, y: float, scale: float, *, filled: bool) -> None:
    if measure.low is not None and measure.high is not None:
        ax.plot([measure.low * scale, measure.high * scale], [y, y], color=_COLOUR, linewidth=1.6, alpha=0.7)
    if measure.floor is not None:
        ax.plot([measure.floor * scale], [y], linestyle="none", marker="|", markersize=9, color=_FLOOR, zorder=2)
    face = _COLOUR if filled else "#ffffff"
    style = {"markerfacecolor": face, "markeredgecolor": _COLOUR, "markeredgewidth": 1.5, "markersize": 6.5}
    ax.plot([measure.value * scale], [y], marker="o", linestyle="none", zorder=4, **style)
