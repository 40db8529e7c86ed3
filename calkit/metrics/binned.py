"""Calibration errors over bins of confidence: ECE, AdaECE, MCE, and the mean over classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Unpack

import numpy as np

from calkit.metrics.base import Recipe, metric
from calkit.metrics.intervals import GapInterval, IntervalMethod, LargestGapInterval
from calkit.metrics.shared import SharedArguments
from calkit.registry import Registry, unknown_name
from calkit.stats import BinSums, ClasswiseBins, Pairs, Statistic, UniformBins
from calkit.stats.binning import as_n_bins
from calkit.stats.pairs import focal_calibration_bins
from calkit.stats.ranks import EqualMass

__all__ = ["BINNINGS", "Binning", "adaece", "classwise_ece", "ece", "expected_gap", "get_binning", "largest_gap", "mce"]

_NAEINI = "Naeini, Cooper & Hauskrecht, AAAI 2015"
_PAPER = "The Intriguing Effects of Focal Loss on the Calibration of Deep Neural Networks, 2020"
_NIXON = "Nixon, Dusenberry, Zhang, Jerfel & Tran, CVPR Workshops 2019 (static calibration error)"


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
    """

    statistic: Statistic[Any]
    to_bins: Callable[[Any], BinSums]
    covers_all: bool = True


#: Ways to bin, by name; each is a function of the number of bins.
BINNINGS: Registry[Callable[[int], Binning]] = Registry("binning")


@BINNINGS.register("uniform")
def _uniform(n_bins: int) -> Binning:
    return Binning(UniformBins(n_bins), _unchanged)


@BINNINGS.register("quantile")
def _quantile(n_bins: int) -> Binning:
    statistic = EqualMass(n_bins)
    return Binning(statistic, statistic.to_bins)


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
    """Return the mean over samples of |accuracy - mean confidence| of their bin (paper, Equation 1).

    Bins of several keys (classes, say) give the mean over the keys, since every row is in one bin of each.
    """
    return float(np.abs(bins.correct - bins.confidence).sum() / bins.weight.sum())


def largest_gap(bins: BinSums) -> float:
    """Return the largest |accuracy - mean confidence| of the bins that hold samples (paper, Equation 2)."""
    return float(np.nanmax(np.abs(bins.gap)))


def _expected(binning: Binning) -> Recipe:
    interval = GapInterval(binning.statistic) if binning.statistic.groupable else None
    return _recipe(binning, expected_gap, interval)


def _largest(binning: Binning) -> Recipe:
    interval = LargestGapInterval(binning.statistic, binning.to_bins) if binning.statistic.groupable else None
    return _recipe(binning, largest_gap, interval, over_keys=max)


def _recipe(binning: Binning, how: Callable[[BinSums], float], interval: IntervalMethod | None, **more: Any) -> Recipe:
    def finish(summary: Any) -> float:
        return how(binning.to_bins(summary))

    return Recipe(binning.statistic, finish, interval, bounded_by_gap=binning.covers_all, **more)


@metric(
    "ECE",
    aliases=("expected_calibration_error",),
    formula="Σ_b w_b |accuracy_b − confidence_b|",
    reference=f"{_NAEINI}; Eq. 1",
    trust="n well above 100 n_bins; noise alone gives about sqrt(n_bins / n)",
)
def ece(
    y_true: Any, y_proba: Any, *, n_bins: int = 15, binning: str = "uniform", **shared: Unpack[SharedArguments]
) -> Recipe:
    """Expected calibration error: the mean gap between confidence and accuracy, over bins of confidence.

    Parameters
    ----------
    n_bins : int, default=15
        Number of bins.
    binning : {"uniform", "quantile", "focal-calibration"}, default="uniform"
        Bins ``(k/n_bins, (k+1)/n_bins]`` of equal width, a confidence of 0 in the first; bins of equal mass (then it
        is AdaECE); or those of the paper's published code.

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    References
    ----------
    Naeini, Cooper & Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.

    Examples
    --------
    >>> from calkit import ece
    >>> round(ece([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]), 12)
    0.35
    >>> ece([1, 1], [0.3, 0.7], n_bins=10)
    0.5
    """
    return _expected(get_binning(binning, n_bins))


@metric(
    "MCE",
    aliases=("maximum_calibration_error",),
    formula="max_b |accuracy_b − confidence_b|",
    reference=f"{_NAEINI}; Eq. 2",
    trust="every bin holds hundreds of rows; a bin of a few rows decides it",
)
def mce(
    y_true: Any, y_proba: Any, *, n_bins: int = 15, binning: str = "uniform", **shared: Unpack[SharedArguments]
) -> Recipe:
    """Maximum calibration error: the largest gap between confidence and accuracy among bins that hold samples.

    Parameters
    ----------
    n_bins : int, default=15
        Number of bins.
    binning : {"uniform", "quantile", "focal-calibration"}, default="uniform"
        As for :func:`ece`.

    Returns
    -------
    float
        In [0, 1]; 0 is best. A bin of a few samples can decide it, so it is noisy.

    References
    ----------
    Naeini, Cooper & Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.

    Examples
    --------
    >>> from calkit import mce
    >>> round(mce([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]), 12)
    0.7
    """
    return _largest(get_binning(binning, n_bins))


_CONVENTIONS = {"exact": "quantile", "focal-calibration": "focal-calibration"}


@metric(
    "AdaECE",
    aliases=("adaptive_ece",),
    formula="ECE over bins of equal mass",
    reference=f"{_PAPER}; Eq. 3",
    cost="one pass; two above 4 million rows",
    trust="n well above 100 n_bins; noise alone gives about sqrt(n_bins / n)",
)
def adaece(
    y_true: Any, y_proba: Any, *, n_bins: int = 15, convention: str = "exact", **shared: Unpack[SharedArguments]
) -> Recipe:
    """Adaptive expected calibration error: ECE over bins that each hold the same number of samples.

    Parameters
    ----------
    n_bins : int, default=15
        Number of bins.
    convention : {"exact", "focal-calibration"}, default="exact"
        "exact": every row is in the bin ``floor(n_bins * s)``, s the share of samples of lower confidence; equal
        confidences are never split. "focal-calibration": the bins of the paper's published code, which interpolate
        between confidences and drop every row of the smallest one; it gives the published figures and knows no weights.

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    References
    ----------
    "The Intriguing Effects of Focal Loss on the Calibration of Deep Neural Networks", 2020, Equation 3.

    Examples
    --------
    >>> from calkit import adaece
    >>> round(adaece([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]], n_bins=2), 12)
    0.15
    """
    if convention not in _CONVENTIONS:
        raise unknown_name("convention", str(convention), _CONVENTIONS)
    return _expected(get_binning(_CONVENTIONS[convention], n_bins))


@metric(
    "Classwise ECE (static calibration error)",
    aliases=("sce", "static_calibration_error"),
    formula="(1/K) Σ_k ECE of the probability of class k",
    reference=_NIXON,
    trust="equal numbers of classes, and hundreds of rows of each class",
    targets=("classwise", "multilabel"),
)
def classwise_ece(y_true: Any, y_proba: Any, *, n_bins: int = 15, **shared: Unpack[SharedArguments]) -> Recipe:
    """Classwise ECE, or static calibration error: the mean over classes of the ECE of each class's probability.

    For every class, all rows are put into bins by the probability of that class, and the mean probability of a bin is
    compared with how often the class was the true one. Classes count alike, however rare; a class that is never true
    counts with the probability it was given. Their number is that of the columns, whichever labels occur.

    Parameters
    ----------
    n_bins : int, default=15
        Number of bins ``(k/n_bins, (k+1)/n_bins]`` of each class, a probability of 0 in the first.

    Returns
    -------
    float
        In [0, 1], in fact at most 2/K; 0 is best. With many classes it is small, since most probabilities are: compare
        it only for equal numbers of classes.

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
    statistic = ClasswiseBins(as_n_bins(n_bins))
    return Recipe(statistic, expected_gap, GapInterval(statistic))
