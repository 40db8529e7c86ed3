"""Delimited text as a table: opened by counting rows, parsed block by block.

Long files are parsed by pyarrow where it is installed. The standard library reads all others, and whatever pyarrow
stumbles over: it then tells row and value of the mistake.
"""

from __future__ import annotations

import csv
import importlib.util
import io
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import FileFormatError
from calkit.io.guard import damaged
from calkit.io.limits import MAX_COLUMNS, check_count
from calkit.io.tables import Column, Table, from_words, group_columns, join, word_kind
from calkit.io.text import LineBlock, compressed, line_blocks, plain_lines

__all__ = ["CsvTable", "csv_records"]

_FLOAT = np.dtype(np.float64)


class CsvTable(Table):
    """The columns of a text file; opening it finds the header, counts the rows and notes where blocks begin."""

    def __init__(self, path: Path, name: str, delimiter: str) -> None:
        self.path = path
        self.what = f".{name}"
        self._delimiter = delimiter
        self._records = partial(csv_records, delimiter)
        self._parsed: tuple[int, list[tuple[str, ...]]] = (-1, [])
        blocks = line_blocks(path, self._records)
        first = next(blocks, None)
        if first is None:
            raise FileFormatError(f"{path} holds no rows.")
        self._read_header(first)
        starts, offsets = [0], [0]
        self.n_rows = first.rows - self.has_header
        for block in blocks:
            starts.append(self.n_rows)
            offsets.append(block.offset)
            self.n_rows += block.rows
        if not self.n_rows:
            raise FileFormatError(f"{path} holds a header, but no rows.")
        if not compressed(path):
            self.starts, self._offsets = starts, offsets
        else:
            self._offsets = [0]
        self._fast = len(starts) > 1 and self._has_arrow()
        self._type_columns(first)

    def _has_arrow(self) -> bool:
        return importlib.util.find_spec("pyarrow") is not None

    def _read_header(self, first: LineBlock) -> None:
        reader = csv.reader(self._lines(first, first.data), delimiter=self._delimiter, strict=True)
        row = next(row for row in reader if row)
        check_count(self.path, len(row), "columns", MAX_COLUMNS)
        self._names = [name.strip() for name in row]
        self.has_header = not all(_is_number(name) for name in self._names)
        self._data_start = 0
        if not self.has_header:
            self._names = [str(index) for index in range(len(self._names))]
        else:
            self._check_names()
            for _ in range(reader.line_num):
                self._data_start = first.data.find(b"\n", self._data_start) + 1 or len(first.data)

    def _check_names(self) -> None:
        names = self._names
        if len(set(names)) != len(names):
            seen: set[str] = set()
            twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise FileFormatError(f"{self.path}: the header names the column {twice!r} more than once.")
        if len(names) == 1 and names[0].count(";") > 1:
            raise FileFormatError(
                f"{self.path}: its columns are separated by semicolons; separate them by {self._delimiter!r}."
            )

    def _type_columns(self, first: LineBlock) -> None:
        self._index = {name: index for index, name in enumerate(self._names)}
        parsed = self._parse(first)
        if not self.has_header:
            name = self.path.name.split(".")[0]
            self.columns = {name: Column(name, _FLOAT, (len(self._names),))}
            self._numeric = set(self._names)
            return
        groups = group_columns(self._names).values()
        self._numeric = {name for members in groups if len(members) > 1 for _, name in members}
        self.columns = {
            name: Column(name, _FLOAT if name in self._numeric else word_kind(words))
            for name, words in zip(self._names, parsed, strict=True)
        }

    def blocks(self, start: int, names: Sequence[str]) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Yield columns: those of matrices as float64, others as what the words of each block are."""
        wanted = names if self.has_header else self._names
        for block in self._blocks(start):
            found = self._convert_fast(block, wanted) if self._fast else None
            if found is None:
                found = self._convert(block, wanted)
            yield found if self.has_header else {names[0]: np.stack(list(found.values()), axis=1)}

    def read_column(self, name: str) -> NDArray[Any]:
        """Return a whole column: as text if any of its words is neither a number nor a truth value."""
        parts = [block[name] for block in self.blocks(0, [name])]
        if len({_family(part) for part in parts}) > 1:
            index, text = self._index[name], np.dtype(str)
            parts = [from_words(self._parse(block)[index], text) for block in self._blocks(0)]
        return join(self.path, name, parts)

    def _blocks(self, start: int) -> Iterator[LineBlock]:
        index = bisect_right(self.starts, start) - 1
        row = self.starts[index] + (self.has_header if index else 0)
        return line_blocks(self.path, self._records, offset=self._offsets[index], row=row)

    def _data(self, block: LineBlock) -> bytes:
        return block.data if block.row else block.data[self._data_start :]

    def _parse(self, block: LineBlock) -> list[tuple[str, ...]]:
        """Return the words of each column of a block; the last result is kept."""
        if self._parsed[0] != block.offset:
            rows = self._rows(block)
            width = len(self._names)
            for index, row in enumerate(rows):
                if len(row) != width:
                    than = f"the header names {width}" if self.has_header else f"the first has {width}"
                    raise FileFormatError(
                        f"{self.path}: row {self._number(block, index)} has {len(row)} columns, but {than}."
                    )
            self._parsed = (block.offset, list(zip(*rows, strict=True)) if rows else [()] * width)
        return self._parsed[1]

    def _rows(self, block: LineBlock) -> list[list[str]]:
        rows: list[list[str]] = []
        try:
            reader = csv.reader(self._lines(block, self._data(block)), delimiter=self._delimiter, strict=True)
            rows.extend(row for row in reader if row)
        except csv.Error as error:
            raise damaged(self.path, self.what, f"row {self._number(block, len(rows))}: {error}") from error
        return rows

    def _lines(self, block: LineBlock, data: bytes) -> io.StringIO:
        try:
            return io.StringIO(data.decode("utf-8"), newline="\n")
        except UnicodeDecodeError as error:
            row = block.row + 1 + data.count(b"\n", 0, error.start)
            reason = f"row {row} or so is not UTF-8 text (byte {data[error.start]:#x})"
            raise damaged(self.path, self.what, reason) from error

    def _number(self, block: LineBlock, index: int) -> int:
        """Return the number of a row as people count: from 1, the header included."""
        return block.row + index + (2 if self.has_header and not block.row else 1)

    def _convert(self, block: LineBlock, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        parsed = self._parse(block)
        columns = {name: parsed[self._index[name]] for name in names}
        return {
            name: self._floats(block, words) if name in self._numeric else from_words(words)
            for name, words in columns.items()
        }

    def _floats(self, block: LineBlock, words: Sequence[str]) -> NDArray[np.float64]:
        try:
            return np.array(words, dtype=np.float64)
        except ValueError:
            index = next(i for i, word in enumerate(words) if not _is_number(word))
            raise FileFormatError(
                f"{self.path}: row {self._number(block, index)} holds {words[index][:40]!r} where a number is needed."
            ) from None

    def _convert_fast(self, block: LineBlock, names: Sequence[str]) -> dict[str, NDArray[Any]] | None:
        """Parse with pyarrow; None if it finds anything odd, which the careful parser then explains or accepts."""
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        types = {name: pa.float64() if name in self._numeric else pa.string() for name in names}
        data = self._data(block)
        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(data),
                arrow_csv.ReadOptions(column_names=self._names, use_threads=False, block_size=len(data) + 1),
                arrow_csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
                arrow_csv.ConvertOptions(
                    column_types=types, include_columns=list(names), null_values=[], strings_can_be_null=False
                ),
            )
            return {name: _from_arrow(table.column(name)) for name in names}
        except pa.ArrowException:
            return None


def _from_arrow(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    if pa.types.is_floating(column.type):
        return np.asarray(column)
    for kind in (pa.int64(), pa.float64()):
        try:
            return np.asarray(column.cast(kind))
        except pa.ArrowInvalid:
            continue
    return from_words(column.to_pylist())


def csv_records(delimiter: str, data: bytes) -> tuple[int, int]:
    """Find whole rows, whose quoted values may hold line ends: see :data:`calkit.io.text.Records`."""
    if b'"' not in data:
        return plain_lines(data)
    # Every byte is a character of Latin-1, and those that matter here mean the same in UTF-8.
    lines = io.StringIO(data.decode("latin-1"), newline="\n")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    count = whole = 0
    try:
        for row in reader:
            count += bool(row)
            whole = reader.line_num
    except csv.Error as error:
        if "unexpected end of data" not in str(error):
            # Not unfinished but wrong: the parser that reads the values says so.
            return len(data), count + 1
        lines.seek(0)
        return sum(len(next(lines)) for _ in range(whole)), count
    return len(data), count


def _family(values: NDArray[Any]) -> str:
    return "number" if values.dtype.kind in "if" else values.dtype.kind


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
