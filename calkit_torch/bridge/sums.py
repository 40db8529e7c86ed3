"""Sums on a device that keep what each addition rounds away: two rows of numbers, the second the smaller."""

from __future__ import annotations

import torch
from torch import Tensor

from calkit_torch.bridge.shapes import transfer, working_dtype

__all__ = ["added", "exact", "joined", "moved"]


def added(sums: Tensor, values: Tensor, rest: Tensor | float = 0.0, products: Tensor | None = None) -> Tensor:
    """Add to the sums, and add what rounding loses to the second row (Knuth's two-sum).

    Parameters
    ----------
    sums : Tensor of shape (2, m)
    values : Tensor of shape (m,)
    rest : Tensor of shape (m,) or float, default=0
        What the values have lost to rounding themselves.
    products : Tensor of int64, shape (2, p), optional
        Places of sums over pairs of rows, and of the sums of which each adds the product; see
        :meth:`~calkit_torch.bridge.counters.Counter.products`.

    Returns
    -------
    Tensor of shape (2, m)
    """
    if products is not None:
        place, factor = products
        values = values.index_add(0, place, sums.sum(0)[factor] * (values + rest)[factor])
    total = sums[0] + values
    taken = total - sums[0]
    lost = (sums[0] - (total - taken)) + (values - taken)
    # What an infinite total has lost is NaN, which would spoil it.
    return torch.stack([total, sums[1] + lost.nan_to_num_(nan=0.0) + rest])


def exact(sums: Tensor) -> Tensor:
    """Return both rows as one in float64, on the host if the device has none."""
    return (sums if sums.dtype == torch.float64 else sums.cpu().double()).sum(0)


def joined(columns: Tensor, products: Tensor) -> Tensor:
    """Return the sums of which each column has a part, shape (m, parts), as one in float64."""
    first, *others = columns.unbind(1)
    sums = torch.stack([first, torch.zeros_like(first)])
    for values in others:
        sums = added(sums, values, products=products.to(sums.device))
    return exact(sums)


def moved(sums: Tensor, device: torch.device) -> Tensor:
    """Bring sums to a device, in its precision: what a narrower one rounds away goes into the second row."""
    dtype = working_dtype(device)
    if sums.dtype != dtype:
        total = exact(sums)
        high = total.to(dtype)
        sums = torch.stack([high, (total - high).to(dtype)])
    return transfer(sums, device)
