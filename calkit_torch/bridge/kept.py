"""Forecasts that are kept of every row, for what ranks them: sums do not tell the order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calkit.stats import By, ConfidencePairs, Pairs, Statistic
from calkit.stats.parts import Parts
from calkit.stats.rows import CLASS_COLUMNS
from calkit.stats.thresholded import PairsAbove
from calkit_torch.bridge.device_bins import stored_number
from calkit_torch.bridge.forecasts import DeviceForecasts, n_keys

__all__ = ["KeptRows", "keeps_rows"]

# A probability that is not kept, of a row that is.
_LEFT_OUT = -1.0


def keeps_rows(statistic: Any) -> bool:
    """Return whether a statistic is made of the probability and the outcome of each forecast."""
    # A subclass may keep something else of its own.
    return type(_kept(statistic)) in (Pairs, PairsAbove)


def _kept(statistic: Any) -> Any:
    """Return the statistic that says what is kept of the rows, whatever groups they have."""
    return getattr(statistic.statistic if isinstance(statistic, By) else statistic, "streamed", None)


class KeptRows:
    """What some statistics need of every row, in one matrix with a column a row.

    Of each view there are probability and outcome of each of its forecasts, then the group of the row in each column
    by which rows are grouped, and last its weight.

    Parameters
    ----------
    statistics : iterable of Statistic
        Those for which :func:`keeps_rows` does not hold are left alone.
    """

    def __init__(self, statistics: Iterable[Statistic[Any]]) -> None:
        self._statistics = [statistic for statistic in statistics if keeps_rows(statistic)]
        self._parts = list(dict.fromkeys(map(_kept, self._statistics)))
        self._columns = list(dict.fromkeys(s.column for s in self._statistics if isinstance(s, By)))

    def __bool__(self) -> bool:
        return bool(self._statistics)

    @property
    def per_class(self) -> bool:
        """Whether what is kept of a row depends on the number of classes."""
        return any(part.view.keyed for part in self._parts) or any(name in CLASS_COLUMNS for name in self._columns)

    def numbers(self, n_classes: int) -> int:
        """Return how many numbers are kept of each row."""
        return sum(self._sizes(n_classes)) + len(self._columns) + 1

    def _sizes(self, n_classes: int) -> list[int]:
        return [2 * n_keys(part.view, n_classes) for part in self._parts]

    def of(self, rows: Any) -> Tensor:
        """Return what is kept of rows, shape (numbers, r), without reading a value back."""
        kept = []
        for part in self._parts:
            found: DeviceForecasts = rows.forecasts(part.view)
            p = found.probability
            if isinstance(part, PairsAbove):
                p = torch.where(p > stored_number(part.threshold, found.precision), p, _LEFT_OUT)
            kept += [p, found.outcome]
        groups = [rows.group_numbers(name).to(rows.dtype)[None] for name in self._columns]
        return torch.cat([*kept, *groups, rows.weight[None]])

    def summaries(self, kept: Tensor, n_classes: int, labels: Mapping[str, Sequence[Any]]) -> dict[Any, Any]:
        """Bring what was kept to the host, without the rows that do not count, as the summary of each statistic.

        Parameters
        ----------
        kept : Tensor of shape (numbers, n)
        n_classes : int
        labels : mapping of str to sequence
            The values of columns other than those of classes.
        """
        numbers = kept[:, kept[-1] > 0].cpu().double().numpy()
        weight = None if (numbers[-1] == 1).all() else numbers[-1]
        *blocks, groups = np.split(numbers[:-1], np.cumsum(self._sizes(n_classes)))
        pairs = {
            part: [ConfidencePairs(p, y, weight) for p, y in zip(*_probabilities_and_outcomes(block), strict=True)]
            for part, block in zip(self._parts, blocks, strict=True)
        }
        found: dict[Any, Any] = {}
        for statistic in self._statistics:
            part = _kept(statistic)
            if not isinstance(statistic, By):
                found[statistic] = _summary(part, pairs[part])
                continue
            group = groups[self._columns.index(statistic.column)]
            rows = {label: group == i for i, label in enumerate(labels.get(statistic.column, range(n_classes)))}
            counts = {label: int(here.sum()) for label, here in rows.items() if here.any()}
            summaries = {label: _summary(part, [_among(one, rows[label]) for one in pairs[part]]) for label in counts}
            found[statistic] = Parts(summaries, counts)
        return found


def _probabilities_and_outcomes(block: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[Any]]:
    p, y = np.split(block, 2)
    return p, (y > 0 if ((y == 0) | (y == 1)).all() else y)


def _among(pairs: ConfidencePairs, rows: NDArray[np.bool_]) -> ConfidencePairs:
    """Return the pairs of some rows."""
    weight = None if pairs.weight is None else pairs.weight[rows]
    return ConfidencePairs(pairs.confidence[rows], pairs.correct[rows], weight)


def _summary(part: Any, pairs: list[ConfidencePairs]) -> Any:
    """Return the pairs of each forecast of a row as the summary of the statistic that asks for them."""
    if isinstance(part, PairsAbove):
        pairs = [_among(one, one.confidence != _LEFT_OUT) for one in pairs]
    return Parts(dict(enumerate(pairs))) if part.view.keyed else pairs[0]
