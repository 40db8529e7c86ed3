"""Other norms of the gaps of bins: RMSCE, ACE, over- and under-confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from calkit.metrics.base import Recipe, metric
from calkit.metrics.binned import NOISE, binned_recipe
from calkit.metrics.binnings import get_binning
from calkit.metrics.shared import SharedArguments

__all__ = ["ace", "over_confidence", "rmsce", "under_confidence"]


@metric(
    "RMSCE",
    aliases=("root_mean_square_calibration_error",),
    formula="sqrt(Σ_b w_b (accuracy_b − confidence_b)²)",
    reference="Nguyen & O'Connor, EMNLP 2015; Hendrycks, Mazeika & Dietterich, ICLR 2019",
    trust=f"{NOISE}; l2-debiased is unbiased",
)
def rmsce(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    binning: str | Sequence[float] = "uniform",
    **shared: Unpack[SharedArguments],
) -> Recipe:
    """Root mean square calibration error: ECE with the squares of the gaps, which large gaps decide.

    Returns
    -------
    float
        In [0, 1]; 0 is best. At least the ECE over the same bins.

    Examples
    --------
    >>> from calkit.metrics import rmsce
    >>> round(rmsce([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]), 12)
    0.418330013267
    """
    return binned_recipe(get_binning(binning, n_bins), "l2")


@metric(
    "ACE (average over bins)",
    aliases=("average_calibration_error",),
    formula="(1/B) Σ_b |accuracy_b − confidence_b| over the B bins that hold rows",
    reference="Neumann, Zisserman & Vedaldi, 2018",
    trust="every bin holds hundreds of rows; a bin of a few rows counts as much as any",
)
def ace(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    binning: str | Sequence[float] = "uniform",
    **shared: Unpack[SharedArguments],
) -> Recipe:
    """Average calibration error: the mean gap over the bins that hold samples, each bin counting alike.

    Not to be confused with the adaptive calibration error, which some call ACE as well: that is :func:`adaece`, and
    class by class :func:`tace`.

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    Examples
    --------
    >>> from calkit.metrics import ace
    >>> round(ace([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]), 12)
    0.35
    """
    return binned_recipe(get_binning(binning, n_bins), "mean")


@metric(
    "Over-confidence",
    name="over-confidence",
    formula="Σ_b w_b max(confidence_b − accuracy_b, 0)",
    reference="Thulasidasan et al., NeurIPS 2019 (without their factor confidence)",
    trust=NOISE,
)
def over_confidence(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    binning: str | Sequence[float] = "uniform",
    **shared: Unpack[SharedArguments],
) -> Recipe:
    """Part of the ECE that over-confident bins make up; with :func:`under_confidence` it adds up to the ECE.

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    Examples
    --------
    >>> from calkit.metrics import over_confidence
    >>> round(over_confidence([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]), 12)
    0.175
    """
    return binned_recipe(get_binning(binning, n_bins), "over")


@metric(
    "Under-confidence",
    name="under-confidence",
    formula="Σ_b w_b max(accuracy_b − confidence_b, 0)",
    reference="Thulasidasan et al., NeurIPS 2019 (without their factor confidence)",
    trust=NOISE,
)
def under_confidence(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    binning: str | Sequence[float] = "uniform",
    **shared: Unpack[SharedArguments],
) -> Recipe:
    """Part of the ECE that under-confident bins make up; with :func:`over_confidence` it adds up to the ECE.

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    Examples
    --------
    >>> from calkit.metrics import under_confidence
    >>> round(under_confidence([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]), 12)
    0.175
    """
    return binned_recipe(get_binning(binning, n_bins), "under")
