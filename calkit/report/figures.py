"""The pictures of a report, each with what it shows in words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from calkit.inference.means import clopper_pearson
from calkit.plotting import HistoryDisplay, ReliabilityDisplay
from calkit.plotting.panels import get_panel
from calkit.plotting.style import COLOURS
from calkit.report.svg import Glyphs, inline_svg
from calkit.report.values import Diagram
from calkit.report.words import percent
from calkit.stats.targets import get_view
from calkit.stats.views import TOP

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Key", "Picture", "canvas", "colour_of", "history_pictures", "reliability_picture"]

_NUMBER = re.compile(r"( by)?( [\d.]+ %)?$")


@dataclass(frozen=True)
class Key:
    """A line of a legend, which the page draws itself.

    Attributes
    ----------
    label : str
    colour : str
    marker : str
        As matplotlib names it: ``"o"``; ``"-"`` for a line without any, empty for an area.
    dashed : bool
    """

    label: str
    colour: str
    marker: str = ""
    dashed: bool = False


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes
    ----------
    title : str
    svg : str
        Markup; names in it are escaped.
    alt : str
        What it shows, in words.
    legend : tuple of Key
        What the picture itself does not name.
    """

    title: str
    svg: str
    alt: str
    legend: tuple[Key, ...] = ()


def colour_of(place: int) -> str:
    """Return the colour of a subject in all pictures."""
    return COLOURS[place % len(COLOURS)]


def canvas(width: float, height: float, *, left: float = 0.62) -> Figure:
    """Return a figure whose margins hold the labels; laying out each anew would take half of the time of a report."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("none")
    right, bottom, top = 1 - 0.14 / width, 0.5 / height, 1 - 0.1 / height
    figure.subplots_adjust(left=left / width, right=right, bottom=bottom, top=top)
    return figure


class _PooledDisplay(ReliabilityDisplay):
    """A diagram of several events together, whose mean gap is not the mean of theirs."""

    measure = "ECE of all together"


def reliability_picture(
    diagram: Diagram,
    title: str,
    prefix: str,
    *,
    target: str = TOP.spec,
    level: float | None = None,
    glyphs: Glyphs | None = None,
) -> Picture:
    """Draw a reliability diagram, with the shares of the samples below, and intervals of the accuracy of each bin."""
    figure = canvas(4.8, 5.6)
    ax, share_ax = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True, gridspec_kw={"hspace": 0.06})
    kind = _PooledDisplay if get_view(target).keyed else ReliabilityDisplay
    display = kind.from_bins(diagram.to_bins(), target=target, plot=False)
    display.plot(ax, share_ax=share_ax, style="bars")
    legend = tuple({key.label: key for key in [*_taken_legend(share_ax), *_taken_legend(ax)]}.values())
    if level is not None and not diagram.weighted:
        _draw_intervals(ax, diagram, level)
    words = _reliability_in_words(diagram, f"{display.measure} {percent(display.ece, 2)}", is_top=target == TOP.spec)
    alt = f"Reliability diagram, {title}. {words}"
    return Picture(title, inline_svg(figure, prefix=prefix, alt=alt, glyphs=glyphs), alt, legend)


def _draw_intervals(ax: Axes, diagram: Diagram, level: float) -> None:
    """Draw where the accuracy of each bin may lie."""
    count, correct, lower, upper = (
        np.array(item)[np.array(diagram.count) > 0]
        for item in (diagram.weight, diagram.correct, diagram.lower, diagram.upper)
    )
    low, high = clopper_pearson(correct, count, (1 - level) / 2, (1 + level) / 2)
    ax.vlines((lower + upper) / 2, low, high, color="#404040", linewidth=1.0, zorder=3)


def _taken_legend(ax: Axes) -> list[Key]:
    """Take the legend off a diagram, so that it hides no bar, and return it for the page to show."""
    from matplotlib.colors import to_hex

    legend = ax.get_legend()
    if legend is None:
        return []
    legend.remove()
    handles, labels = ax.get_legend_handles_labels()
    return [
        # Numbers in labels stand elsewhere on the page, and would give each picture a legend of its own.
        Key(_NUMBER.sub("", label), to_hex(_colour(handle)), *(("-", True) if hasattr(handle, "get_linestyle") else ()))
        for handle, label in zip(handles, labels, strict=True)
    ]


def _colour(handle: Any) -> Any:
    return handle.get_color() if hasattr(handle, "get_color") else handle[0].get_facecolor()


def _reliability_in_words(diagram: Diagram, ece: str, *, is_top: bool) -> str:
    right, sure = ("accuracy", "confidence") if is_top else ("observed frequency", "probability")
    weight = math.fsum(diagram.weight)
    fullest = max(range(len(diagram.weight)), key=lambda i: diagram.weight[i])
    share = diagram.weight[fullest] / weight
    accuracy = diagram.correct[fullest] / diagram.weight[fullest]
    confidence = diagram.confidence[fullest] / diagram.weight[fullest]
    return (
        f"{ece}, {right} {percent(diagram.mean_accuracy)}, mean {sure} "
        f"{percent(diagram.mean_confidence)}. The fullest bin, from {diagram.lower[fullest]:.3g} to "
        f"{diagram.upper[fullest]:.3g}, holds {percent(share)} of the samples: {right} {percent(accuracy)} at "
        f"{sure} {percent(confidence)}."
    )


def history_pictures(
    histories: Mapping[str, Sequence[Mapping[str, Any]]],
    prefix: str,
    *,
    colours: Sequence[str] = COLOURS,
    glyphs: Glyphs | None = None,
) -> list[Picture]:
    """Draw the panels of one history (the paper's Figure 1) or of several laid over each other (Figure 3)."""
    display = HistoryDisplay(histories)
    pictures = []
    for i, name in enumerate(display.panels()):
        figure = canvas(4.4, 3.1)
        # The page has the legend: it hides no line there, and any name can be read.
        display.plot(figure.subplots(), panels=name, legend=False, colours=colours)
        legend = tuple(Key(*key) for key in display.keys(name, colours))
        title = get_panel(name).title.format(part=display.part)
        figure.axes[0].set_title("")
        alt = f"{title}, by epoch. {_history_in_words(display, name)}"
        svg = inline_svg(figure, prefix=f"{prefix}-{i}", alt=alt, glyphs=glyphs)
        pictures.append(Picture(title, svg, alt, legend))
    return pictures


def _history_in_words(display: HistoryDisplay, panel: str) -> str:
    shown = get_panel(panel)
    sentences = []
    for name in display.histories:
        epochs = display.epochs(name)
        for curve in shown.curves:
            values = display.values(name, curve.key, curve.part) * (100 if shown.percent else 1)
            known = [(e, v) for e, v in zip(epochs, values, strict=True) if math.isfinite(v)]
            if known:
                what = f"{name}: {curve.label}" if len(display.histories) > 1 else curve.label
                sentences.append(
                    f"{what} from {known[0][1]:.3g} at epoch {known[0][0]:.0f} to {known[-1][1]:.3g} at epoch "
                    f"{known[-1][0]:.0f}."
                )
    return " ".join(sentences)
