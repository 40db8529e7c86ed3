"""NLL, entropy, confidence and probability of the true class: of all samples, the correct and the misclassified.

They describe a classifier rather than judge it, and show how losses differ: see the paper's Figures 1 and 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Literal, ParamSpec, Unpack

from calkit.inference.means import MeanInference
from calkit.metrics.base import Recipe, get_metric, metric
from calkit.metrics.model import Metric
from calkit.metrics.shared import SharedArguments
from calkit.stats.outcomes import OutcomePart, OutcomeTotal

__all__ = [
    "confidence",
    "confidence_correct",
    "confidence_misclassified",
    "entropy",
    "entropy_correct",
    "entropy_misclassified",
    "nll_correct",
    "nll_misclassified",
    "outcome_metrics",
    "p_true",
    "p_true_correct",
    "p_true_misclassified",
]

P = ParamSpec("P")

_PAPER = "The Intriguing Effects of Focal Loss on the Calibration of Deep Neural Networks, 2020; Figures 1 and 3"
_TRUST = {"": "any n", "correct": "hundreds of correct rows", "misclassified": "hundreds of misclassified rows"}
_MEANS = {
    "": attrgetter("mean"),
    "correct": attrgetter("correct_mean"),
    "misclassified": attrgetter("misclassified_mean"),
}
_PARTS = {"": None, "correct": 0, "misclassified": 1}

Quantity = Literal["nll", "entropy", "confidence", "p_true"]


#: Of each quantity its title, its formula, and what else the metrics made of it have in common.
_QUANTITIES: dict[Quantity, tuple[str, str, dict[str, Any]]] = {
    "nll": ("NLL", "mean of −log p(true class)", {"bounds": (0.0, math.inf), "percent": False}),
    "entropy": (
        "Entropy",
        "mean of −Σ_k p_k log p_k",
        {"bounds": (0.0, math.inf), "percent": False, "descriptive": True},
    ),
    "confidence": ("Confidence", "mean of max_k p_k", {"descriptive": True}),
    "p_true": ("p of the true class", "mean of p(true class)", {"higher_is_better": True}),
}


def _declare(quantity: Quantity, part: str = "") -> Callable[[Callable[P, Recipe]], Callable[P, float]]:
    """Declare the metric of a quantity; those of a part of the rows have the aliases ``-correct`` and ``-wrong``."""
    title, formula, about = _QUANTITIES[quantity]

    def declare(function: Callable[P, Recipe]) -> Callable[P, float]:
        name = function.__name__
        short = name.replace("misclassified", "wrong")
        words = {name.replace("_", "-"), short, short.replace("_", "-")} - {name}
        return metric(
            f"{title}, {part}" if part else title,
            aliases=tuple(sorted(words)),
            formula=f"{formula}, of the {part} rows" if part else formula,
            reference=_PAPER,
            trust=_TRUST[part],
            targets=("top",),
            **about,
        )(function)

    return declare


def _recipe(quantity: Quantity, part: str = "") -> Recipe:
    statistic = OutcomeTotal(quantity)
    return Recipe(statistic, _MEANS[part], MeanInference(OutcomePart(statistic, _PARTS[part])))


@_declare("nll", "correct")
def nll_correct(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Negative log-likelihood of the correctly classified samples.

    Returns
    -------
    float
        In nats, not negative; 0 is best. NaN if there are none.

    Examples
    --------
    >>> from calkit.metrics import nll_correct
    >>> round(nll_correct([0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]), 6)
    0.164252
    """
    return _recipe("nll", "correct")


@_declare("nll", "misclassified")
def nll_misclassified(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Negative log-likelihood of the misclassified samples.

    Returns
    -------
    float
        In nats, not negative; 0 is best. NaN if there are none.

    Examples
    --------
    >>> from calkit.metrics import nll_misclassified
    >>> round(nll_misclassified([0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]), 6)
    0.916291
    """
    return _recipe("nll", "misclassified")


@_declare("entropy")
def entropy(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Entropy of the probabilities: how undecided they are.

    Returns
    -------
    float
        In nats, from 0 to the logarithm of the number of classes; neither end is best.

    Examples
    --------
    >>> from calkit.metrics import entropy
    >>> round(entropy([0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]), 6)
    0.499499
    """
    return _recipe("entropy")


@_declare("entropy", "correct")
def entropy_correct(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Entropy of the probabilities of the correctly classified samples: how undecided they are.

    Returns
    -------
    float
        In nats, from 0 to the logarithm of the number of classes; neither end is best. NaN if there are none.

    Examples
    --------
    >>> from calkit.metrics import entropy_correct
    >>> round(entropy_correct([0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]), 6)
    0.412743
    """
    return _recipe("entropy", "correct")


@_declare("entropy", "misclassified")
def entropy_misclassified(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Entropy of the probabilities of the misclassified samples: how undecided they are.

    Returns
    -------
    float
        In nats, from 0 to the logarithm of the number of classes; neither end is best. NaN if there are none.

    Examples
    --------
    >>> from calkit.metrics import entropy_misclassified
    >>> round(entropy_misclassified([0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]), 6)
    0.673012
    """
    return _recipe("entropy", "misclassified")


@_declare("confidence")
def confidence(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Mean confidence: the probability of the predicted class.

    Returns
    -------
    float
        In [0, 1]. Of a calibrated model the mean over all samples is the accuracy.

    Examples
    --------
    >>> from calkit.metrics import confidence
    >>> round(confidence([0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]), 6)
    0.766667
    """
    return _recipe("confidence")


@_declare("confidence", "correct")
def confidence_correct(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Mean confidence of the correctly classified samples: the probability of the predicted class.

    Returns
    -------
    float
        In [0, 1]. Of a calibrated model the mean over all samples is the accuracy. NaN if there are none.

    Examples
    --------
    >>> from calkit.metrics import confidence_correct
    >>> round(confidence_correct([0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]), 6)
    0.85
    """
    return _recipe("confidence", "correct")


@_declare("confidence", "misclassified")
def confidence_misclassified(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Mean confidence of the misclassified samples: the probability of the predicted class.

    Returns
    -------
    float
        In [0, 1]. Of a calibrated model the mean over all samples is the accuracy. NaN if there are none.

    Examples
    --------
    >>> from calkit.metrics import confidence_misclassified
    >>> round(confidence_misclassified([0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]), 6)
    0.6
    """
    return _recipe("confidence", "misclassified")


@_declare("p_true")
def p_true(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Mean probability of the true class.

    Returns
    -------
    float
        In [0, 1]; 1 is best.

    Examples
    --------
    >>> from calkit.metrics import p_true
    >>> round(p_true([0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]), 6)
    0.7
    """
    return _recipe("p_true")


@_declare("p_true", "correct")
def p_true_correct(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Mean probability of the true class of the correctly classified samples.

    Returns
    -------
    float
        In [0, 1]; 1 is best. NaN if there are none.

    Examples
    --------
    >>> from calkit.metrics import p_true_correct
    >>> round(p_true_correct([0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]), 6)
    0.85
    """
    return _recipe("p_true", "correct")


@_declare("p_true", "misclassified")
def p_true_misclassified(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Mean probability of the true class of the misclassified samples.

    Returns
    -------
    float
        In [0, 1]; 1 is best. NaN if there are none.

    Examples
    --------
    >>> from calkit.metrics import p_true_misclassified
    >>> round(p_true_misclassified([0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]), 6)
    0.4
    """
    return _recipe("p_true", "misclassified")


def outcome_metrics() -> tuple[Metric, ...]:
    """Return twelve metrics: four quantities, each over all samples, the correct and the misclassified ones.

    Returns
    -------
    tuple of Metric
        ``nll``, ``nll_correct``, ``nll_misclassified``, ``entropy``, …, ``confidence``, …, ``p_true``, ….

    Examples
    --------
    >>> from calkit.metrics.outcomes import outcome_metrics
    >>> [metric.name for metric in outcome_metrics()][:3]
    ['nll', 'nll_correct', 'nll_misclassified']
    """
    names = (f"{quantity}{part}" for quantity in ("nll", "entropy", "confidence", "p_true") for part in _SUFFIXES)
    return tuple(get_metric(name) for name in names)


_SUFFIXES = ("", "_correct", "_misclassified")
