"""Bins of forecasts on a device, and sums over them; numbers as they are stored there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from calkit.stats import UniformBins
from calkit_torch.bridge.forecasts import DeviceForecasts, binned
from calkit_torch.bridge.shapes import transfer

__all__ = ["bins_of", "stored_number", "summed"]

# Where edges are rounded by more than this share of a bin, a product does not find the bin to within one.
_MOST_ROUNDING = 0.25

_NUMPY_PRECISION = {torch.float16: np.float16, torch.float32: np.float32, torch.float64: np.float64}


def bins_of(statistic: UniformBins, forecasts: DeviceForecasts) -> Tensor:
    """Return the bin of each forecast, shape (k, r)."""
    p, excess = forecasts.probability, forecasts.excess
    edges, guessed = _edges(statistic, forecasts.precision, p.dtype, p.device)
    if not isinstance(excess, float) or excess:
        p = p + excess if statistic.left_closed else p - excess
    if not guessed:
        return torch.bucketize(p, edges[1:-1], right=statistic.left_closed)
    # The product is a guess, at most one bin off; comparing with the edges decides. A search would take far longer.
    index = (p * statistic.n_bins).long().clamp_(0, statistic.n_bins - 1)
    index += (p > edges[index + 1]).long() - (p <= edges[index]).long()
    return index.clamp_(0, statistic.n_bins - 1)


def summed(index: Tensor, n_bins: int, values: Sequence[Tensor]) -> list[Tensor]:
    """Return the sums over bins of several quantities, each of shape (k, n_bins); each tensor is summed once."""
    found = {id(value): value for value in values}
    sums = {key: binned(index, n_bins, value) for key, value in found.items()}
    return [sums[id(value)] for value in values]


@lru_cache(maxsize=256)
def _edges(
    statistic: UniformBins, precision: torch.dtype, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, bool]:
    """Return the edges as the core compares them with probabilities of a precision; and whether a product is near."""
    edges = np.concatenate([[0.0], statistic.inner_edges(_NUMPY_PRECISION[precision]), [1.0]])
    places = np.arange(statistic.n_bins + 1)
    near = not statistic.left_closed and bool(np.abs(edges * statistic.n_bins - places).max() <= _MOST_ROUNDING)
    return transfer(torch.from_numpy(edges).to(dtype), device), near


@lru_cache(maxsize=256)
def stored_number(value: float, precision: torch.dtype) -> float:
    """Return a number as it would be read back from a tensor of this precision."""
    return torch.tensor(value, dtype=precision, device="cpu").item()
