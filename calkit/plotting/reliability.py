"""Reliability diagrams: how often events happen against how probable they were said to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

import numpy as np

from calkit.errors import InputError
from calkit.metrics.binned import expected_gap
from calkit.metrics.binnings import get_binning
from calkit.plotting.base import PLOTS, PredictionsDisplay, axis_labels, next_index, one_view, taken_predictions
from calkit.plotting.reliability_styles import RELIABILITY_STYLES, borders, proportion_limits, spans
from calkit.plotting.style import curve_style, makes_room, wrapped
from calkit.predictions import Predictions
from calkit.registry import unknown_name
from calkit.stats import BinSums, UniformBins, View, summarize
from calkit.stats.views import Only, default_view, get_view

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ReliabilityDisplay", "logarithmic_shares"]

_SHARE = "#b5bcc8"

# Bins of the histogram below a diagram of equal-mass bins, whose own shares are all alike.
_HISTOGRAM_BINS = 25

# From this share in one bin on, the histogram's axis is logarithmic, so that the others can be seen.
_DOMINANT = 0.8

# The histogram that belongs to a diagram, so that a second model joins the first one's; Axes that are gone drop out.
_HISTOGRAMS: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


@PLOTS.register("reliability")
class ReliabilityDisplay(PredictionsDisplay):
    """Reliability diagram of one set of predictions; several can be drawn on the same Axes.

    Make one with :meth:`from_predictions`, :meth:`from_estimator` or :meth:`from_bins`.

    Parameters
    ----------
    bins : BinSums
        Sums over bins of confidence, one row of bins.
    name : str, optional
        What the legend calls the model.
    histogram : BinSums, optional
        Bins whose shares are drawn below; by default `bins`.

    Attributes
    ----------
    bins, histogram : BinSums
    name : str or None
    ax_ : matplotlib Axes
        The reliability diagram, after :meth:`plot`.
    share_ax_ : matplotlib Axes
        The histogram below it, after :meth:`plot`.
    figure_ : matplotlib Figure
        After :meth:`plot`.
    line_, errorbar_, band_, bars_, marks_, reference_line_, share_artist_, legend_
        The artists that :meth:`plot` drew; those of the other style are absent.

    Examples
    --------
    >>> from calkit import ReliabilityDisplay
    >>> from calkit.datasets import load_digits_logits
    >>> test = load_digits_logits("test")
    >>> display = ReliabilityDisplay.from_predictions(test.y_true, test.scores, from_logits=True, plot=False)
    >>> round(display.ece, 3)
    0.13
    """

    x_label = "Confidence"
    y_label = "Accuracy"

    def __init__(self, bins: BinSums, *, name: str | None = None, histogram: BinSums | None = None) -> None:
        if bins.count.ndim != 1:
            raise InputError(f"bins must be one row of bins, but have shape {bins.count.shape}.")
        self.bins = bins
        self.name = name
        self.histogram = bins if histogram is None else histogram

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_proba: Any = None,
        *,
        n_bins: int = 15,
        binning: str = "uniform",
        target: str | View | None = None,
        from_logits: bool = False,
        sample_weight: Any = None,
        class_names: Any = None,
        name: str | None = None,
        ax: Axes | None = None,
        plot: bool = True,
        **plot_kwargs: Any,
    ) -> ReliabilityDisplay:
        """Count predictions into bins and draw them.

        Parameters
        ----------
        y_true : array-like of shape (n,), or Predictions
            True classes; or :class:`~calkit.Predictions`, which hold all that is needed.
        y_proba : array-like of shape (n, K) or (n,), optional
            Probabilities, or logits if `from_logits`; left out if `y_true` is a Predictions.
        n_bins : int, default=15
            Number of bins (the paper's Figure 2 has 25).
        binning : {"uniform", "quantile"}, default="uniform"
            Bins of equal width or of equal mass.
        target : str or View, optional
            Which forecasts: ``"top"``, ``"positive:class=NAME"``, ``"top-5"``; by default the top label of K columns,
            and of one column the event itself.
        from_logits : bool, default=False
            Whether `y_proba` holds logits.
        sample_weight : array-like of shape (n,), optional
            Weights.
        class_names : sequence, optional
            The class each column stands for.
        name : str, optional
            What the legend calls the model.
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure. On the Axes of another display, both are overlaid.
        plot : bool, default=True
            Whether to draw now.
        **plot_kwargs
            `style`, `band`, `curve_kwargs`, as for :meth:`plot`.

        Returns
        -------
        ReliabilityDisplay

        Raises
        ------
        InputError
            If the arrays do not fit each other, hold impossible values or are empty.
        """
        predictions = taken_predictions(
            y_true, y_proba, from_logits=from_logits, sample_weight=sample_weight, class_names=class_names
        )
        display = cls._counted(predictions, one_view(predictions, target), n_bins, binning, name)
        return display.plot(ax, **plot_kwargs) if plot else display

    @classmethod
    def each(
        cls,
        predictions: Predictions,
        *,
        target: str | View | None = None,
        by: str | None = None,
        n_bins: int = 15,
        binning: str = "uniform",
    ) -> dict[str, ReliabilityDisplay]:
        """Count a diagram for each class, or for each group of rows.

        Parameters
        ----------
        predictions : Predictions
        target : str or View, optional
            ``"classwise"`` or ``"multilabel"`` for a diagram of each class; with `by`, any single one.
        by : str, optional
            One of the columns of the predictions: a diagram for each of its values.
        n_bins, binning
            As for :meth:`from_predictions`.

        Returns
        -------
        dict of str to ReliabilityDisplay
            Not drawn yet; :func:`~calkit.plotting.plot_reliability` draws them.

        Raises
        ------
        InputError
            If `target` is one event and there is no `by`, or both are several.
        """
        if by is not None:
            if by not in predictions.columns:
                raise unknown_name("column", by, predictions.columns, of="the predictions")
            column = np.asarray(predictions.columns[by])
            names = sorted(set(column.tolist()), key=str)
            parts = {f"{by} = {value}": predictions.take(column == value) for value in names}
            view = one_view(predictions, target)
            return {name: cls._counted(part, view, n_bins, binning, name) for name, part in parts.items()}
        view = (default_view(predictions) if target is None else get_view(target)).bind(predictions)
        if view.name not in ("classwise", "multilabel"):
            raise InputError(f"target={view.spec!r} is one event; use from_predictions, or name a column with by=.")
        classes = predictions.class_names or range(predictions.n_classes or 0)
        each = {f"class {label}": Only(view, column) for column, label in enumerate(classes)}
        return {name: cls._counted(predictions, one, n_bins, binning, name) for name, one in each.items()}

    @classmethod
    def _counted(
        cls, predictions: Predictions, view: View, n_bins: int, binning: str, name: str | None
    ) -> ReliabilityDisplay:
        how = get_binning(binning, n_bins)
        if not how.covers_all:
            raise InputError(f"binning {binning!r} drops samples, so it cannot be drawn; use 'uniform' or 'quantile'.")
        statistic, shares = how.statistic.on(view), UniformBins(_HISTOGRAM_BINS, view)
        found = summarize(predictions, [statistic, *([] if binning == "uniform" else [shares])])
        display = cls(how.to_bins(found[statistic]), name=name, histogram=found.get(shares))
        display.x_label, display.y_label = axis_labels(view)
        return display

    @classmethod
    def from_bins(
        cls, bins: BinSums, *, name: str | None = None, ax: Axes | None = None, plot: bool = True, **plot_kwargs: Any
    ) -> ReliabilityDisplay:
        """Draw sums over bins that were counted elsewhere: on another machine, or over a stream.

        Parameters
        ----------
        bins : BinSums
        name : str, optional
            What the legend calls the model.
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure. On the Axes of another display, both are overlaid.
        plot : bool, default=True
            Whether to draw now.
        **plot_kwargs
            `style`, `band`, `curve_kwargs`, as for :meth:`plot`.

        Returns
        -------
        ReliabilityDisplay
        """
        display = cls(bins, name=name)
        return display.plot(ax, **plot_kwargs) if plot else display

    @property
    def ece(self) -> float:
        """Expected calibration error over the bins shown."""
        return expected_gap(self.bins)

    @property
    def measure(self) -> str:
        """What the bins' mean gap is called: ``"ECE"``, of equal-mass bins ``"AdaECE"``."""
        return "ECE" if self.bins.lower is None else "AdaECE"

    @property
    def label(self) -> str:
        """Line of the legend: the name, the calibration error and the number of samples."""
        value = f"{self.measure} {self.ece * 100:.2f} %, n = {int(self.bins.count.sum()):,}"
        return wrapped(f"{self.name} ({value})" if self.name else value, 44)

    @property
    def note(self) -> str:
        """Calibration error, number of bins, number of samples."""
        n = self.bins.n_bins
        bins = f"{n} bin{'s' * (n > 1)}, n = {int(self.bins.count.sum()):,}"
        return f"{self.measure} {self.ece * 100:.2f} %, {bins}"

    def frame(self) -> dict[str, Any]:
        """Return what is drawn as columns, one row per bin that holds samples.

        Returns
        -------
        dict of ndarray
            Pass it to ``pandas.DataFrame`` or ``polars.DataFrame``: lower and upper edge, count, weight, mean
            confidence, accuracy and the 95 % limits of the accuracy.
        """
        filled = self.bins.weight > 0
        lower, upper = self.bins.edges
        low, high = proportion_limits(self.bins)
        return {
            "lower": lower[filled],
            "upper": upper[filled],
            "count": self.bins.count[filled],
            "weight": self.bins.weight[filled],
            "confidence": self.bins.mean_confidence[filled],
            "accuracy": self.bins.accuracy[filled],
            "accuracy_low": low,
            "accuracy_high": high,
        }

    def plot(
        self,
        ax: Axes | None = None,
        *,
        share_ax: Axes | None = None,
        style: str = "line",
        band: bool | None = None,
        name: str | None = None,
        curve_kwargs: Mapping[str, Any] | None = None,
    ) -> ReliabilityDisplay:
        """Draw the diagram, and the shares of the samples below it.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure. The histogram goes below, in space taken from `ax`. On the Axes of
            another display the curve is added to that one's, in the next colour.
        share_ax : matplotlib Axes, optional
            Where to draw the histogram instead.
        style : {"line", "bars"}, default="line"
            Points with 95 % intervals, joined by a line; or bars with the gap over them (the paper's Figure 2).
        band : bool, optional
            Whether to draw the band in which 95 % of the bins of a perfectly calibrated model would lie; by default for
            the first curve on an Axes in style "line".
        name : str, optional
            What the legend calls the model, instead of `name`.
        curve_kwargs : mapping, optional
            For the line or the bars: ``{"color": "black"}``.

        Returns
        -------
        ReliabilityDisplay
            Itself, with `ax_`, `share_ax_`, `figure_` and the artists set.

        Raises
        ------
        NotFoundError
            If there is no such style.
        InputError
            If bars are to be drawn over another display.
        """
        draw = RELIABILITY_STYLES[style]
        self.name = name if name is not None else self.name
        if ax is None:
            from matplotlib import pyplot as plt

            _, (ax, share_ax) = plt.subplots(
                2, 1, figsize=(4.8, 5.8), height_ratios=(3, 1), sharex=True, layout="constrained"
            )
        index = next_index(ax)
        if share_ax is None:
            share_ax = _HISTOGRAMS.get(ax) or _below(ax)
        _HISTOGRAMS[ax] = share_ax
        self.ax_, self.share_ax_, self.figure_ = ax, share_ax, ax.figure
        wanted = band if band is not None else not index and style == "line"
        for attribute, artist in draw(self, ax, index, wanted, curve_kwargs or {}).items():
            setattr(self, attribute, artist)
        ax.set(xlim=(0, 1), ylim=(0, 1), ylabel=self.y_label)
        ax.tick_params(labelbottom=False)
        if style == "bars" and self.name:
            ax.set_title(wrapped(self.name, 42))
        self._draw_shares(share_ax, index, dict(curve_kwargs or {}).get("color"))
        return self

    @classmethod
    def figure(
        cls,
        displays: Mapping[str, Self],
        *,
        title: str | None = None,
        n_columns: int | None = None,
        overlay: bool = False,
        style: str = "line",
        size: tuple[float, float] | None = None,
    ) -> Figure:
        """Draw several diagrams in one figure; see :func:`~calkit.plotting.plot_reliability`."""
        from calkit.plotting.grid import plot_reliability

        named = dict(displays)
        return plot_reliability(named, title=title, n_columns=n_columns, overlay=overlay, style=style, size=size)

    def _draw_shares(self, ax: Axes, index: int, colour: Any) -> None:
        """Draw the histogram: filled for the first model, outlines for those after it."""
        bins = self.histogram
        left, width = spans(bins)
        share = bins.share[bins.weight > 0] * 100
        if index:
            lower, upper = bins.edges
            edges = np.append(lower, upper[-1])
            self.share_artist_: Any = ax.stairs(
                bins.share * 100, edges, color=colour or curve_style(index)["color"], linewidth=1.4
            )
        else:
            fill = {"color": _SHARE, "edgecolor": "white", "linewidth": borders(width)}
            self.share_artist_ = ax.bar(left, share, width, align="edge", **fill)
        ax.set(xlim=(0, 1), xlabel=self.x_label)
        ax.set_ylabel("Samples %", fontsize="small")
        if share.max() > 100 * _DOMINANT and len(share) > 1:
            logarithmic_shares(ax)
            ax.set_ylim(max(float(share.min()) / 2, 1e-3), 200)
        elif ax.get_yscale() == "linear":
            top = max(1.0, float(share.max()) * 1.1)
            ax.set_ylim(0, max(top, ax.get_ylim()[1] if index else 0.0))


def logarithmic_shares(ax: Axes) -> None:
    """Make the axis of a histogram logarithmic."""
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}")


def _below(ax: Axes) -> Axes:
    """Return new Axes for the histogram, in space taken from the diagram's."""
    place = ax.get_subplotspec()
    if makes_room(ax) and place is not None:
        upper, lower = place.subgridspec(2, 1, height_ratios=(3, 1))
        ax.set_subplotspec(upper)
        return ax.figure.add_subplot(lower, sharex=ax)
    from mpl_toolkits.axes_grid1 import make_axes_locatable

    below: Axes = make_axes_locatable(ax).append_axes("bottom", size="33%", pad=0.12, sharex=ax)
    return below
