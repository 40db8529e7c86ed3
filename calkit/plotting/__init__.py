"""Plots: displays hold summaries, never raw rows; computing and drawing are apart."""

from calkit.plotting.grid import plot_reliability
from calkit.plotting.history import HistoryDisplay, plot_history
from calkit.plotting.panels import available_panels
from calkit.plotting.reliability import ReliabilityDisplay

__all__ = ["HistoryDisplay", "ReliabilityDisplay", "available_panels", "plot_history", "plot_reliability"]
