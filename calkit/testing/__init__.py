"""Checks that a package which adds to calkit can run on what it adds."""

from calkit.testing.calibrators import CALIBRATOR_LAWS, check_calibrator
from calkit.testing.formats import FORMAT_LAWS, check_format
from calkit.testing.metrics import METRIC_LAWS, check_metric
from calkit.testing.plots import PLOT_LAWS, check_plot

__all__ = [
    "CALIBRATOR_LAWS",
    "FORMAT_LAWS",
    "METRIC_LAWS",
    "PLOT_LAWS",
    "check_calibrator",
    "check_format",
    "check_metric",
    "check_plot",
]
