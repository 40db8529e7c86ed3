"""Calibration errors over bins of confidence: ECE, AdaECE, MCE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from calkit.metrics.base import METRICS, Metric, as_predictions, compute
from calkit.metrics.intervals import GapInterval, IntervalMethod, LargestGapInterval
from calkit.registry import Registry, unknown_name
from calkit.stats import BinSums, Pairs, Statistic, UniformBins
from calkit.stats.binning import as_n_bins
from calkit.stats.pairs import focal_calibration_bins
from calkit.stats.ranks import EqualMass

__all__ = ["BINNINGS", "Binning", "adaece", "ece", "expected_gap", "get_binning", "largest_gap", "mce"]

_NAEINI = "Naeini, Cooper & Hauskrecht, AAAI 2015"
_PAPER = "The Intriguing Effects of Focal Loss on the Calibration of Deep Neural Networks, 2020"


@dataclass(frozen=True)
class Binning:
    """How confidences are put into bins: what is counted, and how that becomes sums over bins.

    Attributes
    ----------
    statistic : Statistic
    to_bins : callable
        Turns the summary of `statistic` into :class:`~calkit.stats.BinSums`.
    covers_all : bool
        Whether every row is in some bin.
    gaps : Groupable or EqualMass, optional
        What gives the gaps of each group of rows, for intervals.
    """

    statistic: Statistic[Any]
    to_bins: Callable[[Any], BinSums]
    covers_all: bool = True
    gaps: Any = None


#: Ways to bin, by name; each is a function of the number of bins.
BINNINGS: Registry[Callable[[int], Binning]] = Registry("binning")


@BINNINGS.register("uniform")
def _uniform(n_bins: int) -> Binning:
    statistic = UniformBins(n_bins)
    return Binning(statistic, _unchanged, gaps=statistic)


@BINNINGS.register("quantile")
def _quantile(n_bins: int) -> Binning:
    statistic = EqualMass(n_bins)
    return Binning(statistic, statistic.to_bins, gaps=statistic)


@BINNINGS.register("focal-calibration")
def _focal_calibration(n_bins: int) -> Binning:
    return Binning(Pairs(), partial(focal_calibration_bins, n_bins=n_bins), covers_all=False)


def _unchanged(bins: BinSums) -> BinSums:
    return bins


def get_binning(binning: str, n_bins: int) -> Binning:
    """Return the way to bin that a name stands for.

    Raises
    ------
    InputError
        If `n_bins` is not a positive whole number.
    NotFoundError
        If no way to bin has that name.
    """
    return BINNINGS[binning](as_n_bins(n_bins))


def expected_gap(bins: BinSums) -> float:
    """Return the mean over samples of |accuracy - mean confidence| of their bin (paper, Equation 1)."""
    return float(np.abs(bins.correct - bins.confidence).sum() / bins.total_weight)


def largest_gap(bins: BinSums) -> float:
    """Return the largest |accuracy - mean confidence| of the bins that hold samples (paper, Equation 2)."""
    return float(np.nanmax(np.abs(bins.gap)))


def _binned_metric(
    name: str, title: str, how: Callable[[BinSums], float], binning: Binning, reference: str, parameters: dict[str, Any]
) -> Metric:
    def finish(summary: Any) -> float:
        return how(binning.to_bins(summary))

    interval: IntervalMethod | None = None
    if binning.gaps is not None:
        largest = how is largest_gap
        interval = LargestGapInterval(binning.statistic, binning.to_bins) if largest else GapInterval(binning.gaps)

    return Metric(
        name,
        title,
        binning.statistic,
        finish,
        bounded_by_gap=binning.covers_all,
        reference=reference,
        parameters=parameters,
        interval=interval,
    )


def _changed(**values: tuple[Any, Any]) -> dict[str, Any]:
    """Return the parameters whose value (first) is not the default (second)."""
    return {key: value for key, (value, default) in values.items() if value != default}


@METRICS.register("ece")
def _ece(n_bins: int = 15, binning: str = "uniform") -> Metric:
    changed = _changed(n_bins=(n_bins, 15), binning=(binning, "uniform"))
    return _binned_metric("ece", "ECE", expected_gap, get_binning(binning, n_bins), f"{_NAEINI}; Eq. 1", changed)


@METRICS.register("mce")
def _mce(n_bins: int = 15, binning: str = "uniform") -> Metric:
    changed = _changed(n_bins=(n_bins, 15), binning=(binning, "uniform"))
    return _binned_metric("mce", "MCE", largest_gap, get_binning(binning, n_bins), f"{_NAEINI}; Eq. 2", changed)


_CONVENTIONS = {"exact": "quantile", "focal-calibration": "focal-calibration"}


@METRICS.register("adaece")
def _adaece(n_bins: int = 15, convention: str = "exact") -> Metric:
    if convention not in _CONVENTIONS:
        raise unknown_name("convention", str(convention), _CONVENTIONS)
    changed = _changed(n_bins=(n_bins, 15), convention=(convention, "exact"))
    binning = get_binning(_CONVENTIONS[convention], n_bins)
    return _binned_metric("adaece", "AdaECE", expected_gap, binning, f"{_PAPER}; Eq. 3", changed)


def ece(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    binning: str = "uniform",
    from_logits: bool = False,
    sample_weight: Any = None,
    class_names: Any = None,
) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy, over bins of confidence.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        True classes: integers in 0..K-1, strings, or one-hot rows.
    y_proba : array-like of shape (n, K) or (n,)
        Probabilities, or logits if `from_logits`. One column is the score of class 1 of two.
    n_bins : int, default=15
        Number of bins.
    binning : {"uniform", "quantile", "focal-calibration"}, default="uniform"
        Bins ``(k/n_bins, (k+1)/n_bins]`` of equal width, a confidence of 0 in the first; bins of equal mass (then it
        is AdaECE); or those of the paper's published code.
    from_logits : bool, default=False
        Whether `y_proba` holds logits. Never guessed.
    sample_weight : array-like of shape (n,), optional
        Weights; a weight of 2 is a row given twice.
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
    UsageError
        If `binning` is unknown.

    References
    ----------
    Naeini, Cooper & Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.

    Examples
    --------
    >>> from calkit import ece
    >>> round(ece([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]), 12)
    0.35
    """
    metric = _ece(n_bins, binning)
    return compute(metric, as_predictions(y_true, y_proba, from_logits, sample_weight, class_names))


def mce(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    binning: str = "uniform",
    from_logits: bool = False,
    sample_weight: Any = None,
    class_names: Any = None,
) -> float:
    """Maximum calibration error: the largest gap between confidence and accuracy among bins that hold samples.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        True classes: integers in 0..K-1, strings, or one-hot rows.
    y_proba : array-like of shape (n, K) or (n,)
        Probabilities, or logits if `from_logits`. One column is the score of class 1 of two.
    n_bins : int, default=15
        Number of bins.
    binning : {"uniform", "quantile", "focal-calibration"}, default="uniform"
        As for :func:`ece`.
    from_logits : bool, default=False
        Whether `y_proba` holds logits. Never guessed.
    sample_weight : array-like of shape (n,), optional
        Weights; a weight of 2 is a row given twice.
    class_names : sequence of str, optional
        The class each column stands for, where `y_true` holds strings.

    Returns
    -------
    float
        In [0, 1]; 0 is best. A bin of a few samples can decide it, so it is noisy.

    Raises
    ------
    InputError
        If the arrays do not fit each other, hold impossible values or are empty.
    UsageError
        If `binning` is unknown.

    References
    ----------
    Naeini, Cooper & Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.

    Examples
    --------
    >>> from calkit import mce
    >>> round(mce([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]), 12)
    0.7
    """
    metric = _mce(n_bins, binning)
    return compute(metric, as_predictions(y_true, y_proba, from_logits, sample_weight, class_names))


def adaece(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    convention: str = "exact",
    from_logits: bool = False,
    sample_weight: Any = None,
    class_names: Any = None,
) -> float:
    """Adaptive expected calibration error: ECE over bins that each hold the same number of samples.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        True classes: integers in 0..K-1, strings, or one-hot rows.
    y_proba : array-like of shape (n, K) or (n,)
        Probabilities, or logits if `from_logits`. One column is the score of class 1 of two.
    n_bins : int, default=15
        Number of bins.
    convention : {"exact", "focal-calibration"}, default="exact"
        "exact": every row is in the bin ``floor(n_bins * s)``, s the share of samples of lower confidence; equal
        confidences are never split. "focal-calibration": the bins of the paper's published code, which interpolate
        between confidences and drop every row of the smallest one; it gives the published figures.
    from_logits : bool, default=False
        Whether `y_proba` holds logits. Never guessed.
    sample_weight : array-like of shape (n,), optional
        Weights; a weight of 2 is a row given twice. Not with "focal-calibration".
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
    UsageError
        If `convention` is unknown.

    References
    ----------
    "The Intriguing Effects of Focal Loss on the Calibration of Deep Neural Networks", 2020, Equation 3.

    Examples
    --------
    >>> from calkit import adaece
    >>> round(adaece([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]], n_bins=2), 12)
    0.15
    """
    metric = _adaece(n_bins, convention)
    return compute(metric, as_predictions(y_true, y_proba, from_logits, sample_weight, class_names))
