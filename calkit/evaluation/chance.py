"""Accuracy below that of guesses, which rows, labels or classes that do not belong together give."""

from __future__ import annotations

import math

from calkit.evaluation.result import Evaluation
from calkit.printing import printable

__all__ = ["below_chance"]

# How rarely guesses may be as wrong by chance.
_LEVEL = 1e-3

_VIEWS = ("top", "positive")


def below_chance(evaluation: Evaluation) -> str:
    """Return a question where the accuracy is surely below that of guesses among the classes; else nothing.

    Of n guesses among K classes a share of `a` or less is right with probability exp(-n KL(a || 1/K)) at most
    (Chernoff 1952).

    Parameters
    ----------
    evaluation : Evaluation
        Of scores of classes, with the accuracy or the error.

    Examples
    --------
    >>> import calkit
    >>> from calkit.evaluation.chance import below_chance
    >>> below_chance(calkit.evaluate([0, 1] * 20, [[0.1, 0.9], [0.9, 0.1]] * 20))
    'The accuracy, 0 %, is below that of guesses, 50 %: do rows, labels and classes belong together?'
    >>> below_chance(calkit.evaluate([0, 1] * 20, [[0.9, 0.1], [0.1, 0.9]] * 20))
    ''
    """
    found = {
        metric.name: evaluation[metric.spec]
        for metric in evaluation.metrics
        if metric.name in ("accuracy", "error") and (metric.view is None or metric.view.name in _VIEWS)
    }
    if evaluation.n_classes is None or not found:
        return ""
    accuracy = found["accuracy"] if "accuracy" in found else 1 - found["error"]
    guess = 1 / evaluation.n_classes
    if not accuracy < guess or evaluation.n_samples * _divergence(accuracy, guess) < -math.log(_LEVEL):
        return ""
    source = evaluation.meta.get("file")
    where = f"{printable(str(source))}: the" if source else "The"
    told = f"accuracy, {100 * accuracy:.3g} %, is below that of guesses, {100 * guess:.3g} %"
    return f"{where} {told}: do rows, labels and classes belong together?"


def _divergence(a: float, b: float) -> float:
    """Return the Kullback-Leibler divergence of two probabilities of an event, in nats."""
    return math.fsum(p * math.log(p / q) for p, q in ((a, b), (1 - a, 1 - b)) if p > 0)
