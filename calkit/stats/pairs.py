"""Confidence and correctness of every row, kept: for what only the sorted whole can tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError
from calkit.estimators.binned import equal_mass_borders
from calkit.estimators.ranked import sorted_binary
from calkit.stats.bins import BinSums
from calkit.stats.forecasts import Forecasts
from calkit.stats.once import once
from calkit.stats.statistic import ForecastStatistic
from calkit.stats.views import TOP, View

__all__ = [
    "ConfidencePairs",
    "Pairs",
    "equal_mass_bins",
    "equal_mass_starts",
    "equal_mass_upper",
    "focal_calibration_bins",
    "percentile_index",
]


@dataclass(frozen=True, eq=False)
class ConfidencePairs:
    """Confidence, correctness and weight of each row; ``+`` is concatenation.

    Attributes
    ----------
    confidence : ndarray of float64, shape (n,)
    correct : ndarray of bool, shape (n,), or of float64 where labels are soft
    weight : ndarray of float64, shape (n,), or None
    """

    confidence: NDArray[np.float64]
    correct: NDArray[Any]
    weight: NDArray[np.float64] | None = None

    def __add__(self, other: ConfidencePairs) -> ConfidencePairs:
        weight = None
        if self.weight is not None or other.weight is not None:
            weight = np.concatenate([self._weights(), other._weights()])
        return ConfidencePairs(
            np.concatenate([self.confidence, other.confidence]),
            np.concatenate([self.correct, other.correct]),
            weight,
        )

    def __len__(self) -> int:
        return len(self.confidence)

    @once
    def ranked(self) -> ConfidencePairs:
        """The same rows by rising confidence: values and floors in bins of equal mass both need it."""
        p, y = self.confidence, self.correct
        if self.weight is None and y.dtype == bool and p.min() >= 0 and p.max() < 2:
            return ConfidencePairs(*sorted_binary(p, y))
        order = np.argsort(p)
        return ConfidencePairs(p[order], y[order], None if self.weight is None else self.weight[order])

    @once
    def _equal_mass(self) -> dict[int, BinSums]:
        return {}

    @property
    def in_own_order(self) -> ConfidencePairs:
        """The same rows by confidence, outcome and weight: what is drawn of them does not depend on how they come."""
        keys = (self.correct, self.confidence) if self.weight is None else (self.weight, self.correct, self.confidence)
        order = np.lexsort(keys)
        weight = None if self.weight is None else self.weight[order]
        return ConfidencePairs(self.confidence[order], self.correct[order], weight)

    def _weights(self) -> NDArray[np.float64]:
        return np.ones(len(self)) if self.weight is None else self.weight


@dataclass(frozen=True)
class Pairs(ForecastStatistic[ConfidencePairs]):
    """Statistic: probability and outcome of every forecast (17 bytes each with weights, 9 without)."""

    view: View = TOP

    def count(self, forecasts: Forecasts) -> ConfidencePairs:
        """Return the :class:`ConfidencePairs` of one block."""
        return ConfidencePairs(forecasts.probability, forecasts.outcome, forecasts.weight)


def equal_mass_bins(pairs: ConfidencePairs, n_bins: int) -> BinSums:
    """Sum over bins that hold equal shares of the samples, as nearly as equal confidences allow.

    Rows of equal confidence are never split: a row belongs to bin ``floor(n_bins * s)``, s being the share of the
    samples with a *lower* confidence. So the order of the rows does not matter, a weight of 2 is a row given twice,
    with fewer rows than bins each row has a bin of its own, and if all confidences are equal there is one bin.

    Parameters
    ----------
    pairs : ConfidencePairs
    n_bins : int

    Returns
    -------
    BinSums
        With the smallest and the largest confidence of each bin as its edges (NaN for an empty bin). The pairs keep
        it: values and floors both ask for it.
    """
    kept = pairs._equal_mass
    if n_bins not in kept:
        kept[n_bins] = _equal_mass_bins(pairs, n_bins)
    return kept[n_bins]


def _equal_mass_bins(pairs: ConfidencePairs, n_bins: int) -> BinSums:
    ranked, start = pairs.ranked, equal_mass_starts(pairs.ranked, n_bins)
    n, confidence, weight = len(ranked), ranked.confidence, ranked.weight
    end = np.append(start[1:], n)
    filled = start < end

    def sums(values: NDArray[Any]) -> NDArray[np.float64]:
        found = np.zeros(n_bins)
        weighted = values if weight is None else weight * values
        found[filled] = np.add.reduceat(weighted, start[filled], dtype=np.float64)
        return found

    count = end - start
    return BinSums(
        count,
        count.astype(np.float64) if weight is None else sums(np.ones(n)),
        sums(confidence),
        sums(ranked.correct),
        np.where(filled, confidence[np.minimum(start, n - 1)], np.nan),
        np.where(filled, confidence[end - 1], np.nan),
    )


def equal_mass_starts(ranked: ConfidencePairs, n_bins: int) -> NDArray[np.intp]:
    """Return where each of the bins of equal mass begins among the ranked pairs; an empty one where the next does."""
    n, confidence = len(ranked), ranked.confidence
    if ranked.weight is None:
        start = -(-np.arange(n_bins) * n // n_bins)
    else:
        mass = np.cumsum(ranked.weight)
        start = np.searchsorted(mass, equal_mass_borders(mass[-1], n_bins)) + 1
        start[0] = 0
    # The rows of one confidence are never split: those of the last one before a border come before it.
    behind = np.searchsorted(confidence, confidence[np.maximum(start - 1, 0)], side="right")
    return np.where(start > 0, behind, 0)


def equal_mass_upper(pairs: ConfidencePairs, n_bins: int) -> NDArray[np.float64]:
    """Return the largest confidence of each of the bins of equal mass that hold any."""
    start = np.unique(equal_mass_starts(pairs.ranked, n_bins))
    return pairs.ranked.confidence[np.append(start[1:], len(pairs))[start < len(pairs)] - 1]


def focal_calibration_bins(pairs: ConfidencePairs, n_bins: int) -> BinSums:
    """Sum over the bins that the focal-calibration code of 2020 uses for its AdaECE.

    Its edges are ``interp(linspace(0, n, n_bins + 1), arange(n), sort(confidence))`` and its bins ``(a, b]``; since
    the first edge is the smallest confidence, **every row of that confidence is dropped**, and if all confidences are
    equal nothing is left. Kept to reproduce published figures; :func:`equal_mass_bins` is right.

    Raises
    ------
    InputError
        If there are weights, which that code does not know.
    """
    if pairs.weight is not None:
        raise InputError("the focal-calibration convention does not know sample_weight; use the default convention.")
    ranked = np.sort(pairs.confidence)
    edges = np.interp(np.linspace(0, len(ranked), n_bins + 1), np.arange(len(ranked)), ranked)
    index = np.searchsorted(edges, pairs.confidence, side="left") - 1
    kept = index >= 0
    sums = BinSums.from_rows(index[kept], n_bins, pairs.confidence[kept], pairs.correct[kept])
    # What was dropped still counts among the samples, as n does in that code: it goes where no gap can show it.
    dropped = len(ranked) - int(kept.sum())
    if dropped:
        sums = BinSums(
            np.append(sums.count, dropped),
            np.append(sums.weight, float(dropped)),
            np.append(sums.confidence, 0.0),
            np.append(sums.correct, 0.0),
        )
    return sums


def percentile_index(pairs: ConfidencePairs, n_bins: int) -> NDArray[np.intp]:
    """Return the bin of each pair between percentiles of the confidences, as scikit-learn's calibration_curve has them.

    Edges are linearly interpolated percentiles and bins ``(a, b]``, those at the ends open. Bins that hold no pair are
    left out.

    Raises
    ------
    InputError
        If there are weights, of which percentiles know nothing.
    """
    if pairs.weight is not None:
        raise InputError("percentiles do not know sample_weight; bins of equal mass do: rmsce:binning=cbrt.")
    shares = np.linspace(0, 1, n_bins + 1)[1:-1]
    index = np.searchsorted(np.percentile(pairs.confidence, shares * 100), pairs.confidence, side="left")
    return np.unique(index, return_inverse=True)[1]
