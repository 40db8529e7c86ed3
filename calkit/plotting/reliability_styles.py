"""The forms a reliability diagram takes: lines with their uncertainty, or the bars of the paper's Figure 2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from calkit.errors import InputError
from calkit.inference.means import clopper_pearson
from calkit.plotting.style import curve_style, draw_legend, foreground, makes_room, note_box
from calkit.registry import Registry
from calkit.stats import BinSums

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from calkit.plotting.reliability import ReliabilityDisplay

__all__ = ["RELIABILITY_STYLES", "Style", "consistency_band", "proportion_limits"]

_ACCURACY = "#4878a8"
_OVER = "#c8504a"
_UNDER = "#e0a526"
_BAND = "#9aa5b5"
_DIAGONAL: dict[str, Any] = {"linewidth": 1, "linestyle": (0, (4, 3)), "zorder": 3}

#: Bins of equal mass can be as narrow as a point; their bars are not.
LEAST_WIDTH = 0.004


#: Draws the curve of a display on an Axes, as number `index` there, with or without a band; returns the artists by the
#: name of the display's attribute.
Style = Callable[["ReliabilityDisplay", "Axes", int, bool, Mapping[str, Any]], dict[str, Any]]

#: Forms of the diagram by name.
RELIABILITY_STYLES: Registry[Style] = Registry("style")


def proportion_limits(bins: BinSums, confidence_level: float = 0.95) -> tuple[Any, Any]:
    """Return the Clopper-Pearson limits of the outcome frequency of each bin that holds samples.

    Parameters
    ----------
    bins : BinSums
    confidence_level : float, default=0.95

    Returns
    -------
    low, high : ndarray of shape (m,)
        For the m bins with samples; with weights, the number of rows stands for their worth.
    """
    filled = bins.weight > 0
    rows = bins.count[filled].astype(np.float64)
    tail = (1 - confidence_level) / 2
    return clopper_pearson(bins.accuracy[filled] * rows, rows, tail, 1 - tail)


def consistency_band(bins: BinSums, confidence_level: float = 0.95) -> tuple[Any, Any]:
    """Return where the frequency of each bin lies if the predictions are perfectly calibrated.

    Parameters
    ----------
    bins : BinSums
    confidence_level : float, default=0.95
        Probability that a single bin of perfectly calibrated predictions lies within.

    Returns
    -------
    low, high : ndarray of shape (m,)
        Quantiles of the binomial law of the bin's mean prediction, for the m bins with samples.

    References
    ----------
    Bröcker & Smith, "Increasing the reliability of reliability diagrams", Weather and Forecasting 22, 2007.
    """
    from scipy.stats import binom

    filled = bins.weight > 0
    rows, mean = bins.count[filled], np.clip(bins.mean_confidence[filled], 0, 1)
    tail = (1 - confidence_level) / 2
    low, high = (binom.ppf(q, rows, mean) / rows for q in (tail, 1 - tail))
    return np.clip(low, 0, 1), np.clip(high, 0, 1)


def spans(bins: BinSums) -> tuple[Any, Any]:
    """Return left edges and widths of the bins that hold samples; bins of one value stay visible."""
    lower, upper = bins.edges
    filled = bins.weight > 0
    return lower[filled], np.maximum((upper - lower)[filled], LEAST_WIDTH)


def borders(width: Any) -> Any:
    """Return the line width of the bars' borders: none where they would cover the bar."""
    return np.where(width > 4 * LEAST_WIDTH, 0.6, 0.0)


@RELIABILITY_STYLES.register("line")
def _line(
    display: ReliabilityDisplay, ax: Axes, index: int, band: bool, curve_kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Draw points with Clopper-Pearson bars, joined by a line; the consistency band lies around the diagonal."""
    bins = display.bins
    filled = bins.weight > 0
    x, y = bins.mean_confidence[filled], bins.accuracy[filled]
    style = {**curve_style(index), "linewidth": 1.6, "markersize": 4.5, **curve_kwargs}
    artists: dict[str, Any] = {}
    if not index:
        artists["reference_line_"] = ax.plot([0, 1], [0, 1], color=foreground(), **_DIAGONAL)[0]
    if band:
        low, high = consistency_band(bins)
        label = "95 % of calibrated models" if not index else f"calibrated, {display.name or index}"
        artists["band_"] = ax.fill_between(x, low, high, color=_BAND, alpha=0.35, linewidth=0, label=label, zorder=1)
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


@RELIABILITY_STYLES.register("bars")
def _bars(
    display: ReliabilityDisplay, ax: Axes, index: int, band: bool, curve_kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Draw the accuracy of each bin as a bar and its gap to the mean confidence hatched over it."""
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
    for bottom, top, colour, label, hatch in (
        (accuracy, confidence, _OVER, "over-confident by", "////"),
        (confidence, accuracy, _UNDER, "under-confident by", "\\\\\\\\"),
    ):
        gap = top > bottom
        if gap.any():
            height = np.where(gap, top - bottom, 0.0)
            ax.bar(
                left[gap],
                height[gap],
                width[gap],
                bottom=bottom[gap],
                align="edge",
                color=(colour, 0.35),
                edgecolor=colour,
                hatch=hatch,
                linewidth=borders(width[gap]),
                label=label,
            )
    if band:
        low, high = consistency_band(bins)
        middle = left + width / 2
        artists["band_"] = ax.errorbar(
            middle,
            confidence,
            [confidence - low, high - confidence],
            fmt="none",
            ecolor=foreground(),
            capsize=2,
            zorder=4,
        )
    # A frequency of 0 is a bar of no height: its mark lies on the axis.
    artists["marks_"] = ax.hlines(
        accuracy, left, left + width, color=foreground(1.0), linewidth=1.2, zorder=3.5, clip_on=False
    )
    _mark_means(display)
    if makes_room(ax):
        artists["legend_"] = draw_legend(ax, under=display.share_ax_, title=display.note)
        return artists
    for each in (ax, display.share_ax_):
        artists["legend_"] = each.legend(loc="upper left", fontsize="small", framealpha=0.85, edgecolor="none")
    style: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": "small", "bbox": note_box(), "zorder": 6}
    ax.text(0.97, 0.03, display.note.replace(", ", "\n", 1), transform=ax.transAxes, **style)
    return artists


def _mark_means(display: ReliabilityDisplay) -> None:
    """Mark the accuracy and the mean confidence in the histogram: the distance between them is part of the error."""
    bins, ax = display.bins, display.share_ax_
    total = float(bins.total_weight)
    accuracy, confidence = float(bins.correct.sum()) / total, float(bins.confidence.sum()) / total
    frequency, mean = display.y_label.lower(), f"mean {display.x_label.lower()}"
    ax.axvline(accuracy, color=_ACCURACY, linewidth=1.6, label=f"{frequency} {accuracy * 100:.2f} %")
    ax.axvline(confidence, color=_OVER, linestyle="--", linewidth=1.6, label=f"{mean} {confidence * 100:.2f} %")
