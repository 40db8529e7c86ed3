"""Second moments of the forecasts of each bin: what the exact decomposition of the Brier score needs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.stats.bins import BinSums, OfFixedBins
from calkit.stats.forecasts import Forecasts
from calkit.stats.pairs import ConfidencePairs

__all__ = ["BinMoments", "Moments", "moments_of_pairs"]


@dataclass(frozen=True, eq=False)
class BinMoments:
    """Sums over the rows of each bin, of probabilities p, outcomes y in [0, 1] and weights w.

    Attributes
    ----------
    weight, probability, outcome, square, product : ndarray of float64, shape (n_bins,)
        Σ w, Σ w p, Σ w y, Σ w p² and Σ w p y.
    """

    weight: NDArray[np.float64]
    probability: NDArray[np.float64]
    outcome: NDArray[np.float64]
    square: NDArray[np.float64]
    product: NDArray[np.float64]

    def __add__(self, other: BinMoments) -> BinMoments:
        return BinMoments(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    @classmethod
    def of(
        cls,
        index: NDArray[np.intp],
        n_bins: int,
        probability: NDArray[np.float64],
        outcome: NDArray[Any],
        weight: NDArray[np.float64] | None = None,
    ) -> BinMoments:
        """Sum rows whose bin is known."""
        w = np.ones(len(index)) if weight is None else weight
        p, y = probability, outcome.astype(np.float64)
        return cls(*(np.bincount(index, w * part, n_bins).astype(np.float64) for part in (1.0, p, y, p * p, p * y)))

    @property
    def filled(self) -> BinMoments:
        """The bins that hold weight."""
        keep = self.weight > 0
        return BinMoments(*(getattr(self, field.name)[keep] for field in fields(self)))


@dataclass(frozen=True)
class Moments(OfFixedBins[BinMoments]):
    """Statistic: :class:`BinMoments` over fixed bins."""

    def count(self, forecasts: Forecasts) -> BinMoments:
        """Return the sums of one block."""
        index = self.bins.index(forecasts)
        return BinMoments.of(index, self.bins.n_bins, forecasts.probability, forecasts.outcome, forecasts.weight)


def moments_of_pairs(pairs: ConfidencePairs, bins: BinSums) -> BinMoments:
    """Sum pairs over bins that were put through the same pairs, equal confidences together."""
    upper = bins.edges[1][bins.count > 0]
    index = np.searchsorted(upper, pairs.confidence)
    return BinMoments.of(index, len(upper), pairs.confidence, pairs.correct, pairs.weight)
