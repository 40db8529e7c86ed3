"""What all plots share: colours that stay apart for everybody, marks that stay apart in grey, places for legends."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calkit.printing import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "COLOURS",
    "DASHES",
    "MARKERS",
    "as_text",
    "curve_style",
    "draw_legend",
    "foreground",
    "makes_room",
    "note_box",
    "wrapped",
]

#: Colours of models and runs, in order. Any two differ by 17 or more in CIELAB as the colour-blind of all kinds see
#: them, and stand out from white and from the dark of the report's page by a contrast of 2.9 or more.
COLOURS = ("#3b78b0", "#d9622b", "#66663d", "#a33e70", "#8698b6", "#7f5fdd", "#ff3d6e", "#8f1fff")
#: A second sign, for those who see no colours and for printers that have none.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
#: A third sign, for lines without markers.
DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (8, 2)))

_LEGEND: dict[str, Any] = {"fontsize": "small", "framealpha": 0.85, "edgecolor": "none"}
# Below the label of the axis: the pad is in units of the font, whatever the size of the Axes.
_BELOW: dict[str, Any] = {
    "loc": "upper center",
    "bbox_to_anchor": (0.5, 0.0),
    "borderaxespad": 4.2,
    "columnspacing": 1.2,
    "frameon": False,
    "fontsize": "small",
}
# Characters of a legend that fit into an inch, and those that the sign before a label takes.
_PER_INCH, _HANDLE = 14.0, 7


def line_style(index: int) -> dict[str, Any]:
    """Return colour and dashes of the line that is drawn as number `index` (from 0) on an Axes."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)]}


def curve_style(index: int) -> dict[str, Any]:
    """Return colour, dashes and marker of the curve that is drawn as number `index` (from 0) on an Axes."""
    return {**line_style(index), "marker": MARKERS[index % len(MARKERS)]}


def foreground(alpha: float = 0.75) -> tuple[str, float]:
    """Return the colour of reference lines: that of the text, so that they show in light and dark styles."""
    from matplotlib import rcParams

    return rcParams["text.color"], alpha


def note_box() -> dict[str, Any]:
    """Return the box behind a note, in the colour of the Axes, so that it stays legible over bars."""
    from matplotlib import rcParams

    return {"boxstyle": "round,pad=0.3", "facecolor": rcParams["axes.facecolor"], "edgecolor": "none", "alpha": 0.85}


# Blanks, and the places after the punctuation of names.
_CHUNKS = re.compile(r"([ \t]+)|(?<=[-_:=,/])(?=[^\s\d])")


def wrapped(text: str, width: int) -> str:
    r"""Return text in lines of at most `width` characters; file names and specs end a line after their punctuation.

    Examples
    --------
    >>> wrapped("temperature:objective=ece", 24)
    'temperature:objective=\nece'
    """
    return "\n".join(_Wrapper(width).fill(line) for line in text.split("\n"))


class _Wrapper(textwrap.TextWrapper):
    def _split(self, text: str) -> list[str]:
        return [chunk for chunk in _CHUNKS.split(text) if chunk]


def draw_legend(ax: Axes, *, under: Axes | None = None, title: str = "") -> Any:
    """Draw the legend: below the Axes, where nothing is hidden, if the figure's layout makes room; else inside.

    Parameters
    ----------
    ax : matplotlib Axes
        Whose artists are named.
    under : matplotlib Axes, optional
        The Axes below `ax`, whose artists are named too; the legend goes below it.
    title : str, default=""
        Heading of a legend below.
    """
    handles, labels = ax.get_legend_handles_labels()
    if not makes_room(ax):
        points = [line.get_xydata() for line in ax.lines if not str(line.get_label()).startswith("_")]
        at_corner = {} if under is None or not points else {"loc": _free_corner(np.concatenate(points))}
        return ax.legend(**{**_LEGEND, **at_corner})
    place = ax
    if under is not None:
        place = under
        more = under.get_legend_handles_labels()
        handles, labels = [*handles, *more[0]], [*labels, *more[1]]
    longest = max((len(line) for label in labels for line in label.split("\n")), default=1)
    return place.legend(
        handles,
        labels,
        title=title,
        title_fontsize="small",
        ncols=max(1, min(3, len(labels), int(_width(ax) * _PER_INCH / (longest + _HANDLE)))),
        **_BELOW,
    )


def makes_room(ax: Axes) -> bool:
    """Return whether the layout of the figure leaves room for a legend outside the Axes."""
    figure = ax.get_figure(root=True)
    engine = None if figure is None else figure.get_layout_engine()
    return engine is not None and ax.get_subplotspec() is not None and not engine.adjust_compatible


def _width(ax: Axes) -> float:
    """Return about how many inches of the figure belong to the column of an Axes."""
    figure, place = ax.get_figure(root=True), ax.get_subplotspec()
    if figure is None or place is None:
        return 0.0
    return figure.get_figwidth() / place.get_topmost_subplotspec().get_gridspec().ncols


def _free_corner(points: NDArray[np.float64]) -> str:
    """Return the upper left or the lower right corner, whichever has fewer points near; both axes run from 0 to 1."""
    x, y = points.T
    upper_left = np.count_nonzero((x < 0.6) & (y > 0.6))
    lower_right = np.count_nonzero((x > 0.4) & (y < 0.4))
    return "upper left" if upper_left <= lower_right else "lower right"


def as_text(name: str) -> str:
    """Return a name as matplotlib shows it to the letter: no formula between dollars, no underscore in front.

    What cannot be printed is escaped here, since labels of ticks are made anew when a figure is drawn.
    """
    text = printable(name, lines=True).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
