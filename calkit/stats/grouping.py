"""Groups of rows: those that have the same value in a column."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError
from calkit.labels.values import is_empty

__all__ = ["group_name", "groups_of", "ordered"]

# A column of more values than this holds ids, not groups.
_MOST_GROUPS = 10_000


def groups_of(name: str, values: NDArray[Any]) -> dict[Any, NDArray[np.intp]]:
    """Return the values of a column, each with the places of its rows; values that are missing are None.

    An empty text is missing, as tables have it. Whole numbers are called 1, not 1.0, which a missing one makes of them.

    Raises
    ------
    InputError
        If there are too many.
    """
    found = _of_whole_numbers(values) if values.dtype.kind in "iub" else _of_objects(values.tolist())
    if len(found) > _MOST_GROUPS:
        raise InputError(f"by={name!r} has more than {_MOST_GROUPS:,} values; choose a column of groups, not of ids.")
    return found


def _of_whole_numbers(values: NDArray[Any]) -> dict[Any, NDArray[np.intp]]:
    different, first, counts = np.unique(values, return_index=True, return_counts=True)
    rows = np.split(np.argsort(values, kind="stable"), np.cumsum(counts)[:-1])
    # In the order in which they come, as those of other columns.
    return {different[group].item(): rows[group] for group in np.argsort(first)}


def _of_objects(values: list[Any]) -> dict[Any, NDArray[np.intp]]:
    places: dict[Any, list[int]] = {}
    for place, value in enumerate(values):
        places.setdefault(None if is_empty(value) else value, []).append(place)
    return {_label(value): np.array(rows, dtype=np.intp) for value, rows in places.items()}


def _label(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def ordered(labels: Iterable[Any]) -> list[Any]:
    """Return the labels of groups in their order: numbers, then texts, and last the missing one."""
    return sorted(labels, key=lambda label: (label is None, isinstance(label, str), label))


def group_name(label: Any) -> str:
    """Return what tables and pictures call a group.

    Examples
    --------
    >>> group_name(3), group_name(None)
    ('3', '(missing)')
    """
    return "(missing)" if label is None else str(label)
