"""Columns that are called like those of the classes, but that no label names: classes, or something else.

``logit_foo`` beside ``logit_cat`` and ``logit_dog`` may be a class that is not among the labels of this file, or a
column of another meaning. Rows of probabilities sum to 1 over the classes and over nothing else, which decides; where
nothing decides, the user is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from calkit.containers.container import Field, printable
from calkit.errors import UsageError
from calkit.labels import ClassIndex
from calkit.names import is_reversed
from calkit.roles.families import Classes
from calkit.roles.resolve import Resolved

__all__ = ["settled"]

# Rows that are looked at, and how far the sum of rounded probabilities may be from 1.
_ROWS = 4096
_TOLERANCE = 1e-2
_SHOWN = 20


def settled(found: Resolved, classes: Classes, present: Callable[[], Iterable[Any]], labels_from: int) -> Classes:
    """Decide whether columns that no label names are classes.

    Parameters
    ----------
    found : Resolved
    classes : Classes
        By the names of the columns.
    present : callable
        Returns the different labels and answers.
    labels_from : int
        What the first class is called where labels are positions.

    Returns
    -------
    Classes
        Without those that are none.

    Raises
    ------
    UsageError
        If nothing decides.
    """
    words, item = classes.names, classes.scores
    if not item.members or words is None or all(isinstance(word, int) for word in words):
        return classes
    index = ClassIndex(words, len(words))
    labels = list(present())
    numbers = bool(labels) and not any(isinstance(label, bool) for label in labels)
    if numbers and is_reversed(words) and all(index.find(label, positions=False) is None for label in labels):
        no, yes = words[1], words[0]
        raise UsageError(
            f"{found.path}: the columns are named {yes} and {no}, in this order, and the labels are {labels[:2]}: is "
            f"the first label {yes} or {no}? Name the classes from 0 on: class_names='{no},{yes}' (--class-names "
            f"{no},{yes})."
        )
    seen = sorted({place for label in labels if (place := index.find(label, first=labels_from)) is not None})
    others = [place for place in range(len(words)) if place not in seen]
    if not seen or not others:
        return classes
    inside = _are_classes(item, seen, found.kind)
    if inside is None:
        raise _ask(found, classes, others)
    if inside:
        return classes
    left_out = (*classes.left_out, *(item.members[place] for place in others))
    return Classes(item.take(seen), tuple(words[place] for place in seen), left_out)


def _are_classes(item: Field, seen: Sequence[int], kind: str) -> bool | None:
    """Tell by the sums of rows whether all columns are classes; None if the sums do not tell."""
    rows = np.asarray(item.load()[:_ROWS]).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        # Log-probabilities are logits whose exponentials sum to 1.
        shares = np.exp(rows) if kind == "logits" else rows
        sums_to = [_sums_to_one(part.sum(axis=1)) for part in (shares, shares[:, seen])]
    return None if not any(sums_to) else sums_to[0]


def _sums_to_one(totals: Any) -> bool:
    """Tell whether sums are 1, or 100 of percentages, as far as printed decimals go."""
    return any(bool((abs(totals / whole - 1) <= _TOLERANCE).all()) for whole in (1, 100))


def _ask(found: Resolved, classes: Classes, others: Sequence[int]) -> UsageError:
    words, members = classes.names or (), classes.scores.members
    columns = ", ".join(repr(printable(members[place])) for place in others[:_SHOWN])
    named = ",".join(printable(str(word)) for place, word in enumerate(words) if place not in others)
    choice = f"{named[:200]},…" if len(named) > 200 else named
    return UsageError(
        f"{found.path}: no label names the columns {columns}{', …' if len(others) > _SHOWN else ''}. If every column "
        "is a class, say class_names='*' (--class-names '*'); else name the classes, as in --class-names "
        f"'{choice}'."
    )
