"""Data frames of scores: which column is which class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from calkit.arrays import column_names, to_values
from calkit.errors import InputError
from calkit.labels import ClassIndex, as_class_names
from calkit.labels.values import key_of
from calkit.names import column_classes

__all__ = ["named_scores"]


def named_scores(scores: Any, class_names: Sequence[Any] | None) -> tuple[Any, Sequence[Any] | None]:
    """Return scores as an array and the names of its columns; those of a data frame are taken by name."""
    titles = column_names(scores)
    if titles is None:
        return scores, class_names
    if len(titles) == 1:
        if column_classes(titles)[0] != titles[0] and key_of(column_classes(titles)[0], True) == 0:
            raise InputError(
                f"one column of scores is the forecast of class 1, but it is named {titles[0]!r}; pass 1 - p, or the "
                "columns of both classes."
            )
        return scores, class_names
    array, classes = to_values(scores), column_classes(titles)
    if class_names is None:
        return array, None if classes == tuple(range(len(classes))) else classes
    indices = [ClassIndex(names, len(names)) for names in dict.fromkeys((titles, classes))]
    wanted = as_class_names(class_names) or ()
    found = min(
        ([index.find(name, positions=False) for name in wanted] for index in indices),
        key=lambda order: order.count(None),
    )
    order = [column for column in found if column is not None]
    if not order:
        return array, class_names
    if len(order) < len(wanted):
        missing = wanted[found.index(None)]
        raise InputError(f"class_names has {missing!r}, but the columns of the scores are named {list(titles)[:10]}.")
    return array[:, order], class_names
