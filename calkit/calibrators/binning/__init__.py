"""Calibrators that count: monotone maps and histograms, one class against the rest."""

from calkit.calibrators.binning.bbq import BayesianBinning
from calkit.calibrators.binning.cdf_spline import CdfSpline
from calkit.calibrators.binning.histogram import HistogramBinning
from calkit.calibrators.binning.isotonic import CentredIsotonic, Isotonic
from calkit.calibrators.binning.near_isotonic import NearIsotonic
from calkit.calibrators.binning.scaling_binning import ScalingBinning
from calkit.calibrators.binning.spline import MonotoneSpline
from calkit.calibrators.binning.top_label import TopLabelHistogram
from calkit.calibrators.binning.venn_abers import VennAbers, merge_intervals
from calkit.calibrators.binning.venn_abers_pairs import OneVsOneVennAbers

__all__ = [
    "BayesianBinning",
    "CdfSpline",
    "CentredIsotonic",
    "HistogramBinning",
    "Isotonic",
    "MonotoneSpline",
    "NearIsotonic",
    "OneVsOneVennAbers",
    "ScalingBinning",
    "TopLabelHistogram",
    "VennAbers",
    "merge_intervals",
]
