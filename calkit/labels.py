"""Labels in any of their usual spellings, matched by value with the classes: the one rule of the whole package.

Classes have names: those of the caller or the file, else 0, 1, … K-1. A label is looked up among them by value,
whatever its type: 7, 7.0, ``"7"`` and ``b"7"`` are one label, as are True and ``"true"``. Nothing is told from
sorted order.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.arrays import as_numbers, column_names, to_values
from calkit.errors import InputError

__all__ = [
    "ClassIndex",
    "TrueColumns",
    "answers_match",
    "as_array",
    "as_class_names",
    "as_correct",
    "as_label_matrix",
    "classes_from_fit",
    "encode_labels",
    "labels_in",
]

_WHOLE_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.0*)?")
_TRUTH = {"true": True, "false": False}

#: Words that say whether an answer was right.
_RIGHT_AND_WRONG = {
    **dict.fromkeys(("true", "t", "yes", "y", "correct", "right", "1", "1.0"), 1),
    **dict.fromkeys(("false", "f", "no", "n", "incorrect", "wrong", "0", "0.0"), 0),
}

# Whole numbers up to this are exact in float64.
_LARGEST_LABEL = 2.0**53

# Votes may be shares that were rounded.
_SHARE_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class TrueColumns:
    """True classes as columns of the scores: labels that need no names any more.

    Attributes
    ----------
    column : ndarray of integers, shape (n,)
        The true column; of soft labels, the one with the largest share.
    votes : ndarray of floats, shape (n, K), or None
        The share of each class in a row of soft labels.
    ignored : ndarray of bool, shape (n,), or None
        Rows to be left out.
    """

    column: NDArray[Any]
    votes: NDArray[Any] | None = None
    ignored: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.column)

    def take(self, rows: Any) -> TrueColumns:
        """Return the chosen rows."""
        parts = (self.column, self.votes, self.ignored)
        return TrueColumns(*(None if part is None else part[rows] for part in parts))  # type: ignore[arg-type]

    @classmethod
    def concatenate(cls, parts: Sequence[TrueColumns], n_classes: int) -> TrueColumns:
        """Return the labels of several blocks of rows as one."""
        column = np.concatenate([part.column for part in parts]) if parts else np.empty(0, np.intp)
        if all(part.votes is None for part in parts):
            return cls(column)
        unit = np.eye(n_classes)
        return cls(column, np.concatenate([unit[p.column] if p.votes is None else p.votes for p in parts]))


class ClassIndex:
    """The columns of the classes, by what labels may call them.

    Parameters
    ----------
    names : sequence or None
        The name of each column; None for 0, 1, … K-1.
    n_classes : int
        Number of columns.

    Attributes
    ----------
    names : tuple or None

    Raises
    ------
    InputError
        If names do not fit the columns, or two of them are one label.

    Examples
    --------
    >>> index = ClassIndex([1, 2, 3], 3)
    >>> [index.find(label) for label in (1, "2", 3.0, b"3", 0)]
    [0, 1, 2, 2, None]
    """

    def __init__(self, names: Sequence[Any] | None, n_classes: int) -> None:
        self.names = as_class_names(names, n_classes)
        values: Sequence[Any] = range(n_classes) if self.names is None else self.names
        # Two classes that are named as truth values are truth values: True is 1, and "true" as well.
        self._truth = n_classes == 2 and {_key(value, True) for value in values} == {0, 1}
        keys = list(values)
        if self.names is not None:
            keys = [_key(str(v) if isinstance(v, bool) and not self._truth else v, self._truth) for v in values]
        self._columns: dict[Hashable, int] = {}
        for column, (key, value) in enumerate(zip(keys, values, strict=True)):
            if key in self._columns:
                raise InputError(
                    f"class_names must differ as labels do, but {values[self._columns[key]]!r} and {value!r} are one "
                    "label; rename one of them."
                )
            self._columns[key] = column
        self.numbered = any(isinstance(key, int | float) for key in keys)
        self._n_classes = n_classes
        #: Whether a number stands for the column of that place.
        self.by_position = not self.numbered or keys == list(range(n_classes))

    def find(self, label: Any, *, positions: bool = True) -> int | None:
        """Return the column of a label; None if there is none.

        Where no name is a number, a number can only be a position; `positions` says whether it may.
        """
        key = _key(label, self._truth)
        if isinstance(key, bool) and not self._truth:
            # Classes that are not all truth values may still be called so: True, Neither, False.
            named = self._columns.get(str(key), self._columns.get(str(key).lower()))
            return self._columns.get(key) if named is None and self.numbered else named
        if positions and not self.numbered and isinstance(key, int) and 0 <= key < self._n_classes:
            return key
        return self._columns.get(key)

    def refuse(self, label: Any, row: int, n_classes: int) -> InputError:
        """Return the error for a label that is none of the classes."""
        if self.names is not None:
            shown = ", ".join(repr(name) for name in self.names[:10]) + (", …" if n_classes > 10 else "")
            first = ""
            if not self.numbered and isinstance(_key(label, False), int):
                first = "If labels count from 1, say labels_from=1 (--labels-from 1); else name"
            return InputError(
                f"y_true holds {label!r} in row {row}, which is not one of the classes {shown}. {first or 'Name'} all "
                f"classes in class_names (--class-names), or leave such rows out: ignore_label={label!r} "
                "(--ignore-label "
                f"{label})."
            )
        if isinstance(_key(label, False), int | float):
            return InputError(
                f"y_true must lie in 0..{n_classes - 1} (one column of the scores per class), but row {row} is "
                f"{label}. If labels count from 1, say labels_from=1 (--labels-from 1); if columns have other names, "
                f"pass class_names (--class-names); to leave such rows out, say ignore_label={label!r} (--ignore-label "
                f"{label})."
            )
        return InputError(
            f"y_true holds {label!r} in row {row}, but which column is which is unknown. Pass class_names "
            "(--class-names), one name per column of the scores, in their order."
        )


def as_class_names(names: Any, n_classes: int | None = None) -> tuple[Any, ...] | None:
    """Return the names of the classes, one per column, as plain Python values: numbers stay numbers.

    Parameters
    ----------
    names : sequence, array or None
    n_classes : int, optional
        Number of columns, which that of the names must be.

    Returns
    -------
    tuple or None

    Raises
    ------
    InputError
        If their number is not the number of columns, one is missing, or two are equal.
    """
    if names is None:
        return None
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        raise InputError(f"class_names must be a sequence, one name per column, but is {names!r}.")
    found = tuple(_plain(name) for name in (names if isinstance(names, list | tuple) else to_values(names).tolist()))
    if n_classes is not None and len(found) != n_classes:
        raise InputError(f"class_names has {len(found)} entries, but the scores have {n_classes} columns.")
    if any(_is_missing(name) for name in found):
        raise InputError("class_names has an entry that is missing (None or NaN); name every column.")
    seen: set[Any] = set()
    for name in found:
        if name in seen:
            raise InputError(f"class_names must differ, but {name!r} appears more than once.")
        seen.add(name)
    return found


def as_array(names: Sequence[Any]) -> NDArray[Any]:
    """Return names of classes as an array: of numbers or of text, if all of them are, else of objects."""
    alike = len({isinstance(name, str) for name in names}) == 1
    return np.array(names) if alike else np.array(names, dtype=object)


def encode_labels(
    y_true: Any,
    n_classes: int,
    class_names: Sequence[Any] | None = None,
    *,
    labels_from: int = 0,
    ignore_label: Any = None,
) -> TrueColumns:
    """Turn labels into columns of the scores.

    Parameters
    ----------
    y_true : array-like
        Labels of shape (n,), matched with `class_names` by value, whatever their type; without names, whole numbers
        in ``0 .. n_classes - 1``. Or one row per row of shape (n, n_classes): one-hot, or soft labels: shares that sum
        to 1, or numbers of votes. Or :class:`TrueColumns`.
    n_classes : int
        Number of score columns.
    class_names : sequence, optional
        Name of each column. If none of them is a number, whole numbers are positions.
    labels_from : int, default=0
        What the first class is called where labels are positions: 1 for labels that count from 1.
    ignore_label : value or sequence of values, optional
        Labels (-100, 255, NaN) whose rows are to be left out.

    Returns
    -------
    TrueColumns

    Raises
    ------
    InputError
        If a shape is impossible, or a label is none of the classes.

    Examples
    --------
    >>> encode_labels(["2", 1, 3.0], 3, class_names=[1, 2, 3]).column.tolist()
    [1, 0, 2]
    >>> encode_labels([1, 3, -100], 3, labels_from=1, ignore_label=-100).column.tolist()
    [0, 2, 0]
    """
    if isinstance(y_true, TrueColumns):
        return _checked(y_true, n_classes)
    columns = column_names(y_true)
    y = to_values(y_true)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2:
        return _from_shares(y, n_classes, _order(columns, n_classes, class_names))
    if y.ndim != 1:
        raise InputError(
            f"y_true must have shape (n,), or (n, {n_classes}) if one-hot or soft, but has shape {y.shape}. "
            "If the scores have more than one axis of rows, say class_axis."
        )
    index = ClassIndex(class_names, n_classes)
    if labels_from and not index.by_position:
        raise InputError(f"labels_from={labels_from} is for classes without names, but class_names has numbers.")
    ignored = None if ignore_label is None else labels_in(y, ignore_label)
    kept = y if ignored is None or not ignored.any() else y[~ignored]
    rows = None if kept is y else np.flatnonzero(~ignored)  # type: ignore[operator]
    column = _columns(kept, index, n_classes, labels_from, rows)
    if rows is not None:
        column, found = np.zeros(len(y), column.dtype), column
        column[rows] = found
    return TrueColumns(column, None, ignored)


def _checked(y: TrueColumns, n_classes: int) -> TrueColumns:
    if y.votes is not None and y.votes.shape != (len(y.column), n_classes):
        raise InputError(f"votes must have shape ({len(y.column)}, {n_classes}), but have shape {y.votes.shape}.")
    if len(y.column) and not 0 <= int(y.column.min()) <= int(y.column.max()) < n_classes:
        raise InputError(f"true columns must lie in 0..{n_classes - 1}, but reach from {y.column.min()} to "
                         f"{y.column.max()}.")  # fmt: skip
    return y


def _columns(
    y: NDArray[Any], index: ClassIndex, n_classes: int, first: int, rows: NDArray[np.intp] | None
) -> NDArray[Any]:
    """Return the column of each label; labels that are columns already are not copied."""

    def refuse(place: int) -> InputError:
        label = _plain(y[place])
        return index.refuse(label, place if rows is None else int(rows[place]), n_classes)

    if y.dtype.kind in "iu" and index.by_position:
        wrong = len(y) and (int(y.min()) < first or int(y.max()) >= n_classes + first)
        if wrong:
            raise refuse(int(np.argmax((y < first) | (y >= n_classes + first))))
        return y - np.asarray(first, y.dtype) if first else y
    if y.dtype.kind == "f" and index.by_position:
        whole = np.isfinite(y) & (y == np.floor(y))
        if not whole.all():
            row = int(np.argmin(whole))
            raise _no_label(y[row], row if rows is None else int(rows[row]))
        if len(y) and abs(y).max() > _LARGEST_LABEL:
            raise refuse(int(np.argmax(abs(y))))
        return _columns(y.astype(np.int64), index, n_classes, first, rows)
    values, codes = _distinct(y)
    found = [None if _is_missing(value) else index.find(_counted(value, first)) for value in values]
    if None in found:
        place = int(np.argmax(np.array([column is None for column in found])[codes]))
        missing = _is_missing(values[codes[place]])
        raise _no_label(None, place if rows is None else int(rows[place])) if missing else refuse(place)
    return np.array(found, dtype=np.intp)[codes] if found else np.empty(0, np.intp)


def _counted(value: Any, first: int) -> Any:
    key = _key(value, False) if first else value
    return key - first if first and isinstance(key, int) and not isinstance(key, bool) else value


def _no_label(value: Any, row: int) -> InputError:
    what = "is missing" if _is_missing(value) else f"is {value}, which is no whole number"
    return InputError(
        f"y_true: the label of row {row} {what}. Remove the row, or leave such rows out with ignore_label "
        "(ignore_label=float('nan'), --ignore-label nan, for missing ones)."
    )


def _distinct(y: NDArray[Any]) -> tuple[list[Any], NDArray[np.intp]]:
    """Return the different labels, and the number of each row's among them."""
    if y.dtype.kind != "O":
        present, codes = np.unique(y, return_inverse=True)
        return present.tolist(), codes.reshape(-1)
    numbers: dict[Any, int] = {}
    values: list[Any] = []
    codes = np.empty(len(y), np.intp)
    for row, value in enumerate(y.tolist()):
        # True and 1 are equal to a dictionary, but may be two labels.
        label = "missing" if _is_missing(value) else value
        if not isinstance(label, Hashable):
            raise InputError(f"y_true holds a {type(value).__name__} in row {row}; pass the class of each row.")
        key = (type(label), label)
        if key not in numbers:
            numbers[key] = len(values)
            values.append(value)
        codes[row] = numbers[key]
    return values, codes


def _key(value: Any, truth: bool) -> Hashable:
    """Return what a label is looked up by: a number, or text; truth values where the classes are such.

    Text that spells a whole number is that number.
    """
    value = _plain(value)
    if isinstance(value, str):
        word = value.casefold()
        if truth and word in _TRUTH:
            return _TRUTH[word]
        return int(value.partition(".")[0]) if _WHOLE_NUMBER.fullmatch(value) and len(value) < 300 else value
    if isinstance(value, float):
        return int(value) if value.is_integer() else repr(value)
    return value if isinstance(value, Hashable) else repr(value)


def _plain(value: Any) -> Any:
    """Return NumPy's numbers and bytes as Python's numbers and text."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"y_true holds bytes that are not UTF-8 text ({error}); decode them to strings.") from None
    return value


def _is_missing(value: Any) -> bool:
    if isinstance(value, float):
        return value != value
    return value is None or type(value).__name__ in {"NAType", "NaTType"}


def labels_in(y: NDArray[Any], labels: Any) -> NDArray[np.bool_]:
    """Return which rows hold one of some labels, by value; NaN stands for every missing one."""
    given = list(labels) if isinstance(labels, list | tuple | set | np.ndarray) else [labels]
    keys = {_key(label, False) for label in given if not _is_missing(label)}
    missing = any(_is_missing(label) for label in given)
    if y.dtype.kind in "iu":
        return np.isin(y, [key for key in keys if isinstance(key, int)])
    values, codes = _distinct(y)
    hit = [missing if _is_missing(value) else _key(value, False) in keys for value in values]
    return np.array(hit, dtype=np.bool_)[codes] if hit else np.zeros(len(y), np.bool_)


def _order(columns: tuple[Any, ...] | None, n_classes: int, class_names: Sequence[Any] | None) -> list[int] | None:
    """Return which column of a frame of one-hot or soft labels is which class; None if they are in order."""
    if columns is None or len(columns) != n_classes:
        return None
    index = ClassIndex(class_names, n_classes)
    found = [index.find(name, positions=False) for name in columns]
    if None in found or len(set(found)) != n_classes:
        raise InputError(
            f"the columns of y_true are named {list(columns)[:10]}, but the classes "
            f"{list(index.names or range(n_classes))[:10]}. Name the columns of both alike (class_names names those of "
            "the scores), or pass y_true.to_numpy() if they are in the same order."
        )
    return [found.index(column) for column in range(n_classes)]


def _from_shares(y: NDArray[Any], n_classes: int, order: list[int] | None) -> TrueColumns:
    if y.shape[1] != n_classes:
        raise InputError(f"one-hot y_true has {y.shape[1]} columns, but the scores have {n_classes} classes.")
    if y.dtype.kind not in "biuf":
        raise InputError(f"one-hot y_true must be numeric, but its type is {y.dtype}.")
    y = y if order is None else y[:, order]
    if not len(y):
        return TrueColumns(np.empty(0, np.intp))
    column = y.argmax(axis=1)
    top = y[np.arange(len(y)), column]
    if y.dtype.kind == "b" or (((y != 0).sum(axis=1) == 1) & (top == 1)).all():
        if y.dtype.kind == "b" and not (y.sum(axis=1) == 1).all():
            raise _no_shares(y, int(np.argmax(y.sum(axis=1) != 1)))
        return TrueColumns(column)
    total = y.sum(axis=1, dtype=np.float64)
    # Whole numbers above 1 can be nothing else than numbers of votes.
    counts = y.dtype.kind in "iu" and int(top.max()) > 1
    wrong = ~(np.isfinite(total) & (y.min(axis=1) >= 0) & (total > 0 if counts else abs(total - 1) <= _SHARE_TOLERANCE))
    if wrong.any():
        raise _no_shares(y, int(np.argmax(wrong)))
    return TrueColumns(column, y / total[:, None])


def _no_shares(y: NDArray[Any], row: int) -> InputError:
    return InputError(
        "each row of y_true is a single 1 and else zeros (one-hot), shares of the classes that sum to 1, or whole "
        f"numbers of votes, but row {row} is {np.array2string(y[row], threshold=8)}. Divide by the sum of the row, or "
        "pass the class of each row."
    )


def as_label_matrix(y_true: Any, n_classes: int) -> TrueColumns:
    """Return the labels of multi-label rows, 0 or 1 for each column of the scores; the true column is 0 everywhere.

    Raises
    ------
    InputError
        If the shape is not that of the scores, or an entry is neither 0 nor 1.
    """
    if isinstance(y_true, TrueColumns):
        return _checked(y_true, n_classes)
    y = as_numbers(to_values(y_true), "multi-label y_true")
    if y.ndim != 2 or y.shape[1] != n_classes:
        raise InputError(f"multi-label y_true must have shape (n, {n_classes}), like the scores, but has {y.shape}.")
    wrong = (y != 0) & (y != 1)
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise InputError(f"multi-label y_true must hold 0 and 1, but row {row} holds {y[row, column].item()!r}.")
    return TrueColumns(np.zeros(len(y), np.intp), y.astype(np.uint8))


def as_correct(correct: Any, what: str = "correct") -> NDArray[np.uint8]:
    """Return whether answers were right as 0 and 1.

    Parameters
    ----------
    correct : array-like of shape (n,) or (n, 1)
        Booleans, 0 and 1, or words: true and false, yes and no, correct and incorrect, right and wrong.
    what : str
        What the caller calls it, for messages.

    Returns
    -------
    ndarray of uint8, shape (n,)

    Raises
    ------
    InputError
        If an entry is something else, or missing.

    Examples
    --------
    >>> as_correct(["yes", "No", True, 0.0]).tolist()
    [1, 0, 1, 0]
    """
    y = to_values(correct)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise InputError(f"{what} must have shape (n,), but has shape {y.shape}.")
    if y.dtype.kind == "b":
        return y.astype(np.uint8)
    if y.dtype.kind in "iuf":
        wrong = (y != 0) & (y != 1)
        if wrong.any():
            raise _not_a_truth(y, int(np.argmax(wrong)), what)
        return y.astype(np.uint8)
    values, codes = _distinct(y)
    found = [_RIGHT_AND_WRONG.get(str(_plain(value)).casefold()) for value in values]
    if None in found:
        raise _not_a_truth(y, int(np.argmax(codes == found.index(None))), what)
    return np.array(found, dtype=np.uint8)[codes] if found else np.empty(0, np.uint8)


def _not_a_truth(y: NDArray[Any], row: int, what: str) -> InputError:
    value = _plain(y[row])
    found = "is missing" if _is_missing(value) else f"is {value!r}"
    return InputError(
        f"{what} must be booleans or 0 and 1 (or words: yes and no, true and false, correct and incorrect), but row "
        f"{row} {found}."
    )


def answers_match(y_true: Any, y_pred: Any) -> NDArray[np.bool_]:
    """Return where predicted classes are the true ones, compared by value: 1, ``"1"`` and 1.0 are one class.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)

    Returns
    -------
    ndarray of bool, shape (n,)

    Raises
    ------
    InputError
        If lengths differ, a value is missing, or one side holds numbers and the other text only.

    Examples
    --------
    >>> answers_match(["1", "2", "2"], [1, 2, 1]).tolist()
    [True, True, False]
    """
    sides = []
    for what, labels in (("the true labels", y_true), ("the predicted labels", y_pred)):
        values, codes = _distinct(to_values(labels).reshape(-1))
        missing = next((number for number, value in enumerate(values) if _is_missing(value)), None)
        if missing is not None:
            raise InputError(f"{what} are missing in row {int(np.argmax(codes == missing))}; remove the row.")
        sides.append(([_key(value, True) for value in values], codes, what))
    (mine, left, _), (others, right, _) = sides
    if len(left) != len(right):
        raise InputError(f"there are {len(left)} true labels, but {len(right)} predicted ones.")
    numbers = [[isinstance(key, int | float) for key in keys] for keys in (mine, others)]
    if mine and others and any(all(numbers[side]) and not any(numbers[1 - side]) for side in (0, 1)):
        raise InputError(
            f"true and predicted labels are of different types: {mine[0]!r} and {others[0]!r}; spell both alike."
        )
    places = {key: number for number, key in enumerate(dict.fromkeys([*mine, *others]))}
    a, b = (np.array([places[key] for key in keys], dtype=np.intp)[codes] for keys, codes, _ in sides)
    return np.asarray(a == b)


def classes_from_fit(y: Any, n_classes: int, names: Sequence[Any] | None = None) -> tuple[Any, ...] | None:
    """Return the classes of the columns by scikit-learn's contract of ``fit(X, y)``.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels of the fit.
    n_classes : int
        Number of columns of `X`.
    names : sequence, optional
        Names of the columns of `X`, of a data frame.

    Returns
    -------
    tuple or None
        The names, if labels are among them. None if labels are whole numbers in 0..K-1 (or one-hot rows), which are
        columns. Else, if all K classes are present, the classes in their sorted order.

    Examples
    --------
    >>> classes_from_fit(["no", "yes", "no"], 2)
    ('no', 'yes')
    >>> classes_from_fit([1, 2, 3], 3), classes_from_fit([0, 2], 3)
    ((1, 2, 3), None)
    """
    if isinstance(y, TrueColumns):
        return None if names is None else as_class_names(names, n_classes)
    values = to_values(y)
    if values.ndim != 1 and not (values.ndim == 2 and values.shape[1] == 1):
        return None if names is None else as_class_names(names, n_classes)
    present, _ = _distinct(values.reshape(-1))
    present = [_plain(value) for value in present if not _is_missing(value)]
    if names is not None:
        index = ClassIndex(names, n_classes)
        if any(index.find(label) is not None for label in present):
            return index.names
    positions = ClassIndex(None, n_classes)
    if all(positions.find(label) is not None for label in present):
        return None
    keys = {_key(label, False) for label in present}
    sortable = len({isinstance(label, str) for label in present}) == 1
    return tuple(sorted(present)) if sortable and len(present) == len(keys) == n_classes else None
