"""Sums over the classes and bins of cells, by the kernel that bins only what lies above the first edge."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.inference.cells import CellSums
from calkit.inference.label_bins import LabelBins, label_sums_of
from calkit.stats.bins import UniformBins
from calkit.stats.classwise import class_rows
from calkit.stats.kernels.classwise import ClassRows, class_pieces
from calkit.stats.kernels.workspace import Workspace
from calkit.stats.rows import Rows

__all__ = ["class_cells"]

FloatArray = NDArray[np.float64]

# Factors 1 - p are multiplied before a logarithm is taken, as long as the product stays above e^-600.
_LEAST_LOGARITHM = 600.0
# Where all of [0, 1] is one bin, p may be 1: factors are raised to 1e-12, and those of 16 rows are multiplied.
_LEAST, _FEW_ROWS = 1e-12, 16


def class_cells(rows: Rows, bins: UniformBins) -> CellSums:
    """Return the sums over bins of equal width of the probabilities of each class, in the order of classes and bins.

    How the cells depend on each other is summed on the way, since whoever asks for the one asks for the other.

    Parameters
    ----------
    rows : Rows
        With one true class each.
    bins : UniformBins
    """
    given = class_rows(rows, bins.n_bins, exact=True)
    lowest, place, value, hit, owner, labels = _Lowest(given, rows.workspace), [], [], [], [], []
    for piece in class_pieces(given, rows.workspace):
        labels.append(label_sums_of(piece, given))
        y = given.y_true[piece.rows]
        right = piece.column == y[piece.row]
        lowest.add(piece, y, right)
        place.append(piece.column * bins.n_bins + piece.bin)
        value.append(piece.value)
        hit.append(right)
        owner.append(piece.row + piece.rows.start)
    rows.kept[LabelBins(bins)] = reduce(add, labels)
    k, m = given.shape
    listed = None if given.weight is None else given.weight[np.concatenate(owner)]
    above = CellSums.of(np.concatenate(place), k * m, np.concatenate(value), np.concatenate(hit), listed)
    # Whole numbers can be taken from each other without loss.
    found = lowest.sums(len(given.y_true) - above.count.reshape(k, m).sum(axis=1))
    return replace(above, **{name: _with(getattr(above, name), sums, m) for name, sums in found.items()})


def _with(sums: FloatArray, lowest: FloatArray, n_bins: int) -> FloatArray:
    """Return sums with those of the lowest bin of each class added."""
    sums = sums.copy()
    sums[::n_bins] += lowest
    return sums


class _Lowest:
    """Sums over the rows of what lies in the lowest bin of each class, as a whole."""

    def __init__(self, given: ClassRows, workspace: Workspace) -> None:
        self._given, self._workspace = given, workspace
        n_classes, n_bins = given.shape
        self._rows = _FEW_ROWS if n_bins == 1 else int(_LEAST_LOGARITHM / -np.log1p(-1.1 / n_bins))
        names = ("weight", "squared_weight", "probability", "outcome", "spread", "variance", "residual", "log_none")
        self._sums = {name: np.zeros(n_classes) for name in names}

    def add(self, piece: Any, y: NDArray[np.intp], hit: NDArray[np.bool_]) -> None:
        """Add a piece; `hit` tells where the list has the true class of a row."""
        weight = None if self._given.weight is None else self._given.weight[piece.rows]
        low, share, sums = piece.low, 1 / piece.total, self._sums
        w = np.ones(len(y)) if weight is None else weight
        squared = w**2
        inside = np.ones(len(y), dtype=bool)
        inside[piece.row[hit]] = False
        hits = np.flatnonzero(inside)
        place, own = y[hits], low[hits, y[hits]] * share[hits]
        factor = self._scratch(low)
        square = np.multiply(low, low, out=factor)
        probability, squares = (w * share) @ low, (squared * share**2) @ square
        if weight is None:
            sums["spread"] += probability - squares
            sums["variance"] += probability - squares
        else:
            unlisted = piece.unlisted()
            sums["weight"] += w @ unlisted
            sums["squared_weight"] += squared @ unlisted
            sums["spread"] += probability - (w * share**2) @ square
            sums["variance"] += (squared * share) @ low - squares
        sums["probability"] += probability
        sums["outcome"] += np.bincount(place, w[hits], len(probability))
        sums["residual"] += squares + np.bincount(place, squared[hits] * (1 - 2 * own), len(probability))
        if self._given.beta is None:
            np.subtract(1, low, out=factor)
        else:
            np.multiply(low, -share[:, None], out=factor)
            factor += 1
        sums["log_none"] += self._logarithms(factor)

    def _scratch(self, low: FloatArray) -> FloatArray:
        """Return a matrix of the shape of the probabilities, which lies in memory as they do."""
        if low.flags.c_contiguous:
            return self._workspace.array("factors", low.shape)
        return self._workspace.array("factors", low.shape[::-1]).T

    def _logarithms(self, factor: FloatArray) -> FloatArray:
        """Return the sum over the rows of the logarithms of numbers in (0, 1]."""
        if self._given.n_bins == 1:
            np.maximum(factor, _LEAST, out=factor)
        starts = range(0, len(factor), self._rows)
        return np.asarray(
            sum(np.log(np.multiply.reduce(factor[first : first + self._rows], axis=0)) for first in starts)
        )

    def sums(self, count: FloatArray) -> dict[str, FloatArray]:
        """Return the sums by the names of :class:`CellSums`, given the number of rows of each class."""
        if self._given.weight is None:
            return {**self._sums, "count": count, "weight": count, "squared_weight": count}
        return {**self._sums, "count": count}
