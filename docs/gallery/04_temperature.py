"""Metrics against the temperature

The best temperature is marked; T = 1 leaves the scores as they are.
"""

from calkit.datasets import load_digits_logits
from calkit.plotting import TemperatureDisplay

test = load_digits_logits("test")
figures = {
    "temperature": TemperatureDisplay.figure({"digits": TemperatureDisplay.from_predictions(test, plot=False)}),
    "temperature-nll": TemperatureDisplay.figure(
        {
            split: TemperatureDisplay.from_predictions(load_digits_logits(split), metric="nll", plot=False)
            for split in ("validation", "test")
        }
    ),
}
