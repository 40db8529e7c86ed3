"""MATLAB's binary format of versions 5 to 7: what a file says is checked before it is believed.

Numeric arrays, text and cells of text are read; the data of uncompressed numeric arrays are mapped into memory.

References
----------
The MathWorks, "MAT-File Format", the chapter on Level 5 MAT-files.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from calkit.errors import FileFormatError
from calkit.io.container import Field, unreadable
from calkit.io.hardening.limits import check
from calkit.io.spilling import column_major
from calkit.io.tables import text_array
from calkit.lazy import Converted

__all__ = ["mat5_fields"]

_HEADER_BYTES = 128
_MATRIX, _COMPRESSED = 14, 15
_PIECE_BYTES = 1 << 20
_MAX_NAME = 1 << 12
_MAX_TEXT = 1 << 22
_MAX_DIMENSIONS = 32
_COMPLEX = 0x0800

_DATA_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_OTHERS = {2: "struct", 3: "object", 5: "sparse", 16: "function", 17: "opaque"}
_CELL, _CHAR = 1, 4


@dataclass(frozen=True)
class _Head:
    """What precedes the data of an array."""

    kind: int
    is_complex: bool
    shape: tuple[int, ...]
    name: str


def mat5_fields(path: Path) -> list[Field]:
    """Return the variables of a file, vectors without the axis of length 1 that MATLAB gives them.

    Raises
    ------
    FileFormatError, ValueError, EOFError, zlib.error
        If the file is damaged.
    """
    fields = []
    with path.open("rb") as stream:
        header = stream.read(_HEADER_BYTES)
        order = {b"IM": "<", b"MI": ">"}.get(header[126:128])
        if order is None:
            raise FileFormatError(
                f"{path} is not a readable .mat file: its header is not that of version 5 or later (version 4 and "
                "Octave's text are not read). Save it again, with '-v7'."
            )
        size = path.stat().st_size
        place = _HEADER_BYTES
        while place + 8 <= size:
            stream.seek(place)
            kind, length = (int(n) for n in np.frombuffer(stream.read(8), order + "u4"))
            if place + 8 + length > size:
                raise EOFError("a variable goes on after the end of the file")
            if kind not in (_MATRIX, _COMPRESSED):
                raise ValueError(f"an element of type {kind} stands where a variable is needed")
            fields.append(_field(path, order, place))
            check(path, arrays=len(fields))
            place += 8 + length
    return [item for item in fields if item.name]


def _field(path: Path, order: str, place: int) -> Field:
    with _opened(path, order, place) as element:
        head = element.head()
        shape = head.shape
        vector = (math.prod(shape),) if len(shape) == 2 and 1 in shape else shape
        if head.kind in _NUMBERS and not head.is_complex:
            return Field(head.name, vector, np.dtype(_NUMBERS[head.kind]), partial(_load, path, order, place, vector))
        if head.kind in (_CHAR, _CELL):
            words = element.rows_of_text(shape) if head.kind == _CHAR else element.cell_of_text(shape)
            if words is not None:
                return Field(head.name, (len(words),), np.dtype(str), partial(text_array, words))
        what = "complex numbers" if head.is_complex else _OTHERS.get(head.kind, "cells other than text")
        return unreadable(path, head.name, vector, what, "Save a full matrix of real numbers.")


def _load(path: Path, order: str, place: int, shape: tuple[int, ...]) -> Any:
    with _opened(path, order, place) as element:
        head = element.head()
        stored, data = element.numbers(head.shape)
    values = data.reshape(shape, order="F") if len(shape) == 1 else data
    wanted = np.dtype(_NUMBERS[head.kind])
    if stored.newbyteorder("=") == wanted:
        return values
    # MATLAB stores whole numbers as the smallest integers that hold them.
    return Converted(values, lambda rows: rows.astype(wanted), shape, wanted)


@contextmanager
def _opened(path: Path, order: str, place: int) -> Iterator[_Element]:
    with path.open("rb") as stream:
        stream.seek(place)
        element = _Element(path, order, stream)
        kind, length, _ = element.tag()
        if kind == _COMPRESSED:
            element = _Element(path, order, stream, packed=length)
            kind, length, _ = element.tag()
        if kind != _MATRIX:
            raise ValueError(f"an element of type {kind} stands where a variable is needed")
        yield element


class _Element:
    """Reads on through the bytes of a variable, unpacking them if they are compressed."""

    def __init__(self, path: Path, order: str, stream: IO[bytes], packed: int | None = None) -> None:
        self._path = path
        self._order = order
        self._stream = stream
        self._packed = packed
        self._unpack = zlib.decompressobj()

    def take(self, size: int) -> bytes:
        """Return that many bytes."""
        pieces = []
        while size:
            piece = self._some(size)
            if not piece:
                raise EOFError("a variable ends early")
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _some(self, most: int) -> bytes:
        if self._packed is None:
            return self._stream.read(min(most, _PIECE_BYTES))
        while not self._unpack.eof:
            waiting = self._unpack.unconsumed_tail
            if not waiting:
                waiting = self._stream.read(min(self._packed, _PIECE_BYTES))
                self._packed -= len(waiting)
            piece = self._unpack.decompress(waiting, min(most, _PIECE_BYTES))
            if piece or not waiting:
                return piece
        return b""

    def tag(self) -> tuple[int, int, bytes | None]:
        """Return the type and the length of the next element, and its data if they fit into the tag."""
        raw = self.take(8)
        kind, length = (int(n) for n in np.frombuffer(raw, self._order + "u4"))
        if kind >> 16:
            length = kind >> 16
            if length > 4:
                raise ValueError("a short element is too long")
            return kind & 0xFFFF, length, raw[4 : 4 + length]
        return kind, length, None

    def small(self, most: int) -> tuple[int, bytes]:
        """Return the type and the data of the next element, which must not be long."""
        kind, length, data = self.tag()
        if data is None:
            if length > most:
                raise ValueError(f"an element has {length} bytes where {most} are plenty")
            data = self.take(length)
            self.take(-length % 8)
        return kind, data

    def head(self) -> _Head:
        """Read the flags, the dimensions and the name of an array."""
        _, flags = self.small(8)
        _, dimensions = self.small(4 * _MAX_DIMENSIONS)
        _, name = self.small(_MAX_NAME)
        word = int(np.frombuffer(flags[:4], self._order + "u4")[0])
        shape = tuple(int(n) for n in np.frombuffer(dimensions, self._order + "i4"))
        if len(shape) < 2 or min(shape) < 0:
            raise ValueError(f"an array has the dimensions {shape}")
        return _Head(word & 0xFF, bool(word & _COMPLEX), shape, name.decode("utf-8"))

    def numbers(self, shape: tuple[int, ...]) -> tuple[np.dtype[Any], Any]:
        """Return the type that numbers are stored in, and the numbers, column after column."""
        kind, length, data = self.tag()
        stored = np.dtype(self._order + _DATA_TYPES[kind])
        if length != math.prod(shape) * stored.itemsize:
            raise ValueError(f"an array of {math.prod(shape)} numbers has {length} bytes")
        if data is not None or not length:
            return stored, np.frombuffer(data or b"", stored).reshape(shape, order="F")
        if self._packed is None:
            return stored, np.memmap(self._path, stored, "r", self._stream.tell(), shape, "F")
        return stored, column_major(self._pieces(length), shape, stored)

    def _pieces(self, length: int) -> Iterator[bytes]:
        while length:
            piece = self._some(length)
            if not piece:
                return
            yield piece
            length -= len(piece)

    def text(self) -> str:
        """Return the characters of the next element."""
        kind, data = self.small(_MAX_TEXT)
        encoding = _ENCODINGS[kind]
        if encoding in ("utf-16", "utf-32"):
            encoding += "-le" if self._order == "<" else "-be"
        return data.decode(encoding)

    def rows_of_text(self, shape: tuple[int, ...]) -> list[str]:
        """Return the rows of a matrix of characters."""
        characters = self.text()
        if len(shape) != 2 or len(characters) != math.prod(shape):
            raise ValueError(f"a text of {len(characters)} characters has the dimensions {shape}")
        return [characters[row :: shape[0]].rstrip() for row in range(shape[0])]

    def cell_of_text(self, shape: tuple[int, ...]) -> list[str] | None:
        """Return the words of a cell array, or None if it holds anything else."""
        check(self._path, arrays=math.prod(shape))
        words = []
        for _ in range(math.prod(shape)):
            kind, length, _ = self.tag()
            if kind != _MATRIX or not length:
                return None
            head = self.head()
            if head.kind != _CHAR or len(head.shape) != 2 or head.shape[0] > 1:
                return None
            words.append("".join(self.rows_of_text(head.shape)))
        return words
