"""Curves over the rows ranked by confidence: risk against coverage, and the confident share with its accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from calkit.curves import HighConfidenceCurve, RiskCoverageCurve, high_confidence_curve, one_view
from calkit.plotting.base import PLOTS, CurveDisplay
from calkit.plotting.shared import DisplayArguments, DrawingArguments, counts_predictions, drawn, draws, taken
from calkit.plotting.style import COLOURS, MARKERS, foreground, line_style, wrapped
from calkit.stats import View
from calkit.stats.views import Positive

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["HighConfidenceDisplay", "RiskCoverageDisplay", "thinned"]

# Points of a curve that are drawn at most.
_POINTS = 2000
# Curves of fewer points have markers.
_MARKED = 12


def thinned(n: int) -> NDArray[np.intp]:
    """Return which of n points to draw: all of few, else some that are evenly spread and both ends."""
    return np.unique(np.linspace(0, n - 1, min(n, _POINTS)).astype(np.intp))


class _RankedDisplay(CurveDisplay):
    """A curve over thresholds of confidence.

    Parameters
    ----------
    threshold : ndarray of shape (m,)
        Confidences that occur, falling.
    coverage : ndarray of shape (m,)
        Share of the (weighted) samples of at least that confidence, in (0, 1].
    accuracy : ndarray of shape (m,)
        Accuracy of those samples, in [0, 1].
    name : str, optional
        What the legend calls the model.
    """

    #: What the axes are called where the forecasts are those of one event.
    event_labels: ClassVar[tuple[str, str]]

    def __init__(
        self,
        threshold: NDArray[np.float64],
        coverage: NDArray[np.float64],
        accuracy: NDArray[np.float64],
        *,
        name: str | None = None,
    ) -> None:
        self.threshold = threshold
        self.coverage = coverage
        self.accuracy = accuracy
        self.name = name

    @classmethod
    @counts_predictions
    def from_predictions(
        cls,
        y_true: Any,
        y_proba: Any = None,
        *,
        target: str | View | None = None,
        **shared: Unpack[DisplayArguments],
    ) -> Self:
        """Rank predictions by confidence and draw the curve.

        Returns
        -------
        display
        """
        predictions, shown = taken(y_true, y_proba, shared)
        display = cls.from_curve(high_confidence_curve(predictions, target=target), plot=False)
        if isinstance(one_view(predictions, target), Positive):
            display.x_label, display.y_label = cls.event_labels
        return shown(display)

    @classmethod
    @draws
    def from_curve(
        cls,
        curve: HighConfidenceCurve | RiskCoverageCurve,
        **drawing: Unpack[DrawingArguments],
    ) -> Self:
        """Draw a curve that was computed elsewhere; ``from_pairs`` of its class takes summaries of parts of the rows.

        Parameters
        ----------
        curve : HighConfidenceCurve or RiskCoverageCurve
            From :mod:`calkit.curves`; both hold what either display needs.

        Returns
        -------
        display
        """
        display = cls(curve.threshold, curve.coverage, curve.accuracy)
        return drawn(display, drawing)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return threshold, coverage and accuracy as columns, one row per confidence that occurs."""
        return {"threshold": self.threshold, "coverage": self.coverage, "accuracy": self.accuracy}


@PLOTS.register("risk-coverage")
class RiskCoverageDisplay(_RankedDisplay):
    """Error among the most confident answers, against the share of samples that are answered.

    Made by :meth:`from_predictions`, :meth:`from_curve` or ``from_estimator``.

    Attributes
    ----------
    threshold, coverage, accuracy : ndarray of shape (m,)
    aurc : float
        Area under the curve; see the metric of that name.

    References
    ----------
    El-Yaniv & Wiener, "On the foundations of noise-free selective classification", JMLR 11, 2010.

    Examples
    --------
    >>> from calkit.plotting import RiskCoverageDisplay
    >>> display = RiskCoverageDisplay.from_predictions([0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], plot=False)
    >>> (1 - display.accuracy).round(3).tolist()
    [0.0, 0.0, 0.333]
    """

    x_label = "Coverage: % of samples answered"
    y_label = "Risk: % of them wrong"
    event_labels = ("Coverage: % of forecasts, most probable first", "Risk: % of them that did not come")

    def _draw(self, ax: Axes, index: int, curve_kwargs: Mapping[str, Any]) -> Any:
        at = thinned(len(self.threshold))
        style = {**line_style(index), **curve_kwargs}
        label = wrapped(self.name, 40) if self.name else "most confident first"
        # A line of few points is marked: it may be a single one.
        marker = {"marker": MARKERS[index % len(MARKERS)], "markersize": 5} if len(at) < _MARKED else {}
        risk = (1 - self.accuracy[at]) * 100
        (line,) = ax.plot(self.coverage[at] * 100, risk, label=label, clip_on=False, **{**marker, **style})
        ax.set_xlim(0, 100)
        ax.set_ylim(0, max(1.0, float(risk.max()) * 1.05, ax.get_ylim()[1] if index else 0.0))
        return line


@PLOTS.register("high-confidence")
class HighConfidenceDisplay(_RankedDisplay):
    """Share and accuracy of the samples whose confidence is at least a threshold: S99 for every threshold.

    The accuracy of a calibrated model lies above the dotted diagonal everywhere. Made by :meth:`from_predictions`,
    :meth:`from_curve` or ``from_estimator``.

    Attributes
    ----------
    threshold, coverage, accuracy : ndarray of shape (m,)

    Examples
    --------
    >>> from calkit.plotting import HighConfidenceDisplay
    >>> display = HighConfidenceDisplay.from_predictions([0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], plot=False)
    >>> display.coverage.round(3).tolist()
    [0.333, 0.667, 1.0]
    """

    x_label = "Confidence of at least"
    y_label = "Share, accuracy %"
    event_labels = ("Probability of at least", "Share, observed frequency %")

    def _draw(self, ax: Axes, index: int, curve_kwargs: Mapping[str, Any]) -> Any:
        at = thinned(len(self.threshold))
        style = {"color": COLOURS[index % len(COLOURS)], "linewidth": 1.6, **curve_kwargs}
        name = f"{wrapped(self.name, 34)}: " if self.name else ""
        noun = "frequency" if self.y_label == self.event_labels[1] else "accuracy"
        if not index:
            diagonal: dict[str, Any] = {"color": foreground(), "linewidth": 1, "linestyle": (0, (1, 2))}
            ax.plot([0, 1], [0, 100], label=f"{noun} = threshold", **diagonal)
        left = min(0.5, float(self.threshold[-1]))
        if self.threshold[0] <= left:
            # Rows of one confidence make a step, too.
            left = max(0.0, left - 0.05)
        threshold, coverage, accuracy = (
            np.append(values[at], last)
            for values, last in ((self.threshold, left), (self.coverage, 1.0), (self.accuracy, self.accuracy[-1]))
        )
        ax.step(
            threshold,
            coverage * 100,
            where="post",
            linestyle=(0, (4, 2)),
            label=f"{name}share",
            **style,
        )
        (line,) = ax.step(threshold, accuracy * 100, where="post", label=f"{name}{noun}", clip_on=False, **style)
        ax.set(xlim=(min(left, ax.get_xlim()[0] if index else left), 1), ylim=(0, 102))
        return line
