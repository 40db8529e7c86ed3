"""Data frames of scores: which column is which class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from calkit.arrays import column_names, to_values
from calkit.errors import InputError
from calkit.labels import ClassIndex, TrueColumns, as_class_names, labels_in
from calkit.labels.values import key_of
from calkit.names import (
    NEGATIVE_WORDS,
    NO_CLASSES,
    ROLES,
    SCORE_ROLES,
    class_words,
    column_classes,
    is_reversed,
    is_whole_number,
    read_class_column,
    read_name,
)

__all__ = ["named_scores"]

#: What stands beside scores in a table and is none of them, unless labels are called so.
_BESIDE = frozenset(("label", "labels", "target", "targets", "y_true", *ROLES["sample_weight"], *ROLES["id"]))


def named_scores(scores: Any, class_names: Sequence[Any] | None, y_true: Any = None) -> tuple[Any, Any]:
    """Return scores as an array and the names of its columns; those of a data frame are taken by name.

    Parameters
    ----------
    scores : array-like, series or data frame
    class_names : sequence, optional
        Of a data frame, the columns to take.
    y_true : array-like, optional
        Labels, which tell whether a column of an odd name is a class.

    Raises
    ------
    InputError
        If a column is none of the classes, or the one column there is is about class 0.
    """
    titles = column_names(scores)
    if titles is None or len(titles) == 1:
        _refuse_first(titles[0] if titles else getattr(scores, "name", None), class_names)
        return scores, class_names
    array, classes = to_values(scores), column_classes(titles)
    if class_names is None:
        _refuse_others(titles, y_true)
        _refuse_reversed(classes, y_true)
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


def _refuse_first(title: Any, class_names: Sequence[Any] | None) -> None:
    """Refuse a column, or a series, that is named after the first class: one column is about the second."""
    if not isinstance(title, str):
        return
    word = _word_beside_scores(title)
    names = (0, 1) if class_names is None else as_class_names(class_names) or ()
    # A title alone is one of the class only where classes have names.
    called = title if word is None and class_names is not None else word
    if called is None or len(names) != 2:
        return
    place = ClassIndex(names, 2).find(called)
    if place == 0 or (word is not None and place is None and word.casefold() in NEGATIVE_WORDS):
        raise InputError(
            f"one column of scores is the forecast of class {names[1]!r}, but it is named {title!r}; pass 1 - p, or "
            "the columns of both classes."
        )


def _word_beside_scores(title: str) -> str | None:
    """Return what stands beside the word for scores in a title: the class of ``prob_no`` and of ``no_prob``."""
    column, meaning = read_class_column(title), read_name(title)
    if column is not None:
        return class_words([column.word])[0]
    return meaning.split if meaning is not None and meaning.role in SCORE_ROLES and meaning.split else None


def _words(titles: Sequence[Any]) -> tuple[Any, ...]:
    """Return the class that each column is named after by itself, if these differ; else the titles."""
    found = [read_class_column(title) if isinstance(title, str) else None for title in titles]
    words = [title if column is None else column.word for title, column in zip(titles, found, strict=True)]
    return tuple(words if len({key_of(word, True) for word in words}) == len(words) else titles)


def _refuse_others(titles: Sequence[Any], y_true: Any) -> None:
    """Refuse a frame in which some columns are named as scores of classes, and others not, unless labels say so."""
    found = {title: read_class_column(title) if isinstance(title, str) else None for title in titles}
    columns = {title: column for title, column in found.items() if column is not None and column.role in SCORE_ROLES}
    arrays = [column.array for column in columns.values()]
    if any(arrays.count(name) > 1 for name in arrays):
        numbers = [title for title, column in columns.items() if is_whole_number(column.word)]
        others = [
            title
            for title in titles
            if title not in columns
            or (len(numbers) > 1 and title not in numbers)
            or columns[title].word.lower() in NO_CLASSES
        ]
    else:
        others = [title for title in titles if isinstance(title, str) and title.lower() in _BESIDE]
    words = {title: columns[title].word if title in columns else title for title in others}
    others = [title for title in others if not _is_label(words[title], y_true)]
    if others and len(others) < len(titles):
        raise InputError(
            f"the columns {others[:10]} of the scores are not named as those of the classes; leave them out, or choose "
            "columns with class_names."
        )


def _refuse_reversed(classes: Sequence[Any], y_true: Any) -> None:
    """Refuse labels 0 and 1 beside the columns yes and no, which stand in the other order."""
    if not is_reversed(classes) or y_true is None or isinstance(y_true, TrueColumns):
        return
    labels = to_values(y_true)
    if labels.ndim == 1 and labels.dtype.kind in "iuf":
        no, yes = str(classes[1]), str(classes[0])
        raise InputError(
            f"the columns of the scores are named {yes} and {no}, in this order, and the labels are numbers: is 0 "
            f"{yes} or {no}? Name the classes from 0 on: class_names={[no, yes]}."
        )


def _is_label(word: Any, y_true: Any) -> bool:
    """Tell whether one of the labels is called so."""
    if y_true is None or isinstance(y_true, TrueColumns):
        return False
    labels = to_values(y_true)
    return labels.ndim == 1 and labels.dtype.kind not in "iuf" and bool(labels_in(labels, word).any())
