"""Rows that are known to be mislabelled, as people name them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.arrays import to_values
from calkit.errors import InputError
from calkit.predictions import Predictions
from calkit.registry import unknown_name

__all__ = ["LABEL_ERROR", "as_flag", "marked"]

#: The column that tells which rows are mislabelled.
LABEL_ERROR = "label error"


def marked(predictions: Predictions, label_errors: Any) -> Predictions:
    """Return predictions with a column :data:`LABEL_ERROR` of booleans.

    Parameters
    ----------
    predictions : Predictions
    label_errors : str or array-like
        A column of the predictions that holds truth values; or booleans of shape (n,); or places of rows, from 0.

    Raises
    ------
    InputError
        If they are neither, or mark a row that is not there.
    NotFoundError
        If there is no such column.

    Examples
    --------
    >>> from calkit import Predictions
    >>> predictions = Predictions([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 1, 1], kind="probs")
    >>> marked(predictions, [2]).columns["label error"].tolist()
    [False, False, True]
    """
    if isinstance(label_errors, str):
        if label_errors not in predictions.columns:
            raise unknown_name("column", label_errors, predictions.columns, of="the predictions")
        flags = np.array(
            [as_flag(value) for value in np.asarray(predictions.columns[label_errors]).tolist()], dtype=bool
        )
    else:
        flags = _flags(to_values(label_errors), predictions.n_samples)
    return predictions.replace(columns={**predictions.columns, LABEL_ERROR: flags})


def _flags(values: NDArray[Any], n: int) -> NDArray[np.bool_]:
    if values.dtype == bool and values.shape == (n,):
        return values
    # Files of text hold all numbers as floats.
    whole = values.dtype.kind in "iu" or (values.dtype.kind == "f" and (values == np.rint(values)).all())
    if values.ndim != 1 or not whole:
        raise InputError(
            f"label_errors must be booleans of shape ({n},), places of rows as whole numbers, or the name of a column, "
            f"but has type {values.dtype} and shape {values.shape}."
        )
    rows = values.astype(np.intp)
    outside = (rows < 0) | (rows >= n)
    if outside.any():
        raise InputError(f"label_errors names row {rows[outside][0]}, but the rows are 0 to {n - 1}.")
    if len(np.unique(rows)) < len(rows):
        raise InputError("label_errors names a row twice; name each once, or pass a boolean for each row.")
    flags = np.zeros(n, dtype=bool)
    flags[rows] = True
    return flags


_WORDS = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}


def as_flag(value: Any) -> bool:
    """Return a truth value that a column holds: a boolean, 0 or 1, or yes, no, true, false.

    Raises
    ------
    InputError
        If it is none.
    """
    found = _WORDS.get(str(value).strip().lower()) if isinstance(value, bool | int | float | str) else None
    if value in (0, 1):
        found = bool(value)
    if found is None:
        raise InputError(
            f"label_errors must be a column of truth values (True and False, 1 and 0), but it holds {value!r}."
        )
    return found
