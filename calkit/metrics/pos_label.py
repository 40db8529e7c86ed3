"""``pos_label``, scikit-learn's word for the label whose probability is judged: what it means here, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from calkit.errors import InputError
from calkit.labels import labels_in
from calkit.predictions import Predictions
from calkit.specs import Spec

__all__ = ["with_event"]


def with_event(y_true: Any, y_proba: Any, arguments: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return labels and arguments without `pos_label`: it has become what it stands for.

    Of scores of K classes, and of predictions, it is the target ``positive:class=NAME``. One column is the forecast of
    that label against all others, so that the labels become 1 and 0.

    Parameters
    ----------
    y_true, y_proba
        The first two arguments of a metric function.
    arguments : mapping
        The others.

    Raises
    ------
    InputError
        If there is a target too, or names of the classes beside one column; if no row that counts has the label, or if
        the label of one is missing.
    """
    given = dict(arguments)
    label = given.pop("pos_label", None)
    if label is None:
        return y_true, given
    if given.get("target") is not None:
        raise InputError(
            f"pos_label={label!r} and target={given['target']!r} both say what is judged: leave one of them out."
        )
    if not _is_one_column(y_true, y_proba):
        return y_true, {**given, "target": str(Spec("positive", kwargs={"class": label}))}
    if given.get("class_names") is not None:
        raise InputError("pos_label and class_names both say which label one column is of: leave one of them out.")
    return _outcomes(y_true, label, given.pop("ignore_label", None), given)


def _is_one_column(y_true: Any, y_proba: Any) -> bool:
    """Return whether arrays hold one column of scores; of predictions it is known which class it is of."""
    if isinstance(y_true, Predictions) or y_proba is None or isinstance(y_proba, str):
        return False
    shape = getattr(y_proba, "shape", None) or np.shape(y_proba)
    return len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)


def _outcomes(y_true: Any, label: Any, ignored: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return 1 where a row has the label and 0 elsewhere; rows that are ignored stay to be."""
    y = np.asarray(y_true)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise InputError(f"pos_label needs the label of each row: y_true must have shape (n,), but has {y.shape}.")
    given.pop("labels_from", None)
    left_out = np.zeros(len(y), dtype=bool) if ignored is None else labels_in(y, ignored)
    hit, missing = labels_in(y, [label]) & ~left_out, labels_in(y, [None]) & ~left_out
    if missing.any():
        raise InputError(
            f"y_true: the label of row {missing.argmax()} is missing. Remove the row, or leave such rows out with "
            "ignore_label=float('nan')."
        )
    parts = ~missing & ~left_out & (y != np.floor(y)) if y.dtype.kind == "f" else missing
    if parts.any():
        row = parts.argmax()
        raise InputError(
            f"y_true: the label of row {row} is {y[row]}, which is no whole number. Give one label for each row: with "
            "shares of votes pos_label has no meaning."
        )
    if not hit.any():
        raise InputError(f"pos_label={label!r} is none of the labels in y_true.")
    outcome = hit.astype(np.int8)
    outcome[left_out] = -1
    return outcome, given if ignored is None else {**given, "ignore_label": -1}
