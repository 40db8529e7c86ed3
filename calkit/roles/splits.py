"""The splits of a file: told by the names of its arrays, or by a column that names the split of each row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calkit.containers.container import Container, Field
from calkit.containers.sources import RowsSource
from calkit.names import SEPARATORS, canonical_split, is_split
from calkit.registry import unknown_name
from calkit.roles.resolve import candidates_of, say_which, score_candidates

__all__ = ["apart_from_split", "choose_split", "splits_of"]


def apart_from_split(name: str) -> tuple[str, str]:
    """Return the split that a name begins or ends with, in its usual spelling, and the rest; no split if there is none.

    Examples
    --------
    >>> apart_from_split("val_topic"), apart_from_split("topic/test"), apart_from_split("main_topic")
    (('validation', 'topic'), ('test', 'topic'), ('', 'main_topic'))
    """
    places = [place for place, letter in enumerate(name) if letter in SEPARATORS]
    for place in places[:1]:
        if is_split(name[:place]) and name[place + 1 :]:
            return canonical_split(name[:place]), name[place + 1 :]
    for place in places[-1:]:
        if is_split(name[place + 1 :]) and name[:place]:
            return canonical_split(name[place + 1 :]), name[:place]
    return "", name


def splits_of(container: Container, column: str | None = None, *, by_rows_only: bool = False) -> list[str]:
    """Return the splits of a file that hold scores, in its order; one without a name is ``""``.

    Parameters
    ----------
    container : Container
    column : str, optional
        Name of the column that names the split of each row, if its name or its values do not tell.
    by_rows_only : bool, default=False
        Whether to look for such a column only, and not at the names of arrays.
    """
    rows = _split_rows(container, column)
    if rows is not None:
        return list(rows)
    if by_rows_only:
        return []
    return list(dict.fromkeys(candidate.meaning.split for candidate in score_candidates(container)))


def choose_split(container: Container, split: str | None, column: str | None = None) -> tuple[Container, str]:
    """Return the rows of a split, of a file with a column that names the split of each row; else the whole file.

    Parameters
    ----------
    container : Container
    split : str, optional
    column : str, optional
        Name of the column, if its name or its values are not words for splits.

    Returns
    -------
    container : Container
    split : str
        The split whose rows these are; empty if there is no such column.

    Raises
    ------
    UsageError
        If there are several splits and none is chosen, or there is no such split.
    """
    rows = _split_rows(container, column)
    if rows is None:
        return container, ""
    if split is None and len(rows) > 1:
        raise say_which(container, rows)
    wanted = next(iter(rows)) if split is None else canonical_split(split)
    if wanted not in rows:
        raise unknown_name("split", wanted, rows, of=container.path)
    numbers = rows[wanted]
    total = sum(map(len, rows.values()))

    def of_rows(item: Field) -> Field:
        if item.shape[:1] != (total,) or item.dtype.kind == "O":
            return item
        return replace(item, shape=(len(numbers), *item.shape[1:]), load=lambda: RowsSource(item.load(), numbers))

    fields = {name: of_rows(item) for name, item in container.fields.items()}
    stack = container.stack
    return replace(
        container, fields=fields, stack=None if stack is None else lambda names: of_rows(stack(names))
    ), wanted


def _split_rows(container: Container, column: str | None) -> dict[str, np.ndarray] | None:
    """Return the numbers of the rows of each split, if a column names them."""
    if column is not None:
        item = container.find(column)
    else:
        named = [found for found in candidates_of(container, ("split",)) if not found.word and not found.meaning.split]
        if len(named) != 1 or len(named[0].item.shape) != 1 or named[0].item.dtype.kind not in "US":
            return None
        item = named[0].item
    values = item.read()
    words, first, codes = np.unique(values, return_index=True, return_inverse=True)
    names = [str(word) for word in words.tolist()]
    if column is None and not (names and all(map(is_split, names))):
        return None
    found: dict[str, np.ndarray] = {}
    for place in np.argsort(first):
        name, rows = canonical_split(names[place]), np.flatnonzero(codes.reshape(-1) == place)
        found[name] = np.sort(np.concatenate([found[name], rows])) if name in found else rows
    return found
