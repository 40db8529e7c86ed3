"""Calibrators: scikit-learn estimators that take logits and give calibrated probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from calkit.calibrators.base import Calibrator
from calkit.calibrators.binning import (
    BayesianBinning,
    CdfSpline,
    CentredIsotonic,
    HistogramBinning,
    Isotonic,
    MonotoneSpline,
    NearIsotonic,
    OneVsOneVennAbers,
    ScalingBinning,
    TopLabelHistogram,
    VennAbers,
)
from calkit.calibrators.choice import (
    AutoCalibrator,
    CalibratorBenchmark,
    CandidateScore,
    Identity,
    Selection,
    bench_calibrators,
    select_calibrator,
)
from calkit.calibrators.composed import ByColumn, OneVsRest, TopLabel
from calkit.calibrators.description import Curve, Description, FittedValue
from calkit.calibrators.parametric import (
    AdaptiveTemperatureScaling,
    AffineScaling,
    BetaCalibration,
    BiasCorrectedTemperatureScaling,
    ClassTemperatureScaling,
    DirichletCalibration,
    EnsembleTemperatureScaling,
    FocalMap,
    MatrixScaling,
    NoBiasVectorScaling,
    PlattScaling,
    QuadraticScaling,
    StructuredMatrixScaling,
    StructuredVectorScaling,
    VectorScaling,
)
from calkit.calibrators.persistence import load_calibrator, save_calibrator
from calkit.calibrators.registration import (
    CALIBRATORS,
    available_calibrators,
    get_calibrator,
    register_calibrator,
)
from calkit.calibrators.shift import PriorCorrection, TeacherTemperature
from calkit.calibrators.temperature import TemperatureScaling, temperature_curve

if TYPE_CHECKING:
    from calkit.calibrators.composed.classifier import CalibratedClassifier

__all__ = [
    "CALIBRATORS",
    "AdaptiveTemperatureScaling",
    "AffineScaling",
    "AutoCalibrator",
    "BayesianBinning",
    "BetaCalibration",
    "BiasCorrectedTemperatureScaling",
    "ByColumn",
    "CalibratedClassifier",
    "Calibrator",
    "CalibratorBenchmark",
    "CandidateScore",
    "CdfSpline",
    "CentredIsotonic",
    "ClassTemperatureScaling",
    "Curve",
    "Description",
    "DirichletCalibration",
    "EnsembleTemperatureScaling",
    "FittedValue",
    "FocalMap",
    "HistogramBinning",
    "Identity",
    "Isotonic",
    "MatrixScaling",
    "MonotoneSpline",
    "NearIsotonic",
    "NoBiasVectorScaling",
    "OneVsOneVennAbers",
    "OneVsRest",
    "PlattScaling",
    "PriorCorrection",
    "QuadraticScaling",
    "ScalingBinning",
    "Selection",
    "StructuredMatrixScaling",
    "StructuredVectorScaling",
    "TeacherTemperature",
    "TemperatureScaling",
    "TopLabel",
    "TopLabelHistogram",
    "VectorScaling",
    "VennAbers",
    "available_calibrators",
    "bench_calibrators",
    "get_calibrator",
    "load_calibrator",
    "register_calibrator",
    "save_calibrator",
    "select_calibrator",
    "temperature_curve",
]


def __getattr__(name: str) -> Any:
    # It brings scikit-learn's model selection, which takes as long to import as all the rest.
    if name == "CalibratedClassifier":
        from calkit.calibrators.composed.classifier import CalibratedClassifier

        return CalibratedClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
