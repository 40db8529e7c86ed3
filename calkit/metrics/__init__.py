"""Metrics: pure functions of summaries, each also a plain function of ``(y_true, y_proba)``."""

from calkit.metrics.base import (
    METRICS,
    GroupedValue,
    Metric,
    MetricDefinition,
    Recipe,
    available_metrics,
    get_metric,
    metric,
)
from calkit.metrics.binned import adaece, classwise_ece, ece, mce
from calkit.metrics.scores import accuracy, brier, error, nll
from calkit.metrics.shared import SharedArguments
from calkit.metrics.smooth import smece
from calkit.metrics.tails import HighConfidence, high_confidence, s99, s99_accuracy

__all__ = [
    "METRICS",
    "GroupedValue",
    "HighConfidence",
    "Metric",
    "MetricDefinition",
    "Recipe",
    "SharedArguments",
    "accuracy",
    "adaece",
    "available_metrics",
    "brier",
    "classwise_ece",
    "ece",
    "error",
    "get_metric",
    "high_confidence",
    "mce",
    "metric",
    "nll",
    "s99",
    "s99_accuracy",
    "smece",
]
