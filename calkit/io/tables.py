"""Tables: columns of equal length, read in blocks of rows; columns of the same kind make a matrix.

Columns ``logit_<class>`` (or ``logits_``, ``prob_``, ``probs_``, ``p_``, ``score_``, ``logprob_`` …) make one matrix,
in the order of the file; if the classes are the numbers 0..K-1, in theirs.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import FileFormatError
from calkit.io.container import Field, by_name, printable, unreadable
from calkit.io.limits import MAX_COLUMNS, check_count
from calkit.io.sources import StreamSource

__all__ = ["Column", "Table", "from_words", "group_columns", "join", "table_fields", "text_array", "word_kind"]

_MATRIX = re.compile(
    r"(?P<name>(?:.*[_\-. ])?(?:logits?|log_?probs?|log_?likelihoods?|probs?|probabilit(?:y|ies)|scores?|p))"
    r"[_\-. ](?P<column>.+)",
    re.IGNORECASE,
)

_TRUTH = {"true": True, "false": False}

# Arrays of text give every word the room of the longest; labels need little.
_MAX_TEXT_BYTES = 512 << 20


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
    dtype : numpy.dtype
        Of its values.
    shape : tuple of int
        Of the value of one row: () for a number or a text, (K,) for a list.
    columns : tuple of str
        Names of the K values, where they have some.
    note : str
        What it holds, if that cannot be read.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    note: str = ""


class Table(ABC):
    """A file of rows.

    Attributes
    ----------
    what : str
        The format, for messages: ``".csv"``.
    path : Path
    columns : mapping of str to Column
    n_rows : int
    starts : sequence of int
        Rows at which reading can begin.
    """

    what: str
    path: Path
    columns: Mapping[str, Column]
    n_rows: int
    starts: Sequence[int] = (0,)

    @abstractmethod
    def blocks(self, start: int, names: Sequence[str]) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Yield the named columns from a row of `starts` on, in blocks of any length."""

    def read_column(self, name: str) -> NDArray[Any]:
        """Return a whole column."""
        parts = [block[name] for block in self.blocks(0, [name])]
        values = join(self.path, name, parts) if parts else np.empty(0, self.columns[name].dtype)
        if len(values) != self.n_rows:
            raise FileFormatError(
                f"{self.path}:{printable(name)} has {len(values)} rows, but the file announces {self.n_rows}."
            )
        return values


def join(path: Path, name: str, parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Concatenate the parts of a column; they must be all numbers or all text.

    Raises
    ------
    FileFormatError
        If some are numbers and others text, or the text is too long for labels.
    """
    if len({part.dtype.kind in "US" for part in parts}) > 1:
        raise FileFormatError(f"{path}: the column {printable(name)!r} mixes numbers and text.")
    nbytes = sum(len(part) for part in parts) * max(part.dtype.itemsize for part in parts)
    if nbytes > _MAX_TEXT_BYTES and parts[0].dtype.kind in "US":
        raise FileFormatError(f"{path}: the texts of the column {printable(name)!r} are too long to be labels.")
    return np.concatenate(parts)


def group_columns(names: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    """Group the names of columns into matrices.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    dict
        For each array, its columns in order, each as (class, name of the column); single columns have the class ``""``.

    Examples
    --------
    >>> group_columns(["logit_1", "label", "logit_0"])
    {'logit': [('0', 'logit_0'), ('1', 'logit_1')], 'label': [('', 'label')]}
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in names:
        match = _MATRIX.fullmatch(name)
        groups.setdefault(match["name"] if match else name, []).append((match["column"] if match else "", name))
    found = {}
    for group, members in groups.items():
        if len(members) == 1:
            found[members[0][1]] = [("", members[0][1])]
        else:
            found[group] = _class_order(members)
    return found


def _class_order(members: list[tuple[str, str]]) -> list[tuple[str, str]]:
    words = [word for word, _ in members]
    if all(word.isdecimal() for word in words) and sorted(map(int, words)) == list(range(len(words))):
        return sorted(members, key=lambda member: int(member[0]))
    return members


def table_fields(table: Table) -> dict[str, Field]:
    """Return the arrays of a table: matrices read block by block, single columns whole.

    Raises
    ------
    FileFormatError
        If names repeat, or there are unreasonably many columns.
    """
    check_count(table.path, len(table.columns), "columns", MAX_COLUMNS)
    fields = []
    for name, members in group_columns(table.columns).items():
        columns = [table.columns[column] for _, column in members]
        if len(columns) == 1:
            fields.append(_single(table, columns[0]))
        else:
            fields.append(_matrix(table, name, members, columns))
    return by_name(table.path, fields)


def _single(table: Table, column: Column) -> Field:
    shape = (table.n_rows, *column.shape)
    if column.note:
        return unreadable(table.path, column.name, shape, column.note, "Save plain numbers, text or lists of numbers.")
    load: Any = partial(table.read_column, column.name)
    if column.shape:
        load = partial(_stream, table, column.name, [column.name], shape, column.dtype)
    return Field(column.name, shape, column.dtype, load, _class_names(column.columns))


def _matrix(table: Table, name: str, members: list[tuple[str, str]], columns: Sequence[Column]) -> Field:
    shape = (table.n_rows, len(columns))
    bad = next((column for column in columns if column.shape or column.note or column.dtype.kind not in "biuf"), None)
    if bad is not None:
        what = f"{bad.note or bad.dtype} in the column {printable(bad.name)!r} where numbers are needed"
        return unreadable(table.path, name, shape, what, "Rename the column if it is not one of the classes.")
    dtype = np.result_type(*(column.dtype for column in columns))
    load = partial(_stream, table, name, [column for _, column in members], shape, dtype)
    return Field(name, shape, dtype, load, _class_names([word for word, _ in members]))


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


def _class_names(words: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the classes; mere numbers are none."""
    return () if all(word.isdecimal() for word in words) else tuple(words)


def word_kind(words: Sequence[str]) -> np.dtype[Any]:
    """Return the type that all words have: int64, float64, bool or else text."""
    for kind in (np.int64, np.float64):
        try:
            return np.array(words, dtype=kind).dtype
        except (ValueError, OverflowError):
            continue
    return np.dtype(bool if all(word.strip().lower() in _TRUTH for word in words) else str)


def from_words(words: Sequence[str], kind: np.dtype[Any] | None = None) -> NDArray[Any]:
    """Return integers if all words are, else floats if all are, else booleans, else text: the type, not the role.

    Parameters
    ----------
    words : sequence of str
    kind : numpy.dtype, optional
        The type, if it is known already.

    Raises
    ------
    ValueError
        If the text is too long for labels.

    Examples
    --------
    >>> from_words(["1", "2.5"]), from_words(["true", "False"]), from_words(["cat", "1"])
    (array([1. , 2.5]), array([ True, False]), array(['cat', '1'], dtype='<U3'))
    """
    kind = word_kind(words) if kind is None else kind
    if kind.kind == "b":
        return np.array([_TRUTH[word.strip().lower()] for word in words])
    return text_array(words) if kind.kind == "U" else np.array(words, dtype=kind)


def text_array(words: Sequence[str]) -> NDArray[np.str_]:
    """Return words as an array of text, without the spaces around them.

    Raises
    ------
    ValueError
        If they are too long to be labels.
    """
    longest = max(map(len, words), default=0)
    if 4 * len(words) * longest > _MAX_TEXT_BYTES:
        raise ValueError(f"texts of {longest} characters are too long to be labels")
    return np.array([word.strip() for word in words], dtype=str)
