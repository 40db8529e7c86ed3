"""Predictions as named arrays: what writers write and readers find again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.io.sources import ConvertedSource, block_rows
from calkit.predictions import Predictions

__all__ = ["column_blocks", "column_names", "fields_of", "row_blocks"]


def fields_of(predictions: Predictions) -> dict[str, Any]:
    """Return the arrays of predictions under the names that :mod:`calkit.io.names` understands.

    The scores may be larger than memory: read them by :func:`row_blocks`.
    """
    labels = "correct" if predictions.kind == "confidence" else "labels"
    fields: dict[str, Any] = {predictions.kind: predictions.scores, labels: predictions.named_labels}
    if predictions.sample_weight is not None:
        fields["sample_weight"] = predictions.sample_weight
    if predictions.class_names is not None:
        fields["class_names"] = np.array(predictions.class_names, dtype=str)
    return {name: _storable(values) for name, values in fields.items()}


def _storable(values: Any) -> Any:
    """Return values of a type that every format knows: bfloat16 becomes float32, in this machine's order of bytes."""
    stored = np.dtype(np.float32) if str(values.dtype) == "bfloat16" else values.dtype.newbyteorder("=")
    if stored == values.dtype:
        return values
    return ConvertedSource(values, lambda rows: rows.astype(stored), tuple(values.shape), stored)


def column_names(predictions: Predictions) -> list[str]:
    """Return the names that a table of predictions gives its columns: ``logits_cat``, ``logits_dog``, ``labels``."""
    fields = fields_of(predictions)
    classes = fields.pop("class_names", None)
    names = []
    for name, values in fields.items():
        if values.ndim == 2:
            words = range(values.shape[1]) if classes is None else classes.tolist()
            names += [f"{name}_{word}" for word in words]
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


def row_blocks(values: Any) -> Iterator[NDArray[Any]]:
    """Yield an array or source in blocks of rows, a few megabytes each."""
    rows = block_rows(values.shape, values.dtype)
    for start in range(0, values.shape[0], rows):
        yield np.asarray(values[start : start + rows])
