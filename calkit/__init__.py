"""calkit: measure, show and improve the calibration of classifiers.

The names below load on first use, so that ``import calkit`` costs next to nothing: scikit-learn comes with the first
calibrator, matplotlib with the first plot.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from calkit._version import __version__

if TYPE_CHECKING:
    from calkit import (
        calibrators,
        datasets,
        errors,
        executors,
        io,
        metrics,
        plotting,
        scorers,
        stats,
        theory,
    )
    from calkit.calibrators import CalibratedClassifier, TemperatureScaling, load_calibrator, save_calibrator
    from calkit.comparison import Comparison, compare
    from calkit.evaluation import Evaluation, evaluate
    from calkit.io import load_predictions, save_predictions
    from calkit.metrics import accuracy, adaece, brier, classwise_ece, ece, error, high_confidence, mce, nll, smece
    from calkit.plotting import ReliabilityDisplay
    from calkit.predictions import Predictions
    from calkit.shards import Shards
    from calkit.significance import calibration_tests
    from calkit.streaming import StreamingEvaluation

_SUBMODULES = (
    "calibrators",
    "curves",
    "datasets",
    "errors",
    "executors",
    "io",
    "metrics",
    "plotting",
    "scorers",
    "stats",
    "theory",
)
_HOMES = {
    "CalibratedClassifier": "calibrators",
    "Comparison": "comparison",
    "Evaluation": "evaluation",
    "Predictions": "predictions",
    "ReliabilityDisplay": "plotting",
    "Shards": "shards",
    "StreamingEvaluation": "streaming",
    "TemperatureScaling": "calibrators",
    "accuracy": "metrics",
    "adaece": "metrics",
    "brier": "metrics",
    "calibration_tests": "significance",
    "classwise_ece": "metrics",
    "compare": "comparison",
    "ece": "metrics",
    "error": "metrics",
    "evaluate": "evaluation",
    "high_confidence": "metrics",
    "load_calibrator": "calibrators",
    "load_predictions": "io",
    "mce": "metrics",
    "nll": "metrics",
    "save_calibrator": "calibrators",
    "save_predictions": "io",
    "smece": "metrics",
}

__all__ = [
    "CalibratedClassifier",
    "Comparison",
    "Evaluation",
    "Predictions",
    "ReliabilityDisplay",
    "Shards",
    "StreamingEvaluation",
    "TemperatureScaling",
    "__version__",
    "accuracy",
    "adaece",
    "brier",
    "calibration_tests",
    "calibrators",
    "classwise_ece",
    "compare",
    "curves",
    "datasets",
    "ece",
    "error",
    "errors",
    "evaluate",
    "executors",
    "high_confidence",
    "io",
    "load_calibrator",
    "load_predictions",
    "mce",
    "metrics",
    "nll",
    "plotting",
    "save_calibrator",
    "save_predictions",
    "scorers",
    "smece",
    "stats",
    "theory",
]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"calkit.{name}")
    if name in _HOMES:
        value = getattr(importlib.import_module(f"calkit.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'calkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
