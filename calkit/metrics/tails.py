"""S99: how many predictions are at least 99 % sure, and how often those are right."""

from __future__ import annotations

import functools
from operator import add, attrgetter
from typing import Any, NamedTuple, Unpack

from calkit.errors import InputError
from calkit.inference.means import ProportionInference
from calkit.metrics.base import METRICS, Recipe, as_predictions, metric
from calkit.metrics.pos_label import with_event
from calkit.metrics.shared import SharedArguments, documented
from calkit.parameters import is_number
from calkit.stats import Tail, summarize

__all__ = ["HighConfidence", "high_confidence", "s99", "s99_accuracy"]

_PAPER = "The Intriguing Effects of Focal Loss on the Calibration of Deep Neural Networks, 2020; Table 6"


class HighConfidence(NamedTuple):
    """What is known of the confident predictions.

    Attributes
    ----------
    share : float
        Share of the samples that are confident, in [0, 1].
    accuracy : float
        Accuracy of the confident samples, in [0, 1]; NaN if there are none.
    n_samples : int
        Number of confident samples.
    """

    share: float
    accuracy: float
    n_samples: int


def _tail(threshold: float) -> Tail:
    if not is_number(threshold) or not 0 <= threshold <= 1:
        raise InputError(f"threshold must be a confidence in [0, 1], but is {threshold!r}.")
    return Tail(float(threshold))


def high_confidence(
    y_true: Any, y_proba: Any, *, threshold: float = 0.99, **shared: Unpack[SharedArguments]
) -> HighConfidence:
    """S99: the predictions whose confidence is at least a threshold, and how often they are right.

    Parameters
    ----------
    threshold : float, default=0.99
        Smallest confidence that counts, in [0, 1].

    Returns
    -------
    HighConfidence
        A named tuple ``(share, accuracy, n_samples)``.

    References
    ----------
    "The Intriguing Effects of Focal Loss on the Calibration of Deep Neural Networks", 2020, Table 6, after Kumar,
    Sarawagi & Jain, ICML 2018.

    Examples
    --------
    >>> from calkit import high_confidence
    >>> high_confidence([0, 1, 1], [[0.995, 0.005], [0.2, 0.8], [0.99, 0.01]])
    HighConfidence(share=0.6666666666666666, accuracy=0.5, n_samples=2)
    """
    arguments: dict[str, Any] = {**shared}
    if "by" in arguments:
        raise TypeError("high_confidence takes no groups; s99 and s99_accuracy do: s99(..., by=...)")
    y_true, arguments = with_event(y_true, y_proba, arguments)
    predictions = as_predictions(y_true, y_proba, **arguments)
    _tail(threshold)
    share = METRICS["s99"](threshold=threshold, target=arguments.get("target")).bind(predictions)
    found: Any = summarize(predictions, [share.statistic])[share.statistic]
    keyed = share.view is not None and share.view.keyed
    sums = functools.reduce(add, found.summaries.values()) if keyed else found
    return HighConfidence(sums.share, sums.accuracy, sums.count)


documented(high_confidence, high_confidence, without=("by",))


@metric(
    "|S99|",
    formula="share of p ≥ threshold",
    higher_is_better=True,
    descriptive=True,
    reference=_PAPER,
    trust="any n; the interval is exact",
)
def s99(y_true: Any, y_proba: Any, *, threshold: float = 0.99, **shared: Unpack[SharedArguments]) -> Recipe:
    """Share of the predictions that are at least 99 % sure: ``high_confidence(...).share``.

    Parameters
    ----------
    threshold : float, default=0.99
        Smallest confidence that counts, in [0, 1].

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> from calkit.metrics import s99
    >>> s99([0, 1], [[0.995, 0.005], [0.2, 0.8]])
    0.5
    """
    statistic = _tail(threshold)
    return Recipe(statistic, attrgetter("share"), ProportionInference(statistic, attrgetter("weight", "total_weight")))


@metric(
    "S99 accuracy",
    formula="accuracy where p ≥ threshold",
    higher_is_better=True,
    reference=_PAPER,
    trust="hundreds of such rows; the interval is exact",
)
def s99_accuracy(y_true: Any, y_proba: Any, *, threshold: float = 0.99, **shared: Unpack[SharedArguments]) -> Recipe:
    """Accuracy of the predictions that are at least 99 % sure: ``high_confidence(...).accuracy``.

    Parameters
    ----------
    threshold : float, default=0.99
        Smallest confidence that counts, in [0, 1].

    Returns
    -------
    float
        In [0, 1]; NaN if no prediction is that sure.

    Examples
    --------
    >>> from calkit.metrics import s99_accuracy
    >>> s99_accuracy([0, 1], [[0.995, 0.005], [0.2, 0.8]])
    1.0
    """
    statistic = _tail(threshold)
    return Recipe(statistic, attrgetter("accuracy"), ProportionInference(statistic, attrgetter("correct", "weight")))
