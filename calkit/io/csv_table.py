"""Delimited text as a table: opened by counting rows, parsed block by block.

Long files are parsed by pyarrow where it is installed. The standard library reads all others, and whatever pyarrow
stumbles over: it then tells row and value of the mistake.

What separates the columns is seen in the first line, so that semicolons (with decimal commas, as spreadsheets of half
the world write them) and tabs may stand in a file called ``.csv``. A cell may hold a list of numbers, as pandas writes
a column of arrays.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import FileFormatError
from calkit.io.container import printable
from calkit.io.families import group_columns
from calkit.io.hardening.guard import damaged
from calkit.io.hardening.limits import check
from calkit.io.tables import Column, Table, bounded, from_words, join, word_kind
from calkit.io.text import LineBlock, beginning, compressed, line_blocks, plain_lines

__all__ = ["CsvTable", "csv_records", "find_delimiter"]

_FLOAT = np.dtype(np.float64)
_DELIMITERS = ";\t|,"
_QUOTED = re.compile(r'"[^"]*"')

# A list in a cell: of Python, NumPy or torch, as they print it.
_LIST = re.compile(r"\s*(?:(?:array|tensor)\()?\[([^\[\]]*)\](?:, *dtype=[\w.]+)?\)?\s*")
_NUMPY_NUMBER = re.compile(r"np\.float\d+\(([^()]*)\)")


class CsvTable(Table):
    """The columns of a text file; opening it finds the header, counts the rows and notes where blocks begin."""

    def __init__(self, path: Path, name: str, delimiter: str) -> None:
        self.path = path
        self.what = f".{name}"
        self._delimiter = find_delimiter(beginning(path), delimiter)
        self._decimal_comma = False
        self._records = partial(csv_records, self._delimiter)
        self._parsed: tuple[int, list[tuple[str, ...]]] = (-1, [])
        blocks = line_blocks(path, self._records)
        first = next(blocks, None)
        if first is None:
            raise FileFormatError(f"{path} holds no rows.")
        self._read_header(first)
        starts, offsets = [0], [0]
        self.n_rows = first.rows - self.has_header
        typical = first
        for block in blocks:
            if not self.n_rows:
                # The first block was the header alone.
                typical = block
            starts.append(self.n_rows)
            offsets.append(block.offset)
            self.n_rows += block.rows
        if not self.n_rows:
            raise FileFormatError(f"{path} holds a header, but no rows.")
        if not compressed(path):
            self.starts, self._offsets = starts, offsets
        else:
            self._offsets = [0]
        self._type_columns(typical)
        self._fast = len(starts) > 1 and not self._decimal_comma and self._has_arrow()

    def _has_arrow(self) -> bool:
        return importlib.util.find_spec("pyarrow") is not None

    def _read_header(self, first: LineBlock) -> None:
        reader = csv.reader(self._lines(first, first.data), delimiter=self._delimiter, strict=True)
        row = next(row for row in reader if row)
        check(self.path, columns=len(row))
        self._names = [name.strip() for name in row]
        self.has_header = not all(_is_number(name) or self._is_comma_number(name) for name in self._names)
        self._data_start = 0
        if not self.has_header:
            self._names = [str(index) for index in range(len(self._names))]
        else:
            # NumPy marks the line of names as a comment.
            self._names[0] = self._names[0].lstrip("# ")
            for name in self._names:
                check(self.path, name=name)
            self._check_names()
            for _ in range(reader.line_num):
                self._data_start = first.data.find(b"\n", self._data_start) + 1 or len(first.data)

    def _check_names(self) -> None:
        names = self._names
        if len(set(names)) != len(names):
            seen: set[str] = set()
            twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise FileFormatError(
                f"{self.path}: the header names the column {printable(twice)!r} more than once; rename one of them."
            )

    def _type_columns(self, typical: LineBlock) -> None:
        self._index = {name: index for index, name in enumerate(self._names)}
        parsed = self._parse(typical)
        self._decimal_comma = self._delimiter != "," and _have_decimal_commas(parsed)
        self._widths: dict[str, int] = {}
        if not self.has_header:
            name = self.path.name.split(".")[0]
            self.columns = {name: Column(name, _FLOAT, (len(self._names),))}
            self._numeric = set(self._names)
            return
        groups = group_columns(self._names).values()
        self._numeric = {name for members in groups if len(members) > 1 for _, name in members}
        columns = zip(self._names, parsed, strict=True)
        self.columns = {name: self._column(name, words) for name, words in columns}

    def take_for_numbers(self, names: Sequence[str]) -> None:
        """Note that columns are floats: the first rows may hold integers by chance."""
        self._numeric |= set(names)
        self.columns.update((name, Column(name, _FLOAT)) for name in names)

    def _column(self, name: str, words: Sequence[str]) -> Column:
        if name in self._numeric:
            return Column(name, _FLOAT)
        if words and all(map(_LIST.fullmatch, words)):
            self._widths[name] = len(_numbers_in(words[0]))
            return Column(name, _FLOAT, (self._widths[name],))
        return Column(name, word_kind(self._decimal_points(words)))

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
        parts = list(bounded(self._where(name), (block[name] for block in self.blocks(0, [name]))))
        if len({_family(part) for part in parts}) > 1:
            index, text = self._index[name], np.dtype(str)
            words = (self._parse(block)[index] for block in self._blocks(0))
            return join(self.path, name, (from_words(part, text, self._where(name)) for part in words))
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
            raise FileFormatError(
                f"{self.path} is not a readable {self.what} file: row {row} or so is not UTF-8 text (byte "
                f"{data[error.start]:#x}). Save it as UTF-8, if it is text."
            ) from error

    def _is_comma_number(self, word: str) -> bool:
        return self._delimiter != "," and _is_number(word.replace(",", "."))

    def _number(self, block: LineBlock, index: int) -> int:
        """Return the number of a row as people count: from 1, the header included."""
        return block.row + index + (2 if self.has_header and not block.row else 1)

    def _convert(self, block: LineBlock, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        parsed = self._parse(block)
        columns = {name: parsed[self._index[name]] for name in names}
        return {name: self._values(block, name, words) for name, words in columns.items()}

    def _values(self, block: LineBlock, name: str, words: Sequence[str]) -> NDArray[Any]:
        if name in self._widths:
            return self._lists(block, name, words)
        if name in self._numeric:
            return self._floats(block, name, words)
        return from_words(self._decimal_points(words), where=self._where(name))

    def _lists(self, block: LineBlock, name: str, words: Sequence[str]) -> NDArray[np.float64]:
        width = self._widths[name]
        try:
            values = np.array([_numbers_in(word) for word in words], dtype=_FLOAT)
            if values.shape[1:] == (width,):
                return values
        except ValueError:
            pass
        index = next(i for i, word in enumerate(words) if not _is_list(word, width))
        why = " NumPy left numbers out where it printed '...'." if "..." in words[index] else ""
        raise FileFormatError(
            f"{self.path}: row {self._number(block, index)} holds {words[index][:40]!r} in the column "
            f"{printable(name)!r} where a list of {width} numbers is needed.{why}"
        )

    def _decimal_points(self, words: Sequence[str]) -> Sequence[str]:
        """Return words with points for decimal commas, if the file has these and all words are numbers."""
        if not self._decimal_comma:
            return words
        changed = [word.replace(",", ".") for word in words]
        return changed if all(map(_is_number, changed)) else words

    def _where(self, name: str) -> str:
        return f"{self.path}:{printable(name)}"

    def _floats(self, block: LineBlock, name: str, words: Sequence[str]) -> NDArray[np.float64]:
        words = self._decimal_points(words)
        try:
            return np.array(words, dtype=np.float64)
        except ValueError:
            index = next(i for i, word in enumerate(words) if not _is_number(word))
            column = f" in the column {printable(name)!r}" if self.has_header else ""
            raise FileFormatError(
                f"{self.path}: row {self._number(block, index)} holds {words[index][:40]!r}{column} where a number is "
                "needed. Remove the row, or rename the column if it is not one of the classes."
            ) from None

    def _convert_fast(self, block: LineBlock, names: Sequence[str]) -> dict[str, NDArray[Any]] | None:
        """Parse with pyarrow; None if it finds anything odd, which the careful parser then explains or accepts."""
        if not self._widths.keys().isdisjoint(names):
            return None
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
            return {name: _from_arrow(table.column(name), self._where(name)) for name in names}
        except pa.ArrowException:
            return None


def _from_arrow(column: Any, where: str) -> NDArray[Any]:
    import pyarrow as pa

    if pa.types.is_floating(column.type):
        return np.asarray(column)
    for kind in (pa.int64(), pa.float64()):
        try:
            return np.asarray(column.cast(kind))
        except pa.ArrowInvalid:
            continue
    return from_words(column.to_pylist(), where=where)


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


def find_delimiter(line: str, usual: str) -> str:
    """Return what separates the columns of a text, from its first line.

    Parameters
    ----------
    line : str
    usual : str
        What the suffix of the file promises; taken if it is there.

    Examples
    --------
    >>> find_delimiter("prob_cat;prob_dog;label", ","), find_delimiter("0,5;0,25;1", ","), find_delimiter("a,b", ",")
    (';', ';', ',')
    """
    line = _QUOTED.sub("", line.strip())
    if ";" in line and all(_is_number(word.replace(",", ".")) for word in line.split(";")):
        return ";"
    if usual in line:
        return usual
    found = max(_DELIMITERS, key=line.count)
    if found in line:
        return found
    return " " if " " in line and all(map(_is_number, line.split(" "))) else usual


def _have_decimal_commas(columns: Sequence[Sequence[str]]) -> bool:
    """Tell whether columns hold numbers with commas, and none with points."""
    commas = points = False
    for words in columns:
        if any("," in word for word in words):
            commas |= all(_is_number(word.replace(",", ".")) for word in words)
        elif any("." in word for word in words):
            points |= all(map(_is_number, words))
    return commas and not points


def _numbers_in(word: str) -> list[float]:
    """Return the numbers of a list in a cell."""
    found = _LIST.fullmatch(word)
    if found is None:
        raise ValueError(f"{word[:40]!r} is no list of numbers")
    return [float(number) for number in _NUMPY_NUMBER.sub(r"\1", found[1]).replace(",", " ").split()]


def _is_list(word: str, width: int) -> bool:
    try:
        return len(_numbers_in(word)) == width
    except ValueError:
        return False


def _family(values: NDArray[Any]) -> str:
    return "number" if values.dtype.kind in "if" else values.dtype.kind


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
