"""Predictions as named arrays: what writers write and readers find again."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import CalibrationWarning, UsageError
from calkit.labels import ClassIndex, as_array
from calkit.labels.values import is_empty
from calkit.lazy import Converted, row_blocks
from calkit.names import Role, read_name
from calkit.predictions import Predictions

__all__ = ["column_blocks", "column_names", "fields_of"]

# Roles that what is written has itself; a column of that name would be taken for them.
_OWN_ROLES: tuple[Role, ...] = ("labels", "correct", "sample_weight", "class_names")


def fields_of(predictions: Predictions, *, text: bool = True) -> dict[str, Any]:
    """Return the arrays of predictions under the names that :mod:`calkit.names` understands; scores come first.

    The scores may be larger than memory: read them by :func:`calkit.lazy.row_blocks`. Where a format cannot hold
    `text`, labels are columns, and columns of text are left out, with a warning.
    """
    fields: dict[str, Any] = {predictions.kind: predictions.scores}
    if predictions.y_true is not None:
        fields["correct" if predictions.kind == "confidence" else "labels"] = _labels(predictions, text=text)
    if predictions.sample_weight is not None:
        fields["sample_weight"] = predictions.sample_weight
    lost = []
    for name, values in predictions.columns.items():
        stored = values if values.dtype.kind in "biufU" else _as_text(values)
        if stored.dtype.kind not in "biuf" and not (text and stored.dtype.kind == "U"):
            lost.append(name)
        else:
            fields[_beside(name, fields)] = stored
    if lost:
        warnings.warn(
            f"the columns {', '.join(lost)} are no numbers, and are left out of what is written; .csv, .parquet and "
            ".npz can hold text.",
            CalibrationWarning,
            stacklevel=4,
        )
    if predictions.class_names is not None:
        names = as_array(predictions.class_names)
        fields["class_names"] = names.astype(str) if names.dtype.kind == "O" else names
    return {name: _storable(values) for name, values in fields.items()}


def _as_text(values: NDArray[Any]) -> NDArray[np.str_]:
    """Return values of any type as text, those that are missing as an empty one, which readers take for missing."""
    return np.array(["" if is_empty(value) else str(value) for value in values], dtype=str)


def _labels(predictions: Predictions, *, text: bool) -> Any:
    if predictions.votes is not None:
        return predictions.votes
    if predictions.class_names is None:
        return predictions.y_true
    names = as_array(predictions.class_names)
    if names.dtype.kind in "iu" or text:
        return (names.astype(str) if names.dtype.kind == "O" else names)[predictions.y_true]
    if ClassIndex(predictions.class_names, len(names)).by_position:
        return predictions.y_true
    try:
        return np.array([int(name) for name in names.tolist()])[predictions.y_true]
    except (ValueError, TypeError):
        raise UsageError(
            f"classes named {', '.join(map(repr, names.tolist()[:5]))} cannot be told apart in a file without text; "
            "write .csv, .parquet or .npz."
        ) from None


def _beside(name: str, fields: dict[str, Any]) -> str:
    """Return the name of a column that travels: its own, unless it would be taken for what is written."""
    meaning = read_name(name)
    taken = name in fields or (meaning is not None and not meaning.split and meaning.role in _OWN_ROLES)
    return _beside(f"input_{name}", fields) if taken else name


def _storable(values: Any) -> Any:
    """Return values of a type that every format knows: bfloat16 becomes float32, in this machine's order of bytes."""
    stored = np.dtype(np.float32) if str(values.dtype) == "bfloat16" else values.dtype.newbyteorder("=")
    if stored == values.dtype:
        return values
    return Converted(values, lambda rows: rows.astype(stored), tuple(values.shape), stored)


def column_names(predictions: Predictions) -> list[str]:
    """Return the names that a table of predictions gives its columns: ``logits_cat``, ``logits_dog``, ``labels``."""
    fields = fields_of(predictions)
    fields.pop("class_names", None)
    names = []
    for name, values in fields.items():
        if values.ndim == 2:
            words = range(values.shape[1]) if predictions.class_names is None else predictions.class_names
            names += [f"{name}_{word}" for word in words]
        elif name == predictions.kind and predictions.class_names is not None:
            # One column is about the second class.
            names.append(f"{name}_{predictions.class_names[1]}")
        else:
            names.append(name)
    return names


def column_blocks(predictions: Predictions) -> Iterator[list[NDArray[Any]]]:
    """Yield the columns of a table of predictions, a block of rows at a time."""
    fields = fields_of(predictions)
    fields.pop("class_names", None)
    scores, *others = fields.values()
    start = 0
    for block in row_blocks(scores):
        parts = [block, *(values[start : start + len(block)] for values in others)]
        yield [column for part in parts for column in np.atleast_2d(part.T)]
        start += len(block)
