"""What every format of file comes down to: named arrays, described at once and read when wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.containers.sources import ColumnsSource
from calkit.errors import FileFormatError, UsageError
from calkit.hardening.guard import reading
from calkit.hardening.limits import check
from calkit.hardening.unchanged import Stamp
from calkit.lazy import Converted, LazyArray
from calkit.printing import printable
from calkit.registry import unknown_name

__all__ = ["Container", "Field", "by_name", "expand", "printable", "side_by_side", "unreadable"]


@dataclass(frozen=True)
class Field:
    """A named array in a file.

    Attributes
    ----------
    name : str
        The name it has in the file.
    shape : tuple of int
    dtype : numpy.dtype
        Of the values that `load` returns. Text may turn out wider; text columns of long files are typed by their
        beginning.
    load : callable
        Takes nothing; returns the array, or something with its shape and type that can be sliced by rows.
    columns : tuple of str
        What tells its columns apart, where the file says so: the classes of ``logit_cat,logit_dog``.
    members : tuple of str
        Names of the columns of the file that it is made of, if it is made of columns.
    note : str
        What else there is to know: a type that NumPy has no name for (``"bfloat16"``), or why it cannot be read.
    itemsize : int, optional
        Bytes of a number as stored, where it is widened when read.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    load: Callable[[], Any]
    columns: tuple[str, ...] = ()
    note: str = ""
    itemsize: int | None = None
    members: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, values: NDArray[Any]) -> Field:
        """Return the field of an array that is in memory."""
        return cls(name, values.shape, values.dtype, lambda: values)

    def __str__(self) -> str:
        shape = "×".join(str(n) for n in self.shape) or "scalar"
        return f"{printable(self.name)} ({shape} {self.type_name})"

    @property
    def type_name(self) -> str:
        """The type as people read it."""
        return self.note or ("text" if self.dtype.kind in "US" else str(self.dtype))

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in memory; 0 for what cannot be read or has no fixed size, as text."""
        return 0 if self.dtype.hasobject else math.prod(self.shape) * self.dtype.itemsize

    def is_of_numbers(self, *, table: bool) -> bool:
        """Tell whether it holds numbers, or, as a column of a table, text that spells them."""
        if self.dtype.kind != "U" or not table:
            return self.dtype.kind in "biuf"
        try:
            self.read().astype(np.float64)
        except ValueError:
            return False
        return True

    def renamed(self, name: str) -> Field:
        """Return the same array under another name."""
        return replace(self, name=name)

    def read(self) -> NDArray[Any]:
        """Return the whole array."""
        return np.asarray(self.load())

    def take(self, places: Sequence[int]) -> Field:
        """Return some of its columns, in this order."""
        chosen = list(places)
        if chosen == list(range(self.shape[1])):
            return self
        shape = (self.shape[0], len(chosen))
        return replace(
            self,
            shape=shape,
            load=partial(_columns, self.load, chosen, shape, self.dtype),
            columns=tuple(self.columns[place] for place in chosen) if self.columns else (),
            members=tuple(self.members[place] for place in chosen) if self.members else (),
        )

    def column(self, place: int) -> Field:
        """Return one of its columns, under its own name."""
        load = partial(_one_column, self.load, place)
        return Field(self.members[place], self.shape[:1], self.dtype, load, note=self.note, itemsize=self.itemsize)


@dataclass(frozen=True)
class Container:
    """A file, opened as far as to know which arrays it holds.

    Attributes
    ----------
    path : Path
    format : str
        Name of the format: ``"npz"``.
    fields : mapping of str to Field
        In the order of the file.
    named : bool
        Whether the names stand in the file; else its one array is named after the file.
    stack : callable, optional
        Takes names of columns of numbers and returns the matrix they make, where the file is a table.
    """

    path: Path
    format: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    named: bool = True
    stack: Callable[[Sequence[str]], Field] | None = None

    def listing(self) -> str:
        """Return what is inside in one line, for error messages."""
        shown = [str(item) for item in list(self.fields.values())[:_LISTED]]
        more = len(self.fields) - len(shown)
        return ", ".join([*shown, f"and {more} more"] if more else shown) or "nothing"

    def group(self, name: str) -> Container | None:
        """Return the arrays whose names begin with ``name/``, without it; None if there are none."""
        start = name.strip("/") + "/"
        inside = {key[len(start) :]: item for key, item in self.fields.items() if key.startswith(start)}
        fields = {key: item.renamed(key) for key, item in inside.items()}
        return replace(self, fields=fields, stack=None) if fields else None

    def guarded(self, what: str, stamp: Stamp) -> Container:
        """Return the same; loading an array ends in one clear error if it fails, or the file is another one by then.

        Parameters
        ----------
        what : str
            The format, for messages.
        stamp : Stamp
            What was opened.
        """

        def guard(item: Field) -> Field:
            where = f"{self.path}:{printable(item.name)}" if self.named else self.path
            return replace(item, load=partial(_guarded, item.load, where, what, stamp))

        stack = self.stack
        fields = {name: guard(item) for name, item in self.fields.items()}
        return replace(self, fields=fields, stack=None if stack is None else lambda names: guard(stack(names)))

    def matrix(self, text: str) -> Field:
        """Return the matrix that columns make.

        Parameters
        ----------
        text : str
            Names separated by commas, or patterns (``"class_*"``).

        Raises
        ------
        NotFoundError
            If there are no such columns.
        UsageError
            If a column does not hold a number per row.
        """
        chosen: dict[str, Field] = {}
        columns = self.columns()
        for word in (word.strip() for word in text.split(",")):
            single = (name for name, item in columns.items() if not item.members)
            found = [name for name in single if fnmatchcase(name, word)] if word not in columns else [word]
            chosen |= {item.name: item for item in ([columns[name] for name in found] or [self.find(word)])}
        for item in chosen.values():
            if len(item.shape) != 1 or not item.is_of_numbers(table=self.stack is not None):
                raise UsageError(f"{self.path}: {item} is no column of numbers, so it cannot be the scores of a class.")
        if self.stack is not None:
            return self.stack(list(chosen)).renamed(text)
        return side_by_side(self.path, text, list(chosen.values()), list(chosen))

    def columns(self) -> dict[str, Field]:
        """Return the arrays by name, and the columns that matrices are made of under their own names."""
        parts = [item.column(place) for item in self.fields.values() for place in range(len(item.members))]
        return {**{item.name: item for item in parts}, **self.fields}

    def find(self, name: str) -> Field:
        """Return an array by its name.

        Raises
        ------
        NotFoundError
            If there is none; the message lists those there are.
        """
        for key in (name, name.strip("/")):
            if key in self.fields:
                return self.fields[key]
        for item in self.fields.values():
            if name in item.members:
                return item.column(item.members.index(name))
        raise unknown_name("array", name, map(printable, self.fields), of=self.path)


def _guarded(load: Callable[[], Any], where: Path | str, what: str, stamp: Stamp) -> Any:
    with stamp.kept(), reading(where, what):
        return stamp.watched(load())


# What a message lists at most.
_LISTED = 40


def by_name(path: Path | str, fields: Iterable[Field]) -> dict[str, Field]:
    """Return fields under their names, those of record types (named columns in one array) taken apart.

    Raises
    ------
    FileFormatError
        If two have the same name, one is unreasonably long, or there are unreasonably many.
    """
    found: dict[str, Field] = {}
    for whole in fields:
        for item in expand(whole):
            check(path, name=item.name)
            if item.name in found:
                raise FileFormatError(f"{path} holds the name {item.name!r} more than once; rename one of the two.")
            found[item.name] = item
        check(path, arrays=len(found))
    return found


def expand(item: Field, separator: str = "/") -> list[Field]:
    """Return the columns of an array of records as fields of their own; any other array unchanged."""
    names = item.dtype.names
    if names is None or item.note:
        return [item]
    parts = []
    for name in names:
        dtype, shape = item.dtype[name].base, item.shape + item.dtype[name].shape
        load = partial(_column, item.load, name, shape, dtype)
        parts.append(Field(f"{item.name}{separator}{name}" if item.name else name, shape, dtype, load))
    return parts


def _columns(load: Callable[[], Any], places: list[int], shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    source = load()
    return Converted(source, lambda rows: rows[:, places], shape, dtype, getattr(source, "itemsize", None))


def _one_column(load: Callable[[], Any], place: int) -> NDArray[Any]:
    return np.asarray(load()[:, place])


def side_by_side(path: Path | str, name: str, items: Sequence[Field], words: Sequence[str]) -> Field:
    """Return the matrix that single columns make.

    Parameters
    ----------
    path : Path or str
        For messages.
    name : str
        Of the matrix.
    items : sequence of Field
        The columns, each of shape (n,).
    words : sequence of str
        What tells them apart.

    Raises
    ------
    UsageError
        If their lengths differ.
    """
    first = items[0]
    other = next((item for item in items if item.shape != first.shape), None)
    if other is not None:
        raise UsageError(f"{path}: {first} and {other} are of different lengths, so they are no columns of one matrix.")
    shape, dtype = (first.shape[0], len(items)), np.result_type(*(item.dtype for item in items))
    itemsizes = {item.itemsize for item in items}
    load = partial(_joined, [item.load for item in items], shape, dtype)
    members = tuple(item.name for item in items)
    return Field(
        name, shape, dtype, load, tuple(words), first.note, itemsizes.pop() if len(itemsizes) == 1 else None, members
    )


def _joined(loads: Sequence[Callable[[], Any]], shape: tuple[int, ...], dtype: np.dtype[Any]) -> ColumnsSource:
    return ColumnsSource([load() for load in loads], shape, dtype)


def _column(load: Callable[[], Any], name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    records = load()
    if isinstance(records, LazyArray):
        return Converted(records, lambda rows: rows[name], shape, dtype)
    return records[name]


def unreadable(where: Path | str, name: str, shape: tuple[int, ...], what: str, remedy: str) -> Field:
    """Return a field that is listed but cannot be read.

    Parameters
    ----------
    where : Path or str
        The file, for the message.
    name, shape
        Of the array; the name is empty where the file is the array.
    what : str
        What it holds, after "holds": ``"pickled Python objects"``.
    remedy : str
        What to do, as a sentence.
    """
    whole = f"{where}:{name}" if name else where

    def refuse() -> Any:
        raise FileFormatError(f"{whole} holds {what}, which cannot be read. {remedy}")

    return Field(name, shape, np.dtype(object), refuse, note=what)
