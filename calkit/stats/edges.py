"""Bins between given edges, closed on either side: a user's own, or those of another library."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from calkit.stats.bins import UniformBins
from calkit.stats.forecasts import Forecasts

__all__ = ["EdgeBins"]


@dataclass(frozen=True)
class EdgeBins(UniformBins):
    """Statistic: sums over bins between given edges; the first and the last bin take all that lies beyond.

    Parameters
    ----------
    inner : tuple of float
        The edges between bins, rising; one fewer than `n_bins`.
    left_closed : bool
        Whether a probability equal to an edge belongs to the bin above it.
    rounded : bool
        Whether edges are rounded to the precision the probabilities were stored in before they are compared.
    """

    inner: tuple[float, ...] = ()
    left_closed: bool = False  # type: ignore[misc]
    rounded: bool = True

    def inner_edges(self, precision: DTypeLike = np.float64) -> NDArray[np.float64]:
        """Return the edges between bins, as they are compared with probabilities stored in a precision."""
        inner = np.asarray(self.inner, dtype=np.float64)
        return inner.astype(precision).astype(np.float64) if self.rounded else inner

    def find(self, forecasts: Forecasts) -> NDArray[np.intp]:
        """Find the bin of each forecast of one key."""
        inner = self.inner_edges(forecasts.precision)
        probability = forecasts.raised if self.left_closed else forecasts.lowered
        if forecasts.error and forecasts.exact is not None:
            # What float32 leaves open at an edge is computed again.
            place = np.searchsorted(inner, probability)
            nearest = [np.abs(inner[np.clip(place - side, 0, len(inner) - 1)] - probability) for side in (0, 1)]
            unsure = np.flatnonzero(np.minimum(*nearest) < forecasts.error) if len(inner) else np.empty(0, dtype=int)
            probability = probability.copy()
            probability[unsure] = forecasts.exact(unsure)
        return np.searchsorted(inner, probability, side="right" if self.left_closed else "left")
