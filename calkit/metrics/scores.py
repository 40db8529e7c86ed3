"""Scores that are means over rows: accuracy, error, negative log-likelihood, Brier score."""

from __future__ import annotations

import math
from typing import Any

from calkit.metrics.base import METRICS, Metric, as_predictions, compute
from calkit.metrics.intervals import MeanInterval, ProportionInterval
from calkit.stats import RowMean, WeightedTotal

__all__ = ["accuracy", "brier", "error", "nll"]


def _mean(total: WeightedTotal) -> float:
    return total.mean


def _one_minus_mean(total: WeightedTotal) -> float:
    return (total.weight - total.total) / total.weight


def _right(total: WeightedTotal) -> tuple[float, float]:
    return total.total, total.weight


def _wrong(total: WeightedTotal) -> tuple[float, float]:
    return total.weight - total.total, total.weight


@METRICS.register("accuracy")
def _accuracy() -> Metric:
    statistic = RowMean("correct")
    interval = ProportionInterval(statistic, _right)
    return Metric("accuracy", "Accuracy", statistic, _mean, higher_is_better=True, interval=interval)


@METRICS.register("error")
def _error() -> Metric:
    statistic = RowMean("correct")
    return Metric("error", "Error", statistic, _one_minus_mean, interval=ProportionInterval(statistic, _wrong))


@METRICS.register("nll")
def _nll() -> Metric:
    statistic = RowMean("nll")
    interval = MeanInterval(statistic)
    return Metric("nll", "NLL", statistic, _mean, bounds=(0.0, math.inf), percent=False, interval=interval)


@METRICS.register("brier")
def _brier() -> Metric:
    statistic = RowMean("brier")
    return Metric(
        "brier",
        "Brier",
        statistic,
        _mean,
        bounds=(0.0, 2.0),
        percent=False,
        reference="Brier, Monthly Weather Review 78, 1950",
        interval=MeanInterval(statistic),
    )


def accuracy(
    y_true: Any, y_proba: Any, *, from_logits: bool = False, sample_weight: Any = None, class_names: Any = None
) -> float:
    """Share of samples whose largest score is that of the true class (the first of equal ones counts).

    Parameters
    ----------
    y_true : array-like of shape (n,)
        True classes: integers in 0..K-1, strings, or one-hot rows.
    y_proba : array-like of shape (n, K) or (n,)
        Probabilities, or logits if `from_logits`. One column is the score of class 1 of two.
    from_logits : bool, default=False
        Whether `y_proba` holds logits. Never guessed.
    sample_weight : array-like of shape (n,), optional
        Weights.
    class_names : sequence of str, optional
        The class each column stands for, where `y_true` holds strings.

    Returns
    -------
    float
        In [0, 1]; 1 is best.

    Raises
    ------
    InputError
        If the arrays do not fit each other, hold impossible values or are empty.

    Examples
    --------
    >>> from calkit import accuracy
    >>> accuracy([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    0.75
    """
    return compute(_accuracy(), as_predictions(y_true, y_proba, from_logits, sample_weight, class_names))


def error(
    y_true: Any, y_proba: Any, *, from_logits: bool = False, sample_weight: Any = None, class_names: Any = None
) -> float:
    """Share of samples whose largest score is not that of the true class: one minus the accuracy.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        True classes: integers in 0..K-1, strings, or one-hot rows.
    y_proba : array-like of shape (n, K) or (n,)
        Probabilities, or logits if `from_logits`. One column is the score of class 1 of two.
    from_logits : bool, default=False
        Whether `y_proba` holds logits. Never guessed.
    sample_weight : array-like of shape (n,), optional
        Weights.
    class_names : sequence of str, optional
        The class each column stands for, where `y_true` holds strings.

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    Raises
    ------
    InputError
        If the arrays do not fit each other, hold impossible values or are empty.

    Examples
    --------
    >>> from calkit import error
    >>> error([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    0.25
    """
    return compute(_error(), as_predictions(y_true, y_proba, from_logits, sample_weight, class_names))


def nll(
    y_true: Any, y_proba: Any, *, from_logits: bool = False, sample_weight: Any = None, class_names: Any = None
) -> float:
    """Negative log-likelihood (log loss, cross-entropy): mean of minus the log-probability of the true class.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        True classes: integers in 0..K-1, strings, or one-hot rows.
    y_proba : array-like of shape (n, K) or (n,)
        Probabilities, or logits if `from_logits`. One column is the score of class 1 of two.
    from_logits : bool, default=False
        Whether `y_proba` holds logits. Never guessed.
    sample_weight : array-like of shape (n,), optional
        Weights.
    class_names : sequence of str, optional
        The class each column stands for, where `y_true` holds strings.

    Returns
    -------
    float
        In nats, not negative; 0 is best. From probabilities, only a probability of 0 is changed: it counts as the
        smallest number above 0 of its precision (5e-324 in float64, 1e-45 in float32, 6e-8 in float16), so a row adds
        at most 744.4, 103.3 and 16.6. From logits nothing is clipped, and a true class of logit -inf gives infinity.

    Raises
    ------
    InputError
        If the arrays do not fit each other, hold impossible values or are empty.

    Examples
    --------
    >>> from calkit import nll
    >>> round(nll([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]), 6)
    0.510826
    """
    return compute(_nll(), as_predictions(y_true, y_proba, from_logits, sample_weight, class_names))


def brier(
    y_true: Any, y_proba: Any, *, from_logits: bool = False, sample_weight: Any = None, class_names: Any = None
) -> float:
    """Brier score: mean squared distance between the probabilities and the one-hot truth, summed over classes.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        True classes: integers in 0..K-1, strings, or one-hot rows.
    y_proba : array-like of shape (n, K) or (n,)
        Probabilities, or logits if `from_logits`. One column is the score of class 1 of two.
    from_logits : bool, default=False
        Whether `y_proba` holds logits. Never guessed.
    sample_weight : array-like of shape (n,), optional
        Weights.
    class_names : sequence of str, optional
        The class each column stands for, where `y_true` holds strings.

    Returns
    -------
    float
        In [0, 2]; 0 is best. With two classes it is twice the binary Brier score of scikit-learn's
        ``brier_score_loss(..., scale_by_half=True)``.

    Raises
    ------
    InputError
        If the arrays do not fit each other, hold impossible values or are empty.

    References
    ----------
    Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950.

    Examples
    --------
    >>> from calkit import brier
    >>> round(brier([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]), 12)
    0.35
    """
    return compute(_brier(), as_predictions(y_true, y_proba, from_logits, sample_weight, class_names))
