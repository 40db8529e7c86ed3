"""TACE: the classwise error over the probabilities that are not as good as 0."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Unpack

import numpy as np

from calkit.errors import InputError
from calkit.estimators.binned import NORMS
from calkit.inference.binned import GapInference
from calkit.inference.cells import CellSums
from calkit.inference.counts import cells_of_pairs
from calkit.metrics.base import Recipe, mean_over_keys, metric
from calkit.metrics.shared import SharedArguments
from calkit.parameters import is_number
from calkit.stats import ConfidencePairs, Parts
from calkit.stats.binning import as_n_bins
from calkit.stats.thresholded import PairsAbove

__all__ = ["tace"]


def _cells(pairs: ConfidencePairs, n_bins: int) -> CellSums:
    if len(pairs):
        return cells_of_pairs(pairs, n_bins)
    return CellSums.of(np.empty(0, np.intp), 0, pairs.confidence, pairs.correct, pairs.weight)


def _to_cells(parts: Parts[ConfidencePairs], n_bins: int) -> CellSums:
    """Return the sums over bins, in the order of keys and bins."""
    return CellSums.joined([_cells(pairs, n_bins).padded(n_bins) for pairs in parts.summaries.values()])


def _value(parts: Parts[ConfidencePairs], n_bins: int) -> float:
    """Return the mean over keys of the mean gap of their bins; keys without forecasts are left out."""

    def of_key(pairs: ConfidencePairs) -> float:
        cells = _cells(pairs, n_bins)
        return float(NORMS["mean"](cells.gap, cells.weight)) if len(cells.weight) else math.nan

    return mean_over_keys(parts.map(of_key))


@metric(
    "TACE",
    aliases=("thresholded-adaptive-calibration-error",),
    formula="(1/K) Σ_k (1/B) Σ_b |frequency_kb − mean p_kb| over equal-mass bins of the p_k above the threshold",
    reference="Nixon, Dusenberry, Zhang, Jerfel & Tran, CVPR Workshops 2019",
    cost="one pass; keeps every probability above the threshold",
    trust="equal numbers of classes and one threshold: its value changes with the threshold; compare it with its floor",
    targets=("classwise", "multilabel"),
)
def tace(
    y_true: Any, y_proba: Any, *, n_bins: int = 15, threshold: float = 1e-3, **shared: Unpack[SharedArguments]
) -> Recipe:
    """Thresholded adaptive calibration error: the gaps of each class's probabilities but the tiny ones.

    With many classes almost all probabilities are as good as 0, and bins of equal mass would hold hardly anything else.
    Only those above the threshold are binned. The value depends on the threshold: a higher one leaves fewer rows of a
    class, which are the harder ones, and mostly larger gaps. Values are comparable for one threshold alone; a
    threshold of 0 is the adaptive calibration error (ACE) of the same paper, for all rows of positive probability.

    Parameters
    ----------
    n_bins : int, default=15
        Number of bins of each class, of equal mass as those of :func:`adaece`; bins count alike.
    threshold : float, default=0.001
        In [0, 1). Only probabilities above it count; classes that have none are left out.

    Returns
    -------
    float
        In [0, 1]; 0 is best. NaN if no probability is above the threshold.

    Raises
    ------
    InputError
        If `threshold` is not in [0, 1).

    References
    ----------
    Nixon, Dusenberry, Zhang, Jerfel & Tran, "Measuring Calibration in Deep Learning", CVPR Workshops 2019. A threshold
    of 0.001 is that of Ashukha, Lyzhov, Molchanov & Vetrov, ICLR 2020; 0.01 is found in use as well.

    Examples
    --------
    >>> from calkit.metrics import tace
    >>> p = [[0.9, 0.0999, 0.0001], [0.2, 0.8, 0.0], [0.7, 0.3, 0.0], [0.6, 0.4, 0.0]]
    >>> round(tace([0, 1, 1, 0], p, n_bins=2), 12)
    0.2000125
    >>> round(tace([0, 1, 1, 0], p, n_bins=2, threshold=0.35), 12)
    0.2125
    """
    if not is_number(threshold) or not 0 <= threshold < 1:
        raise InputError(f"threshold must be a probability in [0, 1), but is {threshold!r}.")
    n_bins = as_n_bins(n_bins)
    statistic, to_cells = PairsAbove(float(threshold)), partial(_to_cells, n_bins=n_bins)
    inference = GapInference(statistic, to_cells, statistic, n_bins, "mean", view=statistic.view, mirrored=False)
    return Recipe(statistic, partial(_value, n_bins=n_bins), inference)
