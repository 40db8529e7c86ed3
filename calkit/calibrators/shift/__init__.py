"""Calibration without labels, or for classes of other frequencies."""

from calkit.calibrators.shift.prior import PriorCorrection
from calkit.calibrators.shift.teacher import TeacherTemperature

__all__ = ["PriorCorrection", "TeacherTemperature"]
