"""Reliability diagrams: accuracy against confidence, with the share of the samples in each bin below."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from calkit.errors import InputError
from calkit.metrics.base import as_predictions
from calkit.metrics.binned import expected_gap, get_binning
from calkit.predictions import Predictions
from calkit.stats import BinSums, summarize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ReliabilityDisplay", "plot_reliability"]

# Colours that stay apart for the colour-blind and in grey.
_ACCURACY = "#4878a8"
_OVER = "#f0a8a0"
_UNDER = "#f2cc72"
_LINE = "#c8504a"
_SHARE = "#b5bcc8"
_EDGE = "#1c3d5e"

# So many diagrams stand in a row.
_COLUMNS = 4

# Bins of equal mass can be as narrow as a point; their bars are not.
_LEAST_WIDTH = 0.004

# Legends and notes stay legible where bars reach below them.
_LEGEND: dict[str, Any] = {"loc": "upper left", "fontsize": "small", "framealpha": 0.85, "edgecolor": "none"}
_NOTE: dict[str, Any] = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}


class ReliabilityDisplay:
    """Reliability diagram of one set of predictions.

    Make one with :meth:`from_predictions`, :meth:`from_estimator` or :meth:`from_bins`.

    Parameters
    ----------
    bins : BinSums
        Sums over bins of confidence, one row of bins.
    name : str, optional
        Title of the diagram.

    Attributes
    ----------
    bins : BinSums
    name : str or None
    ax_ : matplotlib Axes
        The reliability diagram, after :meth:`plot`.
    share_ax_ : matplotlib Axes
        The shares below it, after :meth:`plot`.
    figure_ : matplotlib Figure
        After :meth:`plot`.

    Examples
    --------
    >>> from calkit import ReliabilityDisplay
    >>> from calkit.datasets import load_digits_logits
    >>> test = load_digits_logits("test")
    >>> display = ReliabilityDisplay.from_predictions(test.y_true, test.scores, from_logits=True, plot=False)
    >>> round(display.ece, 3)
    0.13
    """

    def __init__(self, bins: BinSums, *, name: str | None = None) -> None:
        if bins.count.ndim != 1:
            raise InputError(f"bins must be one row of bins, but have shape {bins.count.shape}.")
        self.bins = bins
        self.name = name

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_proba: Any = None,
        *,
        n_bins: int = 15,
        binning: str = "uniform",
        from_logits: bool = False,
        sample_weight: Any = None,
        class_names: Any = None,
        name: str | None = None,
        ax: Axes | None = None,
        plot: bool = True,
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
        from_logits : bool, default=False
            Whether `y_proba` holds logits.
        sample_weight : array-like of shape (n,), optional
            Weights.
        class_names : sequence of str, optional
            The class each column stands for, where `y_true` holds strings.
        name : str, optional
            Title.
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.
        plot : bool, default=True
            Whether to draw now.

        Returns
        -------
        ReliabilityDisplay

        Raises
        ------
        InputError
            If the arrays do not fit each other, hold impossible values or are empty.
        """
        if isinstance(y_true, Predictions):
            if y_proba is not None:
                raise InputError("y_proba must be left out when the first argument is a Predictions.")
            predictions = y_true
        else:
            predictions = as_predictions(y_true, y_proba, from_logits, sample_weight, class_names)
        how = get_binning(binning, n_bins)
        if not how.covers_all:
            raise InputError(f"binning {binning!r} drops samples, so it cannot be drawn; use 'uniform' or 'quantile'.")
        bins = how.to_bins(summarize(predictions, [how.statistic])[how.statistic])
        display = cls(bins, name=name)
        return display.plot(ax) if plot else display

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any, *, name: str | None = None, **kwargs: Any) -> Any:
        """Draw the diagram of a fitted classifier with ``predict_proba`` (any of scikit-learn's, or a calibrator).

        Parameters
        ----------
        estimator : classifier
            Fitted; its ``classes_`` are the classes of its columns.
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
            True classes, as the estimator knows them.
        name : str, optional
            Title; by default the estimator's class.
        **kwargs
            `n_bins`, `binning`, `sample_weight`, `ax`, `plot`, as for :meth:`from_predictions`.

        Returns
        -------
        ReliabilityDisplay

        Raises
        ------
        InputError
            If the estimator has no ``predict_proba``, or `y` holds a class it does not know.
        """
        if not hasattr(estimator, "predict_proba"):
            raise InputError(f"{type(estimator).__name__} has no predict_proba; fit one that gives probabilities.")
        labels, classes = np.asarray(y), np.asarray(estimator.classes_)
        column = {value: i for i, value in enumerate(classes.tolist())}
        unknown = [value for value in labels.tolist() if value not in column]
        if unknown:
            raise InputError(f"y holds {unknown[0]!r}, which is not one of the estimator's classes {classes.tolist()}.")
        y_true = np.array([column[value] for value in labels.tolist()])
        title = type(estimator).__name__ if name is None else name
        return cls.from_predictions(y_true, estimator.predict_proba(X), name=title, **kwargs)

    @classmethod
    def from_bins(
        cls, bins: BinSums, *, name: str | None = None, ax: Axes | None = None, plot: bool = True
    ) -> ReliabilityDisplay:
        """Draw sums over bins that were counted elsewhere: on another machine, or over a stream.

        Parameters
        ----------
        bins : BinSums
        name : str, optional
            Title.
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.
        plot : bool, default=True
            Whether to draw now.

        Returns
        -------
        ReliabilityDisplay
        """
        display = cls(bins, name=name)
        return display.plot(ax) if plot else display

    @property
    def ece(self) -> float:
        """Expected calibration error over the bins shown."""
        return expected_gap(self.bins)

    def plot(self, ax: Axes | None = None, *, share_ax: Axes | None = None) -> ReliabilityDisplay:
        """Draw the diagram, and the shares of the samples below it.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure. The shares go below, in space taken from `ax`.
        share_ax : matplotlib Axes, optional
            Where to draw the shares instead.

        Returns
        -------
        ReliabilityDisplay
            Itself, with `ax_`, `share_ax_` and `figure_` set.
        """
        if ax is None:
            from matplotlib import pyplot as plt

            _, (ax, share_ax) = plt.subplots(
                2, 1, figsize=(4.8, 5.8), height_ratios=(3, 1), sharex=True, layout="constrained"
            )
        elif share_ax is None:
            from mpl_toolkits.axes_grid1 import make_axes_locatable

            share_ax = make_axes_locatable(ax).append_axes("bottom", size="33%", pad=0.12, sharex=ax)
        self.ax_, self.share_ax_, self.figure_ = ax, share_ax, ax.figure
        self._draw_accuracy(ax)
        self._draw_shares(share_ax)
        return self

    def _draw_accuracy(self, ax: Axes) -> None:
        left, width = self._spans()
        filled = self.bins.weight > 0
        accuracy, confidence = self.bins.accuracy[filled], self.bins.mean_confidence[filled]
        ax.plot([0, 1], [0, 1], color="0.25", linewidth=1, linestyle=(0, (4, 3)), zorder=3)
        zero, shared = np.zeros_like(accuracy), np.minimum(accuracy, confidence)
        for bottom, top, colour, label in (
            (zero, shared, _ACCURACY, "accuracy"),
            (shared, confidence, _OVER, "over-confident by"),
            (shared, accuracy, _UNDER, "under-confident by"),
        ):
            ax.bar(
                left,
                top - bottom,
                width,
                bottom=bottom,
                align="edge",
                color=colour,
                edgecolor="white",
                linewidth=self._borders(),
                label=label,
            )
        ax.hlines(accuracy, left, left + width, color=_EDGE, linewidth=1.6, zorder=2.5)
        ax.set(xlim=(0, 1), ylim=(0, 1), ylabel="Accuracy")
        if self.name:
            ax.set_title(self.name)
        ax.tick_params(labelbottom=False)
        ax.legend(**_LEGEND)
        style: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": "small", "bbox": _NOTE, "zorder": 4}
        n_bins, measure = self.bins.n_bins, "ECE" if self.bins.lower is None else "AdaECE"
        bins = f"{n_bins} bin{'s' * (n_bins > 1)}"
        note = f"{measure} {self.ece * 100:.2f} %\n{bins}, n = {int(self.bins.count.sum()):,}"
        ax.text(0.97, 0.03, note, transform=ax.transAxes, **style)

    def _draw_shares(self, ax: Axes) -> None:
        bins = self.bins
        left, width = self._spans()
        share = bins.share[bins.weight > 0] * 100
        ax.bar(left, share, width, align="edge", color=_SHARE, edgecolor="white", linewidth=self._borders())
        total = float(bins.total_weight)
        accuracy, confidence = float(bins.correct.sum()) / total, float(bins.confidence.sum()) / total
        ax.axvline(accuracy, color=_ACCURACY, linewidth=1.6, label=f"accuracy {accuracy * 100:.2f} %")
        mean = f"mean confidence {confidence * 100:.2f} %"
        ax.axvline(confidence, color=_LINE, linestyle="--", linewidth=1.6, label=mean)
        ax.set(xlim=(0, 1), ylim=(0, max(1.0, float(share.max()) * 1.1)), xlabel="Confidence", ylabel="% of samples")
        ax.legend(**_LEGEND)

    def _spans(self) -> tuple[Any, Any]:
        """Return left edges and widths of the bins that hold samples; bins of one value stay visible."""
        lower, upper = self.bins.edges
        filled = self.bins.weight > 0
        return lower[filled], np.maximum((upper - lower)[filled], _LEAST_WIDTH)

    def _borders(self) -> Any:
        """Return the line width of the bars' borders: none where they would cover the bar."""
        _, width = self._spans()
        return np.where(width > 4 * _LEAST_WIDTH, 0.6, 0.0)


def plot_reliability(
    displays: Mapping[str, ReliabilityDisplay] | list[ReliabilityDisplay],
    *,
    title: str | None = None,
    n_columns: int = _COLUMNS,
) -> Figure:
    """Draw several reliability diagrams side by side, before and after scaling for instance.

    Parameters
    ----------
    displays : mapping of str to ReliabilityDisplay, or list of ReliabilityDisplay
        The keys, if any, are the titles.
    title : str, optional
        Title of the figure.
    n_columns : int, default=4
        So many diagrams, at most, stand in a row.

    Returns
    -------
    matplotlib Figure
        Not registered with pyplot, so nothing has to be closed; ``figure.savefig(path)`` writes it.

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
    from matplotlib.figure import Figure

    named = list(displays.items()) if isinstance(displays, Mapping) else [(d.name or "", d) for d in displays]
    if not named:
        raise InputError("displays is empty: pass at least one ReliabilityDisplay.")
    if n_columns < 1:
        raise InputError(f"n_columns must be at least 1, but is {n_columns}.")
    n_columns = min(len(named), n_columns)
    n_rows = math.ceil(len(named) / n_columns)
    figure = Figure(figsize=(4.6 * n_columns, 5.8 * n_rows), layout="constrained")
    axes = figure.subplots(2 * n_rows, n_columns, squeeze=False, height_ratios=(3, 1) * n_rows)
    tallest = 0.0
    for place, (name, display) in enumerate(named):
        row, column = divmod(place, n_columns)
        above, below = axes[2 * row, column], axes[2 * row + 1, column]
        display.plot(above, share_ax=below)
        above.set_title(name)
        tallest = max(tallest, below.get_ylim()[1])
        if column:
            above.set_ylabel("")
            below.set_ylabel("")
            above.get_legend().remove()
    for place in range(len(named)):
        row, column = divmod(place, n_columns)
        axes[2 * row + 1, column].set_ylim(0, tallest)
    for blank in axes.reshape(n_rows, 2, n_columns).swapaxes(1, 2).reshape(-1, 2)[len(named) :].ravel():
        figure.delaxes(blank)
    if title:
        figure.suptitle(title)
    return figure
