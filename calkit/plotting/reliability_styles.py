"""The forms a reliability diagram takes: lines with their uncertainty, or the bars of the paper's Figure 2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError
from calkit.plotting.reliability_bands import consistency_band, draw_band, proportion_limits
from calkit.plotting.shares import borders, spans
from calkit.plotting.style import curve_style, draw_legend, foreground, makes_room, note_box
from calkit.registry import Registry

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from calkit.plotting.reliability import ReliabilityDisplay

__all__ = ["RANKED_STYLES", "RELIABILITY_STYLES", "Style"]

_ACCURACY = "#4878a8"
_OVER = "#c8504a"
_UNDER = "#e0a526"
_INSIDE: dict[str, Any] = {"loc": "upper left", "fontsize": "small", "framealpha": 0.85, "edgecolor": "none"}
_DIAGONAL: dict[str, Any] = {"linewidth": 1, "linestyle": (0, (4, 3)), "zorder": 3}

FloatArray = NDArray[np.float64]

#: Draws the curve of a display on an Axes, as number `index` there, with the band of some name if any; returns the
#: artists by the name of the display's attribute.
Style = Callable[["ReliabilityDisplay", "Axes", int, "str | None", Mapping[str, Any]], dict[str, Any]]

#: Forms of the diagram by name.
RELIABILITY_STYLES: Registry[Style] = Registry("style")

#: Those that need every forecast, not only sums over bins.
RANKED_STYLES = frozenset({"corp"})


@RELIABILITY_STYLES.register("line")
def _line(
    display: ReliabilityDisplay, ax: Axes, index: int, band: str | None, curve_kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Draw points with Clopper-Pearson bars, joined by a line; a band lies around the diagonal."""
    bins = display.bins
    filled = bins.weight > 0
    x, y = bins.mean_confidence[filled], bins.accuracy[filled]
    style = {**curve_style(index), "linewidth": 1.6, "markersize": 4.5, **curve_kwargs}
    artists = _ground(display, ax, index, band, corp=False)
    low, high = proportion_limits(bins)
    artists["errorbar_"] = ax.errorbar(
        x,
        y,
        yerr=[y - low, high - y],
        fmt="none",
        ecolor=style["color"],
        elinewidth=1.1,
        capsize=2,
        alpha=0.8,
        zorder=4,
    )
    artists["line_"] = ax.plot(x, y, label=display.label, zorder=5, clip_on=False, **style)[0]
    artists["legend_"] = draw_legend(ax, under=display.share_ax_)
    return artists


@RELIABILITY_STYLES.register("corp")
def _corp(
    display: ReliabilityDisplay, ax: Axes, index: int, band: str | None, curve_kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Draw the CORP curve: the rising curve nearest to the outcomes, level over the forecasts that it pools."""
    curve = display.curve
    artists = _ground(display, ax, index, band, corp=True)
    ends = np.diff(curve) != 0
    kept = np.append(True, ends) | np.append(ends, True)
    style = {**curve_style(index), "linewidth": 1.8, **curve_kwargs}
    # Of forecasts that are all alike there is a single point, which a line alone would not show.
    if len(curve) > 1:
        style["marker"] = curve_kwargs.get("marker", "")
    x = display.forecasts.probability[kept]
    artists["line_"] = ax.plot(x, curve[kept], label=display.corp_label, zorder=5, clip_on=False, **style)[0]
    artists["legend_"] = draw_legend(ax, under=display.share_ax_)
    return artists


def _ground(display: ReliabilityDisplay, ax: Axes, index: int, band: str | None, *, corp: bool) -> dict[str, Any]:
    """Draw the diagonal, once, and the band."""
    artists: dict[str, Any] = {}
    if not index:
        artists["reference_line_"] = ax.plot([0, 1], [0, 1], color=foreground(), **_DIAGONAL)[0]
    if band is not None:
        artists["band_"] = draw_band(display, ax, index, band, corp=corp)
    return artists


@RELIABILITY_STYLES.register("bars")
def _bars(
    display: ReliabilityDisplay, ax: Axes, index: int, band: str | None, curve_kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Draw the accuracy of each bin as a bar and its gap to the mean confidence hatched over it."""
    if band not in (None, "consistency"):
        raise InputError(f"band={band!r} is not drawn over bars; take style='line' or 'corp'.")
    if index:
        raise InputError("bars hide each other: draw a second model with style='line', or on Axes of its own.")
    bins = display.bins
    left, width = spans(bins)
    filled = bins.weight > 0
    accuracy, confidence = bins.accuracy[filled], bins.mean_confidence[filled]
    artists: dict[str, Any] = {"reference_line_": ax.plot([0, 1], [0, 1], color=foreground(), **_DIAGONAL)[0]}
    common = {"align": "edge", "linewidth": borders(width), **curve_kwargs}
    artists["bars_"] = ax.bar(
        left, accuracy, width, **{"color": _ACCURACY, "edgecolor": "white", "label": display.y_label.lower(), **common}
    )
    _draw_gaps(ax, left, width, accuracy, confidence)
    if band is not None:
        low, high = consistency_band(bins)
        limits = [confidence - low, high - confidence]
        style: dict[str, Any] = {"fmt": "none", "ecolor": foreground(), "capsize": 2, "zorder": 4}
        artists["band_"] = ax.errorbar(left + width / 2, confidence, limits, **style)
    # A frequency of 0 is a bar of no height: its mark lies on the axis.
    artists["marks_"] = ax.hlines(
        accuracy, left, left + width, color=foreground(1.0), linewidth=1.2, zorder=3.5, clip_on=False
    )
    _mark_means(display)
    artists["legend_"] = _legend_of_bars(display, ax)
    return artists


def _draw_gaps(ax: Axes, left: FloatArray, width: FloatArray, accuracy: FloatArray, confidence: FloatArray) -> None:
    """Hatch what lies between accuracy and confidence, in a colour for each side."""
    for bottom, top, colour, label, hatch in (
        (accuracy, confidence, _OVER, "over-confident by", "////"),
        (confidence, accuracy, _UNDER, "under-confident by", "\\\\\\\\"),
    ):
        gap = top > bottom
        if gap.any():
            style: dict[str, Any] = {"align": "edge", "color": (colour, 0.35), "edgecolor": colour, "hatch": hatch}
            place, wide, floor = left[gap], width[gap], bottom[gap]
            ax.bar(place, (top - bottom)[gap], wide, bottom=floor, linewidth=borders(wide), label=label, **style)


def _legend_of_bars(display: ReliabilityDisplay, ax: Axes) -> Any:
    """Draw the legend and the note: below, if there is room, else over corners that bars seldom reach."""
    below = display.share_ax_
    if makes_room(ax):
        return draw_legend(ax, under=below, title=display.note)
    ax.legend(**_INSIDE)
    style: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": "small", "bbox": note_box(), "zorder": 6}
    ax.text(0.97, 0.03, display.note.replace(", ", "\n", 1), transform=ax.transAxes, **style)
    return below.legend(**_INSIDE)


def _mark_means(display: ReliabilityDisplay) -> None:
    """Mark the accuracy and the mean confidence in the histogram: the distance between them is part of the error."""
    bins, ax = display.bins, display.share_ax_
    total = float(bins.total_weight)
    accuracy, confidence = float(bins.correct.sum()) / total, float(bins.confidence.sum()) / total
    frequency, mean = display.y_label.lower(), f"mean {display.x_label.lower()}"
    ax.axvline(accuracy, color=_ACCURACY, linewidth=1.6, label=f"{frequency} {accuracy * 100:.2f} %")
    ax.axvline(confidence, color=_OVER, linestyle="--", linewidth=1.6, label=f"{mean} {confidence * 100:.2f} %")
