"""Calibrators made of others, and classifiers made of a classifier and a calibrator."""

from calkit.calibrators.composed.by_column import ByColumn
from calkit.calibrators.composed.one_vs_rest import OneVsRest
from calkit.calibrators.composed.top_label import TopLabel

__all__ = ["ByColumn", "OneVsRest", "TopLabel"]
