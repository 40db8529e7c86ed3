"""Comma- and tab-separated text, one row a sample, with a header that names the columns.

Columns ``logit_<class>`` (or ``logits_``, ``prob_``, ``probs_``, ``p_``, ``score_`` …) make one matrix, in the order
of the file; if the classes are the numbers 0..K-1, in theirs. A file without a header is one matrix, named after it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.errors import FileFormatError
from calkit.io.container import Container, Field
from calkit.io.fields import fields_of
from calkit.io.formats.base import FORMATS, WritableFormat, damaged
from calkit.predictions import Predictions

__all__ = ["Csv", "Tsv"]

_MATRIX = re.compile(
    r"(?P<name>(?:.*[_\-. ])?(?:logits?|log_?probs?|probs?|probabilit(?:y|ies)|scores?|p))[_\-. ](?P<column>.+)", re.I
)


class _Delimited(WritableFormat):
    delimiter: ClassVar[str]

    def read(self, path: Path) -> Container:
        """Read the whole file: text has no other way to tell its length and types."""
        try:
            with path.open(newline="", encoding="utf-8-sig") as stream:
                rows = [row for row in csv.reader(stream, delimiter=self.delimiter, strict=True) if row]
        except (csv.Error, UnicodeDecodeError) as error:
            raise damaged(path, f".{self.name}", error) from None
        if not rows:
            raise FileFormatError(f"{path} holds no rows.")
        header = [name.strip() for name in rows[0]]
        if all(_is_number(name) for name in header):
            matrix = _numbers(path, rows, 1)
            stem = path.name.split(".")[0]
            return Container(path, self.name, {stem: _field(stem, matrix)}, named=False)
        if len(set(header)) != len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise FileFormatError(f"{path}: the header names the column {twice!r} more than once.")
        return Container(path, self.name, _columns(path, header, rows[1:]))

    def write(self, path: Path, predictions: Predictions) -> None:
        """Write a column per class, named after the classes, then the labels."""
        header: list[str] = []
        columns: list[Iterable[Any]] = []
        fields = fields_of(predictions)
        classes = fields.pop("class_names", None)
        for name, values in fields.items():
            array = np.asarray(values)
            if array.ndim == 2:
                words = range(array.shape[1]) if classes is None else classes
                header += [f"{name}_{word}" for word in words]
                columns += list(array.T.tolist())
            else:
                header.append(name)
                columns.append(array.tolist())
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, delimiter=self.delimiter, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(zip(*columns, strict=True))


class Csv(_Delimited):
    """Comma-separated values."""

    name = "csv"
    suffixes = (".csv",)
    delimiter = ","


class Tsv(_Delimited):
    """Tab-separated values."""

    name = "tsv"
    suffixes = (".tsv",)
    delimiter = "\t"


def _columns(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, Field]:
    width = len(header)
    for number, row in enumerate(rows, start=2):
        if len(row) != width:
            raise FileFormatError(f"{path}: row {number} has {len(row)} columns, but the header names {width}.")
    groups: dict[str, list[tuple[str, int]]] = {}
    for index, name in enumerate(header):
        match = _MATRIX.fullmatch(name)
        groups.setdefault(match["name"] if match else name, []).append((match["column"] if match else "", index))
    fields = {}
    for name, members in groups.items():
        if len(members) == 1:
            index = members[0][1]
            fields[header[index]] = _field(header[index], _one_column([row[index] for row in rows]))
        else:
            ordered = _class_order(members)
            matrix = _numbers(path, [[row[i] for _, i in ordered] for row in rows], 2)
            fields[name] = _field(name, matrix, tuple(word for word, _ in ordered))
    return fields


def _class_order(members: list[tuple[str, int]]) -> list[tuple[str, int]]:
    words = [word for word, _ in members]
    if all(word.isdigit() for word in words) and sorted(map(int, words)) == list(range(len(words))):
        return sorted(members, key=lambda member: int(member[0]))
    return members


def _field(name: str, array: NDArray[Any], columns: tuple[str, ...] = ()) -> Field:
    if all(column.isdigit() for column in columns):
        columns = ()
    return Field(name, array.shape, array.dtype, partial(_same, array), columns)


def _same(array: NDArray[Any]) -> NDArray[Any]:
    return array


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _one_column(values: list[str]) -> NDArray[Any]:
    """Return integers if all are, else floats if all are, else strings: the type, not the role."""
    for kind in (np.int64, np.float64):
        try:
            return np.array(values, dtype=kind)
        except (ValueError, OverflowError):
            continue
    words = [value.strip() for value in values]
    truth = {"true": True, "false": False}
    if all(word.lower() in truth for word in words):
        return np.array([truth[word.lower()] for word in words])
    return np.array(words)


def _numbers(path: Path, rows: Sequence[Sequence[str]], first: int) -> NDArray[np.float64]:
    try:
        return np.array(rows, dtype=np.float64)
    except ValueError:
        pass
    width = len(rows[0])
    for number, row in enumerate(rows, start=first):
        if len(row) != width:
            raise FileFormatError(f"{path}: row {number} has {len(row)} columns, but the first has {width}.")
        for value in row:
            if not _is_number(value):
                raise FileFormatError(f"{path}: row {number} holds {value!r} where a number is needed.")
    raise FileFormatError(f"{path}: the numbers do not form a table.")


FORMATS.register("csv")(Csv())
FORMATS.register("tsv")(Tsv())
