"""Norms of the gradients of single samples, as training runs record them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError, UsageError
from calkit.plotting.base import OTHER_PLOTS, OtherDisplay
from calkit.plotting.grid import panels
from calkit.plotting.history import HistoryDisplay
from calkit.plotting.style import COLOURS, DASHES, draw_legend, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from calkit.runs import RunFolder

__all__ = ["GradientNormsDisplay"]

_KEY = "gradient_norms"


@OTHER_PLOTS.register("gradient-norms")
class GradientNormsDisplay(OtherDisplay):
    """Histograms of the gradient norms of the last layer over the training samples (the paper's Figures 4b to 4d).

    One panel for each epoch that was recorded; runs are laid over each other.

    Parameters
    ----------
    histories : mapping of str to sequence of mapping
        By the name of the run, its records, one per epoch; some hold ``"gradient_norms"``: ``"edges"`` of bins and the
        ``"counts"`` in them, as the callback ``gradient-norms`` of calkit_torch writes them.

    Attributes
    ----------
    epochs : list of int
        Those for which a run has norms.
    axes_, figure_
        After :meth:`plot`.

    Raises
    ------
    InputError
        If no record holds gradient norms.

    Examples
    --------
    >>> from calkit.plotting import GradientNormsDisplay
    >>> norms = {"edges": [0.1, 1.0, 10.0], "counts": [30, 10]}
    >>> display = GradientNormsDisplay({"cross-entropy": [{"epoch": 1, "gradient_norms": norms}]})
    >>> display.columns()["share"].tolist()
    [0.75, 0.25]
    """

    def __init__(self, histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        self._norms = {
            (name, int(record["epoch"])): record[_KEY]
            for name, records in histories.items()
            for record in records
            if record.get(_KEY)
        }
        self.runs = list(histories)
        self.epochs = sorted({epoch for _, epoch in self._norms})
        if not self.epochs:
            raise InputError(
                "no record holds gradient norms: train with the callback that records them (calkit_torch.training."
                "callbacks.GradientNorms)."
            )

    @classmethod
    def from_runs(cls, runs: Sequence[str | Path | RunFolder]) -> Self:
        """Take the histories of training runs.

        Parameters
        ----------
        runs : sequence of str, Path or RunFolder

        Returns
        -------
        GradientNormsDisplay
            Not drawn yet.
        """
        return cls(HistoryDisplay.from_runs(runs).histories)

    @classmethod
    def from_words(cls, words: Sequence[str], *arguments: Any) -> Self:
        """Take the histories of run folders."""
        if arguments:
            raise UsageError(f"gradient-norms takes no parameters, but got {', '.join(map(str, arguments))}.")
        if not words:
            raise UsageError("gradient norms are those of training runs: name at least one folder.")
        return cls.from_runs(words)

    def shares(self, run: str, epoch: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return edges (m + 1,) of the bins and shares (m,) of the samples in them; of an epoch not recorded, empty."""
        found = self._norms.get((run, epoch))
        if found is None:
            return np.zeros(0), np.zeros(0)
        counts = np.array(found["counts"], dtype=np.float64)
        return np.array(found["edges"], dtype=np.float64), counts / max(counts.sum(), 1)

    def columns(self) -> dict[str, Any]:
        """Return what is drawn as columns: run, epoch, lower and upper edge, share."""
        rows = [
            (run, epoch, edges[i], edges[i + 1], share)
            for run, epoch in self._norms
            for edges, shares in [self.shares(run, epoch)]
            for i, share in enumerate(shares)
        ]
        return dict(
            zip(("run", "epoch", "lower", "upper", "share"), map(np.array, zip(*rows, strict=True)), strict=True)
        )

    def plot(self, ax: Sequence[Axes] | None = None) -> Self:
        """Draw a panel for each epoch.

        Parameters
        ----------
        ax : sequence of matplotlib Axes, optional
            One for each epoch; by default a new figure.

        Returns
        -------
        GradientNormsDisplay
            Itself, with `axes_` and `figure_` set.

        Raises
        ------
        InputError
            If there are fewer Axes than epochs.
        """
        if ax is None:
            from matplotlib import pyplot as plt

            n = len(self.epochs)
            ax = np.ravel(plt.subplots(1, n, figsize=(3.2 * n, 3.2), layout="constrained", squeeze=False)[1]).tolist()
        if len(ax) < len(self.epochs):
            raise InputError(f"there are {len(self.epochs)} epochs, but only {len(ax)} Axes.")
        self.axes_ = list(ax[: len(self.epochs)])
        self.figure_ = self.axes_[0].figure
        for epoch, each in zip(self.epochs, self.axes_, strict=True):
            self._draw(each, epoch)
        return self

    def figure(self, *, title: str | None = None, size: tuple[float, float] | None = None) -> Figure:
        """Return a figure that is not registered with pyplot, drawn.

        Parameters
        ----------
        title : str, optional
        size : tuple of float, optional
            Width and height in inches.
        """
        figure, axes = panels(len(self.epochs), (3.4, 3.2), size=size)
        self.plot(axes)
        if title:
            figure.suptitle(title)
        return figure

    def _draw(self, ax: Axes, epoch: int) -> None:
        for i, run in enumerate(self.runs):
            edges, shares = self.shares(run, epoch)
            if len(shares):
                colour, dash = COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)]
                ax.stairs(shares * 100, edges, fill=True, alpha=0.25, color=colour)
                ax.stairs(shares * 100, edges, color=colour, linestyle=dash, linewidth=1.4, label=wrapped(run, 40))
        ax.set_xscale("log")
        ax.set(title=f"epoch {epoch}", xlabel="Gradient norm", ylabel="Samples %")
        draw_legend(ax)
