"""Data frames of scores: which column is which class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from calkit.arrays import column_names, to_values
from calkit.errors import InputError
from calkit.labels import ClassIndex, as_class_names
from calkit.labels.values import key_of
from calkit.names import NO_CLASSES, SCORE_ROLES, column_classes, is_whole_number, read_class_column

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
        _refuse_others(titles)
        return array, None if classes == tuple(range(len(classes))) else classes
    indices = [ClassIndex(names, len(names)) for names in dict.fromkeys((titles, classes, _words(titles)))]
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


def _words(titles: Sequence[Any]) -> tuple[Any, ...]:
    """Return the class that each column is named after by itself, if these differ; else the titles."""
    found = [read_class_column(title) if isinstance(title, str) else None for title in titles]
    words = [title if column is None else column.word for title, column in zip(titles, found, strict=True)]
    return tuple(words if len({key_of(word, True) for word in words}) == len(words) else titles)


def _refuse_others(titles: Sequence[Any]) -> None:
    """Refuse a frame in which some columns are named as scores of classes, and others not."""
    found = {title: read_class_column(title) if isinstance(title, str) else None for title in titles}
    columns = {title: column for title, column in found.items() if column is not None and column.role in SCORE_ROLES}
    arrays = [column.array for column in columns.values()]
    numbers = [title for title, column in columns.items() if is_whole_number(column.word)]
    others = [
        title
        for title in titles
        if title not in columns
        or (len(numbers) > 1 and title not in numbers)
        or columns[title].word.lower() in NO_CLASSES
    ]
    if others and len(others) < len(titles) and any(arrays.count(name) > 1 for name in arrays):
        raise InputError(
            f"the columns {others[:10]} of the scores are not named as those of the classes; leave them out, or choose "
            "columns with class_names."
        )
