"""The bars of the paper's Figure 2

The blue bar ends at the accuracy; the hatched part is the gap to the mean confidence.
"""

import calkit
from calkit.datasets import load_digits_logits
from calkit.plotting import ReliabilityDisplay, plot_reliability

test = load_digits_logits("test")
scaled = calkit.TemperatureScaling().fit_predictions(load_digits_logits("validation")).apply(test)
shown = {
    "uncalibrated": ReliabilityDisplay.from_predictions(test, style="bars", plot=False),
    "temperature": ReliabilityDisplay.from_predictions(scaled, style="bars", plot=False),
}
figures = {
    "reliability-bars": plot_reliability({"digits": shown["uncalibrated"]}),
    "reliability-bars-before-and-after": plot_reliability(shown),
}
