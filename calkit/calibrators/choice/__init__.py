"""Choosing among calibrators: one that does no harm, and a table to choose from."""

from calkit.calibrators.choice.auto import AutoCalibrator
from calkit.calibrators.choice.benchmark import CalibratorBenchmark, bench_calibrators
from calkit.calibrators.choice.identity import Identity
from calkit.calibrators.choice.selection import CandidateScore, Selection, select_calibrator

__all__ = [
    "AutoCalibrator",
    "CalibratorBenchmark",
    "CandidateScore",
    "Identity",
    "Selection",
    "bench_calibrators",
    "select_calibrator",
]
