"""Groups of rows: those that have the same value in a column."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError

__all__ = ["groups_of"]

# A column of more values than this holds ids, not groups.
_MOST_GROUPS = 10_000


def groups_of(name: str, values: NDArray[Any]) -> dict[Any, NDArray[np.intp]]:
    """Return the values of a column, each with the places of its rows; values that are missing are None.

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
        places.setdefault(None if value != value else value, []).append(place)
    return {value: np.array(rows, dtype=np.intp) for value, rows in places.items()}
