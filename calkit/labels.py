"""Labels in any of their usual shapes, turned into column indices once, at the door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError

__all__ = ["as_class_names", "encode_labels"]


def as_class_names(names: Sequence[Any] | NDArray[Any] | None, n_classes: int) -> tuple[str, ...] | None:
    """Return the names of the classes as strings, one per column.

    Raises
    ------
    InputError
        If their number is not the number of columns, or two are equal.
    """
    if names is None:
        return None
    words = tuple(str(name) for name in np.asarray(names).tolist())
    if len(words) != n_classes:
        raise InputError(f"class_names has {len(words)} entries, but the scores have {n_classes} columns.")
    if len(set(words)) != n_classes:
        twice = next(w for w in words if words.count(w) > 1)
        raise InputError(f"class_names must differ, but {twice!r} appears more than once.")
    return words


def encode_labels(y_true: Any, n_classes: int, class_names: tuple[str, ...] | None = None) -> NDArray[np.integer[Any]]:
    """Turn labels into column indices.

    Parameters
    ----------
    y_true : array-like
        Integers in ``0 .. n_classes - 1`` of shape (n,); or strings; or a one-hot matrix of shape
        (n, n_classes). Strings are looked up in `class_names`; without it, exactly `n_classes` different
        strings must be present, and their sorted order is the order of the columns, as in scikit-learn.
    n_classes : int
        Number of score columns.
    class_names : tuple of str, optional
        Name of each column.

    Returns
    -------
    ndarray of integers, shape (n,)
        In the narrowest form the labels came in; never copied when they are integers already.

    Raises
    ------
    InputError
        If the shape, the type or a value is not one of the above.
    """
    y = np.asarray(y_true)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2:
        return _from_one_hot(y, n_classes)
    if y.ndim != 1:
        raise InputError(
            f"y_true must have shape (n,), or (n, {n_classes}) if one-hot, but has shape {y.shape}. "
            "For pixels, move the classes last and flatten the other axes."
        )
    if y.dtype.kind in "OUST":
        return _from_strings(y, n_classes, class_names)
    if y.dtype.kind == "f":
        _check_whole(y)
    if y.dtype.kind == "b":
        y = y.astype(np.uint8)
    if y.dtype.kind not in "iuf":
        raise InputError(f"y_true must hold integers, strings or one-hot rows, but its type is {y.dtype}.")
    if y.size:
        low, high = int(y.min()), int(y.max())
        if low < 0 or high >= n_classes:
            row = int(np.argmax((y < 0) | (y >= n_classes)))
            raise InputError(
                f"y_true must lie in 0..{n_classes - 1} (one column of the scores per class), but row {row} is "
                f"{y[row]:.15g}. If labels start at 1, subtract 1; to leave rows out, give them sample_weight 0 "
                "or remove them."
            )
    return y.astype(np.int64) if y.dtype.kind == "f" else y


def _from_one_hot(y: NDArray[Any], n_classes: int) -> NDArray[np.integer[Any]]:
    if y.shape[1] != n_classes:
        raise InputError(f"one-hot y_true has {y.shape[1]} columns, but the scores have {n_classes} classes.")
    if y.dtype.kind not in "biuf":
        raise InputError(f"one-hot y_true must be numeric, but its type is {y.dtype}.")
    wrong = (y != 0).sum(axis=1) != 1
    wrong |= y.max(axis=1) != 1 if y.size else False
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"each row of a one-hot y_true holds a single 1 and else zeros, but row {row} is "
            f"{np.array2string(y[row], threshold=8)}. Soft labels are not supported: pass the class of each row."
        )
    return y.argmax(axis=1)


def _check_whole(y: NDArray[Any]) -> None:
    whole = np.isfinite(y) & (y == np.floor(y))
    if not whole.all():
        row = int(np.argmin(whole))
        raise InputError(f"y_true must be whole numbers, but row {row} is {y[row]}. Pass the class of each row.")


def _from_strings(y: NDArray[Any], n_classes: int, class_names: tuple[str, ...] | None) -> NDArray[np.integer[Any]]:
    if y.dtype.kind == "S":
        y = _decoded(y)
    if y.dtype.kind == "O" and not all(isinstance(value, str) for value in y):
        return _from_objects(y, n_classes, class_names)
    present, codes = np.unique(y.astype(str), return_inverse=True)
    if class_names is None:
        if len(present) != n_classes:
            raise InputError(
                f"y_true holds {len(present)} different strings, but the scores have {n_classes} columns, so which "
                "column is which is unknown. Pass class_names, one name per column."
            )
        return codes.astype(np.intp)
    column = {name: i for i, name in enumerate(class_names)}
    missing = [str(name) for name in present if name not in column]
    if missing:
        raise InputError(f"y_true holds {missing[0]!r}, which is not one of the class_names {list(class_names)[:10]}.")
    return np.array([column[name] for name in present.tolist()], dtype=np.intp)[codes]


def _decoded(y: NDArray[Any]) -> NDArray[np.str_]:
    try:
        return np.char.decode(y, "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"y_true holds bytes that are not UTF-8 text ({error}); decode them to strings.") from None


def _from_objects(y: NDArray[Any], n_classes: int, class_names: tuple[str, ...] | None) -> NDArray[np.integer[Any]]:
    """Object arrays (pandas columns, say) that hold numbers after all."""
    plain = np.array(y.tolist())
    if plain.ndim != 1 or plain.dtype.kind not in "biuf":
        found = next((type(v).__name__ for v in y if not isinstance(v, str)), "str")
        raise InputError(f"y_true mixes types or holds {found}; pass integers, or strings only.")
    return encode_labels(plain, n_classes, class_names)
