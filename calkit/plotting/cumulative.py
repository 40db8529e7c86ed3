"""The curve of summed residuals, with the band that a perfect model's curve stays in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from calkit.curves import CumulativeCurve, cumulative_curve
from calkit.inference.laws import largest_tail, quantile
from calkit.plotting.base import PLOTS, CurveDisplay
from calkit.plotting.ranked import thinned
from calkit.plotting.shared import DisplayArguments, DrawingArguments, counts_predictions, drawn, draws, taken
from calkit.plotting.style import foreground, line_style, wrapped
from calkit.stats import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CumulativeDisplay"]

_LEVEL = 0.95
# Shares of the forecasts at which the upper axis tells their probability.
_TICKS = (0, 20, 40, 60, 80, 100)


@PLOTS.register("cumulative")
class CumulativeDisplay(CurveDisplay):
    """Outcomes minus probabilities, summed from the least probable forecast on: S(q), without bins.

    The slope is the gap: the curve falls where probabilities are too high and rises where they are too low. Of a
    perfectly calibrated model the whole curve stays in the band 95 times out of 100; the largest distance from 0 is the
    metric ``ks``, and outside of the band its p-value is below 5 %. Made by :meth:`from_predictions`,
    :meth:`from_curve` or ``from_estimator``.

    Parameters
    ----------
    curve : CumulativeCurve
    name : str, optional
        What the legend calls the model.
    band : float, optional
        Half-width of the band; None for soft labels, whose noise the probabilities do not tell.

    Attributes
    ----------
    curve : CumulativeCurve
    band : float or None
    band_ : matplotlib artist or None
        After :meth:`plot`.

    References
    ----------
    Arrieta-Ibarra, Gujral, Tannen, Tygert & Xu, "Metrics of calibration for probabilistic predictions", JMLR 2022.

    Examples
    --------
    >>> from calkit.datasets import load_digits_logits
    >>> from calkit.plotting import CumulativeDisplay
    >>> display = CumulativeDisplay.from_predictions(load_digits_logits("test"), plot=False)
    >>> round(display.curve.ks, 4), round(display.band, 4)
    (0.1296, 0.0152)
    """

    x_label = "% of forecasts, least probable first"
    y_label = "S, % of all:\noutcomes − probabilities"

    def __init__(self, curve: CumulativeCurve, *, name: str | None = None, band: float | None = None) -> None:
        self.curve = curve
        self.name = name
        self.band = band

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
        """Sum the residuals of predictions and draw the curve.

        Returns
        -------
        CumulativeDisplay
        """
        predictions, shown = taken(y_true, y_proba, shared)
        curve = cumulative_curve(predictions, target=target)
        return shown(cls.from_curve(curve, band=predictions.votes is None, plot=False))

    @classmethod
    @draws
    def from_curve(
        cls,
        curve: CumulativeCurve,
        *,
        band: bool = True,
        **drawing: Unpack[DrawingArguments],
    ) -> Self:
        """Draw a curve that was computed elsewhere; ``from_pairs`` of its class takes summaries of parts of the rows.

        Parameters
        ----------
        curve : CumulativeCurve
            From :func:`calkit.curves.cumulative_curve`.
        band : bool, default=True
            Whether there is a band; of soft labels there must not be one.

        Returns
        -------
        CumulativeDisplay
        """
        width = quantile(largest_tail, 1 - _LEVEL) * curve.sd if band else None
        display = cls(curve, band=width)
        return drawn(display, drawing)

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Return probability, share of the forecasts, S and the limits of the band as columns."""
        band = np.full(len(self.curve.value), math.nan if self.band is None else self.band)
        return {**self.curve.columns(), "low": -band, "high": band}

    def _draw(self, ax: Axes, index: int, curve_kwargs: Mapping[str, Any]) -> Any:
        style = {**line_style(index), **curve_kwargs}
        value, share = (np.append(0, part) * 100 for part in (self.curve.value, self.curve.share))
        at = np.union1d(thinned(len(value)), [value.argmin(), value.argmax()])
        label = f"{wrapped(self.name, 30)}: KS" if self.name else "KS"
        (line,) = ax.plot(share[at], value[at], label=f"{label} {self.curve.ks * 100:.2f} %", clip_on=False, **style)
        if not index:
            ax.axhline(0, color=foreground(), linewidth=1, linestyle=(0, (1, 2)), zorder=1)
            ax.set_xlim(0, 100)
        self.band_ = self._draw_band(ax, index, style["color"])
        _upper_axis(ax, self.curve if not index else None)
        return line

    def _draw_band(self, ax: Axes, index: int, colour: Any) -> Any:
        if self.band is None:
            return None
        own = {"color": colour, "alpha": 0.15} if index else {"color": "#b5bcc8", "alpha": 0.5}
        label = None if index else f"{_LEVEL * 100:.0f} % of perfect models stay inside"
        # No curve leaves ±100 %.
        height = min(self.band, 1.0) * 100
        return ax.axhspan(-height, height, linewidth=0, zorder=0, label=label, **own)


def _short(probability: float) -> str:
    """Return a probability in few characters, since the ticks stand close."""
    if 0 < probability < 1e-4:
        return f"{probability:.0e}".replace("e-0", "e-")
    rest = 1 - probability
    if 0 < rest < 1e-4:
        return f"1−{rest:.0e}".replace("e-0", "e-")
    # 0.996 is not 1, nor is 0.9996.
    digits = 2 if probability < 0.1 else 4 if 0 < rest < 1e-3 else 3
    return f"{probability:.{digits}g}"


def _upper_axis(ax: Axes, curve: CumulativeCurve | None) -> None:
    """Tell the probabilities along the upper axis; of several curves, which have others, there is none."""
    for axis in list(ax.child_axes):
        axis.remove()
    if curve is None:
        return
    upper = ax.secondary_xaxis("top")
    places = np.searchsorted(curve.share * 100, np.array(_TICKS) - 1e-9)
    words = [_short(float(curve.probability[min(place, len(curve.share) - 1)])) for place in places]
    upper.set_xticks(_TICKS, labels=words)
    upper.set_xlabel("Their probability q")
