"""Delimited text as a table: opened by counting rows, parsed block by block."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import printable
from calkit.errors import FileFormatError
from calkit.hardening.limits import check
from calkit.io.csv_dialect import Dialect, find_delimiter
from calkit.io.csv_parser import CsvParser, lines_of
from calkit.io.tables import Column, Table, bounded, join, repeated
from calkit.io.text import LineBlock, LineIndex, beginning
from calkit.roles.families import group_columns

__all__ = ["CsvTable"]

_FLOAT = np.dtype(np.float64)


class CsvTable(Table):
    """The columns of a text file; opening it finds the header, counts the rows and notes where blocks begin."""

    def __init__(self, path: Path, name: str, delimiter: str) -> None:
        self.path = path
        self.what = f".{name}"
        self._dialect = Dialect(find_delimiter(beginning(path), delimiter))
        self._index = LineIndex(path, self._dialect.records)
        if not self._index.head:
            raise FileFormatError(f"{path} holds no rows.")
        names, data_start = self._read_header(self._index.head[0])
        self.has_header = data_start > 0
        self._parser = CsvParser(path, self.what, self._dialect, names, data_start)
        self.n_rows = self._index.n_rows - self.has_header
        self.starts = [max(0, row - self.has_header) for row in self._index.starts]
        self._names = names
        # The first block may be the header alone.
        self._type_columns(self._index.head[-1 if self._index.head[0].rows == self.has_header else 0])
        self._parser.fast = self._index.n_blocks > 1 and not self._parser.has_decimal_commas and self._has_arrow()

    def _has_arrow(self) -> bool:
        return importlib.util.find_spec("pyarrow") is not None

    def _read_header(self, first: LineBlock) -> tuple[list[str], int]:
        """Return the names of the columns, and the bytes of the line that names them."""
        reader = self._dialect.reader(lines_of(self.path, self.what, first, first.data))
        row = next(row for row in reader if row)
        check(self.path, columns=len(row))
        names = [name.strip() for name in row]
        if all(map(self._dialect.names_number, names)):
            return [str(index) for index in range(len(names))], 0
        # NumPy marks the line of names as a comment.
        names[0] = names[0].lstrip("# ")
        for name in names:
            check(self.path, name=name)
        twice = repeated(names)
        if twice is not None:
            raise FileFormatError(
                f"{self.path}: the header names the column {printable(twice)!r} more than once; rename one of them."
            )
        start = 0
        for _ in range(reader.line_num):
            start = first.data.find(b"\n", start) + 1 or len(first.data)
        return names, start

    def _type_columns(self, typical: LineBlock) -> None:
        if self.has_header:
            groups = group_columns(self._names).values()
            self._parser.numeric |= {name for members in groups if len(members) > 1 for _, name in members}
            self.columns = self._parser.type_columns(typical)
            return
        self._parser.numeric |= set(self._names)
        self._parser.type_columns(typical)
        name = self.path.name.split(".")[0]
        self.columns = {name: Column(name, _FLOAT, (len(self._names),))}

    def take_for_numbers(self, names: Sequence[str]) -> None:
        """Note that columns are floats: the first rows may hold integers by chance."""
        self._parser.numeric |= set(names)
        self.columns.update((name, Column(name, _FLOAT)) for name in names)

    def blocks(self, start: int, names: Sequence[str]) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Yield columns: those of matrices as float64, others as what the words of each block are."""
        wanted = names if self.has_header else self._names
        for block in self._blocks(start):
            found = self._parser.columns(block, wanted)
            yield found if self.has_header else {names[0]: np.stack(list(found.values()), axis=1)}

    def read_column(self, name: str) -> NDArray[Any]:
        """Return a whole column: as text if any of its words is neither a number nor a truth value."""
        parts = list(bounded(self._parser.where(name), (block[name] for block in self.blocks(0, [name]))))
        if len({_family(part) for part in parts}) > 1:
            return join(self.path, name, (self._parser.words(block, name) for block in self._blocks(0)))
        return join(self.path, name, parts)

    def _blocks(self, start: int) -> Iterator[LineBlock]:
        return self._index.blocks(start + self.has_header)


def _family(values: NDArray[Any]) -> str:
    return "number" if values.dtype.kind in "if" else values.dtype.kind
