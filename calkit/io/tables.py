"""Tables: columns of equal length, read in blocks of rows; columns of the same kind make a matrix.

Columns ``logit_<class>`` (or any other word for scores, see :mod:`calkit.names`) make one matrix, in the order of
the file; if the classes are whole numbers, in theirs. Columns whose whole names are such numbers make the matrix
``scores``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import Container, Field, by_name, printable, unreadable
from calkit.containers.sources import StreamSource
from calkit.errors import FileFormatError
from calkit.hardening.limits import check
from calkit.names import SCORE_ROLES, read_class_column, read_name
from calkit.roles.families import group_columns

__all__ = [
    "Column",
    "Table",
    "bounded",
    "exact_kinds",
    "holds_numbers",
    "join",
    "repeated",
    "stack_columns",
    "table_container",
    "table_fields",
]

_FLOAT = np.dtype(np.float64)
_NUMBERS = (*SCORE_ROLES, "sample_weight")


@dataclass(frozen=True)
class Column:
    """A column of a table: name, type and shape of the value of one row; (K,) for a list, whose values may have names.

    The note says what it holds, if that cannot be read.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    note: str = ""


class Table(ABC):
    """A file of `n_rows` rows, that can be read from the rows of `starts` on; `what` is the format, for messages."""

    what: str
    path: Path
    columns: dict[str, Column]
    n_rows: int
    starts: Sequence[int] = (0,)

    @abstractmethod
    def blocks(self, start: int, names: Sequence[str]) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Yield the named columns from a row of `starts` on, in blocks of any length."""

    def take_for_numbers(self, names: Sequence[str]) -> None:  # noqa: B027 - most files say what their columns are
        """Note that columns are the scores of classes, and so are floats, even where the file begins with integers."""

    def read_column(self, name: str) -> NDArray[Any]:
        """Return a whole column."""
        values = join(self.path, name, (block[name] for block in self.blocks(0, [name])), self.columns[name].dtype)
        if len(values) != self.n_rows:
            raise FileFormatError(
                f"{self.path}:{printable(name)} has {len(values)} rows, but the file announces {self.n_rows}."
            )
        return values


def join(path: Path, name: str, parts: Iterable[NDArray[Any]], empty: np.dtype[Any] = _FLOAT) -> NDArray[Any]:
    """Concatenate the parts of a column, all numbers or all text; `empty` is the type if there are none."""
    held = list(bounded(f"{path}:{printable(name)}", parts))
    if len({part.dtype.kind in "US" for part in held}) > 1:
        raise FileFormatError(f"{path}: the column {printable(name)!r} mixes numbers and text.")
    return np.concatenate(held) if held else np.empty(0, empty)


def repeated(names: Sequence[str]) -> str | None:
    """Return the first name that stands more than once, or None."""
    if len(set(names)) == len(names):
        return None
    return next(name for name, count in Counter(names).items() if count > 1)


def bounded(where: Path | str, parts: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Yield parts of a column as they are, and stop where their texts together become too long."""
    rows = longest = 0
    for part in parts:
        if part.dtype.kind in "US":
            rows, longest = rows + len(part), max(longest, part.dtype.itemsize // 4)
            check(where, words=(rows, longest))
        yield part


def table_fields(table: Table) -> dict[str, Field]:
    """Return the arrays of a table: matrices read block by block, single columns whole."""
    check(table.path, columns=len(table.columns))
    fields = []
    groups = group_columns(table.columns)
    check(table.path, arrays=len(groups))
    for name, members in groups.items():
        if len(members) == 1:
            fields.append(_single(table, table.columns[members[0][1]]))
        else:
            fields.append(_matrix(table, name, members))
    return by_name(table.path, fields)


def table_container(table: Table, form: str, *, named: bool = True) -> Container:
    """Return a file that is one table; columns can be chosen for its scores if they are `named`."""
    stack = partial(stack_columns, table) if named else None
    return Container(table.path, form, table_fields(table), named=named, stack=stack)


def stack_columns(table: Table, names: Sequence[str]) -> Field:
    """Return the matrix that columns of numbers make, each a class; its class names are theirs."""
    table.take_for_numbers(names)
    return _matrix(table, ",".join(names), [(name, name) for name in names])


def _single(table: Table, column: Column) -> Field:
    shape = (table.n_rows, *column.shape)
    if column.note:
        return unreadable(table.path, column.name, shape, column.note, "Save plain numbers, text or lists of numbers.")
    load: Any = partial(table.read_column, column.name)
    if column.shape:
        load = partial(_stream, table, column.name, [column.name], shape, column.dtype)
    return Field(column.name, shape, column.dtype, load, column.columns)


def _matrix(table: Table, name: str, members: list[tuple[str, str]]) -> Field:
    shape = (table.n_rows, len(members))
    columns = [table.columns[column] for _, column in members]
    bad = next((column for column in columns if column.shape or column.note or column.dtype.kind not in "biuf"), None)
    if bad is not None:
        what = f"{bad.note or bad.dtype} in the column {printable(bad.name)!r} where numbers are needed"
        return unreadable(table.path, name, shape, what, "Rename the column if it is not one of the classes.")
    table.take_for_numbers([column for _, column in members])
    columns = [table.columns[column] for _, column in members]
    dtype = np.result_type(*(column.dtype for column in columns))
    names = [column for _, column in members]
    load = partial(_stream, table, name, names, shape, dtype)
    return Field(name, shape, dtype, load, tuple(word for word, _ in members), members=tuple(names))


def _stream(
    table: Table, name: str, names: Sequence[str], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> StreamSource:
    def open_at(start: int) -> Iterator[NDArray[Any]]:
        for block in table.blocks(start, names):
            if len(names) == 1:
                yield block[names[0]]
                continue
            matrix = np.empty((len(block[names[0]]), len(names)), dtype)
            for index, column in enumerate(names):
                matrix[:, index] = block[column]
            yield matrix

    return StreamSource(f"{table.path}:{printable(name)}", table.what, shape, dtype, open_at, table.starts)


def holds_numbers(name: str) -> bool:
    """Tell whether a column is named as one of scores or weights, which are numbers however they are written."""
    return not _roles(name).isdisjoint(_NUMBERS)


def exact_kinds(name: str) -> str:
    """Return the kinds of values that a column takes only as they are written, by what its name says.

    Scores and weights are numbers however written; of labels only whole numbers are exact, 01 being another one.
    """
    roles = _roles(name)
    if not roles.isdisjoint(_NUMBERS):
        return ""
    return "ifb" if roles.isdisjoint(("labels", "predicted", "correct")) else "ib"


def _roles(name: str) -> set[str]:
    return {found.role for found in (read_name(name), read_class_column(name)) if found is not None}
