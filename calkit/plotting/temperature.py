"""Metrics against the temperature, with the best one marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from calkit.metrics import Metric, get_metric
from calkit.plotting.base import PLOTS, CurveDisplay
from calkit.plotting.shared import DisplayArguments, DrawingArguments, counts_predictions, drawn, draws, taken
from calkit.plotting.style import MARKERS, foreground, line_style, wrapped
from calkit.registry import unknown_name
from calkit.stats import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["TemperatureDisplay"]

_FEWEST, _LOWEST, _HIGHEST = 61, 0.25, 4.0


@PLOTS.register("temperature")
class TemperatureDisplay(CurveDisplay):
    """A metric at every temperature of a grid; the best is marked.

    Made by :meth:`from_predictions`, :meth:`from_curve` or ``from_estimator``.

    Parameters
    ----------
    temperature : ndarray of shape (m,)
    values : ndarray of shape (m,)
        The metric at each, as a fraction.
    metric : Metric
    name : str, optional
        What the legend calls the model.

    Attributes
    ----------
    temperature, values : ndarray of shape (m,)
    metric : Metric
    best_temperature : float
        The smallest temperature of the grid with the best value.

    Examples
    --------
    >>> from calkit.datasets import load_digits_logits
    >>> from calkit.plotting import TemperatureDisplay
    >>> validation = load_digits_logits("validation")
    >>> display = TemperatureDisplay.from_predictions(validation, grid=[1.0, 2.5, 5.0], plot=False)
    >>> display.best_temperature
    2.5
    """

    x_label = "Temperature"

    def __init__(
        self, temperature: NDArray[np.float64], values: NDArray[np.float64], metric: Metric, *, name: str | None = None
    ) -> None:
        self.temperature = temperature
        self.values = values
        self.metric = metric
        self.name = name
        self.y_label = metric.heading

    @classmethod
    @counts_predictions
    def from_predictions(
        cls,
        y_true: Any,
        y_proba: Any = None,
        *,
        metric: str = "ece",
        grid: Sequence[float] | None = None,
        target: str | View | None = None,
        **shared: Unpack[DisplayArguments],
    ) -> Self:
        """Evaluate a metric at every temperature and draw it.

        Parameters
        ----------
        metric : str, default="ece"
            Any metric by its spec.
        grid : sequence of float, optional
            Temperatures, positive and rising; by default 61 from 1/4 to 4, evenly spaced in their logarithm.

        Returns
        -------
        TemperatureDisplay
        """
        from calkit.calibrators import temperature_curve

        predictions, shown = taken(y_true, y_proba, shared)
        chosen = get_metric(metric) if target is None else get_metric(metric).bind(predictions, target)
        temperatures = np.geomspace(_LOWEST, _HIGHEST, _FEWEST) if grid is None else grid
        curve = temperature_curve(predictions, [chosen], grid=temperatures)
        return shown(cls.from_curve(curve, metric=chosen, plot=False))

    @classmethod
    @draws
    def from_curve(
        cls,
        curve: Mapping[str, NDArray[np.float64]],
        *,
        metric: str | Metric = "ece",
        **drawing: Unpack[DrawingArguments],
    ) -> Self:
        """Draw values that were computed elsewhere.

        Parameters
        ----------
        curve : mapping of str to ndarray of shape (m,)
            From :func:`calkit.calibrators.temperature_curve`.
        metric : str or Metric, default="ece"
            Which of its metrics.

        Returns
        -------
        TemperatureDisplay

        Raises
        ------
        NotFoundError
            If the curve has no such metric.
        """
        chosen = get_metric(metric)
        if chosen.spec not in curve:
            raise unknown_name("metric", chosen.spec, [key for key in curve if key != "temperature"], of="the curve")
        display = cls(curve["temperature"], curve[chosen.spec], chosen)
        return drawn(display, drawing)

    @property
    def best_index(self) -> int:
        """Place of the best value in the grid."""
        return int(np.nanargmax(self.values) if self.metric.higher_is_better else np.nanargmin(self.values))

    @property
    def best_temperature(self) -> float:
        """The smallest temperature with the best value."""
        return float(self.temperature[self.best_index])

    @property
    def best_is_at_end(self) -> bool:
        """Whether the best value lies at an end of the grid, so that there may be better ones beyond."""
        return self.best_index in (0, len(self.values) - 1)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return temperatures and values as columns."""
        return {"temperature": self.temperature, self.metric.spec: self.values}

    def _draw(self, ax: Axes, index: int, curve_kwargs: Mapping[str, Any]) -> Any:
        scale = 100 if self.metric.percent else 1
        values = self.values * scale
        style = {**line_style(index), **curve_kwargs}
        best = self.best_index
        name = f"{wrapped(self.name, 30)}, " if self.name else ""
        value = self.metric.format(float(values[best]) / scale)
        found = f"{self.metric.title} {value}{' %' * self.metric.percent}"
        at = f"{name}best T = {self.best_temperature:.3g}{', the end of the grid' * self.best_is_at_end} ({found})"
        if np.ptp(values) == 0:
            # Rows of equal logits have no best temperature.
            at = f"{name}the same at every T ({found})"
        if not index:
            ax.axvline(1, color=foreground(), linewidth=1, linestyle=(0, (1, 2)), label="T = 1, unscaled")
        (line,) = ax.plot(self.temperature, values, **style)
        marker = {"marker": MARKERS[index % len(MARKERS)], "color": style["color"], "linestyle": style["linestyle"]}
        self.best_ = ax.plot(self.temperature[best], values[best], markersize=8, label=at, zorder=5, **marker)[0]
        ax.set_xscale("log")
        ticks = [t for t in (0.1, 0.2, 0.25, 0.5, 1, 2, 4, 5, 10) if self.temperature[0] <= t <= self.temperature[-1]]
        ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
        ax.minorticks_off()
        return line
