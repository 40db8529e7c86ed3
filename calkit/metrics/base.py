"""What a metric is, where metrics are registered, and how one is computed from arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from calkit.errors import InputError, UsageError
from calkit.metrics.intervals import IntervalMethod
from calkit.predictions import Kind, Predictions
from calkit.registry import Registry
from calkit.specs import call_with_spec, parse_spec
from calkit.stats import Statistic, summarize

__all__ = ["METRICS", "Metric", "as_predictions", "available_metrics", "compute", "get_metric"]


@dataclass(frozen=True)
class Metric:
    """A number that is a pure function of one summary.

    Attributes
    ----------
    name : str
        The registered word: ``"ece"``.
    title : str
        For headings: ``"ECE"``.
    statistic : Statistic
        What is counted.
    finish : callable
        Turns the summary of `statistic` into the value.
    higher_is_better : bool
    bounds : tuple of float
        Smallest and largest possible value.
    percent : bool
        Whether tables show it times 100, with % in the heading. The value itself is always a fraction.
    bounded_by_gap : bool
        Whether the value is never less than ``|mean confidence - accuracy|``, which lets a search over temperatures
        skip most of them.
    reference : str
        Where the metric is defined.
    parameters : dict
        The parameters that differ from the defaults.
    interval : IntervalMethod, optional
        How its uncertainty is found; None where that has no meaning.
    """

    name: str
    title: str
    statistic: Statistic[Any]
    finish: Callable[[Any], float]
    higher_is_better: bool = False
    bounds: tuple[float, float] = (0.0, 1.0)
    percent: bool = True
    bounded_by_gap: bool = False
    reference: str = ""
    parameters: dict[str, Any] = field(default_factory=dict, hash=False)
    interval: IntervalMethod | None = field(default=None, compare=False)

    @property
    def spec(self) -> str:
        """The string that stands for this metric: its name and the parameters that differ from the defaults."""
        words = ",".join(f"{key}={value}" for key, value in self.parameters.items())
        return f"{self.name}:{words}" if words else self.name

    @property
    def heading(self) -> str:
        """Title with the parameters, and the unit where values are shown in percent."""
        words = ", ".join(f"{key}={value}" for key, value in self.parameters.items())
        return self.title + (f" ({words})" if words else "") + (" %" if self.percent else "")

    @property
    def needs_distribution(self) -> bool:
        """Whether the scores of all classes are needed, not only confidence and correctness."""
        return self.statistic.needs_distribution

    def format(self, value: float, decimals: int | None = None) -> str:
        """Return the value as tables show it: in percent with 2 decimals, or as it is with 4; a dash for NaN."""
        if math.isnan(value):
            return "–"
        digits = decimals if decimals is not None else (2 if self.percent else 4)
        return f"{value * 100 if self.percent else value:.{digits}f}"


#: Factories of metrics by name; each returns a :class:`Metric` for its parameters.
METRICS: Registry[Callable[..., Metric]] = Registry("metric")


def available_metrics() -> list[str]:
    """Return the names of all metrics.

    Examples
    --------
    >>> from calkit.metrics import available_metrics
    >>> "ece" in available_metrics()
    True
    """
    return list(METRICS)


def get_metric(metric: str | Metric) -> Metric:
    """Return the metric a string stands for.

    Parameters
    ----------
    metric : str or Metric
        A name, with parameters after a colon if any: ``"ece"``, ``"ece:n_bins=25"``. A Metric is returned as it is.

    Returns
    -------
    Metric

    Raises
    ------
    NotFoundError
        If no metric has that name.
    UsageError
        If a parameter is unknown or impossible.

    Examples
    --------
    >>> from calkit.metrics import get_metric
    >>> get_metric("ece:n_bins=25").spec
    'ece:n_bins=25'
    """
    if isinstance(metric, Metric):
        return metric
    spec = parse_spec(metric)
    try:
        return call_with_spec(METRICS[spec.name], spec, "metric")
    except InputError as error:
        raise UsageError(f"metric {metric!r}: {error}") from None


def compute(metric: Metric, predictions: Predictions) -> float:
    """Return the value of one metric."""
    return metric.finish(summarize(predictions, [metric.statistic])[metric.statistic])


def as_predictions(y_true: Any, y_proba: Any, from_logits: bool, sample_weight: Any, class_names: Any) -> Predictions:
    """Build predictions from the arguments that all metric functions share."""
    kind: Kind = "logits" if from_logits else "probs"
    return Predictions(y_proba, y_true, kind=kind, sample_weight=sample_weight, class_names=class_names)
