"""Statistics that add up: what is counted in one pass over the rows, and how it is added.

A *view* picks the forecasts of a row, a *statistic* turns those of a block of rows into a small *summary*; summaries
add with ``+``. Metrics are pure functions of summaries (:mod:`calkit.metrics`), so arrays in memory, files and streams
differ only in how they are read.
"""

from calkit.executors import PairwiseSum
from calkit.stats.binning import bin_index, uniform_edges
from calkit.stats.bins import BinSums, UniformBins
from calkit.stats.classwise import ClasswiseBins
from calkit.stats.folds import Folds, FoldSums
from calkit.stats.forecasts import Forecasts
from calkit.stats.means import RowMean, WeightedTotal
from calkit.stats.nll import LogitGap, NllDerivatives, NllModel, nll_derivatives
from calkit.stats.pairs import ConfidencePairs, Pairs
from calkit.stats.parts import Parts
from calkit.stats.passes import Summaries, summarize
from calkit.stats.ranks import EqualMass
from calkit.stats.rescaled import RescaledConfidence, RescaledTotals
from calkit.stats.rows import Rows, Workspace
from calkit.stats.smoothing import ResidualGrid, Residuals
from calkit.stats.split import By
from calkit.stats.statistic import Folded, ForecastStatistic, Statistic, Summary
from calkit.stats.tails import Tail, TailSums
from calkit.stats.targets import available_targets, default_view, get_view
from calkit.stats.transforms import At, Temperature, Transform
from calkit.stats.views import VIEWS, View
from calkit.stats.weights import SquaredWeights

__all__ = [
    "VIEWS",
    "At",
    "BinSums",
    "By",
    "ClasswiseBins",
    "ConfidencePairs",
    "EqualMass",
    "FoldSums",
    "Folded",
    "Folds",
    "ForecastStatistic",
    "Forecasts",
    "LogitGap",
    "NllDerivatives",
    "NllModel",
    "Pairs",
    "PairwiseSum",
    "Parts",
    "RescaledConfidence",
    "RescaledTotals",
    "ResidualGrid",
    "Residuals",
    "RowMean",
    "Rows",
    "SquaredWeights",
    "Statistic",
    "Summaries",
    "Summary",
    "Tail",
    "TailSums",
    "Temperature",
    "Transform",
    "UniformBins",
    "View",
    "WeightedTotal",
    "Workspace",
    "available_targets",
    "bin_index",
    "default_view",
    "get_view",
    "nll_derivatives",
    "summarize",
    "uniform_edges",
]
