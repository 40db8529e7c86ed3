"""Metrics: pure functions of summaries, each also a plain function of ``(y_true, y_proba)``."""

from calkit.metrics.base import METRICS, Metric, available_metrics, get_metric
from calkit.metrics.binned import adaece, ece, mce
from calkit.metrics.classwise import classwise_ece
from calkit.metrics.scores import accuracy, brier, error, nll
from calkit.metrics.smooth import smece
from calkit.metrics.tails import HighConfidence, high_confidence, s99, s99_accuracy

__all__ = [
    "METRICS",
    "HighConfidence",
    "Metric",
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
    "nll",
    "s99",
    "s99_accuracy",
    "smece",
]
