"""Training histories: how calibration changes over the epochs, as in the paper's Figures 1 and 3."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError, UsageError
from calkit.plotting.grid import panel_axes
from calkit.plotting.panels import COMPARISON, ONE_RUN, Curve, Panel, get_panel
from calkit.plotting.run_records import Run, columns_of, flat, named_apart, number_of, opened
from calkit.plotting.showing import Showing
from calkit.plotting.style import COLOURS, DASHES, MARKERS, as_text
from calkit.tabular import Tabular

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["HistoryDisplay", "plot_history"]

_GROUPS = {
    "all": ("#3b78b0", "o"),
    "correct": ("#2a9d8f", "^"),
    "misclassified": ("#d9622b", "X"),
    "train": ("#808080", "s"),
    "gap": ("#a33e70", "D"),
    "adaptive gap": ("#66663d", "v"),
}
_SIZES = {"linewidth": 1.5, "markersize": 4.0, "markeredgewidth": 0.0}
# Letters of a legend that have room in an inch.
_LETTERS = 8.3
# The most markers on a line.
_MARKERS = 12


class HistoryDisplay(Showing, Tabular):
    """Curves over the epochs of one training run, or of several laid over each other.

    Make one with :meth:`from_run` or :meth:`from_runs`.

    Parameters
    ----------
    histories : mapping of str to sequence of mapping
        By the name of the run, its records, one per epoch, as lines of ``history.jsonl`` hold them: ``"epoch"``,
        numbers such as ``"last_layer_norm"``, and parts (``"train"``, ``"validation"``, ``"test"``) that hold values
        of metrics, over all samples (``"nll"``) and over the correctly or wrongly classified ones
        (``"nll_correct"``, ``"nll_misclassified"``). A value of None is a gap.
    part : {"test", "validation", "train"}, default="test"
        The part that panels show which do not name one themselves.

    Attributes
    ----------
    histories : dict
    part : str
    axes_ : list of matplotlib Axes
        One per panel, after :meth:`plot`.
    figure_ : matplotlib Figure
        After :meth:`plot`.

    Raises
    ------
    InputError
        If there is no run, or one has no epochs.

    Examples
    --------
    >>> from calkit.plotting import HistoryDisplay
    >>> records = [
    ...     {"epoch": 1, "test": {"nll": 1.2, "ece": 0.03}, "last_layer_norm": 4.1},
    ...     {"epoch": 2, "test": {"nll": 0.9, "ece": 0.05}, "last_layer_norm": 5.0},
    ... ]
    >>> display = HistoryDisplay({"cross-entropy": records})
    >>> display.panels()
    ['test', 'errors', 'norm']
    >>> display.values("cross-entropy", "nll")
    array([1.2, 0.9])
    """

    def __init__(self, histories: Mapping[str, Sequence[Mapping[str, Any]]], *, part: str = "test") -> None:
        if not histories:
            raise InputError("histories is empty: pass the records of at least one run.")
        for name, records in histories.items():
            if not records:
                raise InputError(f"the history of {name!r} is empty: the run has not finished an epoch yet.")
        if part not in ("train", "validation", "test"):
            raise UsageError(f"part must be 'train', 'validation' or 'test', but is {part!r}.")
        self.histories = {name: list(records) for name, records in histories.items()}
        self.part = part

    @classmethod
    def from_run(cls, run: str | Path | Run, *, part: str = "test") -> Self:
        """Take the history of one training run.

        Parameters
        ----------
        run : str, Path or RunFolder
            A folder that ``calkit train`` wrote.
        part : {"test", "validation", "train"}, default="test"
            The part to show.

        Returns
        -------
        HistoryDisplay
            Not drawn yet.

        Raises
        ------
        FileFormatError
            If the folder is not one of a run, or a line of its history is broken.
        """
        return cls.from_runs([run], part=part)

    @classmethod
    def from_runs(
        cls, runs: Iterable[str | Path | Run] | Mapping[str, str | Path | Run], *, part: str = "test"
    ) -> Self:
        """Take the histories of several runs, to be laid over each other.

        Parameters
        ----------
        runs : sequence of str, Path or RunFolder, or mapping
            Folders that ``calkit train`` wrote; the keys of a mapping are the names shown, else the labels of the runs
            (data set, network, loss), numbered where they are alike.
        part : {"test", "validation", "train"}, default="test"
            The part to show.

        Returns
        -------
        HistoryDisplay
            Not drawn yet.

        Raises
        ------
        InputError
            If there is no run, or one has no epochs.
        FileFormatError
            If a folder is not one of a run, or a line of its history is broken.
        """
        if isinstance(runs, Mapping):
            return cls({name: opened(run).history for name, run in runs.items()}, part=part)
        found = [opened(run) for run in runs]
        names = named_apart([run.label for run in found])
        return cls({name: run.history for name, run in zip(names, found, strict=True)}, part=part)

    def columns(self) -> dict[str, list[Any]]:
        """Return a row for each run and epoch; values of parts are called ``test.ece``."""
        return columns_of(self.histories)

    def epochs(self, name: str) -> NDArray[np.float64]:
        """Return the epochs of a run, counted from 1; shape (n_epochs,)."""
        return np.array([number_of(record.get("epoch", i + 1)) for i, record in enumerate(self.histories[name])])

    def values(self, name: str, key: str, part: str | None = None) -> NDArray[np.float64]:
        """Return one value per epoch of a run.

        Parameters
        ----------
        name : str
            The run.
        key : str
            A metric of the part (``"nll_correct"``), or a number of the record itself (``"last_layer_norm"``).
        part : str, optional
            By default that of the display; ``""`` for the record itself.

        Returns
        -------
        ndarray of shape (n_epochs,)
            NaN where an epoch has no such value.
        """
        chosen = self.part if part is None else part
        records = self.histories[name]
        found = [record.get(chosen) if chosen else record for record in records]
        values = [number_of(item.get(key)) if isinstance(item, Mapping) else math.nan for item in found]
        return np.array(values, dtype=np.float64)

    def panels(self) -> list[str]:
        """Return the names of the panels shown by default: those that the histories have values for.

        One run has the panels of the paper's Figure 1 and a few more, several have those of Figure 3.
        """
        wanted = ONE_RUN if len(self.histories) == 1 else COMPARISON
        return [name for name in wanted if any(self._has(curve) for curve in get_panel(name).curves)]

    def plot(
        self,
        ax: Axes | Sequence[Axes] | NDArray[Any] | None = None,
        *,
        panels: Sequence[str] | str | None = None,
        legend: bool = True,
        colours: Sequence[str] = COLOURS,
    ) -> HistoryDisplay:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, or several, optional
            Where to draw, an Axes per panel; by default a new figure.
        panels : str or sequence of str, optional
            What to draw: names of :func:`calkit.plotting.available_panels`, or ``"PART.KEY"`` for a value of the
            history by itself (``"test.adaece"``). By default those of :meth:`panels`.
        legend : bool, default=True
            Whether to say which curve is which: in a new figure below the panels and, for the runs, above all of them;
            in axes of your own inside.
        colours : sequence of str, optional
            Colours of the runs, in order, where there are several.

        Returns
        -------
        HistoryDisplay
            Itself, with `axes_` and `figure_` set.

        Raises
        ------
        NotFoundError
            If a panel is unknown.
        InputError
            If the histories have no value that a panel shows, or there are fewer axes than panels.
        """
        chosen = [get_panel(name) for name in self._chosen(panels)]
        outside = ax is None
        if ax is None:
            from matplotlib import pyplot as plt

            ax = panel_axes(plt.figure, len(chosen))
        self._plot(ax, chosen, colours, legend=legend, outside=outside)
        return self

    def _new_figure(self) -> Figure:
        return plot_history(self)

    def _plot(self, ax: Any, chosen: Sequence[Panel], colours: Sequence[str], *, legend: bool, outside: bool) -> None:
        axes: list[Axes] = list(np.ravel(np.asarray(ax, dtype=object)))
        if len(axes) < len(chosen):
            raise InputError(
                f"there are {len(chosen)} panels, but only {len(axes)} axes; name panels with panels=[...]."
            )
        for i, (panel, target) in enumerate(zip(chosen, axes, strict=False)):
            curves = self._draw(panel, target, colours)
            if legend:
                named = i == 0 and not outside and len(self.histories) > 1
                self._add_legend(target, curves, colours if named else (), outside=outside)
        self.axes_, self.figure_ = axes[: len(chosen)], axes[0].figure
        if legend and outside and len(self.histories) > 1:
            handles, labels = self._runs(colours)
            room = int(self.figure_.bbox.width / self.figure_.dpi * _LETTERS)
            columns = max(1, min(len(labels), room // max(8 + len(label) for label in labels)))
            self.figure_.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False)

    def _chosen(self, panels: Sequence[str] | str | None) -> list[str]:
        names = self.panels() if panels is None else [panels] if isinstance(panels, str) else list(panels)
        if not names:
            raise InputError(
                f"the history holds nothing to draw of the part {self.part!r}: {self._listing()}. "
                "Choose another part, or name values with panels=['PART.KEY']."
            )
        for name in names:
            if not any(self._has(curve) for curve in get_panel(name).curves):
                raise InputError(f"no history has a value for the panel {name!r}. There are: {self._listing()}.")
        return names

    def _has(self, curve: Curve) -> bool:
        return any(np.isfinite(self.values(name, curve.key, curve.part)).any() for name in self.histories)

    def _listing(self) -> str:
        keys = dict.fromkeys(key for records in self.histories.values() for key in flat(records[-1]))
        return ", ".join(key if "." in key else f".{key}" for key in keys)

    def _draw(self, panel: Panel, ax: Axes, colours: Sequence[str]) -> list[Curve]:
        curves = [curve for curve in panel.curves if self._has(curve)]
        for i, name in enumerate(self.histories):
            epochs = self.epochs(name)
            for k, curve in enumerate(curves):
                y = self.values(name, curve.key, curve.part) * (100 if panel.percent else 1)
                # Markers of the runs stand at different epochs, so that lines on top of each other show.
                start, step = (i, math.ceil(len(epochs) / _MARKERS)) if len(epochs) > _MARKERS else (0, 1)
                style = self._style(i, colours, k, curve)
                ax.plot(epochs, y, **style, markevery=(start % step, step))
        ax.set_title(panel.title.format(part=self.part), fontsize="medium")
        ax.set_xlabel("Epoch")
        ax.set_ylabel(panel.unit)
        ax.margins(x=0.02)
        if panel.from_zero:
            ax.set_ylim(bottom=0)
        ax.locator_params(axis="x", integer=True)
        ax.grid(visible=True, color="0.5", alpha=0.2, linewidth=0.6)
        return curves

    def _style(self, run: int, colours: Sequence[str], place: int, curve: Curve) -> dict[str, Any]:
        several = len(self.histories) > 1
        colour, marker = _GROUPS[curve.group]
        if several:
            colour, marker = colours[run % len(colours)], MARKERS[run % len(MARKERS)]
        dash = DASHES[place % len(DASHES)] if several else DASHES[curve.dash]
        return {"color": colour, "marker": marker, "linestyle": dash, **_SIZES}

    def keys(self, panel: str, colours: Sequence[str] = COLOURS) -> list[tuple[str, str, str, bool]]:
        """Return what a legend of a panel has to say.

        Parameters
        ----------
        panel : str
        colours : sequence of str, optional
            Colours of the runs, in order.

        Returns
        -------
        list of (str, str, str, bool)
            Label, colour, marker and whether the line is dashed: of the runs if there are several, else of the curves
            if those are several.
        """
        if len(self.histories) > 1:
            styles = [self._style(i, colours, 0, Curve("", "")) for i in range(len(self.histories))]
            return [_key(name, style) for name, style in zip(self.histories, styles, strict=True)]
        curves = [curve for curve in get_panel(panel).curves if self._has(curve)]
        if len(curves) < 2:
            return []
        return [_key(curve.label, self._style(0, colours, k, curve)) for k, curve in enumerate(curves)]

    def _runs(self, colours: Sequence[str]) -> tuple[list[Any], list[str]]:
        """Return a line for each run, and their names."""
        from matplotlib.lines import Line2D

        curve = Curve("", "")
        handles = [Line2D([], [], **self._style(i, colours, 0, curve)) for i in range(len(self.histories))]
        return handles, [as_text(name) for name in self.histories]

    def _add_legend(self, ax: Axes, curves: Sequence[Curve], colours: Sequence[str], *, outside: bool) -> None:
        """Name the runs by colour, if asked to, and the curves of a panel, where there is more than one."""
        from matplotlib.lines import Line2D

        handles, labels = self._runs(colours) if colours else ([], [])
        for k, curve in enumerate(curves if len(curves) > 1 else ()):
            style = self._style(0, ("0.4",), k, curve)
            handles.append(Line2D([], [], **style | ({"marker": ""} if len(self.histories) > 1 else {})))
            labels.append(curve.label)
        if not handles:
            return
        if outside:
            # Below the label of the axis: the pad is in units of the font, whatever the size of the axes.
            place: Any = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "borderaxespad": 4.2}
            columns = 2 if len(labels) in (2, 4) else 3
            ax.legend(handles, labels, **place, ncols=columns, columnspacing=1.2, frameon=False, fontsize="small")
        else:
            ax.legend(handles, labels, edgecolor="none", framealpha=0.85, fontsize="small")


def plot_history(
    display: HistoryDisplay,
    *,
    panels: Sequence[str] | str | None = None,
    title: str | None = None,
    size: tuple[float, float] | None = None,
) -> Figure:
    """Draw the panels of a history on a figure of their own.

    Parameters
    ----------
    display : HistoryDisplay
    panels : str or sequence of str, optional
        As for :meth:`HistoryDisplay.plot`.
    title : str, optional
        Title of the figure.
    size : tuple of float, optional
        Width and height of the figure in inches; as many panels stand in a row as fit the width.

    Returns
    -------
    matplotlib Figure
        Not registered with pyplot, so nothing has to be closed; ``figure.savefig(path)`` writes it.

    Examples
    --------
    >>> from calkit.plotting import HistoryDisplay, plot_history
    >>> records = [{"epoch": i + 1, "test": {"nll": 1 / (i + 1), "error": 0.1}} for i in range(3)]
    >>> figure = plot_history(HistoryDisplay({"focal:3": records, "ce": records}), panels=["nll", "test.error"])
    >>> [axes.get_title() for axes in figure.axes]
    ['NLL, test', 'error, test']
    """
    from matplotlib.figure import Figure

    chosen = [get_panel(name) for name in display._chosen(panels)]
    display._plot(panel_axes(Figure, len(chosen), size), chosen, COLOURS, legend=True, outside=True)
    figure: Any = display.figure_
    if title:
        figure.suptitle(as_text(title))
    return figure


def _key(label: str, style: Mapping[str, Any]) -> tuple[str, str, str, bool]:
    return label, str(style["color"]), str(style["marker"]), style["linestyle"] != "-"
