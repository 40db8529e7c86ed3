"""NLL, entropy, confidence and probability of the true class: of all samples, the correct and the misclassified.

They describe a classifier rather than judge it, and show how losses differ: see the paper's Figures 1 and 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Literal, NamedTuple, Protocol, Unpack

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

Kind = Literal["nll", "entropy", "confidence", "p_true"]

_PAPER = "The Intriguing Effects of Focal Loss on the Calibration of Deep Neural Networks, 2020; Figures 1 and 3"

_DOCSTRING = """\
{said}.

Returns
-------
float
    {range}

Examples
--------
>>> from calkit.metrics import {name}
>>> round({name}([0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]), 6)
{example}
"""


class _Quantity(NamedTuple):
    """What the metrics made of a quantity have in common; `said` has a place for the samples that it is of."""

    title: str
    formula: str
    said: str
    range: str
    about: dict[str, Any]


class _Part(NamedTuple):
    """Which samples a metric is of: in words, where the statistic has them, and how their mean is taken from it."""

    of: str
    place: int | None
    mean: Callable[[Any], float]
    trust: str


_IN_NATS: dict[str, Any] = {"bounds": (0.0, math.inf), "percent": False}

_QUANTITIES: dict[Kind, _Quantity] = {
    "nll": _Quantity(
        "NLL",
        "mean of −log p(true class)",
        "Negative log-likelihood{of}",
        "In nats, not negative; 0 is best.",
        _IN_NATS,
    ),
    "entropy": _Quantity(
        "Entropy",
        "mean of −Σ_k p_k log p_k",
        "Entropy of the probabilities{of}: how undecided they are",
        "In nats, from 0 to the logarithm of the number of classes; neither end is best.",
        {**_IN_NATS, "descriptive": True},
    ),
    "confidence": _Quantity(
        "Confidence",
        "mean of max_k p_k",
        "Mean confidence{of}: the probability of the predicted class",
        "In [0, 1]. Of a calibrated model the mean over all samples is the accuracy.",
        {"descriptive": True},
    ),
    "p_true": _Quantity(
        "p of the true class",
        "mean of p(true class)",
        "Mean probability of the true class{of}",
        "In [0, 1]; 1 is best.",
        {"higher_is_better": True},
    ),
}

_PARTS = {
    "": _Part("", None, attrgetter("mean"), "any n"),
    "correct": _Part("correctly classified", 0, attrgetter("correct_mean"), "hundreds of correct rows"),
    "misclassified": _Part("misclassified", 1, attrgetter("misclassified_mean"), "hundreds of misclassified rows"),
}


class _Measure(Protocol):
    """A metric function without parameters of its own."""

    def __call__(self, y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> float:
        """Return the value."""


def _declared(kind: Kind, part: str, example: float) -> _Measure:
    """Declare the metric of a quantity; those of a part of the samples have the aliases ``-correct`` and ``-wrong``."""
    quantity, of_part, name = _QUANTITIES[kind], _PARTS[part], f"{kind}_{part}".rstrip("_")
    statistic = OutcomeTotal(kind)

    def recipe(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
        return Recipe(statistic, of_part.mean, MeanInference(OutcomePart(statistic, of_part.place)))

    recipe.__name__ = recipe.__qualname__ = name
    recipe.__doc__ = _DOCSTRING.format(
        name=name,
        said=quantity.said.format(of=f" of the {of_part.of} samples" if part else ""),
        range=quantity.range + (" NaN if there are none." if part else ""),
        example=example,
    )
    short = name.replace("misclassified", "wrong")
    return metric(
        f"{quantity.title}, {part}" if part else quantity.title,
        aliases=tuple(sorted({name.replace("_", "-"), short, short.replace("_", "-")} - {name})),
        formula=f"{quantity.formula}, of the {part} rows" if part else quantity.formula,
        reference=_PAPER,
        trust=of_part.trust,
        targets=("top",),
        **quantity.about,
    )(recipe)


nll_correct = _declared("nll", "correct", 0.164252)
nll_misclassified = _declared("nll", "misclassified", 0.916291)
entropy = _declared("entropy", "", 0.499499)
entropy_correct = _declared("entropy", "correct", 0.412743)
entropy_misclassified = _declared("entropy", "misclassified", 0.673012)
confidence = _declared("confidence", "", 0.766667)
confidence_correct = _declared("confidence", "correct", 0.85)
confidence_misclassified = _declared("confidence", "misclassified", 0.6)
p_true = _declared("p_true", "", 0.7)
p_true_correct = _declared("p_true", "correct", 0.85)
p_true_misclassified = _declared("p_true", "misclassified", 0.4)


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
    return tuple(get_metric(f"{quantity}_{part}".rstrip("_")) for quantity in _QUANTITIES for part in _PARTS)
