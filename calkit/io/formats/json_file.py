"""JSON: lists of numbers under keys, or records in a list or one a line, as logs of language models have them."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import FileFormatError
from calkit.io.container import Container, Field, by_name
from calkit.io.formats.base import FORMATS, Format
from calkit.io.hardening.limits import TEXT_BLOCK_BYTES, check
from calkit.io.json_columns import RecordColumns
from calkit.io.json_stream import Place, TrailingDataError, walk
from calkit.io.tables import Table, from_words, stack_columns, table_fields
from calkit.io.text import compressed, line_blocks, with_compressions

__all__ = ["Json"]

_WHAT = ".json"
_LINES = with_compressions(".jsonl", ".ndjson")
_RECORDS = 1024
_FLOAT = np.dtype(np.float64)

# Single values of a document, beside its lists, are kept up to so many characters.
_MAX_NOTE = 1000


class Json(Format):
    """A document or lines."""

    name = "json"
    suffixes = (*with_compressions(".json"), *_LINES)
    is_text = True

    def matches(self, head: bytes) -> bool:
        """Tell by the bracket it opens with."""
        return head.lstrip()[:1] in (b"{", b"[")

    def read(self, path: Path) -> Container:
        """Count the rows, and take the types from the first."""
        name = path.name.split(".")[0]
        if path.name.lower().endswith(_LINES):
            return self._lines(path, name)
        try:
            lists, values = _survey(path)
        except TrailingDataError:
            return self._lines(path, name)
        fields = [item for place, (count, first) in lists.items() for item in _fields(path, name, place, count, first)]
        fields += [Field("/".join(place), (), v.dtype, partial(np.asarray, v)) for place, v in values.items()]
        named = any(place or isinstance(first, dict) for place, (_, first) in lists.items())
        return Container(path, self.name, by_name(path, fields), named=named)

    def _lines(self, path: Path, name: str) -> Container:
        table = _JsonLines(path, name)
        return Container(path, self.name, table_fields(table), named=table.named, stack=partial(stack_columns, table))


def _survey(path: Path) -> tuple[dict[Place, tuple[int, Any]], dict[Place, NDArray[Any]]]:
    """Return the length and the first element of each list in a document, and its single values."""
    lists: dict[Place, tuple[int, Any]] = {}
    values: dict[Place, NDArray[Any]] = {}
    for item in walk(path):
        if item.listed:
            count, first = lists.get(item.place, (0, item.value))
            lists[item.place] = (count + 1, first)
        elif item.place and item.value is not None:
            values[item.place] = np.asarray(item.value if item.size <= _MAX_NOTE else str(item.value)[:_MAX_NOTE])
        check(path, arrays=len(lists) + len(values))
    if not lists:
        raise FileFormatError(
            f"{path} holds no lists. Write rows as elements of a list, or as lines (.jsonl); pandas does so with "
            "df.to_json(path, orient='records')."
        )
    return lists, values


def _fields(path: Path, name: str, place: Place, count: int, first: Any) -> list[Field]:
    fields = table_fields(_JsonList(path, name, place, count, first)).values()
    prefix = "/".join(place)
    if not isinstance(first, dict) or not prefix:
        return list(fields)
    return [item.renamed(f"{prefix}/{item.name}") for item in fields]


class _Records(Table):
    """Rows that are JSON values."""

    _records: RecordColumns

    def take_for_numbers(self, names: Sequence[str]) -> None:
        """Note that columns are floats: the first record may hold integers by chance."""
        self.columns.update((name, replace(self.columns[name], dtype=_FLOAT)) for name in names)

    def read_column(self, name: str) -> NDArray[Any]:
        """Return a whole column; words that are all numbers become numbers."""
        values = super().read_column(name)
        return from_words(values.tolist()) if values.dtype.kind == "U" else values


class _JsonList(_Records):
    """A list in a document."""

    what = _WHAT

    def __init__(self, path: Path, name: str, place: Place, count: int, first: Any) -> None:
        self.path = path
        self.n_rows = count
        self._place = place
        self._records = RecordColumns(path, "/".join(place) or name, first)
        self.columns = self._records.columns

    def blocks(self, start: int, names: Sequence[str]) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Yield the elements of the list."""
        row, held, size = start, [], 0
        for item in walk(self.path):
            if item.place != self._place:
                continue
            held.append(item.value)
            size += item.size
            if len(held) == _RECORDS or size > TEXT_BLOCK_BYTES:
                yield self._records.arrays(held, names, row)
                row, held, size = row + len(held), [], 0
        if held:
            yield self._records.arrays(held, names, row)


class _JsonLines(_Records):
    """A record a line."""

    what = ".jsonl"

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        starts: list[int] = []
        offsets: list[int] = []
        self.n_rows = 0
        first: Any = None
        for block in line_blocks(path):
            if not starts:
                first = json.loads(next(line for line in block.data.splitlines() if line.strip()))
            starts.append(block.row)
            offsets.append(block.offset)
            self.n_rows = block.row + block.rows
        if not starts:
            raise FileFormatError(f"{path} holds no records.")
        self.starts, self._offsets = (starts, offsets) if not compressed(path) else ([0], [0])
        self.named = isinstance(first, dict)
        self._records = RecordColumns(path, name, first)
        self.columns = self._records.columns

    def blocks(self, start: int, names: Sequence[str]) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Yield the records of whole blocks of lines."""
        index = bisect_right(self.starts, start) - 1
        for block in line_blocks(self.path, offset=self._offsets[index], row=self.starts[index]):
            lines = [line for line in block.data.splitlines() if line.strip()]
            for first in range(0, len(lines), _RECORDS):
                records = [json.loads(line) for line in lines[first : first + _RECORDS]]
                yield self._records.arrays(records, names, block.row + first)


FORMATS.register("json")(Json())
