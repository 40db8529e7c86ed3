"""The probability of each class and how often it was the true one, summed over bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.stats.bins import BinSums
from calkit.stats.groups import GroupSums
from calkit.stats.kernels.classwise import class_pieces
from calkit.stats.rows import Rows

__all__ = ["ClasswiseBins"]

# Numbers that sums over groups, classes and bins may take: with more classes there are fewer groups.
_GROUP_NUMBERS = 1 << 20
_FEWEST_GROUPS = 64


@dataclass(frozen=True)
class ClasswiseBins:
    """Statistic: for each class, sums over `n_bins` bins of equal width of its probability.

    The summary is a :class:`BinSums` whose arrays have shape (K, n_bins): `confidence` sums the probabilities of the
    class, `correct` counts the rows whose true class it is. K is the number of columns, whichever labels occur.
    """

    n_bins: int = 15
    needs_distribution = True

    def measure(self, rows: Rows) -> BinSums:
        """Return the :class:`BinSums` of one block."""
        sums = rows.class_sums(self.n_bins)
        return BinSums(sums.count, sums.weight, sums.confidence, sums.correct)

    def measure_groups(self, rows: Rows, group: NDArray[np.intp], n_groups: int) -> GroupSums:
        """Return the gaps of each group, class and bin; where classes are many, groups are put together."""
        k, m = int(rows.scores.shape[1]), self.n_bins
        while n_groups > _FEWEST_GROUPS and n_groups * k * m > _GROUP_NUMBERS:
            n_groups //= 2
        group = group % n_groups
        gaps = np.zeros((n_groups, k, m))
        # In float64 throughout: nothing is left unsure.
        class_rows = rows.class_rows(m, exact=True)
        for piece in class_pieces(class_rows, rows.workspace):
            _add_gaps(gaps, piece, class_rows, group[piece.rows])
        weight = np.bincount(group, rows.weight, n_groups).astype(np.float64)
        return GroupSums(weight, gaps)


def _add_gaps(gaps: NDArray[np.float64], piece: Any, rows: Any, group: NDArray[np.intp]) -> None:
    n_groups, k, m = gaps.shape
    weight = np.ones(len(group)) if rows.weight is None else rows.weight[piece.rows]
    low = piece.low.astype(np.float64, copy=False) * (weight / piece.total)[:, None]
    columns = (group[:, None] * k + np.arange(k)).ravel()
    gaps[:, :, 0] += np.bincount(columns, low.ravel(), n_groups * k).reshape(n_groups, k)
    y = rows.y_true[piece.rows]
    place = (group[piece.row] * k + piece.column) * m + piece.bin
    truth = (group * k + y) * m
    hit = piece.column == y[piece.row]
    truth[piece.row[hit]] += piece.bin[hit]
    flat = gaps.reshape(-1)
    np.add.at(flat, place, piece.value * weight[piece.row])
    np.subtract.at(flat, truth, weight)
