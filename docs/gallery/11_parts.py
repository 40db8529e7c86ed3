"""Classes and groups

A diagram of each class, of the probability that it is the true one; and of the rows of each answer.
"""

from calkit.datasets import load_digits_logits
from calkit.plotting import ReliabilityDisplay, plot_reliability

test = load_digits_logits("test")


def some(displays):
    """Take the digits 3, 5 and 8, which are mistaken for each other."""
    return {name: displays[name] for name in list(displays) if name[-1] in "358"}


figures = {
    "reliability-classes": plot_reliability(some(ReliabilityDisplay.each(test, target="classwise", n_bins=6))),
    "reliability-groups": plot_reliability(some(ReliabilityDisplay.each(test, by="predicted class", n_bins=6))),
}
