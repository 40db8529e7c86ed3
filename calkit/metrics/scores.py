"""Scores that are means over rows: accuracy, error, negative log-likelihood, Brier score."""

from __future__ import annotations

import math
from operator import attrgetter
from typing import Any, Unpack

from calkit.inference.means import MeanInference, ProportionInference
from calkit.metrics.base import Recipe, metric
from calkit.metrics.shared import SharedArguments
from calkit.stats import RowMean, WeightedTotal

__all__ = ["accuracy", "brier", "error", "nll"]


def _one_minus_mean(total: WeightedTotal) -> float:
    return (total.weight - total.total) / total.weight


def _wrong(total: WeightedTotal) -> tuple[float, float]:
    return total.weight - total.total, total.weight


@metric("Accuracy", formula="mean of [decision is right]", higher_is_better=True, trust="any n; the interval is exact")
def accuracy(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Share of samples whose largest score is that of the true class (the first of equal ones counts).

    Returns
    -------
    float
        In [0, 1]; 1 is best.

    Examples
    --------
    >>> from calkit import accuracy
    >>> accuracy([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    0.75
    """
    statistic = RowMean("correct")
    return Recipe(statistic, attrgetter("mean"), ProportionInference(statistic, attrgetter("total", "weight")))


@metric("Error", formula="1 − accuracy", trust="any n; the interval is exact")
def error(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Share of samples whose largest score is not that of the true class: one minus the accuracy.

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    Examples
    --------
    >>> from calkit import error
    >>> error([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    0.25
    """
    statistic = RowMean("correct")
    return Recipe(statistic, _one_minus_mean, ProportionInference(statistic, _wrong))


@metric(
    "NLL",
    aliases=("log_loss", "cross_entropy"),
    formula="mean of −log p(true class)",
    bounds=(0.0, math.inf),
    percent=False,
    reference="Good, Journal of the Royal Statistical Society B 14, 1952",
    trust="any n; one confident mistake can decide it",
)
def nll(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Negative log-likelihood (log loss, cross-entropy): mean of minus the log-probability of the true class.

    Returns
    -------
    float
        In nats, not negative; 0 is best. From probabilities, only a probability of 0 is changed: it counts as the
        smallest number above 0 of its precision (5e-324 in float64, 1e-45 in float32, 6e-8 in float16), so a row adds
        at most 744.4, 103.3 and 16.6. From logits nothing is clipped, and a true class of logit -inf gives infinity.

    Examples
    --------
    >>> from calkit import nll
    >>> round(nll([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]), 6)
    0.510826
    """
    statistic = RowMean("nll")
    return Recipe(statistic, attrgetter("mean"), MeanInference(statistic))


@metric(
    "Brier",
    aliases=("brier_score",),
    formula="mean of Σ_k (p_k − y_k)²; of one event (p − y)²",
    bounds=(0.0, 2.0),
    percent=False,
    reference="Brier, Monthly Weather Review 78, 1950",
    trust="any n",
)
def brier(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Brier score: mean squared distance between the probabilities and the one-hot truth, summed over classes.

    Returns
    -------
    float
        In [0, 2], the sum over the K classes; 0 is best. Of one column P(y = 1) it is the mean of ``(p - y)²``, in
        [0, 1], as scikit-learn's ``brier_score_loss`` has it: half of what the two columns ``[1 - p, p]`` give.

    References
    ----------
    Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950.

    Examples
    --------
    >>> from calkit import brier
    >>> round(brier([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]), 12)
    0.35
    >>> round(brier([0, 1, 1, 0], [0.1, 0.8, 0.3, 0.4]), 12)
    0.175
    """
    statistic = RowMean("brier")
    return Recipe(statistic, attrgetter("mean"), MeanInference(statistic), event_bounds=(0.0, 1.0))
