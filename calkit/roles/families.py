"""Columns that belong together: which make a matrix of scores, and which of them are its classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from calkit.containers.container import Container, Field, printable, side_by_side
from calkit.errors import UsageError
from calkit.labels import ClassIndex
from calkit.names import (
    NO_CLASSES,
    SCORE_ROLES,
    ClassColumn,
    class_words,
    is_split,
    is_whole_number,
    read_class_column,
    read_name,
)

__all__ = ["Classes", "as_name", "classes_of", "group_columns", "grouped", "is_numbered"]

# The matrix of columns that are named by numbers alone.
_NUMBERED = "scores"

# These hold no number per row, or none that is a score.
_NO_SCORES = frozenset(("path", "file", "filename", "name", "id", "url", "text", "label", "class", "type", "source"))


_SEPARATORS = "_-. "

_NUMBER_AT_END = re.compile(r"(?P<before>.*?)(?P<number>(?:(?<![^_.\s])-)?(?:0|[1-9]\d{0,17}))", re.DOTALL)


@dataclass(frozen=True)
class Classes:
    """The scores of a file, and which column is which class.

    Attributes
    ----------
    scores : Field
        Of the classes alone.
    names : tuple or None
        The name of each column: numbers are numbers. None where they are 0, 1, … K-1, or nothing names them.
    left_out : tuple of str
        Columns of the file that are named like the scores, but are none of the classes.
    """

    scores: Field
    names: tuple[Any, ...] | None = None
    left_out: tuple[str, ...] = ()

    def listing(self) -> dict[str, str]:
        """Return the column of the file for each class, if they have names of their own."""
        if not self.scores.members:
            return {}
        names = range(len(self.scores.members)) if self.names is None else self.names
        return {str(name): printable(column) for name, column in zip(names, self.scores.members, strict=True)}


def group_columns(names: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    """Group the names of columns into matrices.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    dict
        For each array, its columns in order, each as (class, name of the column); single columns have the class ``""``.
        Classes that are whole numbers stand in their order.

    Examples
    --------
    >>> group_columns(["logit_1", "label", "logit_0"])
    {'logit': [('0', 'logit_0'), ('1', 'logit_1')], 'label': [('', 'label')]}
    """
    names = list(names)
    columns = {name: read_class_column(name) for name in names}
    runs = _runs(columns)
    groups: dict[str, list[tuple[str, str]]] = {}
    numbered = _NUMBERED not in names and is_numbered([name for name in names if is_whole_number(name)])
    for name in names:
        column = columns[name]
        if column is not None and column.word not in runs and column.word.lower() not in _NO_SCORES:
            # A column that is called like what the others begin with is none of them.
            array = f"{column.array}_" if column.array in columns else column.array
            groups.setdefault(array, []).append((column.word, name))
        elif numbered and is_whole_number(name):
            groups.setdefault(_NUMBERED, []).append((name, name))
        else:
            groups.setdefault(name, []).append(("", name))
    found: dict[str, list[tuple[str, str]]] = {}
    for group, members in groups.items():
        words = [word for word, _ in members]
        alone = len(members) == 1 or all(map(is_split, words)) or all(word.lower() in NO_CLASSES for word in words)
        if alone or group in found:
            found |= {name: [("", name)] for _, name in members}
        else:
            found[group] = _in_order(list(zip(class_words(words), (name for _, name in members), strict=True)))
    return found


def _runs(columns: Mapping[str, ClassColumn | None]) -> set[str]:
    """Return what tells models apart that have answers and scores of their own: ``conf_resnet, pred_resnet``."""
    answers: set[str] = set()
    scores: set[str] = set()
    for name, column in columns.items():
        if column is not None and column.role in SCORE_ROLES:
            scores.add(column.word)
            continue
        meaning = read_name(name)
        if meaning is not None and meaning.split:
            side = scores if meaning.role in SCORE_ROLES else answers
            if side is scores or meaning.role in ("predicted", "correct"):
                side.add(meaning.split)
    return answers & scores


def _in_order(members: list[tuple[str, str]]) -> list[tuple[str, str]]:
    if all(is_whole_number(word) for word, _ in members):
        return sorted(members, key=lambda member: int(member[0]))
    return members


def is_numbered(words: Sequence[str]) -> bool:
    """Tell whether words are whole numbers from 0 or 1 on, or -1 and 1, at least two of them, in any order."""
    if len(words) < 2 or not all(map(is_whole_number, words)):
        return False
    numbers = sorted(map(int, words))
    return numbers == [-1, 1] or (numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[0] + len(words))))


def grouped(container: Container) -> Container:
    """Return a file with its single columns of scores as matrices, as tables have them."""
    single = {
        name: item for name, item in container.fields.items() if len(item.shape) == 1 and item.dtype.kind in "biuf"
    }
    groups = {name: members for name, members in group_columns(single).items() if len(members) > 1}
    fields = dict(container.fields)
    for name, members in groups.items():
        items = [single[column] for _, column in members]
        if len({item.shape for item in items}) > 1 or (name in fields and name not in single):
            continue
        first = items[0].name
        matrix = side_by_side(container.path, name, items, [word for word, _ in members])
        fields = {
            (name if key == first else key): (matrix if key == first else item)
            for key, item in fields.items()
            if key == first or key not in matrix.members
        }
    return replace(container, fields=fields)


def as_name(word: str) -> Any:
    """Return a class as labels name it: a whole number is one."""
    return int(word) if is_whole_number(word) else word


def classes_of(
    item: Field, said: Sequence[Any] | None, labels: Callable[[], Iterable[Any]], *, every: bool = False
) -> Classes:
    """Tell which columns of a matrix are the classes.

    Parameters
    ----------
    item : Field
        The scores.
    said : sequence, optional
        Names of the classes, of the user or of the file.
    labels : callable
        Returns the different labels; called only where the names of the columns leave it open.
    every : bool, default=False
        Whether the user says that every column is a class.

    Returns
    -------
    Classes

    Raises
    ------
    UsageError
        If a class that was named has no column.
    """
    if not item.columns:
        return Classes(item, None if said is None else tuple(said))
    words = _words(item, labels) if said is None else [as_name(word) for word in item.columns]
    names = ClassIndex(words, len(words))
    if said is not None:
        places = [names.find(name) for name in said]
        if all(place is None for place in places) and len(said) == len(words) and is_numbered(item.columns):
            return Classes(item, tuple(said))
        if any(place is None for place in places):
            missing = next(name for name, place in zip(said, places, strict=True) if place is None)
            raise UsageError(
                f"class_names has {missing!r}, but the columns of {printable(item.name)!r} are those of "
                f"{', '.join(map(printable, item.columns[:20]))}."
            )
    else:
        places = _by_name(item.columns, words, labels)
    if every or not item.members:
        # Lists of one length, as records have them: all are classes.
        places = list(range(len(words)))
    chosen = [place for place in places if place is not None]
    if said is None and item.members and all(isinstance(words[place], int) for place in chosen):
        chosen.sort(key=lambda place: words[place])
    kept = tuple(words[place] for place in chosen)
    if not all(isinstance(word, int) for word in kept):
        kept = tuple(map(str, kept))
    left_out = tuple(name for place, name in enumerate(item.members) if place not in set(chosen))
    return Classes(item.take(chosen), None if kept == tuple(range(len(kept))) else kept, left_out)


def _words(item: Field, labels: Callable[[], Iterable[Any]]) -> list[Any]:
    """Return the names of the columns: whole, or without what they have in common, as labels have them."""
    short = list(item.columns)
    if not item.members or item.name == _NUMBERED:
        return [as_name(word) for word in short]
    columns = [read_class_column(name) for name in item.members]
    longer = [name if column is None else column.word for name, column in zip(item.members, columns, strict=True)]
    candidates = (short, longer, _without_common(longer), _without_zeros(short))
    spellings = [words for words in candidates if len(set(words)) == len(words)]
    numbers = next((words for words in spellings if all(map(is_whole_number, words))), None)
    if all(words == short for words in spellings):
        return [as_name(word) for word in short]
    present = [label for label in labels() if isinstance(label, str) and not is_whole_number(label)]
    for words in spellings if present else ():
        index = ClassIndex([as_name(word) for word in words], len(words))
        if all(index.find(label) is not None for label in present):
            return [as_name(word) for word in words]
    return [as_name(word) for word in (short if numbers is None else numbers)]


def _without_common(names: Sequence[str]) -> list[str]:
    """Return names without the words that all of them begin or end with: ``class_a``, ``b_prob``, ``c0``."""
    numbers = [_NUMBER_AT_END.fullmatch(name) for name in names]
    if all(numbers) and len({match["before"] for match in numbers if match}) == 1:
        return [match["number"] for match in numbers if match]
    start = _shared(names)
    end = _shared([name[:start:-1] for name in names])
    return [name[start : len(name) - end] for name in names]


def _without_zeros(words: Sequence[str]) -> list[str]:
    """Return numbers that were filled up with zeros, 00 and 01, as they are written otherwise."""
    return [str(int(word)) if word.isdecimal() and len(word) < 19 else word for word in words]


def _shared(names: Sequence[str]) -> int:
    """Return how many characters all names begin with, up to their last separator."""
    alike = [len(set(characters)) == 1 for characters in zip(*names, strict=False)]
    length = alike.index(False) if False in alike else len(alike)
    return max(map(names[0][:length].rfind, _SEPARATORS)) + 1


def _by_name(columns: Sequence[str], words: Sequence[Any], labels: Callable[[], Iterable[Any]]) -> list[int | None]:
    """Return the places of the classes: numbers if there are some, else all but words for something else."""
    numbers = [place for place, word in enumerate(words) if isinstance(word, int)]
    doubtful = [
        place
        for place, word in enumerate(columns)
        if (numbers and place not in numbers) or (not numbers and word.lower() in NO_CLASSES)
    ]
    if not doubtful or len(numbers) == len(words):
        return list(range(len(words)))
    index = ClassIndex(words, len(words))
    present = {index.find(label) for label in labels()}
    # One number among words is the name of a class; several words that labels know make classes of all words.
    if len(numbers) < 2 and numbers:
        doubtful = [place for place in doubtful if columns[place].lower() in NO_CLASSES]
    return [place for place in range(len(words)) if place not in doubtful or place in present]
