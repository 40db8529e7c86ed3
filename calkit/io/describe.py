"""What is in a file, as plain data: names, shapes, types, and what the names are taken for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calkit.containers.container import Container, Field, printable
from calkit.errors import CalkitError
from calkit.hardening.limits import format_bytes
from calkit.io.address import split_address
from calkit.io.opening import open_container
from calkit.lazy import row_blocks
from calkit.names import is_whole_number, read_name
from calkit.roles.families import Classes
from calkit.roles.resolve import resolve
from calkit.roles.truth import file_classes
from calkit.sandbox.session import Sandbox

__all__ = ["ArrayDescription", "FileDescription", "describe"]


@dataclass(frozen=True)
class ArrayDescription:
    """One array of a file.

    Attributes
    ----------
    name : str
    shape : tuple of int
    dtype : str
        Its type, or why it cannot be read.
    role : str
        What its name is taken for (logits, probs, labels, …); empty if it says nothing.
    split : str
        The split its name tells; empty if none.
    columns : tuple of str
        Names of the classes, if the columns have some.
    members : tuple of str
        The columns of the file that are these classes, in the same order.
    left_out : tuple of str
        Columns of the file that are named alike, but are none of the classes.
    label_range : tuple of two numbers or words, or None
        The smallest and the largest label, of arrays that are named like labels.
    n_nan : int or None
        How many values are NaN; None if they were not counted.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: str = ""
    split: str = ""
    columns: tuple[str, ...] = ()
    label_range: tuple[Any, Any] | None = None
    n_nan: int | None = None
    members: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def classes(self, most: int = 12) -> str:
        """Return in words which column is which class; empty if the file does not say."""
        pairs = list(zip(self.columns, self.members or self.columns, strict=False))
        words = [name if name == column else f"{name} = {column}" for name, column in pairs[:most]]
        more = [f"and {len(pairs) - most} more"] if len(pairs) > most else []
        listed = ", ".join([*words, *more])
        return f"{listed}; left out: {', '.join(self.left_out)}" if self.left_out else listed


@dataclass(frozen=True)
class FileDescription:
    """A file and its arrays.

    Attributes
    ----------
    path : str
    format : str
    size : int or None
        Bytes of the file; None for folders and streams.
    arrays : tuple of ArrayDescription
        In the order of the file.
    """

    path: str
    format: str
    size: int | None
    arrays: tuple[ArrayDescription, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        size = "" if self.size is None else f", {format_bytes(self.size)}"
        lines = [f"{self.path}: {self.format}{size}"]
        for item in self.arrays:
            shape = "×".join(map(str, item.shape)) or "scalar"
            notes = [item.role and f"taken for {item.role}", item.split and f"split {item.split}"]
            notes.append("labels {} to {}".format(*item.label_range) if item.label_range else "")
            notes.append(f"{item.n_nan} NaN" if item.n_nan is not None else "")
            notes.append(f"classes {item.classes()}" if item.columns else "")
            lines.append("  " + ", ".join([f"{item.name} ({shape} {item.dtype})", *(note for note in notes if note)]))
        return "\n".join(lines)


def describe(
    path: str | Path,
    *,
    count_nan: bool = False,
    file_format: str | None = None,
    trust_pickle: bool = False,
    sandbox: bool | Sandbox = False,
) -> FileDescription:
    """Tell what is in a file without reading it all: of the values, only labels are looked at.

    Parameters
    ----------
    path : str or Path
        As for :func:`calkit.load_predictions`; of ``"file.h5:group"`` only the group is described.
    count_nan : bool, default=False
        Count NaN in all arrays, which reads everything.
    file_format : str, optional
        Name of the format, where neither the suffix nor the first bytes of the file tell.
    trust_pickle : bool, default=False
        Read pickles too. They can run any code: only for files of your own.
    sandbox : bool or Sandbox, default=False
        Read in a process of its own with limits of memory and time, for untrusted files.

    Returns
    -------
    FileDescription

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, or of an unknown format.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np
    >>> from calkit.io import describe
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "run.npz"
    ...     np.savez(path, val_logits=np.eye(3), val_labels=[0, 2, 1])
    ...     logits, labels = describe(path).arrays
    >>> logits.role, logits.split, labels.label_range
    ('logits', 'validation', (0, 2))
    """
    file, member = split_address(path)
    container = open_container(file, file_format=file_format, trust_pickle=trust_pickle, sandbox=sandbox)
    arrays = tuple(_array(container, item, count_nan=count_nan) for item in _chosen(container, member))
    size = file.stat().st_size if file.is_file() else None
    return FileDescription(str(path), container.format, size, arrays)


def _chosen(container: Container, member: str | None) -> list[Field]:
    if member is None:
        return list(container.fields.values())
    group = container.group(member)
    return [container.find(member)] if group is None else list(group.fields.values())


def _array(container: Container, item: Field, *, count_nan: bool) -> ArrayDescription:
    meaning = read_name(item.name)
    readable = item.dtype.kind != "O"
    classes = _classes(container, item)
    shown = classes.scores
    names: tuple[Any, ...] = classes.names or tuple(range(len(shown.columns)))
    return ArrayDescription(
        printable(item.name),
        shown.shape,
        item.type_name,
        meaning.role if meaning else "",
        meaning.split if meaning else "",
        tuple(printable(str(name)) for name in names) if item.columns else (),
        _range(item) if meaning and meaning.role == "labels" and readable else None,
        _count_nan(shown) if count_nan and readable else None,
        tuple(map(printable, shown.members)),
        tuple(map(printable, classes.left_out)),
    )


def _classes(container: Container, item: Field) -> Classes:
    """Return which columns of a matrix are its classes."""
    if not item.columns or len(item.shape) != 2:
        return Classes(item)
    try:
        return file_classes(resolve(container, kind="probs", scores=item.name))
    except CalkitError:
        # Several arrays may be the labels; names alone are listed then.
        return Classes(item, item.columns)


def _range(item: Field) -> tuple[Any, Any] | None:
    if len(item.shape) not in (1, 2) or item.shape[1:] not in ((), (1,)) or not item.shape[0]:
        return None
    values = item.read()
    if values.dtype.kind in "US":
        words = np.unique(values).tolist()
        if all(map(is_whole_number, words)):
            words = sorted(map(int, words))
        return words[0], words[-1]
    # Of numbers that are too large for NumPy, and of any others.
    numbers = values.reshape(-1).tolist()
    return min(numbers), max(numbers)


def _count_nan(item: Field) -> int:
    if item.dtype.kind != "f":
        return 0
    source = item.load()
    if not source.shape:
        return int(np.isnan(source))
    return sum(int(np.count_nonzero(np.isnan(block))) for block in row_blocks(source))
