"""Several reliability diagrams in one figure: side by side, or overlaid."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from calkit.errors import InputError
from calkit.plotting.reliability import ReliabilityDisplay
from calkit.plotting.shares import logarithmic_shares
from calkit.plotting.style import wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["n_columns_for", "panel_axes", "panels", "plot_reliability"]

# Diagrams in a row at most, and the width in inches that each needs.
_COLUMNS, _NARROWEST = 4, 2.2
# The height that a panel needs, and a diagram with its histogram, each with a legend below.
_LOWEST, _LOWEST_DIAGRAM = 1.4, 2.6


def n_columns_for(n: int, size: tuple[float, float] | None = None) -> int:
    """Return how many of n panels stand in a row: rows of at most four that are equally long and fit the width."""
    most = _COLUMNS if size is None else max(1, min(_COLUMNS, int(size[0] / _NARROWEST)))
    return math.ceil(n / math.ceil(n / most))


def panels(
    n: int,
    cell: tuple[float, float],
    *,
    size: tuple[float, float] | None = None,
    n_columns: int | None = None,
    new_figure: Callable[..., Any] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Return a figure of n Axes in rows, and these.

    Parameters
    ----------
    n : int
    cell : tuple of float
        Width and height of each in inches.
    size : tuple of float, optional
        Width and height of the figure instead.
    n_columns : int, optional
        Number of Axes in a row.
    new_figure : callable, optional
        What makes the figure; by default one that pyplot does not know.
    """
    from matplotlib.figure import Figure

    columns = min(n, n_columns or n_columns_for(n, size))
    rows = math.ceil(n / columns)
    _check_room(size, columns, rows, _LOWEST)
    figure = (new_figure or Figure)(figsize=size or (cell[0] * columns, cell[1] * rows), layout="constrained")
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(n)]


def _check_room(size: tuple[float, float] | None, columns: int, rows: int, lowest: float, remedy: str = "") -> None:
    """Raise if several panels do not fit a size, and would hide each other's labels."""
    least = (_NARROWEST * columns, lowest * rows)
    if size is not None and columns * rows > 1 and (size[0] < least[0] or size[1] < least[1]):
        raise InputError(
            f"{size[0]:g} by {size[1]:g} inches are too few for {rows} row{'s' * (rows > 1)} of {columns} "
            f"panel{'s' * (columns > 1)}: {remedy}make the figure {least[0]:g} by {least[1]:g} inches or larger."
        )


def plot_reliability(
    displays: Mapping[str, ReliabilityDisplay] | list[ReliabilityDisplay],
    *,
    title: str | None = None,
    n_columns: int | None = None,
    overlay: bool = False,
    style: str | None = None,
    size: tuple[float, float] | None = None,
) -> Figure:
    """Draw several reliability diagrams, before and after scaling for instance.

    Parameters
    ----------
    displays : mapping of str to ReliabilityDisplay, or list of ReliabilityDisplay
        The keys, if any, are the titles.
    title : str, optional
        Title of the figure.
    n_columns : int, optional
        Number of diagrams in a row; by default rows of at most four that are equally long.
    overlay : bool, default=False
        Draw all of them on the same Axes.
    style : {"line", "corp", "bars"}, optional
        As for :meth:`ReliabilityDisplay.plot`; by default that of each display.
    size : tuple of float, optional
        Width and height of the figure in inches.

    Returns
    -------
    matplotlib Figure
        Not registered with pyplot, so nothing has to be closed; ``figure.savefig(path)`` writes it.

    Raises
    ------
    InputError
        If there are no displays, `n_columns` is not positive, or `size` is too small for the diagrams.

    Examples
    --------
    >>> from calkit import ReliabilityDisplay, TemperatureScaling
    >>> from calkit.datasets import load_digits_logits
    >>> from calkit.plotting import plot_reliability
    >>> test = load_digits_logits("test")
    >>> calibrator = TemperatureScaling().fit_predictions(load_digits_logits("validation"))
    >>> figure = plot_reliability({
    ...     "before": ReliabilityDisplay.from_predictions(test, plot=False),
    ...     "after": ReliabilityDisplay.from_predictions(calibrator.apply(test), plot=False),
    ... })
    >>> len(figure.axes)
    4
    """
    named = list(displays.items()) if isinstance(displays, Mapping) else [(d.name or "", d) for d in displays]
    if not named:
        raise InputError("displays is empty: pass at least one ReliabilityDisplay.")
    if n_columns is not None and n_columns < 1:
        raise InputError(f"n_columns must be at least 1, but is {n_columns}.")
    figure = _overlaid(named, style, size) if overlay else _side_by_side(named, n_columns, style, size)
    if title:
        figure.suptitle(wrapped(title, int(figure.get_figwidth() * 11)))
    return figure


def _overlaid(
    named: list[tuple[str, ReliabilityDisplay]], style: str | None, size: tuple[float, float] | None
) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size or (5.6, 6.6), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    for name, display in named:
        display.plot(above, share_ax=below, style=style, band=_overlaid_band(display, len(named)), name=name)
    return figure


def _overlaid_band(display: ReliabilityDisplay, n: int) -> bool | str | None:
    """Return which band is drawn where displays are overlaid: of several, none but those asked for."""
    return False if n > 1 and display.band is None else display.band


def _side_by_side(
    named: list[tuple[str, ReliabilityDisplay]],
    n_columns: int | None,
    style: str | None,
    size: tuple[float, float] | None,
) -> Figure:
    from matplotlib.figure import Figure

    columns = min(len(named), n_columns or n_columns_for(len(named), size))
    n_rows = math.ceil(len(named) / columns)
    _check_room(size, columns, n_rows, _LOWEST_DIAGRAM, "overlay them, or ")
    figure = Figure(figsize=size or (4.6 * columns, 5.8 * n_rows), layout="constrained")
    axes = figure.subplots(2 * n_rows, columns, squeeze=False, height_ratios=(3, 1) * n_rows)
    places: list[tuple[Any, Any]] = [
        (axes[2 * row, c], axes[2 * row + 1, c]) for row in range(n_rows) for c in range(columns)
    ]
    width = int(figure.get_figwidth() / columns * 9)
    for (name, display), (above, below) in zip(named, places, strict=False):
        display.plot(above, share_ax=below, style=style, name="")
        above.set_title(wrapped(name, width))
    for index, (above, below) in enumerate(places[: len(named)]):
        if index % columns:
            above.set_ylabel("")
            below.set_ylabel("")
    _share_scale([below for _, below in places[: len(named)]])
    for pair in places[len(named) :]:
        for blank in pair:
            figure.delaxes(blank)
    return figure


def _share_scale(histograms: list[Any]) -> None:
    """Give all histograms one scale: logarithmic if one needs it, as tall as the tallest."""
    logarithmic = any(ax.get_yscale() == "log" for ax in histograms)
    low = min(ax.get_ylim()[0] for ax in histograms)
    high = max(ax.get_ylim()[1] for ax in histograms)
    for ax in histograms:
        if logarithmic:
            logarithmic_shares(ax)
        ax.set_ylim(max(low, 1e-3) if logarithmic else 0, high)


def panel_axes(new_figure: Callable[..., Any], n: int, size: tuple[float, float] | None = None) -> list[Axes]:
    """Return n axes of a new figure, side by side in rows; places left over stay empty."""
    most = 2 if n in (2, 4) else 3
    columns = most if size is None else min(most, n_columns_for(n, size))
    return panels(n, (4.4, 3.3), size=size, n_columns=columns, new_figure=new_figure)[1]
