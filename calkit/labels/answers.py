"""Whether answers were right: said in words or numbers, or by comparing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.arrays import to_values
from calkit.errors import InputError
from calkit.labels.values import distinct, is_empty, key_of, plain

__all__ = ["answers_match", "as_correct"]

#: Words that say whether an answer was right.
_RIGHT_AND_WRONG = {
    **dict.fromkeys(("true", "t", "yes", "y", "correct", "right", "1", "1.0"), 1),
    **dict.fromkeys(("false", "f", "no", "n", "incorrect", "wrong", "0", "0.0"), 0),
}


def as_correct(correct: Any) -> NDArray[np.uint8]:
    """Return whether answers were right as 0 and 1.

    Parameters
    ----------
    correct : array-like of shape (n,) or (n, 1)
        Booleans, 0 and 1, or words: true and false, yes and no, correct and incorrect, right and wrong.

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
        raise InputError(f"correct must have shape (n,), but has shape {y.shape}.")
    if y.dtype.kind == "b":
        return y.astype(np.uint8)
    if y.dtype.kind in "iuf":
        wrong = (y != 0) & (y != 1)
        if wrong.any():
            raise _not_a_truth(y, int(np.argmax(wrong)))
        return y.astype(np.uint8)
    values, codes = distinct(y)
    found = [_RIGHT_AND_WRONG.get(str(plain(value)).casefold()) for value in values]
    if None in found:
        raise _not_a_truth(y, int(np.argmax(codes == found.index(None))))
    return np.array(found, dtype=np.uint8)[codes] if found else np.empty(0, np.uint8)


def _not_a_truth(y: NDArray[Any], row: int) -> InputError:
    value = plain(y[row])
    found = "is missing" if is_empty(value) else f"is {value!r}"
    hint = ""
    if isinstance(value, float) and 0 < value < 1:
        hint = (
            " Of several graders, give each verdict a row, with a weight of 1 / their number. Grades between 0 and 1 "
            "are shares of the event: calkit.evaluate(np.column_stack([1 - grade, grade]), confidence)."
        )
    elif is_empty(value):
        hint = " Remove the row, or leave such rows out with ignore_label (ignore_label=nan, --ignore-label nan)."
    return InputError(
        "correct must be booleans or 0 and 1 (or words: yes and no, true and false, correct and incorrect), but row "
        f"{row} {found}.{hint}"
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
        If lengths differ, a value is missing, one side holds numbers and the other text only, or all differ in case or
        blanks.

    Examples
    --------
    >>> answers_match(["1", "2", "2"], [1, 2, 1]).tolist()
    [True, True, False]
    """
    sides = []
    for what, labels in (("the true labels", y_true), ("the predicted labels", y_pred)):
        values, codes = distinct(to_values(labels).reshape(-1))
        missing = next((number for number, value in enumerate(values) if is_empty(value)), None)
        if missing is not None:
            raise InputError(f"{what} are missing in row {int(np.argmax(codes == missing))}; remove the row.")
        sides.append(([key_of(value, True) for value in values], codes, what))
    (mine, left, _), (others, right, _) = sides
    if len(left) != len(right):
        raise InputError(f"there are {len(left)} true labels, but {len(right)} predicted ones.")
    numbers = [[isinstance(key, int | float) for key in keys] for keys in (mine, others)]
    if mine and others and any(all(numbers[side]) and not any(numbers[1 - side]) for side in (0, 1)):
        raise InputError(
            f"true and predicted labels are of different types: {mine[0]!r} and {others[0]!r}; spell both alike."
        )
    _check_spelling(mine, others)
    places = {key: number for number, key in enumerate(dict.fromkeys([*mine, *others]))}
    a, b = (np.array([places[key] for key in keys], dtype=np.intp)[codes] for keys, codes, _ in sides)
    return np.asarray(a == b)


def _check_spelling(mine: Sequence[Any], others: Sequence[Any]) -> None:
    """Refuse labels none of which is an answer, though they would be if case and blanks did not count."""
    alike = {str(key).strip().casefold(): key for key in mine}
    other = next((key for key in others if str(key).strip().casefold() in alike), None)
    if other is not None and set(mine).isdisjoint(others):
        label = alike[str(other).strip().casefold()]
        raise InputError(
            f"none of the predicted labels is a true one, but {other!r} and {label!r} differ in case or blanks only; "
            "spell both alike."
        )
