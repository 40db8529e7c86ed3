"""Two metrics of many models against each other: accuracy and calibration error, say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np

from calkit.evaluation import Evaluation, evaluate
from calkit.metrics import Metric, get_metric
from calkit.plotting.base import PLOTS, CurveDisplay
from calkit.plotting.shared import DisplayArguments, DrawingArguments, counts_predictions, drawn, draws, taken
from calkit.plotting.style import curve_style, wrapped
from calkit.stats import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ScatterDisplay"]


@PLOTS.register("scatter")
class ScatterDisplay(CurveDisplay):
    """One metric of a model against another, with intervals; several models share the Axes.

    Made by :meth:`from_predictions`, :meth:`from_evaluation` or ``from_estimator``.

    Parameters
    ----------
    evaluation : Evaluation
        Of two metrics at least.
    metric, against : str
        Specs of the two metrics to show, up and across.
    name : str, optional
        What the legend calls the model.

    Attributes
    ----------
    evaluation : Evaluation
    metric, against : Metric

    Examples
    --------
    >>> import calkit
    >>> from calkit.datasets import load_digits_logits
    >>> from calkit.plotting import ScatterDisplay
    >>> evaluation = calkit.evaluate(load_digits_logits("test"), ["accuracy", "ece"], confidence_level=0.95)
    >>> display = ScatterDisplay.from_evaluation(evaluation, name="digits", plot=False)
    >>> [round(value, 3) for value in display.columns()["ece"]]
    [0.13]
    """

    def __init__(self, evaluation: Evaluation, metric: str, against: str, *, name: str | None = None) -> None:
        known = {metric.spec: metric for metric in evaluation.metrics}
        self.evaluation = evaluation
        self.metric, self.against = (known[evaluation.spec_of(get_metric(spec))] for spec in (metric, against))
        self.name = name
        self.x_label, self.y_label = self.against.heading, self.metric.heading

    @classmethod
    @draws
    def from_evaluation(
        cls,
        evaluation: Evaluation,
        *,
        metric: str = "ece",
        against: str = "accuracy",
        **drawing: Unpack[DrawingArguments],
    ) -> Self:
        """Show two metrics of an evaluation.

        Parameters
        ----------
        evaluation : Evaluation
            From :func:`calkit.evaluate`; with a `confidence_level`, intervals are drawn too.
        metric, against : str
            Specs of two of its metrics, to show up and across.

        Returns
        -------
        ScatterDisplay

        Raises
        ------
        NotFoundError
            If the evaluation has no such metric.
        """
        display = cls(evaluation, metric, against)
        return drawn(display, drawing)

    @classmethod
    @counts_predictions
    def from_predictions(
        cls,
        y_true: Any,
        y_proba: Any = None,
        *,
        metric: str = "ece",
        against: str = "accuracy",
        confidence_level: float | None = 0.95,
        target: str | View | None = None,
        **shared: Unpack[DisplayArguments],
    ) -> Self:
        """Compute two metrics and show them.

        Parameters
        ----------
        metric, against : str
            Specs of two metrics, to show up and across.
        confidence_level : float or None, default=0.95
            Of the intervals; None for none.

        Returns
        -------
        ScatterDisplay
        """
        predictions, shown = taken(y_true, y_proba, shared)
        found = evaluate(predictions, [metric, against], target=target, confidence_level=confidence_level, floors=False)
        # Metrics are bound to the predictions, and may have another spec then.
        return shown(cls(found, metric=found.metrics[0].spec, against=found.metrics[-1].spec))

    def columns(self) -> dict[str, list[float]]:
        """Return what is drawn as one row of columns: the two values, each with its lower and upper limit."""
        found: dict[str, list[float]] = {}
        for metric in (self.against, self.metric):
            for suffix, number in zip(("", "_low", "_high"), self._limits(metric), strict=True):
                found[f"{metric.spec}{suffix}"] = [number]
        return found

    def _limits(self, metric: Metric) -> tuple[float, float, float]:
        """Return value, lower and upper limit; NaN where there is no interval."""
        low, high = self.evaluation.judgement(metric.spec).interval or (math.nan, math.nan)
        return self.evaluation[metric.spec], low, high

    def _draw(self, ax: Axes, index: int, curve_kwargs: Mapping[str, Any]) -> Any:
        style = {**curve_style(index), "markersize": 7, "linewidth": 1.2, **curve_kwargs}
        ends = []
        for metric in (self.against, self.metric):
            value, low, high = np.array(self._limits(metric)) * (100 if metric.percent else 1)
            ends.append((value, None if math.isnan(low) else [[value - low], [high - value]]))
        (x, x_error), (y, y_error) = ends
        label = wrapped(self.name, 40) if self.name else f"n = {self.evaluation.n_samples:,}"
        bars = {"ecolor": style["color"], "elinewidth": style["linewidth"], "capsize": 2}
        container = ax.errorbar([x], [y], xerr=x_error, yerr=y_error, fmt="none", alpha=0.7, **bars)
        self.errorbar_ = container
        return ax.plot([x], [y], label=label, **{**style, "linestyle": "none"})[0]
