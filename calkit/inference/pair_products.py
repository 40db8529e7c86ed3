"""Sums of products of pairs, without taking squares off the square of a sum: that loses the digits of light rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["pair_products"]

FloatArray = NDArray[np.float64]

# Whole numbers of 16 bits are sorted without comparisons.
_SHORT = 1 << 16


def pair_products(cell: NDArray[np.intp], n_cells: int, values: FloatArray) -> FloatArray:
    """Return ``Σ_{i<j} v_i v_j`` over the rows of each cell.

    Two neighbours at a time are put together: their products, and the product of their sums.

    Examples
    --------
    >>> import numpy as np
    >>> pair_products(np.array([0, 1, 0, 0]), 2, np.array([1.0, 5.0, 2.0, 3.0])).tolist()
    [11.0, 0.0]
    """
    order = np.argsort(cell.astype(np.uint16) if n_cells <= _SHORT else cell, kind="stable")
    cell, values, found = cell[order], values[order], np.zeros(len(cell))
    while True:
        start = np.flatnonzero(np.diff(cell, prepend=-1))
        place = np.arange(len(cell)) - np.repeat(start, np.diff(start, append=len(cell)))
        second = np.flatnonzero(place % 2)
        if not len(second):
            break
        first = second - 1
        found[first] += found[second] + values[first] * values[second]
        values[first] += values[second]
        kept = place % 2 == 0
        cell, values, found = cell[kept], values[kept], found[kept]
    of_cells = np.zeros(n_cells)
    of_cells[cell] = found
    return of_cells
