"""Checks that a package which adds to calkit can run on what it adds."""

from calkit.testing.calibrators import CALIBRATOR_LAWS, check_calibrator

__all__ = ["CALIBRATOR_LAWS", "check_calibrator"]
