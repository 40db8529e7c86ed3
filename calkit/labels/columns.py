"""Labels in any of their usual spellings, turned into columns of the scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.arrays import as_numbers, column_names, to_values
from calkit.errors import InputError
from calkit.labels.classes import ClassIndex, as_class_names
from calkit.labels.values import distinct, is_empty, is_missing, key_of, labels_in, plain

__all__ = ["SHARE_TOLERANCE", "TrueColumns", "as_label_matrix", "classes_from_fit", "encode_labels"]

# Whole numbers up to this are exact in float64.
_LARGEST_LABEL = 2.0**53

#: How far the shares of soft labels may be from summing to 1, as they may have been rounded.
SHARE_TOLERANCE = 1e-3


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

    def reordered(self, order: Sequence[int]) -> TrueColumns:
        """Return the labels of scores whose columns are put in another order."""
        place = np.argsort(order)
        votes = None if self.votes is None else self.votes[:, order]
        return TrueColumns(place[self.column], votes, self.ignored)

    @classmethod
    def concatenate(cls, parts: Sequence[TrueColumns], n_classes: int) -> TrueColumns:
        """Return the labels of several blocks of rows as one."""
        column = np.concatenate([part.column for part in parts]) if parts else np.empty(0, np.intp)
        if all(part.votes is None for part in parts):
            return cls(column)
        unit = np.eye(n_classes)
        return cls(column, np.concatenate([unit[p.column] if p.votes is None else p.votes for p in parts]))


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
        if ignore_label is not None:
            raise InputError("ignore_label is for one label per row; give other rows sample_weight 0.")
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
        row = int(np.argmax((y.column < 0) | (y.column >= n_classes)))
        raise InputError(
            f"y_true must lie in 0..{n_classes - 1} (one column of the scores per class), but row {row} is "
            f"{y.column[row]}."
        )
    return y


def _columns(
    y: NDArray[Any], index: ClassIndex, n_classes: int, first: int, rows: NDArray[np.intp] | None
) -> NDArray[Any]:
    """Return the column of each label; labels that are columns already are not copied."""

    def refuse(place: int) -> InputError:
        label = plain(y[place])
        return index.refuse(label, place if rows is None else int(rows[place]), n_classes)

    if y.dtype.kind in "iu" and index.by_position:
        wrong = len(y) and (int(y.min()) < first or int(y.max()) >= n_classes + first)
        if wrong:
            raise refuse(int(np.argmax((y < first) | (y >= n_classes + first))))
        return y - np.asarray(first, y.dtype) if first else y
    whole = y.dtype.kind == "f" and np.isfinite(y) & (y == np.floor(y))
    # Names such as 0.5 are labels by value.
    if y.dtype.kind == "f" and index.by_position and (index.names is None or np.all(whole)):
        if not np.all(whole):
            row = int(np.argmin(whole))
            raise _no_label(y[row], row if rows is None else int(rows[row]))
        if len(y) and float(abs(y).max()) > _LARGEST_LABEL:
            raise refuse(int(np.argmax(abs(y))))
        return _columns(y.astype(np.int64), index, n_classes, first, rows)
    values, codes = distinct(y)
    found = [None if is_missing(value) else index.find(value, first=first) for value in values]
    if None in found:
        place = int(np.argmax(np.array([column is None for column in found])[codes]))
        missing = is_empty(values[codes[place]])
        raise _no_label(None, place if rows is None else int(rows[place])) if missing else refuse(place)
    return np.array(found, dtype=np.intp)[codes] if found else np.empty(0, np.intp)


def _no_label(value: Any, row: int) -> InputError:
    shares = "Labels come first, then scores; shares of labels (graded answers, votes) have a column for each class"
    what = "is missing" if is_missing(value) else f"is {value}, which is no whole number. {shares}"
    return InputError(
        f"y_true: the label of row {row} {what}. Remove the row, or leave such rows out with ignore_label "
        "(ignore_label=float('nan'), --ignore-label nan, for missing ones)."
    )


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
        raise InputError(
            f"one-hot y_true has {y.shape[1]} columns, but the scores have {n_classes} classes. Labels come first, "
            "then scores."
        )
    y = as_numbers(y, "one-hot y_true")
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
    wrong = ~(np.isfinite(total) & (y.min(axis=1) >= 0) & (total > 0 if counts else abs(total - 1) <= SHARE_TOLERANCE))
    if wrong.any():
        raise _no_shares(y, int(np.argmax(wrong)))
    # Shares that have been divided once stay as they are, so that what is written is read back to the last bit.
    total[abs(total - 1) <= n_classes * np.finfo(np.float64).eps] = 1.0
    return TrueColumns(column, y / total[:, None])


def _no_shares(y: NDArray[Any], row: int) -> InputError:
    return InputError(
        "each row of y_true is a single 1 and else zeros (one-hot), shares of the classes that sum to 1, or whole "
        f"numbers of votes, but row {row} is {np.array2string(y[row], threshold=8)}. Divide by the sum of the row, or "
        "pass the class of each row; where several labels of a row may be true, target='multilabel'."
    )


def as_label_matrix(y_true: Any, n_classes: int, class_names: Sequence[Any] | None = None) -> TrueColumns:
    """Return the labels of multi-label rows, 0 or 1 for each column of the scores; the true column is 0 everywhere.

    The columns of a data frame are matched with `class_names`.

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
    order = _order(column_names(y_true), n_classes, class_names)
    y = y if order is None else y[:, order]
    wrong = (y != 0) & (y != 1)
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise InputError(f"multi-label y_true must hold 0 and 1, but row {row} holds {y[row, column].item()!r}.")
    return TrueColumns(np.zeros(len(y), np.intp), y.astype(np.uint8))


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

    Raises
    ------
    InputError
        If labels are numbers as text, whose order as text is another one than that of the numbers.

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
    present, _ = distinct(values.reshape(-1))
    present = [plain(value) for value in present if not is_missing(value)]
    if names is not None:
        index = ClassIndex(names, n_classes)
        if any(index.find(label) is not None for label in present):
            return index.names
    positions = ClassIndex(None, n_classes)
    if all(positions.find(label) is not None for label in present):
        return None
    keys = {key_of(label, False) for label in present}
    sortable = len({isinstance(label, str) for label in present}) == 1
    if not sortable or not len(present) == len(keys) == n_classes:
        return None
    in_order = sorted(present)
    if isinstance(in_order[0], str) and all(isinstance(key, int) for key in keys):
        _check_order(in_order)
    return tuple(in_order)


def _check_order(digits: Sequence[str]) -> None:
    """Refuse text of numbers whose order as text, which scikit-learn's classifiers have, is not that of the numbers."""
    numbers = sorted(digits, key=lambda label: key_of(label, False))  # type: ignore[arg-type,return-value]
    if numbers != list(digits):
        raise InputError(
            f"y holds numbers as text, whose order is open: {', '.join(digits[:4])}, …, as a classifier fitted on them "
            f"has its columns, or {', '.join(numbers[:4])}, …? Name the columns of X: pd.DataFrame(X, "
            "columns=classifier.classes_); or pass numbers: y.astype(int)."
        )
