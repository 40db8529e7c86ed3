"""Records of JSON as columns: what each key holds is decided by the first record that has it, and checked in others.

Scores of options are one column, though records may have different numbers of them: those that a record has not are
masked, with a logit of -inf or a probability of 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import printable
from calkit.containers.words import text_array, word_kind
from calkit.errors import FileFormatError
from calkit.hardening.limits import check
from calkit.io.tables import Column, holds_numbers
from calkit.names import Meaning, read_name
from calkit.roles.options import lists_tokens, option_names, right_options, with_alternatives

__all__ = ["RecordColumns"]

_FLOAT = np.dtype(np.float64)
_SCORES = ("logits", "probs", "scores")
_MAX_DEPTH = 4

Keys = tuple[str, ...]

# Records that are looked at: a list of numbers is one of options if its length differs among them.
_SURVEYED = 1024

# What converting a value that does not fit can end in.
_MISFITS = (ValueError, TypeError, KeyError, OverflowError, IndexError, AttributeError)

# What stands for an option that a record has not.
_ABSENT = {"logits": -np.inf, "probs": 0.0}

Records = Callable[[], Iterable[Any]]


@dataclass(frozen=True)
class _Reader:
    """How the values of one column are found and converted.

    Where a value is a list or an object of numbers, `options` are the places or keys of them all. One that a record
    has not is scored `absent`; without that, records must have the same.
    """

    column: Column
    keys: Keys
    options: Sequence[Any] = ()
    absent: float | None = None
    plain: bool = False

    def convert(self, values: Sequence[Any]) -> NDArray[Any]:
        """Return the values of some records; any of the errors in `_MISFITS` tells that one does not fit."""
        if not self.column.shape:
            return _scalars(values)
        if self.plain and self.absent is None:
            return _matrix(values)
        rows = [_scored(value) for value in values]
        width = len(self.options)
        if any(len(row) > width if self.absent is not None else len(row) != width for row in rows):
            raise ValueError("other options")
        return _matrix([[row.get(option, self.absent) for option in self.options] for row in rows])

    def fits(self, value: Any) -> bool:
        """Tell whether a value is what the first record has."""
        try:
            return self.convert([value]).shape[1:] == self.column.shape
        except _MISFITS:
            return False

    def with_options(self, options: Sequence[Any], absent: float) -> _Reader:
        """Return the reader of records of which each has some of the options."""
        if len(options) <= len(self.options):
            return self
        words = _stripped(options) if self.column.columns else ()
        return replace(
            self, column=Column(self.column.name, _FLOAT, (len(options),), words), options=options, absent=absent
        )


class RecordColumns:
    """Columns of records that are objects, or the one column, called `name`, of those that are not.

    The first record tells what they are, and where it has none or null for a key, the next one that has a value;
    `records` yields all of them, to find all options.
    """

    def __init__(self, path: Path, name: str, first: Any, records: Records) -> None:
        self._path = path
        if isinstance(first, dict):
            leaves = _typical(path, islice(records(), _SURVEYED))
            readers = [_reader("/".join(keys), keys, value) for keys, value in leaves.items()]
        else:
            readers = [_reader(name, (), first)]
        readers = _all_options(readers, records)
        self._readers = {reader.column.name: reader for reader in readers}
        self._right = _answer(readers, records)
        self.columns: dict[str, Column] = {word: reader.column for word, reader in self._readers.items()}
        if self._right is not None:
            name = self._right[1].column.name
            self.columns[name] = Column(name, np.dtype(np.int64))

    def arrays(self, records: Sequence[Any], names: Sequence[str], row: int) -> dict[str, NDArray[Any]]:
        """Return columns of some records, of which the first has the number `row`."""
        return {name: self._array(self._readers[name], records, row) for name in names}

    def _array(self, reader: _Reader, records: Sequence[Any], row: int) -> NDArray[Any]:
        name = printable(reader.column.name)
        if self._right is not None and reader is self._right[1]:
            scores, targets = (self._values(side, records, row) for side in self._right)
            return right_options(self._path, records, scores, targets, row, places=name.lower().endswith("index"))
        values = self._values(reader, records, row)
        if reader.column.dtype.kind == "U":
            longest = max((len(value) for value in values if isinstance(value, str)), default=0)
            check(f"{self._path}:{name}", words=(len(values), longest))
        try:
            array = reader.convert(values)
            if array.shape[1:] == reader.column.shape:
                return array
        except _MISFITS:
            pass
        for index, value in enumerate(values):
            if not reader.fits(value):
                raise FileFormatError(
                    f"{self._path}: row {row + index} has {str(value)[:60]} for {name!r}, which is not what the "
                    f"first record has: {_describe(reader.column)}."
                )
        raise FileFormatError(f"{self._path}: {name!r} mixes values of several types.")

    def _values(self, reader: _Reader, records: Sequence[Any], row: int) -> list[Any]:
        values = []
        for index, record in enumerate(records):
            value = _dig(record, reader.keys)
            if value is None and (reader.column.shape or reader.column.note):
                name = printable(reader.column.name)
                raise FileFormatError(f"{self._path}: row {row + index} has no {name!r}, or null for it.")
            values.append(value)
        return values


def _typical(path: Path, records: Iterable[Any]) -> dict[Keys, Any]:
    """Return what stands under each key in the first record that has something there."""
    found: dict[Keys, Any] = {}
    for record in records:
        for keys, value in _leaves(record, ()) if isinstance(record, dict) else ():
            if found.get(keys) is None:
                found[keys] = value
                check(path, columns=len(found))
    # Where one record has null another may have an object.
    inner = {keys[:depth] for keys in found for depth in range(1, len(keys))}
    return {keys: value for keys, value in found.items() if value is not None or keys not in inner}


def _all_options(readers: Sequence[_Reader], records: Records) -> list[_Reader]:
    """Return readers that know the options of all records, of which the first may have fewer."""
    several = [reader for reader in readers if _absent(reader) is not None]
    options: dict[Keys, dict[Any, None]] = {reader.keys: dict.fromkeys(reader.options) for reader in several}
    for number, record in enumerate(records() if several else ()):
        if number == _SURVEYED:
            # Lists of one length have a score per class.
            several = [r for r in several if not r.plain or len(options[r.keys]) > len(r.options)]
        if not several:
            break
        for reader in several:
            value = _dig(record, reader.keys)
            if isinstance(value, dict if reader.column.columns else list):
                options[reader.keys].update(dict.fromkeys(value if isinstance(value, dict) else range(len(value))))
    return [
        reader if (absent := _absent(reader)) is None else reader.with_options(tuple(options[reader.keys]), absent)
        for reader in readers
    ]


def _absent(reader: _Reader) -> float | None:
    """Return what an option is scored with that a record has not; None if the column is not one of options."""
    meaning = read_name(reader.column.name)
    return _ABSENT.get(meaning.role) if meaning is not None and reader.column.shape else None


def _answer(readers: Sequence[_Reader], records: Records) -> tuple[_Reader, _Reader] | None:
    """Return the scores and the right answer, if records name their options themselves."""
    named = [(reader, meaning) for reader in readers if (meaning := read_name(reader.column.name)) is not None]
    scores = [reader for reader, _ in named if _absent(reader) is not None and not reader.column.columns]
    answers = [
        reader
        for reader, meaning in named
        if meaning == Meaning("labels") and not reader.column.shape and not reader.column.note
    ]
    if len(scores) != 1 or len(answers) != 1 or not scores[0].keys:
        return None
    scored = ((record, _dig(record, scores[0].keys)) for record in records())
    record, own = next((record, own) for record, own in scored if own is not None)
    return (scores[0], answers[0]) if option_names(record, len(own)) else None


def _stripped(words: Sequence[str]) -> tuple[str, ...]:
    """Return options without spaces around them: tokens of language models begin with one that answers have not."""
    stripped = tuple(word.strip() for word in words)
    return stripped if len(set(stripped)) == len(words) else tuple(words)


def _leaves(record: Mapping[str, Any], keys: Keys) -> Iterator[tuple[Keys, Any]]:
    for key, value in record.items():
        place, value = (*keys, key), with_alternatives(value)
        if isinstance(value, dict) and len(place) < _MAX_DEPTH and not _is_options(key, value):
            yield from _leaves(value, place)
        else:
            yield place, value


def _is_options(key: str, value: Mapping[str, Any]) -> bool:
    """Tell whether an object has a score per class: by its key, and by holding numbers only."""
    meaning = read_name(key)
    return meaning is not None and meaning.role in _SCORES and bool(value) and all(map(_is_number, value.values()))


def _reader(name: str, keys: Keys, value: Any) -> _Reader:
    if isinstance(value, dict) and value and all(map(_is_number, value.values())):
        words = tuple(value)
        return _Reader(Column(name, _FLOAT, (len(words),), _stripped(words)), keys, words)
    if isinstance(value, list) and value:
        plain = all(map(_is_number, value))
        if plain or all(map(_is_judged, value)):
            return _Reader(Column(name, _FLOAT, (len(value),)), keys, range(len(value)), plain=plain)
    if isinstance(value, str):
        return _Reader(Column(name, word_kind([value]) if holds_numbers(name) else np.dtype(str)), keys)
    kind = {bool: np.dtype(bool), int: np.dtype(np.int64), float: _FLOAT}.get(type(value))
    if kind is None:
        several = lists_tokens(value.get("content") if isinstance(value, dict) else value)
        note = (
            "the tokens of whole answers, not the alternatives of one token (or one token twice)"
            if several
            else "nested or missing values"
        )
        return _Reader(Column(name, np.dtype(object), note=note), keys)
    return _Reader(Column(name, kind), keys)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_judged(value: Any) -> bool:
    """Tell whether a value is (log-likelihood, whether it was the greedy answer), as evaluation harnesses log it."""
    return isinstance(value, list) and len(value) == 2 and str(value[1]).lower() in {"true", "false"}


def _matrix(rows: Sequence[Sequence[Any]]) -> NDArray[np.float64]:
    array = np.array(rows, dtype=_FLOAT)
    # NumPy takes null for NaN.
    if np.isnan(array).any() and any(value is None for row in rows for value in row):
        raise TypeError("missing values")
    return array


def _scored(value: Any) -> Mapping[Any, Any]:
    """Return the numbers of an object or a list by their keys or places."""
    if isinstance(value, list):
        return {place: float(entry[0]) if _is_judged(entry) else entry for place, entry in enumerate(value)}
    if not isinstance(value, dict):
        raise TypeError("neither an object nor a list")
    return value


def _scalars(values: Sequence[Any]) -> NDArray[Any]:
    kinds = {bool if isinstance(value, bool) else type(value) for value in values if value is not None}
    if None in values:
        # Whoever needs a value refuses what stands for a missing one.
        absent = "" if kinds == {str} else np.nan
        values = [absent if value is None else value for value in values]
        kinds = {float} if kinds == {bool} else kinds | {type(absent)}
    if kinds == {str}:
        return text_array(values)
    if kinds == {int}:
        # Beyond 64 bits NumPy would keep Python's integers, or round them to floats.
        return np.array(values, dtype=np.int64)
    if kinds == {bool} or kinds <= {int, float}:
        return np.array(values, dtype=bool if kinds == {bool} else _FLOAT)
    raise TypeError("mixed types")


def _dig(record: Any, keys: Keys) -> Any:
    for key in keys:
        if not isinstance(record, dict):
            return None
        record = record.get(key)
    return with_alternatives(record)


def _describe(column: Column) -> str:
    if column.columns:
        return f"numbers for {', '.join(column.columns[:10])}"
    if column.shape:
        return f"{column.shape[0]} numbers"
    return "a whole number of 64 bits" if column.dtype.kind == "i" else "a single value"
