"""Reliability diagrams

Points with exact 95 % intervals, and the band in which perfectly calibrated models lie; two models on the same Axes.
"""

import calkit
from calkit.datasets import load_digits_logits
from calkit.plotting import ReliabilityDisplay, plot_reliability

test = load_digits_logits("test")
scaled = calkit.TemperatureScaling().fit_predictions(load_digits_logits("validation")).apply(test)

one = ReliabilityDisplay.from_predictions(test, plot=False)
two = ReliabilityDisplay.from_predictions(scaled, plot=False)
figures = {
    "reliability": plot_reliability({"digits": one}),
    "reliability-overlay": plot_reliability({"uncalibrated": one, "temperature": two}, overlay=True),
}
