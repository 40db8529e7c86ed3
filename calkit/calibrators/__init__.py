"""Calibrators: scikit-learn estimators that take logits and give calibrated probabilities."""

from calkit.calibrators.base import Calibrator
from calkit.calibrators.composed import ByColumn, CalibratedClassifier, OneVsRest, TopLabel
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
from calkit.calibrators.temperature import TemperatureScaling, temperature_curve

__all__ = [
    "CALIBRATORS",
    "AdaptiveTemperatureScaling",
    "AffineScaling",
    "BetaCalibration",
    "BiasCorrectedTemperatureScaling",
    "ByColumn",
    "CalibratedClassifier",
    "Calibrator",
    "ClassTemperatureScaling",
    "Curve",
    "Description",
    "DirichletCalibration",
    "EnsembleTemperatureScaling",
    "FittedValue",
    "FocalMap",
    "MatrixScaling",
    "NoBiasVectorScaling",
    "OneVsRest",
    "PlattScaling",
    "QuadraticScaling",
    "StructuredMatrixScaling",
    "StructuredVectorScaling",
    "TemperatureScaling",
    "TopLabel",
    "VectorScaling",
    "available_calibrators",
    "get_calibrator",
    "load_calibrator",
    "register_calibrator",
    "save_calibrator",
    "temperature_curve",
]
