"""Calibrators: scikit-learn estimators that take logits and give calibrated probabilities."""

from calkit.calibrators.base import Calibrator
from calkit.calibrators.binning import (
    BayesianBinning,
    CdfSpline,
    CentredIsotonic,
    HistogramBinning,
    Isotonic,
    MonotoneSpline,
    NearIsotonic,
    ScalingBinning,
    TopLabelHistogram,
    VennAbers,
)
from calkit.calibrators.description import Curve, Description, FittedValue
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
    "BayesianBinning",
    "Calibrator",
    "CdfSpline",
    "CentredIsotonic",
    "Curve",
    "Description",
    "FittedValue",
    "HistogramBinning",
    "Isotonic",
    "MonotoneSpline",
    "NearIsotonic",
    "ScalingBinning",
    "TemperatureScaling",
    "TopLabelHistogram",
    "VennAbers",
    "available_calibrators",
    "get_calibrator",
    "load_calibrator",
    "register_calibrator",
    "save_calibrator",
    "temperature_curve",
]
