"""Plots: displays hold summaries, never raw rows; computing and drawing are apart."""

from calkit.plotting.base import OTHER_PLOTS, PLOTS, PredictionsDisplay, available_other_plots, available_plots
from calkit.plotting.confidence import ConfidenceDisplay
from calkit.plotting.cumulative import CumulativeDisplay
from calkit.plotting.forest import ForestDisplay
from calkit.plotting.gradient_norms import GradientNormsDisplay
from calkit.plotting.grid import plot_reliability
from calkit.plotting.history import HistoryDisplay, plot_history
from calkit.plotting.panels import available_panels
from calkit.plotting.ranked import HighConfidenceDisplay, RiskCoverageDisplay
from calkit.plotting.reliability import ReliabilityDisplay
from calkit.plotting.scatter import ScatterDisplay
from calkit.plotting.temperature import TemperatureDisplay
from calkit.plotting.theory import FocalMinimiserDisplay, GradientRatioDisplay

__all__ = [
    "OTHER_PLOTS",
    "PLOTS",
    "ConfidenceDisplay",
    "CumulativeDisplay",
    "FocalMinimiserDisplay",
    "ForestDisplay",
    "GradientNormsDisplay",
    "GradientRatioDisplay",
    "HighConfidenceDisplay",
    "HistoryDisplay",
    "PredictionsDisplay",
    "ReliabilityDisplay",
    "RiskCoverageDisplay",
    "ScatterDisplay",
    "TemperatureDisplay",
    "available_other_plots",
    "available_panels",
    "available_plots",
    "plot_history",
    "plot_reliability",
]
