"""Arrays whose rows are read or computed when they are asked for: the one kind of lazy array in calkit."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK_BYTES", "Converted", "LazyArray", "block_rows", "has_random_access", "row_blocks"]

#: Rows are decoded in blocks of about this size.
BLOCK_BYTES = 4 << 20


def has_random_access(source: Any) -> bool:
    """Return whether rows of an array may be asked for in any order, and by several threads, at no extra cost."""
    return bool(getattr(source, "has_random_access", isinstance(source, np.ndarray)))


def block_rows(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return how many rows of an array make a block worth decoding at once."""
    return max(1, BLOCK_BYTES // max(1, math.prod(shape[1:]) * dtype.itemsize))


def row_blocks(values: Any) -> Iterator[NDArray[Any]]:
    """Yield an array or source in blocks of rows, a few megabytes each."""
    rows = block_rows(values.shape, values.dtype)
    for start in range(0, values.shape[0], rows):
        yield np.asarray(values[start : start + rows])


class LazyArray(ABC):
    """Something with the shape and type of an array whose rows are read or computed when asked for.

    Slices, indices and masks over rows work as for an array; ``np.asarray`` reads everything.

    Parameters
    ----------
    shape : tuple of int
        At least one axis.
    dtype : numpy.dtype
    itemsize : int, optional
        Bytes of a number as stored, where it is widened when read: that tells how it was rounded.
    """

    #: Whether rows may be asked for in any order, and by several threads, at no extra cost.
    has_random_access: bool = False

    def __init__(self, shape: tuple[int, ...], dtype: Any, itemsize: int | None = None) -> None:
        self.shape = tuple(int(length) for length in shape)
        self.dtype = np.dtype(dtype)
        self.itemsize = self.dtype.itemsize if itemsize is None else itemsize

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Size once read."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):
            rows, *rest = key
            found = self[rows]
            # One row by its number has lost its axis.
            return found[(*(slice(None),) * (np.ndim(rows) > 0 or isinstance(rows, slice)), *rest)] if rest else found
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            return self._rows(start, max(start, stop)) if step == 1 else self._gather(np.arange(start, stop, step))
        if np.ndim(key) == 0:
            return self._gather(np.arange(len(self))[key : key + 1 or None])[0]
        return self._gather(np.arange(len(self))[key])

    @abstractmethod
    def _rows(self, start: int, stop: int) -> NDArray[Any]:
        """Return consecutive rows, 0 <= start <= stop <= len(self)."""

    def _gather(self, numbers: NDArray[np.intp]) -> NDArray[Any]:
        """Return rows by number, reading forwards once, a window at a time."""
        out = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        order = np.argsort(numbers, kind="stable")
        ranked = numbers[order]
        window = block_rows(self.shape, self.dtype)
        done = 0
        while done < len(ranked):
            start = int(ranked[done])
            end = int(np.searchsorted(ranked, start + window))
            rows = self._rows(start, int(ranked[end - 1]) + 1)
            out[order[done:end]] = rows[ranked[done:end] - start]
            done = end
        return out


class Converted(LazyArray):
    """Another array, its rows put through a function as they are asked for.

    Parameters
    ----------
    source : array-like
        With slicing by rows; NumPy's, a :class:`LazyArray`, or another library's on a device of its own.
    convert : callable
        Takes rows of the source, returns as many as an ndarray.
    shape, dtype
        Of the result.
    itemsize : int, optional
        Bytes of a number as stored.
    random_access : bool, optional
        By default, whether the source has it.

    Examples
    --------
    >>> import numpy as np
    >>> halves = Converted(np.arange(6), lambda rows: rows / 2, (6,), np.float64)
    >>> halves[2:4]
    array([1. , 1.5])
    """

    def __init__(
        self,
        source: Any,
        convert: Callable[[Any], NDArray[Any]],
        shape: tuple[int, ...],
        dtype: Any,
        itemsize: int | None = None,
        *,
        random_access: bool | None = None,
    ) -> None:
        super().__init__(shape, dtype, itemsize)
        self.has_random_access = has_random_access(source) if random_access is None else random_access
        self._source = source
        self._convert = convert

    def _rows(self, start: int, stop: int) -> NDArray[Any]:
        return self._convert(self._source[start:stop])

    def _gather(self, numbers: NDArray[np.intp]) -> NDArray[Any]:
        return self._convert(self._source[numbers]) if self.has_random_access else super()._gather(numbers)
