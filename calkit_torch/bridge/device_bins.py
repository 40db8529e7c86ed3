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

_NUMPY_PRECISION = {torch.float16: np.float16, torch.float32: np.float32, torch.float64: np.float64}


def bins_of(statistic: UniformBins, forecasts: DeviceForecasts) -> Tensor:
    """Return the bin of each forecast, shape (k, r)."""
    p, excess = forecasts.probability, forecasts.excess
    edges = _inner_edges(statistic, forecasts.precision, p.dtype, p.device)
    if not isinstance(excess, float) or excess:
        p = p + excess if statistic.left_closed else p - excess
    return torch.bucketize(p, edges, right=statistic.left_closed)


def summed(index: Tensor, n_bins: int, values: Sequence[Tensor]) -> list[Tensor]:
    """Return the sums over bins of several quantities, each of shape (k, n_bins); each tensor is summed once."""
    found = {id(value): value for value in values}
    sums = {key: binned(index, n_bins, value) for key, value in found.items()}
    return [sums[id(value)] for value in values]


@lru_cache(maxsize=256)
def _inner_edges(statistic: UniformBins, precision: torch.dtype, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the edges between bins as the core compares them with probabilities of a precision."""
    edges = torch.from_numpy(statistic.inner_edges(_NUMPY_PRECISION[precision]))
    return transfer(edges.to(dtype), device)


@lru_cache(maxsize=256)
def stored_number(value: float, precision: torch.dtype) -> float:
    """Return a number as it would be read back from a tensor of this precision."""
    return torch.tensor(value, dtype=precision, device="cpu").item()
