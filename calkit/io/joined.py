"""Several files as one: their rows one after the other, or their arrays side by side."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import Container, Field, by_name, unreadable
from calkit.containers.sources import ConcatSource
from calkit.errors import CalibrationWarning, FileFormatError, UsageError
from calkit.io.address import natural_order
from calkit.io.formats import format_of_suffix
from calkit.names import SCORE_ROLES, read_name
from calkit.printing import printable

__all__ = ["files_of_folder", "join_files"]

_NOTES = ".txt"

# What tells the files of one array apart: logits-00000-of-00002, logits_part3, logits7.
_SERIAL = re.compile(r"[-_.]?(?:shard|part|rank|chunk)?[-_.]?\d+(?:[-_]of[-_]\d+)?$")


def files_of_folder(path: Path) -> list[Path]:
    """Return the files of a folder that can be read, which must be of one format."""
    found: dict[str, list[Path]] = {}
    for item in sorted(path.iterdir(), key=natural_order):
        form = format_of_suffix(item)
        if form is not None and item.is_file() and not item.name.startswith("."):
            found.setdefault(_NOTES if item.suffix.lower() == _NOTES else form.name, []).append(item)
    if len(found) > 1:
        # Data in one format beside a text: that says what they are.
        found.pop(_NOTES, None)
    if not found:
        raise FileFormatError(f"{path} is a folder that holds no file of a known format; name a file.")
    if len(found) > 1:
        kinds = ", ".join(f"{len(paths)} {name}" for name, paths in found.items())
        raise FileFormatError(
            f"{path} is a folder with files of several formats ({kinds}); name some of them, as in '{path}/*.npz'."
        )
    return next(iter(found.values()))


def join_files(path: Path, paths: Sequence[Path], read: Callable[[Path], Container]) -> Container:
    """Open several files, which a folder or a pattern names, as one.

    Files that differ in a number only are parts of the same arrays, and so are all files that a pattern names if they
    name their arrays themselves; a warning says so where the names differ by more. Other files stand side by side: an
    array of ``test.npz`` is then ``test/logits``, and the array of ``test_logits.npy`` is ``test_logits``.
    """
    containers = [(one, read(one)) for one in paths]
    named = all(container.named for _, container in containers)
    pooled = named and not path.is_dir()
    if pooled and len({_family(one) for one in paths}) > 1:
        names = ", ".join(printable(one.name) for one in paths[:3]) + (", …" if len(paths) > 3 else "")
        warnings.warn(
            f"{path}: the rows of {len(paths)} files are taken together, though their names differ by more than a "
            f"number: {names}. To compare them, name each file (on the command line: the pattern without quotes).",
            CalibrationWarning,
            stacklevel=2,
        )
    families: dict[str, list[Container]] = {}
    for one, container in containers:
        family = "" if pooled else _family(one)
        families.setdefault(family, []).append(container)
    fields: list[tuple[Field, list[Field]]] = []
    for family, parts in families.items():
        prefix = f"{family}/" if len(families) > 1 else ""
        fields += _join(path, parts, None if named else family or path.stem, prefix)
    stack = partial(_stacked, path, next(iter(families.values()))) if len(families) == 1 else None
    named = named or len(families) > 1
    fitting = by_name(path, _in_step(path, fields))
    return Container(path, containers[0][1].format, fitting, named=named, stack=stack)


def _in_step(path: Path, fields: Sequence[tuple[Field, list[Field]]]) -> Iterator[Field]:
    """Yield joined arrays, each with its parts; one of as many rows as another, otherwise divided, cannot be read.

    Its rows would go with others than in the files.
    """
    seen: dict[tuple[str, str, int, int], tuple[str, list[int]]] = {}
    for item, parts in fields:
        meaning = read_name(item.name)
        rows = [part.shape[0] for part in parts if part.shape]
        if item.note or not rows or (meaning is not None and meaning.role == "class_names"):
            yield item
            continue
        place = (item.name.rpartition("/")[0], meaning.split if meaning else "", len(rows), sum(rows))
        name, first = seen.setdefault(place, (item.name, rows))
        if rows == first:
            yield item
            continue
        number = next(number for number, (mine, other) in enumerate(zip(rows, first, strict=True)) if mine != other)
        what = f"{rows[number]} rows in file {number + 1} of {len(rows)}, in which {name!r} has {first[number]}"
        yield unreadable(path, item.name, item.shape, what, "Write the rows of both in the same files.")


def _stacked(path: Path, parts: Sequence[Container], names: Sequence[str]) -> Field:
    """Return the matrix that columns of all files make."""
    items = [part.stack(names) for part in parts if part.stack is not None]
    if len(items) < len(parts):
        raise UsageError(f"{path}: only the columns of tables can be joined. Name one array.")
    return _concatenated(path, ",".join(names), items, parts)


def _family(path: Path) -> str:
    form = format_of_suffix(path)
    suffix = next((s for s in form.suffixes if path.name.lower().endswith(s)), "") if form else path.suffix
    stem = path.name[: len(path.name) - len(suffix)]
    return _SERIAL.sub("", stem)


def _join(path: Path, parts: Sequence[Container], name: str | None, prefix: str) -> Iterator[tuple[Field, list[Field]]]:
    """Yield the arrays of one family of files with their parts; ``name`` is that of the only array without one."""
    if name is not None:
        items = [next(iter(part.fields.values())) for part in parts]
        yield _concatenated(path, name, items, parts), items
        return
    _check_scores(path, parts)
    for key in dict.fromkeys(key for part in parts for key in part.fields):
        missing = next((part for part in parts if key not in part.fields), None)
        if missing is not None:
            what = f"rows for some of the files only ({missing.path.name} has none)"
            yield unreadable(path, prefix + key, (), what, "Name the files that belong together."), []
        else:
            items = [part.fields[key] for part in parts]
            yield _concatenated(path, prefix + key, items, parts), items


def _check_scores(path: Path, parts: Sequence[Container]) -> None:
    """Refuse files of which each calls its scores something else: none of the names would read them all."""
    held = [{key for key in part.fields if (m := read_name(key)) and m.role in SCORE_ROLES} for part in parts]
    other = next((index for index, names in enumerate(held) if names and held[0] and not names & held[0]), None)
    if other is not None and {_split(name) for name in held[0]} & {_split(name) for name in held[other]}:
        first, second = (", ".join(map(repr, sorted(held[index]))) for index in (0, other))
        raise FileFormatError(
            f"{path}: the scores are {first} in {parts[0].path.name} and {second} in {parts[other].path.name}, so "
            "these are no parts of one array. Name the files that belong together."
        )


def _split(name: str) -> str | None:
    meaning = read_name(name)
    return meaning.split if meaning else None


def _concatenated(path: Path, name: str, items: Sequence[Field], parts: Sequence[Container]) -> Field:
    meaning = read_name(name)
    # Parts without rows tell no type.
    first = next((item for item in items if item.shape and item.shape[0]), items[0])
    if len(items) == 1 or not first.shape:
        return first.renamed(name)
    for item, part in zip(items, parts, strict=True):
        if item.shape[1:] != first.shape[1:] or item.columns != first.columns or not item.shape:
            of_first = parts[items.index(first)].path.name
            what = f"other columns in {part.path.name} ({_columns(item)}) than in {of_first} ({_columns(first)})"
            return unreadable(path, name, (), what, "Name the files that belong together.")
    if meaning is not None and meaning.role == "class_names":
        return Field(name, first.shape, first.dtype, partial(_same, path, name, items), first.columns)
    shape = (sum(item.shape[0] for item in items), *first.shape[1:])
    full = [item for item in items if item.shape[0]] or [first]
    if not {item.dtype.kind for item in full} <= set("biuf"):
        return Field(name, shape, first.dtype, partial(_read_all, path, name, full), (), first.note)
    dtype = np.result_type(*(item.dtype for item in full))
    pieces = [(item.shape[0], item.load) for item in items]
    load = partial(ConcatSource, shape, dtype, pieces, first.itemsize)
    return Field(name, shape, dtype, load, first.columns, first.note, first.itemsize, first.members)


def _columns(item: Field) -> str:
    """Return the classes of a matrix, where it names them, or else its shape and type."""
    return ", ".join(map(printable, item.columns[:10])) or str(item)


def _same(path: Path, name: str, items: Sequence[Field]) -> NDArray[Any]:
    values = items[0].read()
    if any(not np.array_equal(item.read(), values) for item in items[1:]):
        raise FileFormatError(f"{path}: the files give different {name}; name files of one model.")
    return values


def _read_all(path: Path, name: str, items: Sequence[Field]) -> NDArray[Any]:
    values = [item.read() for item in items]
    if len({value.dtype.kind for value in values}) > 1:
        raise FileFormatError(f"{path}: {name} is text in some of the files and numbers in others.")
    return np.concatenate(values)
