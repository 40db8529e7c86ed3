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
    plain = values.tolist()
    places: dict[Any, list[int]] = {}
    for place, value in enumerate(plain):
        places.setdefault(None if value != value else value, []).append(place)
    if len(places) > _MOST_GROUPS:
        raise InputError(f"by={name!r} has more than {_MOST_GROUPS:,} values; choose a column of groups, not of ids.")
    return {value: np.array(rows, dtype=np.intp) for value, rows in places.items()}
