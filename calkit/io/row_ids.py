"""Rows of two files brought together by their ids, where both have them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import Container, Field
from calkit.errors import InputError, UsageError
from calkit.io.address import split_address
from calkit.io.opening import open_container
from calkit.names import is_id

__all__ = ["check_ids", "in_order_of_ids"]

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
    theirs, mine = _ids(of), _ids(container)
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


def check_ids(path: str, other: str, *, file_format: str | None = None, **how: Any) -> None:
    """Refuse arrays of another file for one of several files, unless ids tell which of its rows are meant.

    Parameters
    ----------
    path : str
        One of the files.
    other : str
        An array of it, in which case nothing is checked, or another file, or ``FILE:NAME``.
    file_format, **how
        Of :func:`calkit.io.open_container`; the format is that of `path`.

    Raises
    ------
    UsageError
        If not both files have a column of ids.
    """
    container = open_container(split_address(path)[0], file_format=file_format, **how)
    if other in container.columns():
        return
    if _ids(container) is None or _ids(open_container(split_address(other)[0], **how)) is None:
        raise UsageError(
            f"{other} would be read for each of several files, of which {path} is one, and no ids tell which of its "
            "rows are meant. Put the array into the files, or a column of ids into all of them; load_predictions (the "
            "command line without --dask) reads the files as one, in their order."
        )


def _ids(container: Container) -> NDArray[Any] | None:
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
