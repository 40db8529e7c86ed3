"""Statistics that add up: what is counted in one pass over the rows, and how it is added.

A *statistic* turns a block of rows into a small *summary*; summaries add with ``+``. Metrics are pure functions of
summaries (:mod:`calkit.metrics`), so arrays in memory, files and streams differ only in who adds.
"""

from calkit.stats.base import Statistic, Summary, TreeSum, summarize
from calkit.stats.binning import bin_index, uniform_edges
from calkit.stats.bins import BinSums, UniformBins
from calkit.stats.classwise import ClasswiseBins
from calkit.stats.groups import Grouped, Groups, GroupSums
from calkit.stats.means import RowMean, WeightedTotal
from calkit.stats.nll import LogitGap, NllDerivatives, NllModel, nll_derivatives
from calkit.stats.pairs import ConfidencePairs, Pairs
from calkit.stats.rescaled import RescaledConfidence, RescaledTotals
from calkit.stats.rows import Rows, Workspace
from calkit.stats.scaled import Scaled
from calkit.stats.smoothing import ResidualGrid, Residuals
from calkit.stats.tails import Tail, TailSums

__all__ = [
    "BinSums",
    "ClasswiseBins",
    "ConfidencePairs",
    "GroupSums",
    "Grouped",
    "Groups",
    "LogitGap",
    "NllDerivatives",
    "NllModel",
    "Pairs",
    "RescaledConfidence",
    "RescaledTotals",
    "ResidualGrid",
    "Residuals",
    "RowMean",
    "Rows",
    "Scaled",
    "Statistic",
    "Summary",
    "Tail",
    "TailSums",
    "TreeSum",
    "UniformBins",
    "WeightedTotal",
    "Workspace",
    "bin_index",
    "nll_derivatives",
    "summarize",
    "uniform_edges",
]
