"""Histogram of the confidence in right and in wrong answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError
from calkit.plotting.base import PLOTS, PredictionsDisplay, labels_of, one_view
from calkit.plotting.shared import (
    DisplayArguments,
    DrawingArguments,
    FromEvaluation,
    counts_predictions,
    drawn,
    draws,
    taken,
)
from calkit.plotting.style import draw_legend, wrapped
from calkit.stats import BinSums, UniformBins, View, summarize
from calkit.stats.binning import as_n_bins
from calkit.stats.views import TOP

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ConfidenceDisplay"]

_RIGHT, _WRONG = "#4878a8", "#d9622b"


@PLOTS.register("confidence")
class ConfidenceDisplay(FromEvaluation, PredictionsDisplay):
    """How sure a classifier is where it is right and where it is wrong, as densities.

    Made by :meth:`from_predictions`, :meth:`from_evaluation`, :meth:`from_bins` or ``from_estimator``.

    Parameters
    ----------
    bins : BinSums
        Sums over bins of equal width.
    name : str, optional
        Title.

    Attributes
    ----------
    bins : BinSums
    ax_, figure_, right_, wrong_, legend_
        After :meth:`plot`.

    Examples
    --------
    >>> from calkit.datasets import load_digits_logits
    >>> from calkit.plotting import ConfidenceDisplay
    >>> display = ConfidenceDisplay.from_predictions(load_digits_logits("test"), plot=False)
    >>> int(display.bins.count.sum())
    899
    """

    x_label = "Confidence"
    #: What the legend calls forecasts whose event came about, and the others.
    words = ("right", "wrong")

    def __init__(self, bins: BinSums, *, name: str | None = None) -> None:
        self.bins = bins
        self.name = name

    @classmethod
    @counts_predictions
    def from_predictions(
        cls,
        y_true: Any,
        y_proba: Any = None,
        *,
        n_bins: int = 25,
        target: str | View | None = None,
        **shared: Unpack[DisplayArguments],
    ) -> Self:
        """Count predictions into bins and draw the histogram.

        Parameters
        ----------
        n_bins : int, default=25
            Number of bins of equal width.

        Returns
        -------
        ConfidenceDisplay
        """
        predictions, shown = taken(y_true, y_proba, shared)
        view = one_view(predictions, target)
        statistic = UniformBins(as_n_bins(n_bins), view)
        return shown(cls.from_bins(summarize(predictions, [statistic])[statistic], target=view, plot=False))

    @classmethod
    @draws
    def from_bins(
        cls,
        bins: BinSums,
        *,
        target: str | View = TOP,
        **drawing: Unpack[DrawingArguments],
    ) -> Self:
        """Draw sums over bins of equal width that were counted elsewhere: on another machine, or over a stream.

        Parameters
        ----------
        bins : BinSums
        target : str or View, default="top"
            Whose forecasts they are: it tells what the axis and the outcomes are called.

        Returns
        -------
        ConfidenceDisplay

        Raises
        ------
        InputError
            If there are several rows of bins, or they have other edges.
        """
        if bins.count.ndim != 1 or bins.lower is not None:
            raise InputError("bins must be one row of bins of equal width.")
        display = cls(bins)
        display.x_label, _ = labels_of(target)
        display.words = ("right", "wrong") if display.x_label == cls.x_label else ("y = 1", "y = 0")
        return drawn(display, drawing)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return edges and the weight of right and wrong answers of each bin as columns."""
        lower, upper = self.bins.edges
        wrong = self.bins.weight - self.bins.correct
        return {"lower": lower, "upper": upper, "right": self.bins.correct, "wrong": wrong}

    def plot(
        self, ax: Axes | None = None, *, name: str | None = None, curve_kwargs: Mapping[str, Any] | None = None
    ) -> Self:
        """Draw the histogram.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.
        name : str, optional
            Title, instead of `name`.
        curve_kwargs : mapping, optional
            For both outlines: ``{"linewidth": 3}``.

        Returns
        -------
        ConfidenceDisplay
        """
        self.name = name if name is not None else self.name
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(4.8, 3.6), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        lower, upper = self.bins.edges
        edges = np.append(lower, upper[-1])
        right, wrong = self.bins.correct, self.bins.weight - self.bins.correct
        for_right = {"color": _RIGHT, "fill": True, "alpha": 0.8, **(curve_kwargs or {})}
        for_wrong = {"color": _WRONG, "linewidth": 1.8, **(curve_kwargs or {})}
        self.right_ = self._outline(ax, right, edges, self.words[0], **for_right)
        self.wrong_ = self._outline(ax, wrong, edges, self.words[1], **for_wrong)
        ax.set(xlim=(0, 1), ylim=(0, None), xlabel=self.x_label, ylabel="Share %")
        if self.name:
            ax.set_title(wrapped(self.name, 42))
        self.legend_ = draw_legend(ax)
        return self

    def _outline(
        self, ax: Axes, weight: NDArray[np.float64], edges: NDArray[np.float64], word: str, **style: Any
    ) -> Any:
        total = float(weight.sum())
        mean = f", median bin {self._median(weight):.2f}" if total else ""
        label = f"{word} ({total / float(self.bins.total_weight) * 100:.1f} % of all{mean})"
        return ax.stairs(weight / total * 100 if total else weight, edges, label=label, **style)

    def _median(self, weight: NDArray[np.float64]) -> float:
        lower, upper = self.bins.edges
        at = int(np.searchsorted(np.cumsum(weight), weight.sum() / 2))
        return float(lower[at] + upper[at]) / 2

    @classmethod
    def figure(
        cls,
        displays: Mapping[str, Self],
        *,
        title: str | None = None,
        n_columns: int | None = None,
        size: tuple[float, float] | None = None,
    ) -> Figure:
        """Draw several histograms side by side, on one scale.

        Parameters
        ----------
        displays : mapping of str to ConfidenceDisplay
        title : str, optional
        n_columns : int, optional
            Number of histograms in a row.
        size : tuple of float, optional
            Width and height in inches.

        Returns
        -------
        matplotlib Figure
            Not registered with pyplot.
        """
        from calkit.plotting.grid import panels

        figure, axes = panels(len(displays), (4.4, 3.4), size=size, n_columns=n_columns)
        for (name, display), ax in zip(displays.items(), axes, strict=True):
            display.plot(ax, name=name)
        top = max(ax.get_ylim()[1] for ax in axes)
        for ax in axes:
            ax.set_ylim(0, top)
            ax.label_outer()
        if title:
            figure.suptitle(title)
        return figure
