"""Histogram binning: the share of positives in each bin of the probability."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.binning.base import TableMaps
from calkit.calibrators.binning.rows import NOISE, Groups
from calkit.calibrators.registration import register_calibrator
from calkit.errors import InputError
from calkit.stats import uniform_edges
from calkit.stats.binning import as_n_bins

__all__ = ["HistogramBinning", "equal_mass_edges", "histogram_table", "last_groups", "upper_ends"]

Floats = NDArray[np.float64]


def equal_mass_edges(groups: Groups, n_bins: int) -> Floats:
    """Return upper ends of bins of equal mass, the last of them 1; ties are never split, so there may be fewer bins."""
    return upper_ends(groups, last_groups(groups, n_bins))


def last_groups(groups: Groups, n_bins: int) -> NDArray[np.intp]:
    """Return the last group of each bin of equal mass, but for the last bin's."""
    mass = np.cumsum(groups.weight) / groups.total_weight
    at = np.unique(np.searchsorted(mass, np.arange(1, n_bins) / n_bins - 1e-12))
    return at[at < len(groups) - 1]


def upper_ends(groups: Groups, last: NDArray[np.intp]) -> Floats:
    """Return the upper ends of bins whose last groups are given: halfway to the next score, and 1.

    So scores that come back in another precision fall into the bin they were counted in.
    """
    return np.append(groups.score[last] + (groups.score[last + 1] - groups.score[last]) / 2, 1.0)


def histogram_table(groups: Groups, upper: Floats, empty: str) -> tuple[Floats, Floats]:
    """Return the steps of a histogram: upper ends, and the share of positives in each bin.

    Parameters
    ----------
    groups : Groups
    upper : ndarray of shape (n_bins,)
        Upper ends, rising, the last of them 1.
    empty : {"midpoint", "base-rate"}
        What a bin without rows says.
    """
    index = np.minimum(np.searchsorted(upper, groups.score, "left"), len(upper) - 1)
    rows = np.bincount(index, groups.weight, len(upper))
    positive = np.bincount(index, groups.positive, len(upper))
    middle = (np.append(0.0, upper[:-1]) + upper) / 2
    rate = groups.positive.sum() / groups.total_weight
    otherwise = middle if empty == "midpoint" else np.full(len(upper), rate)
    return upper, np.clip(np.divide(positive, rows, out=otherwise, where=rows > 0), 0, 1)


@register_calibrator("histogram")
class HistogramBinning(TableMaps):
    """Histogram binning: each class' probability becomes the share of rows of its bin where the class was true.

    Parameters
    ----------
    n_bins : int, default=15
        Number of bins.
    binning : {"uniform", "quantile"}, default="uniform"
        Bins ``(a, b]`` of equal width, 0 in the first; or of equal mass, which end halfway between two scores, so that
        ties are never split and there may be fewer of them.
    empty : {"midpoint", "base-rate"}, default="midpoint"
        What a bin without rows says: its middle, or the share of the class in all rows.
    mix : {"laplace", "probmetrics", None}, default="laplace"
        As for :class:`Isotonic`.

    Attributes
    ----------
    keys_ : ndarray of float64
        Upper ends of the bins, of all classes, one after the other.
    values_, splits_, n_rows_, classes_, n_features_in_
        As for :class:`Isotonic`.

    References
    ----------
    Zadrozny & Elkan, "Obtaining calibrated probability estimates from decision trees and naive Bayesian classifiers",
    ICML 2001.

    Examples
    --------
    >>> from calkit.calibrators import get_calibrator
    >>> logits = [[0.0, -3.0], [0.0, -1.0], [0.0, 1.0], [0.0, 3.0]]
    >>> calibrator = get_calibrator("histogram:n_bins=2,mix=none").fit(logits, [0, 1, 1, 1])
    >>> calibrator.predict_proba([[0.0, 2.0], [0.0, -2.0]])[:, 1]
    array([1. , 0.5])
    """

    title: ClassVar[str] = "histogram binning"
    is_step: ClassVar[bool] = True

    def __init__(
        self, n_bins: int = 15, binning: str = "uniform", empty: str = "midpoint", mix: str | None = "laplace"
    ) -> None:
        self.n_bins = n_bins
        self.binning = binning
        self.empty = empty
        self.mix = mix

    def _fit(self, data: Any) -> None:
        as_n_bins(self.n_bins)
        if self.binning not in ("uniform", "quantile"):
            raise InputError(f"binning must be 'uniform' or 'quantile', but is {self.binning!r}.")
        if self.empty not in ("midpoint", "base-rate"):
            raise InputError(f"empty must be 'midpoint' or 'base-rate', but is {self.empty!r}.")
        super()._fit(data)

    def _fit_table(self, groups: Groups) -> tuple[Floats, Floats]:
        if self.binning == "quantile":
            return histogram_table(groups, equal_mass_edges(groups, self.n_bins), self.empty)
        upper = uniform_edges(self.n_bins)[1:]
        # A score at an end belongs to the bin, also where rounding has added to it.
        upper[:-1] *= 1 + NOISE
        return histogram_table(groups, upper, self.empty)
