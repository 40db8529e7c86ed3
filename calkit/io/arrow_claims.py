"""What the record batches of an Arrow file take once unpacked, read from their headers before pyarrow unpacks them.

pyarrow sets aside what a compressed buffer announces, whatever that is, and does not tell before. The headers are
flatbuffers, of which a few fields are enough.

References
----------
Apache Arrow, "Columnar Format", the chapter on serialization and interprocess communication.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["unpacked_batches"]

_MAGIC = b"ARROW1"
_CONTINUES = 0xFFFFFFFF
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_PAIR = struct.Struct("<qq")
_BLOCK = struct.Struct("<qi4xq")


def unpacked_batches(path: Path) -> list[int]:
    """Return the bytes that each batch of a file takes in memory; 0 for those that are mapped as they are.

    Parameters
    ----------
    path : Path
        A file that is not empty.

    Raises
    ------
    ValueError, struct.error
        If headers are damaged.
    """
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        places = _blocks(data) if data[: len(_MAGIC)] == _MAGIC else _messages(data)
        return [_unpacked(data, header, body) for header, body in places]


def _blocks(data: Any) -> Iterator[tuple[int, int]]:
    """Yield where the header and the body of each batch of a file begin, as its footer says."""
    (size,) = struct.unpack_from("<i", data, len(data) - len(_MAGIC) - 4)
    footer = _root(data, len(data) - len(_MAGIC) - 4 - size)
    for field in (2, 3):
        for place in _vector(data, footer, field, _BLOCK.size):
            offset, header_size, _ = _BLOCK.unpack_from(data, place)
            (first,) = struct.unpack_from("<I", data, offset)
            yield offset + (8 if first == _CONTINUES else 4), offset + header_size


def _messages(data: Any) -> Iterator[tuple[int, int]]:
    """Yield where the header and the body of each message of a stream begin."""
    place = 0
    while place + 8 <= len(data):
        continues, size = struct.unpack_from("<Ii", data, place)
        if continues != _CONTINUES or size <= 0:
            return
        header, body = place + 8, place + 8 + size
        yield header, body
        (length,) = _scalar(data, _root(data, header), 3, "<q")
        if length < 0:
            raise ValueError(f"a message has {length} bytes")
        place = body + -(-length // 8) * 8


def _unpacked(data: Any, header: int, body: int) -> int:
    message = _root(data, header)
    (kind,) = _scalar(data, message, 1, "<B")
    batch = _table(data, message, 2) if kind in (_DICTIONARY_BATCH, _RECORD_BATCH) else None
    if batch is not None and kind == _DICTIONARY_BATCH:
        batch = _table(data, batch, 1)
    if batch is None or _table(data, batch, 3) is None:
        return 0
    total = 0
    for place in _vector(data, batch, 2, _PAIR.size):
        offset, length = _PAIR.unpack_from(data, place)
        if length:
            (unpacked,) = struct.unpack_from("<q", data, body + offset)
            # -1 stands for a buffer that was not worth compressing.
            total += max(unpacked, 0)
    return total


def _root(data: Any, place: int) -> int:
    (offset,) = struct.unpack_from("<I", data, _inside(place))
    return _inside(place + int(offset))


def _field(data: Any, table: int, field: int) -> int:
    """Return where a field of a table is, or 0 if it is left out."""
    (back,) = struct.unpack_from("<i", data, table)
    fields = _inside(table - back)
    (size,) = struct.unpack_from("<H", data, fields)
    if 4 + 2 * field >= size:
        return 0
    (offset,) = struct.unpack_from("<H", data, fields + 4 + 2 * field)
    return table + int(offset) if offset else 0


def _scalar(data: Any, table: int, field: int, form: str) -> tuple[int]:
    place = _field(data, table, field)
    return struct.unpack_from(form, data, place) if place else (0,)


def _table(data: Any, table: int, field: int) -> int | None:
    place = _field(data, table, field)
    return _root(data, place) if place else None


def _vector(data: Any, table: int, field: int, size: int) -> range:
    """Return where the members of a vector of structures are."""
    place = _field(data, table, field)
    if not place:
        return range(0)
    start = _root(data, place)
    (count,) = struct.unpack_from("<I", data, start)
    if start + 4 + count * size > len(data):
        raise ValueError(f"a list of {count} goes on after the end of the file")
    return range(start + 4, start + 4 + count * size, size)


def _inside(place: int) -> int:
    # Places before the beginning would count from the end.
    if place < 0:
        raise ValueError("a header points before the beginning of the file")
    return place
