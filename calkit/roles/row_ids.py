"""Rows of two files, or of several models, brought together by their ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import Container, Field
from calkit.errors import InputError
from calkit.labels.values import is_empty
from calkit.names import is_id
from calkit.predictions import Predictions
from calkit.registry import unknown_name

__all__ = ["id_texts", "in_order_of_ids", "joined", "row_ids"]

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
    return id_texts(found[0].read())


def id_texts(ids: NDArray[Any]) -> NDArray[Any]:
    """Return ids as text, such that 7 and 7.0 are one."""
    if ids.dtype.kind != "f":
        return ids.astype(str)
    # Where an id is missing somewhere, pandas writes whole numbers as 7.0.
    whole = (np.abs(ids) < _EXACT) & (ids == np.rint(ids))
    return np.where(whole, np.where(whole, ids, 0).astype(np.int64).astype(str), ids.astype(str))


def joined(predictions: Mapping[str, Predictions], by: str | Sequence[str], first: str) -> dict[str, Predictions]:
    """Return models with their rows in the order of those of the first, matched by the values of columns.

    Parameters
    ----------
    predictions : mapping of str to Predictions
    by : str or sequence of str
        The columns that tell rows apart; together, no two rows of a model have the same values.
    first : str
        The model whose order the others take.

    Raises
    ------
    InputError
        If an id is missing, stands twice, or is not one of every model.
    NotFoundError
        If a model has no such column.
    """
    names = [by] if isinstance(by, str) else list(by)
    if not names:
        raise InputError("join names no column; name one that tells the rows apart, such as 'id'.")
    keys = {name: _keys(name, item, names) for name, item in predictions.items()}
    order = {}
    for name, places in keys.items():
        lost = next(((a, b) for a, b in ((name, first), (first, name)) if keys[a].keys() - keys[b].keys()), None)
        if lost is not None:
            own, other = lost
            missing = [key for key in keys[own] if key not in keys[other]]
            raise InputError(
                f"{len(missing):,} of the {len(keys[own]):,} rows of {own} are not among those of {other}, the first "
                f"being {_shown(names, missing[0])}. Compare models on the same rows: leave those out that one lacks."
            )
        order[name] = np.array([places[key] for key in keys[first]], dtype=np.intp)
    return {
        name: item if np.array_equal(order[name], np.arange(item.n_samples)) else item.take(order[name])
        for name, item in predictions.items()
    }


def _keys(model: str, item: Predictions, names: Sequence[str]) -> dict[tuple[str, ...], int]:
    """Return the place of each row by its ids."""
    texts = []
    for name in names:
        if name not in item.columns:
            raise unknown_name("column", name, list(item.columns), of=model)
        values = np.asarray(item.columns[name])
        missing = np.array([is_empty(value) for value in values.tolist()])
        if missing.any():
            raise InputError(f"{model}: {name} is missing in row {int(np.argmax(missing))}; name every row.")
        texts.append(id_texts(values).tolist())
    places: dict[tuple[str, ...], int] = {}
    for row, key in enumerate(zip(*texts, strict=True)):
        if places.setdefault(key, row) != row:
            raise InputError(
                f"{model}: {_shown(names, key)} stands in rows {places[key]} and {row}; name columns that together "
                "tell all rows apart, by commas on the command line."
            )
    return places


def _shown(names: Sequence[str], key: Sequence[str]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in zip(names, key, strict=True))
