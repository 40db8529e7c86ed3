"""Selective prediction

The error among the most confident answers, and S99 for every threshold.
"""

import calkit
from calkit.datasets import load_digits_logits
from calkit.plotting import HighConfidenceDisplay, RiskCoverageDisplay

test = load_digits_logits("test")
scaled = calkit.TemperatureScaling().fit_predictions(load_digits_logits("validation")).apply(test)
models = {"uncalibrated": test, "temperature": scaled}
figures = {}
for name, kind in (("risk-coverage", RiskCoverageDisplay), ("high-confidence", HighConfidenceDisplay)):
    shown = {model: kind.from_predictions(predictions, plot=False) for model, predictions in models.items()}
    figures[name] = kind.figure({"digits": shown["uncalibrated"]})
    figures[f"{name}-two-models"] = kind.figure(shown)
