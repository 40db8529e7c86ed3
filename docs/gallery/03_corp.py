"""CORP curves and bands

The rising curve nearest to the outcomes needs no bins. The first band says where calibrated models lie, point by point;
the second one holds the whole true curve with a probability of 95 %.
"""

from calkit.datasets import load_digits_logits
from calkit.plotting import ReliabilityDisplay, plot_reliability

test = load_digits_logits("test")
figures = {}
for band in ("consistency", "simultaneous"):
    display = ReliabilityDisplay.from_predictions(test, style="corp", band=band, plot=False)
    figures[f"reliability-corp-{band}"] = plot_reliability({"digits": display})
