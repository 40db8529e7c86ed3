"""Calibration errors over bins: ECE, AdaECE, MCE, and the mean over classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import numpy as np

from calkit.errors import UsageError
from calkit.estimators.binned import NORMS
from calkit.inference.binned import GapInference
from calkit.inference.counts import Cells
from calkit.metrics.base import Recipe, mean_over_keys, metric
from calkit.metrics.binnings import Binning, get_binning, unchanged
from calkit.metrics.shared import SharedArguments
from calkit.registry import unknown_name
from calkit.stats import BinSums, ClasswiseBins
from calkit.stats.binning import as_n_bins

__all__ = [
    "NOISE",
    "adaece",
    "binned_recipe",
    "classwise_ece",
    "ece",
    "expected_gap",
    "mce",
    "norm_of_gaps",
]

_NAEINI = "Naeini, Cooper & Hauskrecht, AAAI 2015"
_PAPER = "The Intriguing Effects of Focal Loss on the Calibration of Deep Neural Networks, 2020"
_NIXON = "Nixon, Dusenberry, Zhang, Jerfel & Tran, CVPR Workshops 2019 (static calibration error)"
#: When errors over bins can be trusted.
NOISE = "n well above 100 n_bins; compare it with its floor"

# Norms that are never less than |mean confidence - accuracy|.
_BOUNDED = {"l1", "l2", "max"}

# Binning and norm of other code's measures, by name.
_CONVENTIONS = {
    "focal-calibration": ("focal-calibration", "l1"),
    "r-cut": ("r-cut", "l1"),
    "sklearn-l2": ("sklearn", "l2"),
    "torchmetrics": ("torchmetrics", "l1"),
    "netcal": ("netcal", "l1"),
}


def norm_of_gaps(bins: BinSums, norm: str = "l1", over_keys: Callable[..., Any] = np.mean) -> float:
    """Return a norm of the gaps of the bins that hold samples; of several keys (classes, say), their mean.

    Parameters
    ----------
    bins : BinSums
    norm : str
        One of :data:`~calkit.estimators.binned.NORMS`.
    over_keys : callable
        Turns the values of the keys into one.
    """
    gap, weight = (part.reshape(-1, bins.n_bins) for part in (bins.confidence - bins.correct, bins.weight))
    values = [float(NORMS[norm](g[w > 0], w[w > 0])) for g, w in zip(gap, weight, strict=True) if w.any()]
    return float(over_keys(values))


def expected_gap(bins: BinSums) -> float:
    """Return the mean over samples of |accuracy - mean confidence| of their bin (paper, Equation 1).

    Bins of several keys (classes, say) give the mean over the keys, since every row is in one bin of each.
    """
    return float(np.abs(bins.correct - bins.confidence).sum() / bins.weight.sum())


def binned_recipe(binning: Binning, norm: str, *, largest: bool = False) -> Recipe:
    """Return the recipe of a norm of the gaps; over keys, the mean of theirs or the largest."""
    if norm not in NORMS:
        raise unknown_name("norm", str(norm), NORMS)
    over_keys: Callable[..., Any] = np.max if largest else np.mean

    def finish(summary: Any) -> float:
        bins = binning.to_bins(summary)
        return expected_gap(bins) if norm == "l1" else norm_of_gaps(bins, norm, over_keys)

    inference = None
    if binning.cells is not None and binning.to_cells is not None:
        inference = GapInference(
            binning.cells, binning.to_cells, binning.statistic, binning.n_bins, norm, over_keys=over_keys
        )
    bounded = binning.covers_all and norm in _BOUNDED
    return Recipe(
        binning.statistic, finish, inference, bounded_by_gap=bounded, over_keys=max if largest else mean_over_keys
    )


def _named(convention: str | None, binning: str | Sequence[float], norm: str) -> tuple[str | Sequence[float], str]:
    """Return binning and norm, those of a convention if one is asked for."""
    if convention is None:
        return binning, norm
    if convention not in _CONVENTIONS:
        raise unknown_name("convention", str(convention), _CONVENTIONS)
    if binning != "uniform" or norm != "l1":
        raise UsageError(f"convention={convention!r} says how to bin and to sum; leave binning and norm out.")
    return _CONVENTIONS[convention]


@metric(
    "ECE",
    aliases=("expected_calibration_error",),
    formula="Σ_b w_b |accuracy_b − confidence_b|",
    reference=f"{_NAEINI}; Eq. 1",
    trust=NOISE,
)
def ece(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    binning: str | Sequence[float] = "uniform",
    norm: str = "l1",
    convention: str | None = None,
    **shared: Unpack[SharedArguments],
) -> Recipe:
    """Expected calibration error: the mean gap between confidence and accuracy, over bins of confidence.

    Parameters
    ----------
    n_bins : int, default=15
        Number of bins.
    binning : {"uniform", "quantile", "cbrt"} or sequence of float, default="uniform"
        Bins ``(k/n_bins, (k+1)/n_bins]`` of equal width, a confidence of 0 in the first; bins of equal mass (then it
        is AdaECE), or as many of them as the cube root of n; or edges of your own, from 0 to 1, as a sequence or in
        parentheses (``ece:binning=(0,.5,.9,1)``). Also those of other code: "focal-calibration", "r-cut", "sklearn",
        "torchmetrics", "netcal".
    norm : {"l1", "l2", "squared", "max", "mean", "over", "under"}, default="l1"
        The mean gap; its root mean square (RMSCE); its mean square; the largest (MCE); the mean over bins, not samples
        (ACE); the part of over-confident, or of under-confident bins.
    convention : {"focal-calibration", "r-cut", "sklearn-l2", "torchmetrics", "netcal"}, optional
        Binning and norm of other code: AdaECE of the paper's published code; edges ``k * 0.1`` as R's ``cut`` has
        them; scikit-learn's calibration_error (open pull request 34261: L2 over as many bins as the cube root of n,
        between percentiles, without weights); torchmetrics (``[a, b)``, edges of torch, 1 in a bin
        of its own); netcal (``[a, b)``, the last closed).

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
    binning, norm = _named(convention, binning, norm)
    return binned_recipe(get_binning(binning, n_bins), norm)


@metric(
    "MCE",
    aliases=("maximum_calibration_error",),
    formula="max_b |accuracy_b − confidence_b|",
    reference=f"{_NAEINI}; Eq. 2",
    trust="every bin holds hundreds of rows; a bin of a few rows decides it",
)
def mce(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    binning: str | Sequence[float] = "uniform",
    **shared: Unpack[SharedArguments],
) -> Recipe:
    """Maximum calibration error: the largest gap between confidence and accuracy among bins that hold samples.

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
    return binned_recipe(get_binning(binning, n_bins), "max", largest=True)


_ADAPTIVE = {"exact": "quantile", "focal-calibration": "focal-calibration"}


@metric(
    "AdaECE",
    aliases=("adaptive_ece",),
    formula="ECE over bins of equal mass",
    reference=f"{_PAPER}; Eq. 3",
    cost="one pass; two above 4 million rows",
    trust=NOISE,
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
    if convention not in _ADAPTIVE:
        raise unknown_name("convention", str(convention), _ADAPTIVE)
    return binned_recipe(get_binning(_ADAPTIVE[convention], n_bins), "l1")


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
    inference = GapInference(Cells(statistic), unchanged, statistic, n_bins, view=statistic.view)
    return Recipe(statistic, expected_gap, inference)
