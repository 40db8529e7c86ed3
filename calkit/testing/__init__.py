"""Checks that a package which adds to calkit can run on what it adds."""

from calkit.testing.calibrators import CALIBRATOR_LAWS, check_calibrator
from calkit.testing.metrics import METRIC_LAWS, check_metric

__all__ = ["CALIBRATOR_LAWS", "METRIC_LAWS", "check_calibrator", "check_metric"]
