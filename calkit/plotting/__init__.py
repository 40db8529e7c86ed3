"""Plots: displays hold summaries, never raw rows; computing and drawing are apart."""

from calkit.plotting.history import HistoryDisplay, plot_history
from calkit.plotting.panels import available_panels
from calkit.plotting.reliability import ReliabilityDisplay, plot_reliability

__all__ = ["HistoryDisplay", "ReliabilityDisplay", "available_panels", "plot_history", "plot_reliability"]
