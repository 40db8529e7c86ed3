"""Logits of few classes, class by class in memory, so that the vector units run across rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from calkit.stats.kernels.workspace import Workspace

__all__ = ["FEW_CLASSES", "Columns", "columns_of"]

#: Up to this many classes, sub-blocks are worked on transposed.
FEW_CLASSES = 32


class Columns(NamedTuple):
    """Logits of some rows, with the largest of each row.

    Attributes
    ----------
    z : ndarray, shape (K, b)
        In scratch, which is free until the next rows.
    top : ndarray, shape (b,)
        The largest logit; NaN where there is one.
    predicted : ndarray of intp, shape (b,)
        The first class that has it; the last one where there is a NaN.
    """

    z: NDArray[Any]
    top: NDArray[Any]
    predicted: NDArray[np.intp]


def columns_of(block: NDArray[Any], workspace: Workspace) -> Columns:
    """Return rows of at most :data:`FEW_CLASSES` logits, transposed."""
    n, k = block.shape
    z = workspace.array("columns", (k, n), block.dtype)
    np.copyto(z, block.T)
    top = np.maximum.reduce(z, axis=0)
    # A search for the largest along short rows takes three times as long as these steps across them.
    places = workspace.array("largest", (k, n), np.uint8)
    np.equal(z, top, out=places.view(np.bool_))
    np.multiply(places, np.arange(k, 0, -1, dtype=np.uint8)[:, None], out=places)
    first = k - np.maximum.reduce(places, axis=0).astype(np.intp)
    return Columns(z, top, np.minimum(first, k - 1, out=first))
