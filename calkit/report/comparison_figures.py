"""Pictures of all subjects of a report together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from calkit.metrics import get_metric
from calkit.plotting import ReliabilityDisplay
from calkit.plotting.style import curve_style
from calkit.report.contrasts import COMPARED
from calkit.report.figures import Key, Picture, canvas, colour_of
from calkit.report.model import Report, Subject
from calkit.report.svg import Glyphs, inline_svg
from calkit.report.values import Measure, MetricInfo
from calkit.report.words import after_words, percent

__all__ = ["comparison_pictures", "difference_pictures", "overlay_pictures"]


def comparison_pictures(
    subjects: Sequence[Subject], metrics: Sequence[MetricInfo], prefix: str, *, glyphs: Glyphs | None = None
) -> list[Picture]:
    """Draw a metric of all subjects below each other: a ring for the scores as they are, a dot after calibration."""
    by_spec = {info.spec: info for info in metrics}
    chosen = [by_spec[spec] for spec in COMPARED if spec in by_spec][:3] or list(metrics[:3])
    return [_comparison(subjects, info, f"{prefix}-{i}", glyphs) for i, info in enumerate(chosen)]


def difference_pictures(report: Report, prefix: str, *, glyphs: Glyphs | None = None) -> list[Picture]:
    """Draw how much a metric of each subject differs from the first one's, in the places of `comparison_pictures`."""
    specs = list(dict.fromkeys(item.spec for item in report.differences))
    by_spec = {info.spec: info for info in report.metrics}
    return [_differences(report, by_spec[spec], f"{prefix}-{i}", glyphs) for i, spec in enumerate(specs)]


def _differences(report: Report, info: MetricInfo, prefix: str, glyphs: Glyphs | None) -> Picture:
    places = {subject.name: i for i, subject in enumerate(report.subjects)}
    shown = [item for item in report.differences if item.spec == info.spec]
    figure = canvas(4.4, 0.8 + 0.42 * (len(places) - 1))
    ax = figure.subplots()
    several = any(item.place for item in shown)
    for item in shown:
        place = places[item.name]
        y = place + (0.14 if item.place else -0.14) * several
        _dot(ax, item.difference, y, 100 if info.percent else 1, colour_of(place), filled=item.place > 0)
    ax.axvline(0, color="#404040", linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    _finish(ax, list(places.values())[1:], info)
    metric = get_metric(info.spec)
    values = {name: [metric.format(item.difference.value) for item in shown if item.name == name] for name in places}
    words = [f"{name}: {' then '.join(found)}." for name, found in values.items() if found]
    alt = f"{info.heading}, difference from {report.subjects[0].name}. {' '.join(words)}"
    return Picture(info.heading, inline_svg(figure, prefix=prefix, alt=alt, glyphs=glyphs), alt)


def overlay_pictures(subjects: Sequence[Subject], prefix: str, *, glyphs: Glyphs | None = None) -> list[Picture]:
    """Draw the reliability of all subjects on the same Axes: uncalibrated, and after the first calibrator."""
    n_places = min(2, *(len(subject.results) for subject in subjects))
    return [_overlay(subjects, place, f"{prefix}-{place}", glyphs) for place in range(n_places)]


def _overlay(subjects: Sequence[Subject], place: int, prefix: str, glyphs: Glyphs | None) -> Picture:
    figure = canvas(4.8, 5.6)
    ax, share_ax = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True, gridspec_kw={"hspace": 0.06})
    legend, words = [], []
    for i, subject in enumerate(subjects):
        bins = subject.results[place].diagram.to_bins()
        display = ReliabilityDisplay.from_bins(bins, target=subject.target, plot=False)
        display.plot(ax, share_ax=share_ax, band=False)
        style = curve_style(i)
        legend.append(Key(f"{i + 1} · {subject.name}", style["color"], style["marker"], style["linestyle"] != "-"))
        words.append(f"{subject.name}: ECE {percent(display.ece, 2)}.")
    ax.get_legend().remove()
    title = after_words(subjects) if place else "uncalibrated"
    alt = f"Reliability of all, {title}. {' '.join(words)}"
    return Picture(title, inline_svg(figure, prefix=prefix, alt=alt, glyphs=glyphs), alt, tuple(legend))


def _comparison(subjects: Sequence[Subject], info: MetricInfo, prefix: str, glyphs: Glyphs | None) -> Picture:
    figure = canvas(4.4, 0.8 + 0.42 * len(subjects))
    ax = figure.subplots()
    for place, subject in enumerate(subjects):
        shown = [result.values[info.spec] for result in subject.results[:2] if info.spec in result.values]
        for k, measure in enumerate(shown):
            y = place + (0.14 if k else -0.14) * (len(shown) > 1)
            _dot(ax, measure, y, 100 if info.percent else 1, colour_of(place), filled=k > 0)
    _finish(ax, range(len(subjects)), info)
    alt = f"{info.heading}, before and after calibration. {_comparison_in_words(subjects, info)}"
    return Picture(info.heading, inline_svg(figure, prefix=prefix, alt=alt, glyphs=glyphs), alt)


def _finish(ax: Any, places: Sequence[int], info: MetricInfo) -> None:
    """Label the lines of a picture by the numbers of their subjects."""
    ax.set_ylim(places[-1] + 0.5, places[0] - 0.5)
    ax.set_yticks(places, [str(place + 1) for place in places])
    ax.grid(visible=True, axis="x", color="0.5", alpha=0.2, linewidth=0.6)
    ax.set_xlabel(info.heading)
    ax.locator_params(axis="x", nbins=6)
    ax.margins(x=0.08)


def _dot(ax: Any, measure: Measure, y: float, scale: float, colour: str, *, filled: bool) -> None:
    if not math.isfinite(measure.value):
        return
    if measure.low is not None and measure.high is not None:
        ax.plot([measure.low * scale, measure.high * scale], [y, y], color=colour, linewidth=1.6, alpha=0.7)
    style = {"markerfacecolor": colour if filled else "#ffffff", "markeredgecolor": colour, "markeredgewidth": 1.5}
    ax.plot([measure.value * scale], [y], marker="o", markersize=6.5, linestyle="none", **style)


def _comparison_in_words(subjects: Sequence[Subject], info: MetricInfo) -> str:
    metric = get_metric(info.spec)
    words = []
    for subject in subjects:
        shown = [metric.format(r.values[info.spec].value) for r in subject.results[:2] if info.spec in r.values]
        if shown:
            words.append(f"{subject.name}: {' then '.join(shown)}.")
    return " ".join(words)
