"""Parametric calibrators: maps of log-probabilities whose parameters minimise a regularised log-loss."""

from calkit.calibrators.parametric.adaptive_temperature import AdaptiveTemperatureScaling
from calkit.calibrators.parametric.bcts import BiasCorrectedTemperatureScaling
from calkit.calibrators.parametric.beta import BetaCalibration
from calkit.calibrators.parametric.class_temperature import ClassTemperatureScaling
from calkit.calibrators.parametric.dirichlet import DirichletCalibration
from calkit.calibrators.parametric.ets import EnsembleTemperatureScaling
from calkit.calibrators.parametric.focal_map import FocalMap
from calkit.calibrators.parametric.matrix import MatrixScaling
from calkit.calibrators.parametric.platt import AffineScaling, PlattScaling
from calkit.calibrators.parametric.quadratic import QuadraticScaling
from calkit.calibrators.parametric.sms import StructuredMatrixScaling
from calkit.calibrators.parametric.svs import StructuredVectorScaling
from calkit.calibrators.parametric.vector import NoBiasVectorScaling, VectorScaling

__all__ = [
    "AdaptiveTemperatureScaling",
    "AffineScaling",
    "BetaCalibration",
    "BiasCorrectedTemperatureScaling",
    "ClassTemperatureScaling",
    "DirichletCalibration",
    "EnsembleTemperatureScaling",
    "FocalMap",
    "MatrixScaling",
    "NoBiasVectorScaling",
    "PlattScaling",
    "QuadraticScaling",
    "StructuredMatrixScaling",
    "StructuredVectorScaling",
    "VectorScaling",
]
