"""Blocks of delimited text as columns of numbers and words.

Long files are parsed by pyarrow where it is installed. The standard library reads all others, and whatever pyarrow
stumbles over: it then tells line and value of the mistake. A cell may hold a list of numbers, as pandas writes a column
of arrays.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import printable
from calkit.containers.words import from_words, text_array
from calkit.errors import FileFormatError
from calkit.hardening.guard import damaged
from calkit.io.csv_dialect import Dialect
from calkit.io.tables import Column, exact_kinds
from calkit.io.text import LineBlock, line_at

__all__ = ["CsvParser", "lines_of"]

_FLOAT = np.dtype(np.float64)

# A list in a cell: of Python, NumPy or torch, as they print it.
_LIST = re.compile(r"\s*(?:(?:array|tensor)\()?\[([^\[\]]*)\](?:, *dtype=[\w.]+)?\)?\s*")
_NUMPY_NUMBER = re.compile(r"np\.float\d+\(([^()]*)\)")


class CsvParser:
    """Parses blocks of whole rows, whose header has `data_start` bytes.

    Columns named in `numeric` have to be numbers. Where it is `fast`, pyarrow may parse.
    """

    def __init__(self, path: Path, what: str, dialect: Dialect, names: Sequence[str], data_start: int) -> None:
        self._path = path
        self._what = what
        self._dialect = dialect
        self._names = names
        self._index = {name: index for index, name in enumerate(names)}
        self._data_start = data_start
        self._widths: dict[str, int] = {}
        self._parsed: tuple[int, list[tuple[str, ...]]] = (-1, [])
        self.numeric: set[str] = set()
        self.fast = False

    def type_columns(self, typical: LineBlock) -> dict[str, Column]:
        """Return the columns, typed by the words of a block, which also tell whether numbers have decimal commas."""
        parsed = self._parse(typical)
        self._dialect = self._dialect.of_values(parsed)
        return {name: self._column(name, words) for name, words in zip(self._names, parsed, strict=True)}

    @property
    def has_decimal_commas(self) -> bool:
        """Whether numbers are written with commas."""
        return self._dialect.decimal_comma

    def _column(self, name: str, words: Sequence[str]) -> Column:
        if name not in self.numeric and words and all(map(_LIST.fullmatch, words)):
            self._widths[name] = len(_numbers_in(words[0]))
            return Column(name, _FLOAT, (self._widths[name],))
        return Column(name, _FLOAT if name in self.numeric else self._convert(name, words).dtype)

    def _convert(self, name: str, words: Sequence[str]) -> NDArray[Any]:
        """Return a single column: numbers of scores and weights however written, others only if they lose nothing."""
        values = from_words(self._dialect.points(words), exact_kinds(name), self.where(name))
        return text_array(words, self.where(name)) if values.dtype.kind == "U" else values

    def columns(self, block: LineBlock, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return columns of a block: numbers where the words have to be, others as what the words are."""
        found = self._convert_fast(block, names) if self.fast else None
        if found is not None:
            return found
        parsed = self._parse(block)
        return {name: self._values(block, name, parsed[self._index[name]]) for name in names}

    def words(self, block: LineBlock, name: str) -> NDArray[Any]:
        """Return a column of a block as text."""
        return text_array(self._parse(block)[self._index[name]], self.where(name))

    def where(self, name: str) -> str:
        """Return a column as messages name it."""
        return f"{self._path}:{printable(name)}"

    def _data(self, block: LineBlock) -> bytes:
        return block.data if block.row else block.data[self._data_start :]

    def _parse(self, block: LineBlock) -> list[tuple[str, ...]]:
        """Return the words of each column of a block; the last result is kept."""
        if self._parsed[0] != block.offset:
            rows = self._rows(block)
            width = len(self._names)
            for index, row in enumerate(rows):
                if len(row) != width:
                    than = f"the header names {width}" if self._data_start else f"the first has {width}"
                    raise FileFormatError(
                        f"{self._path}: line {self._line(block, index)} has {len(row)} columns, but {than}."
                    )
            self._parsed = (block.offset, list(zip(*rows, strict=True)) if rows else [()] * width)
        return self._parsed[1]

    def _rows(self, block: LineBlock) -> list[list[str]]:
        rows: list[list[str]] = []
        try:
            reader = self._dialect.reader(lines_of(self._path, self._what, block, self._data(block)))
            rows.extend(row for row in reader if row)
        except csv.Error as error:
            raise damaged(self._path, self._what, f"line {self._line(block, len(rows))}: {error}") from error
        return rows

    def _line(self, block: LineBlock, index: int) -> int:
        """Return the line on which a row of a block ends, as editors count: from 1, header and blank lines included."""
        data = self._data(block)
        reader = self._dialect.reader(lines_of(self._path, self._what, block, data))
        # The line that cannot be parsed is the one that the reader stands in.
        with suppress(csv.Error):
            next(islice((row for row in reader if row), index, None), None)
        return line_at(self._path, block.offset + len(block.data) - len(data)) + max(0, int(reader.line_num) - 1)

    def _values(self, block: LineBlock, name: str, words: Sequence[str]) -> NDArray[Any]:
        if name in self._widths:
            width = self._widths[name]
            return self._needed(block, name, words, partial(_lists, width=width), f"a list of {width} numbers is")
        if name in self.numeric:
            numbers = self._dialect.points(words)
            return self._needed(block, name, numbers, partial(np.array, dtype=_FLOAT), "a number is")
        return self._convert(name, words)

    def _needed(
        self, block: LineBlock, name: str, words: Sequence[str], convert: Callable[[Sequence[str]], Any], what: str
    ) -> NDArray[np.float64]:
        """Return what all words must be, or name the row of the first that is not."""
        try:
            return np.asarray(convert(words))
        except ValueError:
            index = next(i for i, word in enumerate(words) if not _converts(convert, word))
        column = f" in the column {printable(name)!r}" if self._data_start else ""
        why = "Remove the row, or rename the column if it is not one of the classes."
        if "..." in words[index]:
            why = "NumPy left numbers out where it printed '...'."
        raise FileFormatError(
            f"{self._path}: line {self._line(block, index)} holds {words[index][:40]!r}{column} where {what} needed. "
            f"{why}"
        )

    def _convert_fast(self, block: LineBlock, names: Sequence[str]) -> dict[str, NDArray[Any]] | None:
        """Parse with pyarrow; None if it finds anything odd, which the careful parser then explains or accepts."""
        if not self._widths.keys().isdisjoint(names):
            return None
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        types = {name: pa.float64() if name in self.numeric else pa.string() for name in names}
        data = self._data(block)
        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(data),
                arrow_csv.ReadOptions(column_names=self._names, use_threads=False, block_size=len(data) + 1),
                arrow_csv.ParseOptions(delimiter=self._dialect.delimiter, newlines_in_values=True),
                arrow_csv.ConvertOptions(
                    column_types=types, include_columns=list(names), null_values=[], strings_can_be_null=False
                ),
            )
            return {name: _from_arrow(table.column(name), name, self.where(name)) for name in names}
        except pa.ArrowException:
            return None


def lines_of(path: Path, what: str, block: LineBlock, data: bytes) -> io.StringIO:
    """Return the lines of a block, or of a part of it; they must be UTF-8."""
    try:
        return io.StringIO(data.decode("utf-8"), newline="\n")
    except UnicodeDecodeError as error:
        line = line_at(path, block.offset + len(block.data) - len(data) + error.start)
        raise FileFormatError(
            f"{path} is not a readable {what} file: line {line} is not UTF-8 text (byte "
            f"{data[error.start]:#x}). Save it as UTF-8, if it is text."
        ) from error


def _from_arrow(column: Any, name: str, where: str) -> NDArray[Any]:
    import pyarrow as pa

    if pa.types.is_floating(column.type):
        return np.asarray(column)
    exact = exact_kinds(name)
    # The usual ways to write numbers, without a Python object for each.
    for kind in (pa.int64(), pa.float64()):
        try:
            values = column.cast(kind)
        except pa.ArrowInvalid:
            continue
        if not exact or (kind == pa.int64() and values.cast(pa.string()).equals(column)):
            return np.asarray(values)
    return from_words(column.to_pylist(), exact, where)


def _numbers_in(word: str) -> list[float]:
    """Return the numbers of a list in a cell."""
    found = _LIST.fullmatch(word)
    if found is None:
        raise ValueError(f"{word[:40]!r} is no list of numbers")
    return [float(number) for number in _NUMPY_NUMBER.sub(r"\1", found[1]).replace(",", " ").split()]


def _lists(words: Sequence[str], *, width: int) -> NDArray[np.float64]:
    return np.array([_numbers_in(word) for word in words], dtype=_FLOAT).reshape(len(words), width)


def _converts(convert: Callable[[Sequence[str]], Any], word: str) -> bool:
    try:
        convert([word])
    except ValueError:
        return False
    return True
