"""What debiased errors and the laws of gaps need of each bin, counted on a device."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from calkit.inference.cells import CellSums
from calkit.inference.counts import Cells
from calkit_torch.bridge.counters import KeyedCounter, counts, is_countable, repeated
from calkit_torch.bridge.device_bins import bins_of, summed
from calkit_torch.bridge.forecasts import DeviceForecasts, n_keys

# The fields of CellSums that are plain sums; those over pairs of rows follow, and the gap that they are products of.
_PLAIN = len(fields(CellSums)) - 2
_WEIGHT, _GAP_PAIRS, _WEIGHT_PAIRS, _GAP = 1, _PLAIN, _PLAIN + 1, _PLAIN + 2


@counts(Cells)
class _Cells(KeyedCounter[Cells, CellSums]):
    @classmethod
    def covers(cls, statistic: Cells) -> bool:
        return is_countable(statistic.bins)

    @property
    def numbers(self) -> int:
        return (_PLAIN + 3 * self.statistic.pairs) * self.statistic.bins.n_bins

    def products(self, n_classes: int) -> NDArray[np.int64]:
        if not self.statistic.pairs:
            return super().products(n_classes)
        n_bins = self.statistic.bins.n_bins
        place = np.array([[_GAP_PAIRS, _GAP], [_WEIGHT_PAIRS, _WEIGHT]]) * n_bins
        one = (place[:, None] + np.arange(n_bins)[:, None]).reshape(-1, 2)
        return repeated(one, n_keys(self.statistic.view, n_classes), self.numbers)

    def count(self, rows: Any, forecasts: DeviceForecasts) -> Tensor:
        index, n_bins = bins_of(self.statistic.bins, forecasts), self.statistic.bins.n_bins
        p, y, w = forecasts.probability, forecasts.outcome, rows.weigh
        # Rounding may put a probability past 0 or 1.
        spread, gap = w((p * (1 - p)).clamp_(min=0)), w(p - y)
        none = rows.counted * torch.log1p(-p.clamp(max=1 - 1e-12))
        values = [rows.counted, rows.weight, w(rows.weight), w(p), w(y), spread, w(spread), gap * gap, none]
        values += [w(y * (1 - y)), *([gap] if self.statistic.pairs else [])]
        sums = summed(index, n_bins, values)
        if self.statistic.pairs:
            pairs = _even_pairs(sums) if rows.even else _pairs(index, n_bins, gap, rows.weight)
            sums[_PLAIN:_PLAIN] = pairs
        return torch.stack(sums, dim=1)

    def of_key(self, sums: NDArray[np.float64]) -> CellSums:
        return CellSums(*sums.reshape(-1, self.statistic.bins.n_bins)[: _WEIGHT_PAIRS + 1])

    def joined(self, parts: list[CellSums]) -> CellSums:
        return CellSums.joined(parts)


def _even_pairs(sums: list[Tensor]) -> list[Tensor]:
    """Return the sums of products of the gaps and weights of pairs of rows, all of which have the weight 1."""
    (count, *_), squares, gap = sums, sums[7], sums[-1]
    return [torch.where(count > 1, gap * gap - squares, 0) / 2, (count * count - count) / 2]


def _pairs(index: Tensor, n_bins: int, gap: Tensor, weight: Tensor) -> list[Tensor]:
    """Return the sums of products of the gaps and weights of pairs of rows of each bin, shape (k, n_bins) each.

    Each row is multiplied by the sum of those before it: a difference of squares would lose the digits of light rows.
    """
    n_keys, n = index.shape
    size = math.isqrt(n_bins) + 1
    # Stretches of a few rows each, one a column; where rows are missing, there are some of no weight.
    index, *values = (
        nn.functional.pad(part, (0, -n % size)).reshape(n_keys, size, -1)
        for part in (index, gap, weight.expand(gap.shape))
    )
    place = (index * index.shape[2] + torch.arange(index.shape[2], device=index.device)).flatten(1)
    return [_products(value, index, place, n_bins) for value in values]


def _products(values: Tensor, index: Tensor, place: Tensor, n_bins: int) -> Tensor:
    """Return the sums of products of the values of pairs of rows of each bin, shape (k, n_bins).

    Parameters
    ----------
    values, index : Tensor of shape (k, size, stretches)
    place : Tensor of shape (k, size * stretches)
        The number of each row's bin and stretch.
    n_bins : int
    """
    before = torch.zeros_like(values)
    for lag in range(1, values.shape[1]):
        before[:, lag:] += torch.where(index[:, lag:] == index[:, :-lag], values[:, :-lag], 0)
    inside = values.new_zeros(len(values), n_bins).scatter_add_(1, index.flatten(1), (before * values).flatten(1))
    # Rows of other stretches: those of a bin are one sum.
    sums = values.new_zeros(len(values), n_bins * values.shape[2]).scatter_add_(1, place, values.flatten(1))
    sums = sums.reshape(len(values), n_bins, values.shape[2])
    return inside + (sums[..., 1:] * sums.cumsum(dim=2)[..., :-1]).sum(dim=2)
