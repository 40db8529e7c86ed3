"""Right and wrong answers

How sure the classifier is where it is right and where it is wrong.
"""

import calkit
from calkit.datasets import load_digits_logits
from calkit.plotting import ConfidenceDisplay

test = load_digits_logits("test")
scaled = calkit.TemperatureScaling().fit_predictions(load_digits_logits("validation")).apply(test)
shown = {
    "uncalibrated": ConfidenceDisplay.from_predictions(test, plot=False),
    "temperature": ConfidenceDisplay.from_predictions(scaled, plot=False),
}
figures = {
    "confidence": ConfidenceDisplay.figure({"digits": shown["uncalibrated"]}),
    "confidence-before-and-after": ConfidenceDisplay.figure(shown),
}
