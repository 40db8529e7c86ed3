"""Text files as blocks of whole lines, unpacked on the way if they are compressed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from calkit.errors import FileFormatError
from calkit.hardening.limits import MAX_LINE_BYTES, TEXT_BLOCK_BYTES, check, format_bytes

__all__ = [
    "COMPRESSIONS",
    "LineBlock",
    "LineIndex",
    "Records",
    "beginning",
    "compressed",
    "line_at",
    "line_blocks",
    "open_bytes",
    "open_text",
    "plain_lines",
    "read_text",
    "with_compressions",
]

_OPENERS: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}

#: Suffixes of compressed text.
COMPRESSIONS = tuple(_OPENERS)

_HEAD_BYTES = 1 << 16
_PIECE_BYTES = 4 << 20

_NEWLINE, _RETURN = 0x0A, 0x0D
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def with_compressions(*suffixes: str) -> tuple[str, ...]:
    """Return suffixes of text with those of its compressed forms."""
    return (*suffixes, *(suffix + packed for suffix in suffixes for packed in COMPRESSIONS))


def compressed(path: Path) -> bool:
    """Tell by its suffix whether a file is compressed text."""
    return path.suffix.lower() in COMPRESSIONS


class _Bytes(Protocol):
    def read(self, size: int, /) -> bytes: ...


@contextmanager
def open_bytes(path: Path, offset: int = 0) -> Iterator[_Bytes]:
    """Open a file for reading bytes from an offset on, or unpacked from 0 if its suffix says that it is compressed."""
    suffix = path.suffix.lower()
    with ExitStack() as stack:
        if suffix in _OPENERS:
            yield _Bounded(path, stack.enter_context(_OPENERS[suffix](path, "rb")))
        else:
            raw = stack.enter_context(path.open("rb"))
            raw.seek(offset)
            yield raw


class _Bounded:
    """Counts what is unpacked, and stops where no honest text is so compressible."""

    def __init__(self, path: Path, stream: _Bytes) -> None:
        self._path = path
        self._stored = path.stat().st_size
        self._stream = stream
        self._unpacked = 0

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes; none at the end."""
        data = self._stream.read(size)
        self._unpacked += len(data)
        check(self._path, stored=self._stored, unpacked=self._unpacked)
        return data


@dataclass(frozen=True)
class LineBlock:
    """Consecutive whole lines: where they begin, in the unpacked text, how many precede them and how many they are.

    Blank lines are not counted.
    """

    data: bytes
    offset: int
    row: int
    rows: int


#: Takes text that ends with a line end; returns how much of it is whole records, and their number, blank lines aside.
Records = Callable[[bytes], tuple[int, int]]


def plain_lines(data: bytes) -> tuple[int, int]:
    """Take every line for a record; return their length and how many are not blank."""
    if not data.strip(b"\n"):
        return len(data), 0
    codes = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(codes == _NEWLINE)
    lengths = np.diff(ends, prepend=-1) - 1
    short = np.flatnonzero(lengths <= 1)
    blank = (lengths[short] == 0) | (codes[np.maximum(ends[short] - 1, 0)] == _RETURN)
    return len(data), len(ends) - int(np.count_nonzero(blank))


def line_blocks(path: Path, records: Records = plain_lines, *, offset: int = 0, row: int = 0) -> Iterator[LineBlock]:
    """Yield a text file in blocks of whole records, by default lines, of up to 16 MiB each.

    It begins at `offset` and `row`, a place at which an earlier block did; compressed files can only begin at 0.
    """
    with open_bytes(path, offset) as stream:
        held = b""
        while piece := _read(stream, TEXT_BLOCK_BYTES):
            if not offset and not held:
                piece, offset = _checked_beginning(path, piece)
            held += piece
            length, count = records(held[: held.rfind(b"\n") + 1])
            if count:
                yield LineBlock(held[:length], offset, row, count)
            if length:
                offset, row, held = offset + length, row + count, held[length:]
            elif len(held) > MAX_LINE_BYTES:
                _check_line_ends(path, held)
                raise FileFormatError(
                    f"{path}: what begins at byte {offset} is longer than {format_bytes(MAX_LINE_BYTES)} without an "
                    "end; is it text, and is every quote closed?"
                )
        if held.strip():
            _check_line_ends(path, held.strip())
            yield LineBlock(held, offset, row, max(1, records(held + b"\n")[1]))


class LineIndex:
    """Where the blocks of a text file begin, and how many records it has: found in one pass over it.

    Attributes
    ----------
    head : list of LineBlock
        The first two.
    n_rows : int
    starts : list of int
        Numbers of records at which reading can begin.
    n_blocks : int
    """

    def __init__(self, path: Path, records: Records = plain_lines) -> None:
        self._path, self._records = path, records
        self.head: list[LineBlock] = []
        self.starts, self._offsets, self.n_rows, self.n_blocks = [0], [0], 0, 0
        for block in line_blocks(path, records):
            self.head += [block] if self.n_blocks < 2 else []
            if self.n_blocks and not compressed(path):
                self.starts.append(block.row)
                self._offsets.append(block.offset)
            self.n_rows, self.n_blocks = block.row + block.rows, self.n_blocks + 1

    def blocks(self, row: int) -> Iterator[LineBlock]:
        """Yield the blocks from the one that holds a record on."""
        index = bisect_right(self.starts, row) - 1
        return line_blocks(self._path, self._records, offset=self._offsets[index], row=self.starts[index])


def line_at(path: Path, offset: int) -> int:
    """Return the number of the line that holds a byte of a text file, unpacked; the first is 1, as in editors."""
    ends = 0
    with open_bytes(path) as stream:
        while offset > 0 and (piece := stream.read(min(offset, _PIECE_BYTES))):
            ends, offset = ends + piece.count(b"\n"), offset - len(piece)
    return ends + 1


def read_text(path: Path, most: int) -> str:
    """Return a whole text file of up to ``most`` bytes, unpacked if it is compressed."""
    with open_bytes(path) as stream:
        data = _read(stream, most + 1)
    check(path, document=len(data))
    return _checked_beginning(path, data)[0].decode("utf-8")


def beginning(path: Path) -> str:
    """Return the first line of a text file that is not blank, or as much of it as tells its separators."""
    with open_bytes(path) as stream:
        lines = _read(stream, _HEAD_BYTES).removeprefix(_BOM).splitlines()
    return next((line.decode("latin-1") for line in lines if line.strip()), "")


def _checked_beginning(path: Path, piece: bytes) -> tuple[bytes, int]:
    """Return the first piece without its byte order mark, and the length of that."""
    if piece.startswith(_UTF16):
        raise FileFormatError(f"{path} is text in UTF-16; save it as UTF-8.")
    mark = len(_BOM) if piece.startswith(_BOM) else 0
    return piece[mark:], mark


def _check_line_ends(path: Path, data: bytes) -> None:
    if b"\r" in data and b"\n" not in data:
        raise FileFormatError(f"{path}: its lines end in carriage returns alone; save it with usual line ends.")


def _read(stream: _Bytes, size: int) -> bytes:
    """Return ``size`` bytes, less only at the end; unpackers give what they have."""
    pieces = []
    # A file sets aside whatever it is asked for, before it reads.
    while size and (piece := stream.read(min(size, _PIECE_BYTES))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """Open a text file for writing, compressed as its suffix says."""
    with ExitStack() as stack:
        if path.suffix == ".gz":
            # Neither the time nor the name of the temporary file belongs into the result.
            raw = stack.enter_context(path.open("wb"))
            packed = stack.enter_context(gzip.GzipFile("", "wb", fileobj=raw, mtime=0))
            yield stack.enter_context(io.TextIOWrapper(packed, "utf-8", newline=""))
        elif path.suffix in _OPENERS:
            yield stack.enter_context(_OPENERS[path.suffix](path, "wt", encoding="utf-8", newline=""))
        else:
            yield stack.enter_context(path.open("w", encoding="utf-8", newline=""))
