"""Arrays that stay in their file: shape and type known at once, rows read when asked for."""

from __future__ import annotations

import bisect
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import FileFormatError
from calkit.hardening.guard import reading
from calkit.lazy import LazyArray, has_random_access

__all__ = ["ColumnsSource", "ConcatSource", "RowsSource", "StreamSource", "mapped", "sliced"]


class StreamSource(LazyArray):
    """Rows from a stream of blocks that can be opened anew at some rows; the last block decoded is kept.

    Reading forwards costs one pass over the stream. Reading backwards opens it again at the nearest start.

    Parameters
    ----------
    where : str
        The file and the array, for messages.
    what : str
        The format, for messages.
    shape, dtype
        Of the whole.
    open_at : callable
        Takes one of `starts` and yields blocks of consecutive rows from there on, of any length.
    starts : sequence of int
        Rows, rising from 0, at which the stream can be opened.
    """

    def __init__(
        self,
        where: str,
        what: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        open_at: Callable[[int], Iterator[NDArray[Any]]],
        starts: Sequence[int] = (0,),
    ) -> None:
        super().__init__(shape, dtype)
        self.where = where
        self.what = what
        self._open_at = open_at
        self._starts = starts
        self._lock = threading.Lock()
        self._close()

    def _close(self) -> None:
        self._blocks: Iterator[NDArray[Any]] | None = None
        self._held: NDArray[Any] = np.empty((0, *self.shape[1:]), self.dtype)
        self._first = 0

    def _rows(self, start: int, stop: int) -> NDArray[Any]:
        pieces = []
        with self._lock:
            row = start
            while row < stop:
                self._hold(row)
                pieces.append(self._held[row - self._first : stop - self._first])
                row += len(pieces[-1])
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces) if pieces else np.empty((0, *self.shape[1:]), self.dtype)

    def _hold(self, row: int) -> None:
        """Make the block that holds a row the one that is kept."""
        following = self._first + len(self._held)
        if self._first <= row < following:
            return
        start = self._starts[bisect.bisect_right(self._starts, row) - 1]
        try:
            with reading(self.where, self.what):
                if self._blocks is None or not start <= following <= row:
                    self._close()
                    self._blocks, self._first = self._open_at(start), start
                while row >= self._first + len(self._held):
                    self._advance(self._blocks)
        except BaseException:
            # Half-way through a block nothing that is held can be trusted.
            self._close()
            raise

    def _advance(self, blocks: Iterator[NDArray[Any]]) -> None:
        first = self._first + len(self._held)
        block = next(blocks, None)
        if block is None:
            raise FileFormatError(f"{self.where} ends after {first} of {len(self)} rows: it is truncated.")
        if block.shape[1:] != self.shape[1:] or first + len(block) > len(self):
            raise FileFormatError(
                f"{self.where} holds other data than announced: rows {first} to {first + len(block)} have shape "
                f"{block.shape[1:]}, but {self.shape} was announced."
            )
        block = block.astype(self.dtype, copy=False)
        block.flags.writeable = False
        self._held, self._first = block, first


def sliced(
    where: str,
    what: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    read: Callable[[int, int], NDArray[Any]],
    rows: int,
) -> StreamSource:
    """Return a source whose blocks of ``rows`` rows are ``read(start, stop)``, in any order."""

    def open_at(start: int) -> Iterator[NDArray[Any]]:
        for first in range(start, shape[0], rows):
            yield read(first, min(first + rows, shape[0]))

    return StreamSource(where, what, shape, dtype, open_at, range(0, max(shape[0], 1), rows))


def mapped(
    file: Path | IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any], offset: int = 0, order: Any = "C"
) -> Any:
    """Return an array in a file, whose data begin at an offset, as a read-only memory map."""
    if not math.prod(shape) * dtype.itemsize:
        return np.empty(shape, dtype)
    # A memory map has at least one axis.
    return np.memmap(file, dtype, "r", offset, shape, order) if shape else np.memmap(file, dtype, "r", offset, (1,))[0]


class ConcatSource(LazyArray):
    """Parts one after the other, each opened when its rows are asked for; the last one stays open.

    Parameters
    ----------
    shape, dtype
        Of the whole.
    parts : sequence of (int, callable)
        The length of each part, and what returns its array or source.
    itemsize : int, optional
        Bytes of a number as stored.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        parts: Sequence[tuple[int, Callable[[], Any]]],
        itemsize: int | None = None,
    ) -> None:
        super().__init__(shape, dtype, itemsize)
        self._ends = np.cumsum([length for length, _ in parts]).tolist()
        self._loads = [load for _, load in parts]
        self._open: tuple[int, Any] | None = None

    def _rows(self, start: int, stop: int) -> NDArray[Any]:
        index = bisect.bisect_right(self._ends, start)
        if index < len(self._ends) and stop <= self._ends[index]:
            return self._rows_of_part(index, start, stop)
        # Copied one by one: views would keep all parts open.
        out = np.empty((stop - start, *self.shape[1:]), self.dtype)
        row = start
        while row < stop:
            index = bisect.bisect_right(self._ends, row)
            end = min(stop, self._ends[index])
            out[row - start : end - start] = self._rows_of_part(index, row, end)
            row = end
        return out

    def _rows_of_part(self, index: int, start: int, stop: int) -> NDArray[Any]:
        first = self._ends[index - 1] if index else 0
        return np.asarray(self._part(index)[start - first : stop - first], dtype=self.dtype)

    def _part(self, index: int) -> Any:
        held = self._open
        if held is None or held[0] != index:
            # Dropped first, so that no two parts are open at once.
            self._open = None
            held = self._open = (index, self._loads[index]())
        return held[1]


class ColumnsSource(LazyArray):
    """Arrays or sources of one value per row, side by side.

    Parameters
    ----------
    parts : sequence of array-like of shape (n,)
    shape, dtype
        Of the whole.
    """

    def __init__(self, parts: Sequence[Any], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        super().__init__(shape, dtype)
        self.has_random_access = all(map(has_random_access, parts))
        self._parts = parts

    def _rows(self, start: int, stop: int) -> NDArray[Any]:
        out = np.empty((stop - start, self.shape[1]), self.dtype)
        for index, part in enumerate(self._parts):
            out[:, index] = part[start:stop]
        return out


class RowsSource(LazyArray):
    """Some rows of another array or source.

    Parameters
    ----------
    source : array-like
        With slicing by rows.
    numbers : ndarray of int
        Which rows, rising.
    """

    def __init__(self, source: Any, numbers: NDArray[np.intp]) -> None:
        super().__init__((len(numbers), *source.shape[1:]), source.dtype, getattr(source, "itemsize", None))
        self.has_random_access = has_random_access(source)
        self._source = source
        self._numbers = numbers

    def _rows(self, start: int, stop: int) -> NDArray[Any]:
        return np.asarray(self._source[self._numbers[start:stop]])
