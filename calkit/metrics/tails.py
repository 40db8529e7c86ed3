"""S99: how many predictions are at least 99 % sure, and how often those are right."""

from __future__ import annotations

from typing import Any, NamedTuple

from calkit.errors import InputError
from calkit.metrics.base import METRICS, Metric, as_predictions, compute
from calkit.metrics.intervals import ProportionInterval
from calkit.stats import Tail, TailSums, summarize

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


def _share(sums: TailSums) -> float:
    return sums.share


def _accuracy(sums: TailSums) -> float:
    return sums.accuracy


def _sure(sums: TailSums) -> tuple[float, float]:
    return sums.weight, sums.total_weight


def _sure_and_right(sums: TailSums) -> tuple[float, float]:
    return sums.correct, sums.weight


def _tail(threshold: float) -> Tail:
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise InputError(f"threshold must be a confidence in [0, 1], but is {threshold!r}.")
    return Tail(float(threshold))


def _parameters(threshold: float) -> dict[str, Any]:
    return {} if threshold == 0.99 else {"threshold": threshold}


@METRICS.register("s99")
def _s99(threshold: float = 0.99) -> Metric:
    statistic = _tail(threshold)
    return Metric(
        "s99",
        "|S99|",
        statistic,
        _share,
        higher_is_better=True,
        reference=_PAPER,
        parameters=_parameters(threshold),
        interval=ProportionInterval(statistic, _sure),
    )


@METRICS.register("s99_accuracy")
def _s99_accuracy(threshold: float = 0.99) -> Metric:
    statistic = _tail(threshold)
    return Metric(
        "s99_accuracy",
        "S99 accuracy",
        statistic,
        _accuracy,
        higher_is_better=True,
        reference=_PAPER,
        parameters=_parameters(threshold),
        interval=ProportionInterval(statistic, _sure_and_right),
    )


def high_confidence(
    y_true: Any,
    y_proba: Any,
    *,
    threshold: float = 0.99,
    from_logits: bool = False,
    sample_weight: Any = None,
    class_names: Any = None,
) -> HighConfidence:
    """S99: the predictions whose confidence is at least a threshold, and how often they are right.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        True classes: integers in 0..K-1, strings, or one-hot rows.
    y_proba : array-like of shape (n, K) or (n,)
        Probabilities, or logits if `from_logits`. One column is the score of class 1 of two.
    threshold : float, default=0.99
        Smallest confidence that counts, in [0, 1].
    from_logits : bool, default=False
        Whether `y_proba` holds logits. Never guessed.
    sample_weight : array-like of shape (n,), optional
        Weights.
    class_names : sequence of str, optional
        The class each column stands for, where `y_true` holds strings.

    Returns
    -------
    HighConfidence
        A named tuple ``(share, accuracy, n_samples)``.

    Raises
    ------
    InputError
        If the arrays do not fit each other, hold impossible values or are empty, or `threshold` is not in [0, 1].

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
    statistic = _tail(threshold)
    predictions = as_predictions(y_true, y_proba, from_logits, sample_weight, class_names)
    sums: TailSums = summarize(predictions, [statistic])[statistic]
    return HighConfidence(sums.share, sums.accuracy, sums.count)


def s99(
    y_true: Any,
    y_proba: Any,
    *,
    threshold: float = 0.99,
    from_logits: bool = False,
    sample_weight: Any = None,
    class_names: Any = None,
) -> float:
    """Share of the predictions that are at least 99 % sure: ``high_confidence(...).share``.

    Parameters
    ----------
    y_true, y_proba, threshold, from_logits, sample_weight, class_names
        As for :func:`high_confidence`.

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
    predictions = as_predictions(y_true, y_proba, from_logits, sample_weight, class_names)
    return compute(_s99(threshold), predictions)


def s99_accuracy(
    y_true: Any,
    y_proba: Any,
    *,
    threshold: float = 0.99,
    from_logits: bool = False,
    sample_weight: Any = None,
    class_names: Any = None,
) -> float:
    """Accuracy of the predictions that are at least 99 % sure: ``high_confidence(...).accuracy``.

    Parameters
    ----------
    y_true, y_proba, threshold, from_logits, sample_weight, class_names
        As for :func:`high_confidence`.

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
    predictions = as_predictions(y_true, y_proba, from_logits, sample_weight, class_names)
    return compute(_s99_accuracy(threshold), predictions)
