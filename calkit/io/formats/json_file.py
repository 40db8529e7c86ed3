"""JSON: lists of numbers under keys, or records in a list or one a line, as logs of language models have them.

A document is read whole, up to a size; lines (.jsonl) are a stream. Tables come as pandas, Weights & Biases and MLflow
write them: a list of records, or ``{"columns": [...], "data": [[...], ...]}``.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import Container, Field, by_name, printable
from calkit.containers.words import from_words
from calkit.errors import FileFormatError
from calkit.hardening.limits import MAX_DOCUMENT_BYTES
from calkit.io.formats.base import FORMATS, Format
from calkit.io.json_columns import RecordColumns
from calkit.io.tables import Table, holds_numbers, repeated, stack_columns, table_fields
from calkit.io.text import LineBlock, LineIndex, line_at, read_text, with_compressions

__all__ = ["Json", "container_of_records"]

_LINES = with_compressions(".jsonl", ".ndjson")
_RECORDS = 1024
_FLOAT = np.dtype(np.float64)

_MAX_DEPTH = 16

# The most characters that are kept of a single word of a document, beside its lists.
_MAX_NOTE = 1000


class Json(Format):
    """Lists under keys, records in a list or one a line, or a table whose columns are named once.

    Tables of the last kind are ``{"columns": [...], "data": [[...]]}``, which pandas (``orient="split"``), Weights &
    Biases and MLflow write. Documents are read up to 256 MiB, lines (.jsonl) without end.
    """

    name = "json"
    suffixes = (*with_compressions(".json"), *_LINES)
    is_text = True

    def matches(self, head: bytes) -> bool:
        """Tell by the bracket it opens with."""
        return head.lstrip()[:1] in (b"{", b"[")

    def read(self, path: Path) -> Container:
        """Read a document, or count the lines; the types are those of the first record."""
        if path.name.lower().endswith(_LINES):
            return self._container(path, [("", _JsonLines(path))])
        text = read_text(path, MAX_DOCUMENT_BYTES)
        try:
            document = _DECODER.decode(text)
        except json.JSONDecodeError as error:
            if error.msg != "Extra data":
                raise
            # One of several, a line each.
            return self._container(path, [("", _JsonLines(path))])
        tables = [(prefix, _JsonRows(path, key, rows)) for prefix, key, rows in _lists(path, document, ())]
        if not tables:
            raise FileFormatError(
                f"{path} holds no lists. Write rows as elements of a list, or as lines (.jsonl); pandas does so with "
                "df.to_json(path, orient='records')."
            )
        return self._container(path, tables, _notes(document, ()))

    def _container(self, path: Path, tables: Sequence[tuple[str, _Records]], notes: Sequence[Field] = ()) -> Container:
        """Return the arrays of tables, their names after the prefix of each."""
        fields = [
            item.renamed(f"{prefix}/{item.name}") if prefix else item
            for prefix, table in tables
            for item in table_fields(table).values()
        ]
        named = any(table.named for _, table in tables)
        stack = partial(stack_columns, tables[0][1]) if len(tables) == 1 and not tables[0][0] else None
        return Container(path, self.name, by_name(path, [*fields, *notes]), named=named, stack=stack)


def container_of_records(path: Path, rows: list[Any]) -> Container:
    """Return the arrays of records that are in memory; `path` stands for them in messages."""
    return Json()._container(path, [("", _JsonRows(path, "", rows))])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = str(repeated([key for key, _ in pairs]))
        raise ValueError(f"the key {printable(twice)[:80]!r} stands more than once in one object")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _lists(path: Path, node: Any, place: tuple[str, ...]) -> Iterator[tuple[str, str, list[Any]]]:
    """Yield the tables of a document: the prefix of their names, the name of a list without any, and the rows."""
    where = "/".join(place)
    if _is_split(node):
        rows = _split_rows(path, node)
        if rows:
            yield where, "", rows
    elif isinstance(node, list) and node:
        yield (where, "", node) if isinstance(node[0], dict) else ("", where, node)
    elif isinstance(node, dict):
        if len(place) == _MAX_DEPTH:
            raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")
        for key, value in node.items():
            yield from _lists(path, value, (*place, key))


def _is_split(node: Any) -> bool:
    """Tell a table whose columns are named once."""
    return isinstance(node, dict) and isinstance(node.get("columns"), list) and isinstance(node.get("data"), list)


def _split_rows(path: Path, table: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a table whose columns are named once, as records."""
    names = [str(name) for name in table["columns"]]
    rows = table["data"]
    odd = next((i for i, row in enumerate(rows) if not isinstance(row, list) or len(row) != len(names)), None)
    if odd is not None:
        raise FileFormatError(f"{path}: row {odd} of 'data' is not a list of {len(names)} values, as 'columns' says.")
    return [_unique(list(zip(names, row, strict=True))) for row in rows]


def _notes(node: Any, place: tuple[str, ...]) -> list[Field]:
    """Return the single values that stand beside the lists."""
    if not isinstance(node, dict):
        if not place or node is None or isinstance(node, list):
            return []
        return [Field.of("/".join(place), np.asarray(node[:_MAX_NOTE] if isinstance(node, str) else node))]
    if _is_split(node):
        return []
    return [note for key, value in node.items() for note in _notes(value, (*place, key))]


class _Records(Table):
    """Rows that are JSON values."""

    _records: RecordColumns
    named: bool

    def _describe(self, name: str, first: Any) -> None:
        self.named = isinstance(first, dict) or bool(name)
        name = name or self.path.name.split(".")[0]
        self._records = RecordColumns(self.path, name, first, self._all)
        self.columns = self._records.columns

    @abstractmethod
    def _pieces(self, start: int) -> Iterator[tuple[int, list[Any]]]:
        """Yield some records at a time from ``start`` on, with the number of the first of them."""

    def _all(self) -> Iterator[Any]:
        return (record for _, records in self._pieces(0) for record in records)

    def blocks(self, start: int, names: Sequence[str]) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Yield columns of some records at a time."""
        return (self._records.arrays(records, names, row) for row, records in self._pieces(start))

    def take_for_numbers(self, names: Sequence[str]) -> None:
        """Note that columns are floats: the first record may hold integers by chance."""
        self.columns.update((name, replace(self.columns[name], dtype=_FLOAT)) for name in names)

    def read_column(self, name: str) -> NDArray[Any]:
        """Return a whole column; words that stand for scores or weights become numbers."""
        values = super().read_column(name)
        return from_words(values.tolist()) if values.dtype.kind == "U" and holds_numbers(name) else values


class _JsonRows(_Records):
    """A list of a document."""

    what = ".json"

    def __init__(self, path: Path, name: str, rows: list[Any]) -> None:
        self.path = path
        self._rows = rows
        self.n_rows = len(rows)
        self.starts = range(0, len(rows), _RECORDS)
        self._describe(name, rows[0])

    def _pieces(self, start: int) -> Iterator[tuple[int, list[Any]]]:
        return ((first, self._rows[first : first + _RECORDS]) for first in range(start, self.n_rows, _RECORDS))


class _JsonLines(_Records):
    """A record a line."""

    what = ".jsonl"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._index = LineIndex(path)
        if not self._index.head:
            raise FileFormatError(f"{path} holds no records.")
        self.n_rows, self.starts = self._index.n_rows, self._index.starts
        self._describe("", self._decode(self._index.head[0], *_lines(self._index.head[0])[0]))

    def _pieces(self, start: int) -> Iterator[tuple[int, list[Any]]]:
        for block in self._index.blocks(start):
            lines = _lines(block)
            for first in range(0, len(lines), _RECORDS):
                yield block.row + first, [self._decode(block, *line) for line in lines[first : first + _RECORDS]]

    def _decode(self, block: LineBlock, place: int, line: bytes) -> Any:
        try:
            return _DECODER.decode(line.decode("utf-8"))
        except ValueError as error:
            number = line_at(self.path, block.offset) + place
            raise FileFormatError(f"{self.path}: line {number} is no valid JSON: {error}.") from error


def _lines(block: LineBlock) -> list[tuple[int, bytes]]:
    """Return the lines of a block that are not blank, with their places in it."""
    return [(place, line) for place, line in enumerate(block.data.splitlines()) if line.strip()]


FORMATS.register("json")(Json())
