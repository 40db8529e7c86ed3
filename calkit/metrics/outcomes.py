"""NLL, entropy, confidence and probability of the true class: of all samples, the correct and the misclassified.

They describe a classifier rather than judge it, so they have no names in the registry of metrics; what takes metrics
takes them as objects.
"""

from __future__ import annotations

import math
from operator import attrgetter

from calkit.metrics.base import Metric
from calkit.stats.outcomes import OutcomeTotal

__all__ = ["outcome_metrics"]

_PAPER = "The Intriguing Effects of Focal Loss on the Calibration of Deep Neural Networks, 2020; Figures 1 and 3"

_QUANTITIES = {
    "nll": ("NLL", math.inf),
    "entropy": ("Entropy", math.inf),
    "confidence": ("Confidence", 1.0),
    "p_true": ("p of the true class", 1.0),
}
_GROUPS = {
    "": ("", attrgetter("mean")),
    "_correct": (", correct", attrgetter("correct_mean")),
    "_misclassified": (", misclassified", attrgetter("misclassified_mean")),
}


def outcome_metrics() -> tuple[Metric, ...]:
    """Return twelve metrics: four quantities, each over all samples, the correct and the misclassified ones.

    Returns
    -------
    tuple of Metric
        Named ``nll``, ``nll_correct``, ``nll_misclassified``, ``entropy``, …, ``confidence``, …, ``p_true``, ….
        Entropies are those of the softmax, in nats. A mean over no samples is NaN.

    Examples
    --------
    >>> from calkit import Predictions, evaluate
    >>> from calkit.metrics.outcomes import outcome_metrics
    >>> probs = Predictions([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]], [0, 0, 1], kind="probs")
    >>> found = evaluate(probs, outcome_metrics())
    >>> round(found["p_true_correct"], 12), round(found["p_true_misclassified"], 12)
    (0.85, 0.4)
    """
    return tuple(
        Metric(
            name + suffix,
            title + group,
            OutcomeTotal(name),  # type: ignore[arg-type]
            finish,
            bounds=(0.0, highest),
            percent=highest == 1,
            reference=_PAPER,
        )
        for name, (title, highest) in _QUANTITIES.items()
        for suffix, (group, finish) in _GROUPS.items()
    )
