"""Calibrators: scikit-learn estimators that take logits and give probabilities that can be believed."""

from calkit.calibrators.base import CALIBRATORS, Calibrator, available_calibrators, get_calibrator
from calkit.calibrators.persistence import load_calibrator, save_calibrator
from calkit.calibrators.temperature import TemperatureScaling, temperature_curve

__all__ = [
    "CALIBRATORS",
    "Calibrator",
    "TemperatureScaling",
    "available_calibrators",
    "get_calibrator",
    "load_calibrator",
    "save_calibrator",
    "temperature_curve",
]
