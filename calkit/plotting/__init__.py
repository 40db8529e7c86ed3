"""Plots: displays hold summaries, never raw rows; computing and drawing are apart."""

from calkit.plotting.reliability import ReliabilityDisplay, plot_reliability

__all__ = ["ReliabilityDisplay", "plot_reliability"]
