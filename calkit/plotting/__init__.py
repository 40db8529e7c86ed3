"""Plots: displays hold summaries, never raw rows; computing and drawing are apart."""

from calkit.plotting.base import PLOTS, PredictionsDisplay, available_plots
from calkit.plotting.confidence import ConfidenceDisplay
from calkit.plotting.forest import ForestDisplay
from calkit.plotting.grid import plot_reliability
from calkit.plotting.history import HistoryDisplay, plot_history
from calkit.plotting.panels import available_panels
from calkit.plotting.ranked import HighConfidenceDisplay, RiskCoverageDisplay
from calkit.plotting.reliability import ReliabilityDisplay
from calkit.plotting.temperature import TemperatureDisplay

__all__ = [
    "PLOTS",
    "ConfidenceDisplay",
    "ForestDisplay",
    "HighConfidenceDisplay",
    "HistoryDisplay",
    "PredictionsDisplay",
    "ReliabilityDisplay",
    "RiskCoverageDisplay",
    "TemperatureDisplay",
    "available_panels",
    "available_plots",
    "plot_history",
    "plot_reliability",
]
