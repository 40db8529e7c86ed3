"""What all plots share: colours that stay apart for everybody, marks that stay apart in grey, places for legends."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "DASHES", "MARKERS", "curve_style", "foreground", "note_box", "place_legend", "wrapped"]

#: Colours of models and runs, in order. Any two differ by 17 or more in CIELAB as the colour-blind of all kinds see
#: them, and stand out from white and from the dark of the report's page by a contrast of 2.9 or more.
COLOURS = ("#3b78b0", "#d9622b", "#66663d", "#a33e70", "#8698b6", "#7f5fdd", "#ff3d6e", "#8f1fff")
#: A second sign, for those who see no colours and for printers that have none.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
#: A third sign, for lines without markers.
DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (8, 2)))

_LEGEND: dict[str, Any] = {"fontsize": "small", "framealpha": 0.85, "edgecolor": "none"}


def curve_style(index: int) -> dict[str, Any]:
    """Return colour, marker and dashes of the curve that is drawn as number `index` (from 0) on an Axes."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": DASHES[index % len(DASHES)],
    }


def foreground(alpha: float = 0.75) -> tuple[str, float]:
    """Return the colour of reference lines: that of the text, so that they show in light and dark styles."""
    from matplotlib import rcParams

    return rcParams["text.color"], alpha


def note_box() -> dict[str, Any]:
    """Return the box behind a note, in the colour of the Axes, so that it stays legible over bars."""
    from matplotlib import rcParams

    return {"boxstyle": "round,pad=0.3", "facecolor": rcParams["axes.facecolor"], "edgecolor": "none", "alpha": 0.85}


def wrapped(text: str, width: int) -> str:
    """Return text in lines of at most `width` characters, long file names included."""
    return "\n".join(textwrap.fill(line, width) for line in text.split("\n"))


def place_legend(ax: Axes, x: NDArray[np.float64], y: NDArray[np.float64], **kwargs: Any) -> Any:
    """Draw the legend in the upper left or the lower right corner, whichever has fewer of the given points near.

    Parameters
    ----------
    ax : matplotlib Axes
        Both axes run from 0 to 1.
    x, y : ndarray of shape (n,)
        What is drawn.
    **kwargs
        For the legend.
    """
    upper_left = np.count_nonzero((x < 0.6) & (y > 0.6))
    lower_right = np.count_nonzero((x > 0.4) & (y < 0.4))
    loc = "upper left" if upper_left <= lower_right else "lower right"
    return ax.legend(**{**_LEGEND, "loc": loc, **kwargs})
