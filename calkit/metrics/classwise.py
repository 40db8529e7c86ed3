"""Calibration errors over all classes, not only the predicted one."""

from __future__ import annotations

from typing import Any

import numpy as np

from calkit.metrics.base import METRICS, Metric, as_predictions, compute
from calkit.metrics.intervals import GapInterval
from calkit.stats.binning import as_n_bins
from calkit.stats.bins import BinSums
from calkit.stats.classwise import ClasswiseBins
from calkit.stats.groups import GroupSums

__all__ = ["classwise_ece", "mean_expected_gap"]

_REFERENCE = "Nixon, Dusenberry, Zhang, Jerfel & Tran, CVPR Workshops 2019 (static calibration error)"


def mean_expected_gap(bins: BinSums) -> float:
    """Return the mean over classes of the mean |frequency - mean probability| of bins that have a leading axis."""
    n_classes = len(bins.weight)
    # Every row is in one bin of each class, so all classes have the same weight.
    return float(np.abs(bins.correct - bins.confidence).sum() / bins.weight.sum() if n_classes else np.nan)


def _signal(sums: GroupSums, _: float) -> GroupSums:
    return GroupSums(sums.weight, sums.total / sums.total.shape[1])


@METRICS.register("classwise_ece", aliases=("sce", "static_calibration_error"))
def _classwise_ece(n_bins: int = 15) -> Metric:
    statistic = ClasswiseBins(as_n_bins(n_bins))
    return Metric(
        "classwise_ece",
        "Classwise ECE (static calibration error)",
        statistic,
        mean_expected_gap,
        reference=_REFERENCE,
        parameters={} if n_bins == 15 else {"n_bins": n_bins},
        interval=GapInterval(statistic, _signal),
    )


def classwise_ece(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    from_logits: bool = False,
    sample_weight: Any = None,
    class_names: Any = None,
) -> float:
    """Classwise ECE, or static calibration error: the mean over classes of the ECE of each class's probability.

    For every class, all rows are put into bins by the probability of that class, and the mean probability of a bin is
    held against how often the class was the true one. Classes count alike, however rare; a class that is never true
    counts with the probability it was given. Their number is that of the columns, whichever labels occur.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        True classes: integers in 0..K-1, strings, or one-hot rows.
    y_proba : array-like of shape (n, K) or (n,)
        Probabilities, or logits if `from_logits`. One column is the score of class 1 of two.
    n_bins : int, default=15
        Number of bins ``(k/n_bins, (k+1)/n_bins]`` of each class, a probability of 0 in the first.
    from_logits : bool, default=False
        Whether `y_proba` holds logits. Never guessed.
    sample_weight : array-like of shape (n,), optional
        Weights; a weight of 2 is a row given twice.
    class_names : sequence of str, optional
        The class each column stands for, where `y_true` holds strings.

    Returns
    -------
    float
        In [0, 1], in fact at most 2/K; 0 is best. With many classes it is small, since most probabilities are: compare
        it only for equal numbers of classes.

    Raises
    ------
    InputError
        If the arrays do not fit each other, hold impossible values or are empty.

    References
    ----------
    Nixon, Dusenberry, Zhang, Jerfel & Tran, "Measuring Calibration in Deep Learning", CVPR Workshops 2019. Kull et al.,
    "Beyond temperature scaling", NeurIPS 2019, which names it classwise ECE.

    Examples
    --------
    >>> from calkit import classwise_ece
    >>> round(classwise_ece([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]), 12)
    0.35
    """
    metric = _classwise_ece(n_bins)
    return compute(metric, as_predictions(y_true, y_proba, from_logits, sample_weight, class_names))
