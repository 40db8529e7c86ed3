"""What the pages of a Parquet file hold once unpacked, read from their headers before pyarrow unpacks them.

pyarrow goes by the header of each page, which may announce much more than the footer of the file does, and does not
tell before. Nor can it be asked where the columns lie: it ends the process where their statistics are damaged. Footer
and headers are in Thrift's compact protocol, of which a few types are enough.

References
----------
Apache Parquet, "parquet.thrift", the structures FileMetaData and PageHeader.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Pages", "read_pages"]

_MAGIC = b"PAR1"

# Numbers of fields: of the file, a row group, a column and its description.
_GROUPS, _COLUMNS, _DESCRIPTION = 4, 1, 3
_TYPE, _COLUMN_PACKED, _DATA_OFFSET, _DICTIONARY_OFFSET = 1, 7, 9, 11

# Of a page, and of what follows the header of a page of data (version 1 and 2).
_UNPACKED, _PACKED, _DATA, _DATA_2, _VALUES = 2, 3, 5, 8, 1

# Bytes of a value by the number of its type: booleans, three kinds of integers, two of floats; else an index.
_WIDTHS = {0: 1, 1: 4, 2: 8, 3: 12, 4: 4, 5: 8}
_INDEX = 4

# Types in Thrift's compact protocol.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12


@dataclass(frozen=True)
class Pages:
    """Pages of several columns.

    Attributes
    ----------
    unpacked : int
        Bytes of all of them.
    at_once : int
        Bytes of the largest of each column: what is unpacked at a time.
    values : int
        Bytes that their values take in memory, repeated ones in full.
    """

    unpacked: int = 0
    at_once: int = 0
    values: int = 0


def read_pages(path: Path) -> list[Pages]:
    """Return what the pages of each row group announce.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ValueError, LookupError
        If headers are damaged.
    """
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        tail = len(_MAGIC) + 4
        size = int.from_bytes(data[-tail : -len(_MAGIC)], "little")
        if data[-len(_MAGIC) :] != _MAGIC or size > len(data) - tail:
            raise ValueError("it has no footer")
        return [_of_group(data, group) for group in _groups(data[len(data) - tail - size : len(data) - tail])]


def _groups(footer: bytes) -> Iterator[dict[int, Any]]:
    """Yield the descriptions of the row groups."""
    place = number = 0
    while footer[place]:
        number, kind, place = _field(footer, place, number)
        if number == _GROUPS and kind == _LIST:
            count, kind, place = _list(footer, place)
            for _ in range(count):
                group, place = _value(footer, place, kind)
                yield group
        else:
            _, place = _value(footer, place, kind)


def _of_group(data: Any, group: dict[int, Any]) -> Pages:
    unpacked = at_once = values = 0
    for column in group[_COLUMNS]:
        chunk = column[_DESCRIPTION]
        width = _WIDTHS.get(chunk[_TYPE], _INDEX)
        largest = 0
        for size, count in _pages(data, chunk):
            unpacked += size
            values += width * count
            largest = max(largest, size)
        at_once += largest
    return Pages(unpacked, at_once, values)


def _pages(data: Any, chunk: dict[int, Any]) -> Iterator[tuple[int, int]]:
    """Yield the unpacked bytes of each page of a column and the number of its values."""
    start = chunk[_DATA_OFFSET]
    if 0 < chunk.get(_DICTIONARY_OFFSET, 0) < start:
        start = chunk[_DICTIONARY_OFFSET]
    end = start + chunk[_COLUMN_PACKED]
    if not 0 <= start <= end <= len(data):
        raise ValueError("a column lies outside the file")
    while start < end:
        header, start = _struct(data, start)
        packed = header[_PACKED]
        if packed < 0:
            raise ValueError(f"a page has {packed} bytes")
        start += packed
        counts = header.get(_DATA) or header.get(_DATA_2) or {}
        yield header[_UNPACKED], counts.get(_VALUES, 0)


def _struct(data: Any, place: int) -> tuple[dict[int, Any], int]:
    """Return the values of a structure by the numbers of their fields, and where it ends."""
    found: dict[int, Any] = {}
    number = 0
    while data[place]:
        number, kind, place = _field(data, place, number)
        found[number], place = _value(data, place, kind)
    return found, place + 1


def _field(data: Any, place: int, number: int) -> tuple[int, int, int]:
    """Return the number and the type of a field that follows another one, and where its value begins."""
    head = data[place]
    if head > 15:
        return number + (head >> 4), head & 15, place + 1
    number, place = _integer(data, place + 1)
    return number, head, place


def _value(data: Any, place: int, kind: int) -> tuple[Any, int]:
    """Return a value, or None for those that nobody asks for, and where it ends."""
    if kind in (_I16, _I32, _I64):
        return _integer(data, place)
    if kind == _BINARY:
        length, place = _varint(data, place)
        return None, place + length
    if kind == _STRUCT:
        return _struct(data, place)
    if kind in (_LIST, _SET):
        count, kind, place = _list(data, place)
        values = []
        for _ in range(count):
            # A truth value is a type of its own in a structure, and a byte in a list.
            value, place = (None, place + 1) if kind in (_TRUE, _FALSE) else _value(data, place, kind)
            values.append(value)
        return values, place
    if kind in (_TRUE, _FALSE):
        return None, place
    if kind in (_BYTE, _DOUBLE):
        return None, place + (1 if kind == _BYTE else 8)
    raise ValueError(f"its headers have a value of unknown type {kind}")


def _list(data: Any, place: int) -> tuple[int, int, int]:
    """Return the length of a list, the type of its members, and where they begin."""
    head = data[place]
    if head >> 4 < 15:
        return head >> 4, head & 15, place + 1
    count, place = _varint(data, place + 1)
    return count, head & 15, place


def _varint(data: Any, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number in its headers has no end")


def _integer(data: Any, place: int) -> tuple[int, int]:
    byte = data[place]
    if byte < 128:
        # Most are short, and there are many.
        return (byte >> 1) ^ -(byte & 1), place + 1
    value, place = _varint(data, place)
    return (value >> 1) ^ -(value & 1), place
