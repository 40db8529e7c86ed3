"""Rows of two files brought together by their ids, where both have them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import Container, Field
from calkit.errors import InputError
from calkit.names import is_id

__all__ = ["in_order_of_ids", "row_ids"]

# Whole numbers below it have a float64 of their own.
_EXACT = 2**53


def in_order_of_ids(item: Field, of: Container, container: Container) -> Field:
    """Return an array of another file with its rows in the order of a container's, found by their ids.

    Parameters
    ----------
    item : Field
        An array of `of`, a value per row.
    of, container : Container
        Where not both have one column of ids, rows are taken to be in the same order.

    Raises
    ------
    InputError
        If an id of the container is not exactly one of the other file's.
    """
    theirs, mine = row_ids(of), row_ids(container)
    if theirs is None or mine is None or item.shape[:1] != theirs.shape or np.array_equal(theirs, mine):
        return item
    known, first, count = np.unique(theirs, return_index=True, return_counts=True)
    place = np.minimum(np.searchsorted(known, mine), len(known) - 1)
    lost = (known[place] != mine) | (count[place] > 1)
    if lost.any():
        row = int(np.argmax(lost))
        raise InputError(
            f"{of.path}: the id {str(mine[row])!r}, of row {row} of {container.path}, is there "
            f"{'more than once' if known[place[row]] == mine[row] else 'not at all'}; rows are matched by their ids. "
            "Where they are in the same order all the same, leave the ids out of one of the files."
        )
    order = first[place]

    def load() -> NDArray[Any]:
        return item.read()[order]

    return replace(item, shape=(len(order), *item.shape[1:]), load=load)


def row_ids(container: Container) -> NDArray[Any] | None:
    """Return the ids of a file's rows as text; None if it has no such column, or several."""
    found = [item for name, item in container.columns().items() if len(item.shape) == 1 and is_id(name)]
    if len(found) != 1 or found[0].dtype.kind == "O":
        return None
    ids = found[0].read()
    if ids.dtype.kind != "f":
        return ids.astype(str)
    # Where an id is missing somewhere, pandas writes whole numbers as 7.0.
    whole = (np.abs(ids) < _EXACT) & (ids == np.rint(ids))
    return np.where(whole, np.where(whole, ids, 0).astype(np.int64).astype(str), ids.astype(str))
