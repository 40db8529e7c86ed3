"""Sums over the classes and bins of cells, by the kernel that bins only what lies above the first edge."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.inference.cells import CellSums
from calkit.stats.classwise import class_rows
from calkit.stats.kernels.classwise import ClassRows, class_pieces
from calkit.stats.rows import Rows

__all__ = ["class_cells"]

FloatArray = NDArray[np.float64]

# Rows whose 1 - p are multiplied before a logarithm is taken: of 1e-12 each, the product is still above 0.
_LOGARITHM_ROWS = 16
_LEAST = 1e-12


def class_cells(rows: Rows, n_bins: int) -> CellSums:
    """Return the sums over bins of equal width of the probabilities of each class, in the order of classes and bins.

    Parameters
    ----------
    rows : Rows
        With one true class each.
    n_bins : int
    """
    given = class_rows(rows, n_bins, exact=True)
    return reduce(add, (_cells(piece, given) for piece in class_pieces(given, rows.workspace)))


def _cells(piece: Any, given: ClassRows) -> CellSums:
    """Return the sums of one piece: cells of the list one by one, the lowest bin of each class as a whole."""
    k, m = given.shape
    y = given.y_true[piece.rows]
    weight = None if given.weight is None else given.weight[piece.rows]
    hit = piece.column == y[piece.row]
    listed = None if weight is None else weight[piece.row]
    above = CellSums.of(piece.column * m + piece.bin, k * m, piece.value, hit, listed)
    low = np.divide(piece.low, piece.total[:, None], out=piece.low)
    inside = np.ones(len(y), dtype=bool)
    inside[piece.row[hit]] = False
    lowest = _lowest(low, np.flatnonzero(inside), y, np.ones(len(y)) if weight is None else weight)
    # Whole numbers can be taken from each other without loss.
    lowest["count"] = len(y) - above.count.reshape(k, m).sum(axis=1)
    unlisted = None if weight is None else piece.unlisted()
    lowest["weight"] = lowest["count"] if weight is None else weight @ unlisted
    lowest["squared_weight"] = lowest["count"] if weight is None else weight**2 @ unlisted
    return replace(above, **{name: _with(getattr(above, name), values, m) for name, values in lowest.items()})


def _with(sums: FloatArray, lowest: FloatArray, n_bins: int) -> FloatArray:
    """Return sums with those of the lowest bin of each class added."""
    sums = sums.copy()
    sums[::n_bins] += lowest
    return sums


def _lowest(low: FloatArray, hits: NDArray[np.intp], y: NDArray[np.intp], w: FloatArray) -> dict[str, FloatArray]:
    """Return sums over a matrix of probabilities (b, K), which it changes.

    `hits` are the rows whose true class is in it.
    """
    (n, k), squared = low.shape, w**2
    place, own, square = y[hits], low[hits, y[hits]], low * low
    probability, squares = w @ low, squared @ square
    found: dict[str, FloatArray] = {
        "probability": probability,
        "outcome": np.bincount(place, w[hits], k).astype(np.float64),
        "spread": probability - w @ square,
        "variance": squared @ low - squares,
        "residual": squares + np.bincount(place, squared[hits] * (1 - 2 * own), k),
    }
    np.subtract(1, low, out=low)
    np.maximum(low, _LEAST, out=low)
    found["log_none"] = np.log(np.multiply.reduceat(low, np.arange(0, n, _LOGARITHM_ROWS), axis=0)).sum(axis=0)
    return found
