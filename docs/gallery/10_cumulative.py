"""Sums of residuals

Outcomes minus probabilities, summed from the least probable forecast on: no bins. The band holds the whole curve of 95
of 100 perfectly calibrated models.
"""

import calkit
from calkit.datasets import load_digits_logits
from calkit.plotting import CumulativeDisplay

test = load_digits_logits("test")
scaled = calkit.TemperatureScaling().fit_predictions(load_digits_logits("validation")).apply(test)
models = {"uncalibrated": test, "temperature": scaled}
shown = {name: CumulativeDisplay.from_predictions(model, plot=False) for name, model in models.items()}
figures = {
    "cumulative": CumulativeDisplay.figure({"digits": shown["uncalibrated"]}),
    "cumulative-two-models": CumulativeDisplay.figure(shown),
}
