"""Reliability diagrams: how often events happen against how probable they were said to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, Unpack

from calkit.estimators.corp import corp_decomposition
from calkit.estimators.ranked import Ranked
from calkit.plotting.base import PLOTS, PredictionsDisplay, axis_labels, labels_of, next_index, one_view
from calkit.plotting.reliability_bands import band_name
from calkit.plotting.reliability_counts import Counted, Counting, parts_of
from calkit.plotting.reliability_styles import RELIABILITY_STYLES
from calkit.plotting.shared import (
    DisplayArguments,
    DrawingArguments,
    FromEvaluation,
    counts_predictions,
    drawn,
    draws,
    taken,
)
from calkit.plotting.shares import draw_shares, histogram_axes
from calkit.plotting.style import wrapped
from calkit.predictions import Predictions
from calkit.stats import BinSums, View
from calkit.stats.views import TOP

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ReliabilityDisplay"]


def _together(text: str) -> str:
    """Return a text that no line break parts."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


@PLOTS.register("reliability")
class ReliabilityDisplay(Counted, FromEvaluation, PredictionsDisplay):
    """Reliability diagram of one set of predictions; several can be drawn on the same Axes.

    Make one with :meth:`from_predictions`, :meth:`from_estimator`, :meth:`from_evaluation` or :meth:`from_bins`.

    Parameters
    ----------
    bins : BinSums
        Sums over bins of confidence, one row of bins.
    name : str, optional
        What the legend calls the model.
    histogram : BinSums, optional
        Bins whose shares are drawn below; by default `bins`.
    ranked : Ranked, optional
        Every forecast, which the style "corp" and simultaneous bands need.
    style, band : str, optional
        What :meth:`plot` draws by default.

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

    def __init__(
        self,
        bins: BinSums,
        *,
        name: str | None = None,
        histogram: BinSums | None = None,
        ranked: Ranked | None = None,
        style: str = "line",
        band: bool | str | None = None,
    ) -> None:
        super().__init__(bins, histogram, ranked, style)
        self.name = name
        self.band = band

    @classmethod
    @counts_predictions
    def from_predictions(
        cls,
        y_true: Any,
        y_proba: Any = None,
        *,
        n_bins: int = 15,
        binning: str = "uniform",
        target: str | View | None = None,
        style: str = "line",
        band: bool | str | None = None,
        share_ax: Axes | None = None,
        **shared: Unpack[DisplayArguments],
    ) -> Self:
        """Count predictions into bins and draw them.

        Parameters
        ----------
        n_bins : int, default=15
            Number of bins (the paper's Figure 2 has 25).
        binning : {"uniform", "quantile"}, default="uniform"
            Bins of equal width or of equal mass.
        style : {"line", "corp", "bars"}, default="line"
            As for :meth:`plot`. The style "corp" keeps every forecast, others only sums over bins.
        band : bool or {"consistency", "simultaneous"}, optional
            As for :meth:`plot`. A simultaneous band needs every forecast too.
        share_ax : matplotlib Axes, optional
            As for :meth:`plot`.

        Returns
        -------
        ReliabilityDisplay
        """
        predictions, shown = taken(y_true, y_proba, shared, share_ax=share_ax)
        counting = Counting(n_bins, binning, style, band)
        return shown(cls._counted(counting, predictions, one_view(predictions, target)))

    @classmethod
    def each(
        cls,
        predictions: Predictions,
        *,
        target: str | View | None = None,
        by: str | None = None,
        n_bins: int = 15,
        binning: str = "uniform",
        style: str = "line",
        band: bool | str | None = None,
    ) -> dict[str, Self]:
        """Count a diagram for each class, or for each group of rows.

        Parameters
        ----------
        predictions : Predictions
        target : str or View, optional
            ``"classwise"`` or ``"multilabel"`` for a diagram of each class; with `by`, any single one.
        by : str, optional
            One of the columns of the predictions, ``"predicted class"`` or ``"true class"``: a diagram for each of its
            values.
        n_bins, binning, style, band
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
        counting = Counting(n_bins, binning, style, band)
        displays = {}
        for name, part, view in parts_of(predictions, target, by):
            displays[name] = cls._counted(counting, part, view)
            displays[name].name = name
        return displays

    @classmethod
    def _counted(cls, counting: Counting, predictions: Predictions, view: View) -> Self:
        display = cls(**counting.of(predictions, view))
        display.x_label, display.y_label = axis_labels(view)
        return display

    @classmethod
    @draws
    def from_bins(
        cls,
        bins: BinSums,
        *,
        target: str | View = TOP,
        style: str = "line",
        band: bool | str | None = None,
        share_ax: Axes | None = None,
        **drawing: Unpack[DrawingArguments],
    ) -> Self:
        """Draw sums over bins that were counted elsewhere: on another machine, or over a stream.

        Parameters
        ----------
        bins : BinSums
        target : str or View, default="top"
            Whose forecasts they are: it tells what the axes are called.
        style : {"line", "bars"}, default="line"
            As for :meth:`plot`.
        band : bool or "consistency", optional
            As for :meth:`plot`.
        share_ax : matplotlib Axes, optional
            As for :meth:`plot`.

        Returns
        -------
        ReliabilityDisplay
        """
        display = cls(bins, style=style, band=band)
        display.x_label, display.y_label = labels_of(target)
        return drawn(display, drawing, share_ax=share_ax)

    @property
    def label(self) -> str:
        """Line of the legend: the name, the calibration error and the number of samples."""
        value = _together(f"{self.measure} {self.ece * 100:.2f} %, {self._samples}")
        return wrapped(f"{self.name} ({value})" if self.name else value, 44)

    @property
    def corp_label(self) -> str:
        """Line of the legend of a CORP curve: the name, miscalibration and discrimination, the number of samples."""
        parts = corp_decomposition(self.forecasts)
        value = f"MCB {parts.miscalibration:.4f}, DSC {parts.discrimination:.4f}, {self._samples}"
        return wrapped(f"{self.name} ({value})" if self.name else value, 44)

    @property
    def note(self) -> str:
        """Calibration error, number of bins, number of samples."""
        n = self.bins.n_bins
        bins = f"{n} bin{'s' * (n > 1)}, n = {int(self.bins.count.sum()):,}"
        return f"{self.measure} {self.ece * 100:.2f} %, {bins}"

    def plot(
        self,
        ax: Axes | None = None,
        *,
        share_ax: Axes | None = None,
        style: str | None = None,
        band: bool | str | None = None,
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
        style : {"line", "corp", "bars"}, optional
            Points with 95 % intervals, joined by a line; the CORP curve, the rising curve nearest to the outcomes,
            which needs no bins; or bars with the gap over them (the paper's Figure 2). By default that of the display.
        band : bool or {"consistency", "simultaneous"}, optional
            "consistency" or True: where 95 % of perfectly calibrated models would lie, point by point (Bröcker & Smith
            2007; of CORP curves, by drawing outcomes). "simultaneous": a band that holds the whole true curve with a
            probability of at least 95 %, if it rises (Dimitriadis et al. 2023): the diagonal outside of it anywhere
            is evidence of miscalibration. By default consistency for the first curve on an Axes, none over bars.
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
            If bars are to be drawn over another display, or every forecast is needed and only bins were counted.
        """
        style = self.style if style is None else style
        draw = RELIABILITY_STYLES[style]
        band = self.band if band is None else band
        wanted = band_name(band if band is not None else style != "bars")
        self.name = name if name is not None else self.name
        if ax is None:
            from matplotlib import pyplot as plt

            _, (ax, share_ax) = plt.subplots(
                2, 1, figsize=(4.8, 5.8), height_ratios=(3, 1), sharex=True, layout="constrained"
            )
        index = next_index(ax)
        share_ax = histogram_axes(ax, share_ax)
        self.ax_, self.share_ax_, self.figure_ = ax, share_ax, ax.figure
        wanted = None if band is None and index else wanted
        for attribute, artist in draw(self, ax, index, wanted, curve_kwargs or {}).items():
            setattr(self, attribute, artist)
        ax.set(xlim=(0, 1), ylim=(0, 1), ylabel=self.y_label)
        ax.tick_params(labelbottom=False)
        if style == "bars" and self.name:
            ax.set_title(wrapped(self.name, 42))
        self.share_artist_ = draw_shares(share_ax, self.histogram, index, dict(curve_kwargs or {}).get("color"))
        share_ax.set(xlim=(0, 1), xlabel=self.x_label)
        return self

    @classmethod
    def figure(
        cls,
        displays: Mapping[str, Self],
        *,
        title: str | None = None,
        n_columns: int | None = None,
        overlay: bool = False,
        style: str | None = None,
        size: tuple[float, float] | None = None,
    ) -> Figure:
        """Draw several diagrams in one figure; see :func:`~calkit.plotting.plot_reliability`."""
        from calkit.plotting.grid import plot_reliability

        named = dict(displays)
        return plot_reliability(named, title=title, n_columns=n_columns, overlay=overlay, style=style, size=size)
