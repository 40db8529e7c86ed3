"""Scores as rows of probabilities or logits: where the classes stand along another axis, or rows do not sum to 1."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.arrays import as_row_source, to_values
from calkit.errors import InputError
from calkit.lazy import Converted, LazyArray, has_random_access

__all__ = ["ClassAxis", "normalized"]


class ClassAxis(LazyArray):
    """Scores of pixels or tokens as rows: all axes but that of the classes become one, cut out where asked for.

    Parameters
    ----------
    scores : array-like
        Of two or more axes. Arrays that are read or computed when asked for (:class:`calkit.lazy.LazyArray`, HDF5
        data sets, tensors on a device) are so here, some of their first axis at a time.
    axis : int
        Which axis is that of the classes.

    Attributes
    ----------
    shape : tuple of int
        Rows and classes.
    """

    def __init__(self, scores: Any, axis: int) -> None:
        array = as_row_source(scores)
        ndim = len(array.shape)
        if not -ndim <= axis < ndim or ndim < 2:
            raise InputError(f"class_axis is {axis}, but the scores have shape {tuple(array.shape)}.")
        self._axis = axis % ndim
        before, after = tuple(array.shape[: self._axis]), tuple(array.shape[self._axis + 1 :])
        self._row_shape = before + after
        self._source = array
        self._sizes = math.prod(before), int(array.shape[self._axis]), math.prod(after)
        self._held: tuple[int, int, Any] = (0, 0, None)
        self.has_random_access = has_random_access(array)
        rows, itemsize = math.prod(self._row_shape), getattr(array, "itemsize", None)
        super().__init__((rows, self._sizes[1]), array.dtype, itemsize)
        # A view, where the axes lie in memory one after the other.
        self._parts = array.reshape(self._sizes) if isinstance(array, np.ndarray) else None

    def _rows(self, start: int, stop: int) -> NDArray[Any]:
        if start >= stop:
            return np.empty((0, self.shape[1]), self.dtype)
        if self._parts is None:
            return self._read(start, stop)
        width = self._sizes[2]
        if width == 1:
            return np.asarray(self._parts[start:stop, :, 0])
        firsts = range(start - start % width, stop, width)
        pieces = [self._parts[f // width, :, max(start - f, 0) : stop - f].T for f in firsts]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows of what can be cut by its first axis only: the last piece is kept, as the next rows follow."""
        if self._axis == 0:
            planes = (np.asarray(self._source[k : k + 1]).reshape(-1)[start:stop] for k in range(self.shape[1]))
            return np.stack(list(planes), axis=1)
        outer = math.prod(self._row_shape[1:])
        first, last = start // outer, -(-stop // outer)
        held = self._held
        if held[:2] != (first, last):
            held = (first, last, ClassAxis(np.asarray(self._source[first:last]), self._axis))
            self._held = held
        rows: NDArray[Any] = held[2][start - first * outer : stop - first * outer]
        return rows

    def _gather(self, numbers: NDArray[np.intp]) -> NDArray[Any]:
        if self._parts is None:
            return super()._gather(numbers)
        part, place = np.divmod(numbers, self._sizes[2])
        return np.asarray(self._parts[part, :, place])

    def rows_of(self, what: str, array: Any) -> Any:
        """Return an array of the same axes, with that of the classes or without it, as rows."""
        if array is None:
            return None
        values = to_values(array)
        if values.shape == self._row_shape:
            return values.reshape(-1)
        with_classes = (*self._row_shape[: self._axis], self.shape[1], *self._row_shape[self._axis :])
        if values.shape == with_classes:
            return np.moveaxis(values, self._axis, -1).reshape(self.shape)
        if values.shape == self.shape[:1]:
            return values
        raise InputError(f"{what} must have shape {self._row_shape}, as the scores have, but has shape {values.shape}.")


def normalized(source: Any, kind: str) -> Converted:
    """Return probabilities divided by the sum of their row, as they are read.

    Parameters
    ----------
    source : array-like of shape (n, K)
    kind : str
        Kind of the scores, which must be "probs".

    Returns
    -------
    Converted
    """
    if kind != "probs" or source.ndim != 2:
        raise InputError("normalize=True is for probabilities of shape (n, K), which are divided by their sum.")
    dtype = source.dtype if source.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    return Converted(source, partial(_divided_by_sum, dtype=dtype), source.shape, dtype)


def _divided_by_sum(rows: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    scores = np.asarray(rows).astype(dtype)
    total = scores.sum(axis=1, keepdims=True, dtype=np.float64)
    bad = ~np.isfinite(total[:, 0]) | (scores < 0).any(axis=1) | (total[:, 0] <= 0)
    if bad.any():
        found = scores[int(np.argmax(bad))]
        raise InputError(
            f"normalize=True needs rows of numbers that are not negative and not all 0, but one is "
            f"{np.array2string(found, threshold=8)}."
        )
    return (scores / total).astype(dtype, copy=False)
