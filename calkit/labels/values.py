"""Labels as values: what two spellings of one label have in common."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError

__all__ = ["as_labels", "distinct", "is_empty", "is_missing", "key_of", "labels_in", "plain"]

_WHOLE_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.0*)?")
_TRUTH = {"true": True, "false": False}


def distinct(y: NDArray[Any]) -> tuple[list[Any], NDArray[np.intp]]:
    """Return the different labels, and the number of each row's among them."""
    if y.dtype.kind in "iu" and len(y):
        low, high = int(y.min()), int(y.max())
        if high - low <= max(len(y), 1 << 16) and high < 1 << 62:
            places = y.astype(np.int64) - low
            present = np.flatnonzero(np.bincount(places))
            numbers = np.zeros(high - low + 1, np.intp)
            numbers[present] = np.arange(len(present))
            return (present + low).tolist(), numbers[places]
    if y.dtype.kind in "biufc":
        found, codes = np.unique(y, return_inverse=True)
        return found.tolist(), codes.reshape(-1)
    values = y.tolist()
    # True and 1 are equal to a dictionary, but may be two labels; each NaN is a key of its own.
    simple = set(map(type, values)) <= {str, bytes, int, type(None)}
    keys = values if simple else [_with_type(value, row) for row, value in enumerate(values)]
    numbered = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    codes = np.fromiter(map(numbered.__getitem__, keys), np.intp, len(keys))
    return list(numbered) if simple else [None if key is None else key[1] for key in numbered], codes


def _with_type(value: Any, row: int) -> Any:
    if is_missing(value):
        return None
    if not isinstance(value, Hashable):
        raise InputError(f"y_true holds a {type(value).__name__} in row {row}; pass the class of each row.")
    return type(value), value


def key_of(value: Any, truth: bool) -> Hashable:
    """Return what a label is looked up by: a number, or text; truth values where the classes are such.

    Text that spells a whole number is that number.
    """
    value = plain(value)
    if isinstance(value, str):
        word = value.casefold()
        if truth and word in _TRUTH:
            return _TRUTH[word]
        return int(value.partition(".")[0]) if _WHOLE_NUMBER.fullmatch(value) and len(value) < 300 else value
    if isinstance(value, float):
        return int(value) if value.is_integer() else repr(value)
    return value if isinstance(value, Hashable) else repr(value)


def plain(value: Any) -> Any:
    """Return NumPy's numbers and bytes as Python's numbers and text."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"y_true holds bytes that are not UTF-8 text ({error}); decode them to strings.") from None
    return value


def is_empty(value: Any) -> bool:
    """Tell whether a value is missing, or an empty text, as tables of text have it for a missing one."""
    return is_missing(value) or value in ("", b"")


def is_missing(value: Any) -> bool:
    """Tell whether a value is None, NaN, or the like of pandas."""
    if isinstance(value, float):
        return value != value
    return value is None or type(value).__name__ in {"NAType", "NaTType"}


def as_labels(labels: Any) -> list[Any]:
    """Return one label or several as a list of Python's values.

    Examples
    --------
    >>> as_labels(-100), as_labels((255, "?"))
    ([-100], [255, '?'])
    """
    given = labels if isinstance(labels, list | tuple | set | np.ndarray) else [labels]
    return [plain(label) for label in given]


def labels_in(y: NDArray[Any], labels: Any) -> NDArray[np.bool_]:
    """Return which rows hold one of some labels, by value; NaN stands for every missing one, an empty text included."""
    given = as_labels(labels)
    truth = y.dtype.kind == "b"
    keys = {key_of(label, truth) for label in given if not is_missing(label)}
    missing = any(is_missing(label) for label in given)
    if y.dtype.kind in "iu":
        return np.isin(y, [key for key in keys if isinstance(key, int)])
    values, codes = distinct(y)
    hit = [
        (missing and is_empty(value)) or (not is_missing(value) and key_of(value, truth) in keys) for value in values
    ]
    return np.array(hit, dtype=np.bool_)[codes] if hit else np.zeros(len(y), np.bool_)
