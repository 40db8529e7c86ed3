"""The histogram below a reliability diagram: which share of the samples each bin holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from calkit.plotting.style import curve_style, makes_room
from calkit.stats import BinSums

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["borders", "draw_shares", "histogram_axes", "logarithmic_shares", "spans"]

_SHARE = "#b5bcc8"

# From this share in one bin on, the histogram's axis is logarithmic, so that the others can be seen.
_DOMINANT = 0.8

# The histogram that belongs to a diagram, so that a second model joins the first one's; Axes that are gone drop out.
_HISTOGRAMS: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

#: Bins of equal mass can be as narrow as a point; their bars are not.
LEAST_WIDTH = 0.004


def spans(bins: BinSums) -> tuple[Any, Any]:
    """Return left edges and widths of the bins that hold samples; bins of one value stay visible."""
    lower, upper = bins.edges
    filled = bins.weight > 0
    return lower[filled], np.maximum((upper - lower)[filled], LEAST_WIDTH)


def borders(width: Any) -> Any:
    """Return the line width of the bars' borders: none where they would cover the bar."""
    return np.where(width > 4 * LEAST_WIDTH, 0.6, 0.0)


def draw_shares(ax: Axes, bins: BinSums, index: int, colour: Any) -> Any:
    """Draw the histogram: filled for the first model, outlines for those after it; return the artist."""
    left, width = spans(bins)
    share = bins.share[bins.weight > 0] * 100
    if index:
        lower, upper = bins.edges
        edges = np.append(lower, upper[-1])
        artist: Any = ax.stairs(bins.share * 100, edges, color=colour or curve_style(index)["color"], linewidth=1.4)
    else:
        fill = {"color": _SHARE, "edgecolor": "white", "linewidth": borders(width)}
        artist = ax.bar(left, share, width, align="edge", **fill)
    ax.set_ylabel("Samples %", fontsize="small")
    if share.max() > 100 * _DOMINANT and len(share) > 1:
        logarithmic_shares(ax)
        ax.set_ylim(max(float(share.min()) / 2, 1e-3), 200)
    elif ax.get_yscale() == "linear":
        top = max(1.0, float(share.max()) * 1.1)
        ax.set_ylim(0, max(top, ax.get_ylim()[1] if index else 0.0))
    return artist


def logarithmic_shares(ax: Axes) -> None:
    """Make the axis of a histogram logarithmic."""
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}")


def histogram_axes(ax: Axes, given: Axes | None = None) -> Axes:
    """Return the Axes of the histogram of a diagram: those given, those it has, or new ones in space taken from it."""
    _HISTOGRAMS[ax] = given or _HISTOGRAMS.get(ax) or _below(ax)
    found: Axes = _HISTOGRAMS[ax]
    return found


def _below(ax: Axes) -> Axes:
    place = ax.get_subplotspec()
    if makes_room(ax) and place is not None:
        halves = place.subgridspec(2, 1, height_ratios=(3, 1))
        ax.set_subplotspec(halves[0])
        return ax.figure.add_subplot(halves[1], sharex=ax)
    from mpl_toolkits.axes_grid1 import make_axes_locatable

    below: Axes = make_axes_locatable(ax).append_axes("bottom", size="33%", pad=0.12, sharex=ax)
    return below
