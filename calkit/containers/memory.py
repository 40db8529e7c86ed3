"""What is in memory already, as named arrays: data frames, arrays by name."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.arrays import column_names, to_values
from calkit.containers.container import Container, Field, by_name, unreadable
from calkit.containers.words import text_array
from calkit.errors import InputError
from calkit.labels.values import is_missing

__all__ = ["MEMORY", "are_records", "container_in_memory", "is_in_memory"]

#: Stands for the file in messages about what is in memory.
MEMORY = Path("the data")


def is_in_memory(source: Any) -> bool:
    """Tell what holds data from what names a file."""
    return not isinstance(source, str | PathLike)


def are_records(source: Any) -> bool:
    """Tell whether each row has a record of its own."""
    return isinstance(source, list | tuple) and bool(source) and all(isinstance(row, Mapping) for row in source)


def container_in_memory(source: Any) -> Container:
    """Return named arrays or columns that are in memory, as those of a file.

    Parameters
    ----------
    source : data frame or mapping
        Of pandas, polars or Arrow; a data set of Hugging Face; arrays by name.

    Raises
    ------
    InputError
        If it is none of them, or its columns have no names.

    Examples
    --------
    >>> container_in_memory({"logits": [[1.0, 2.0]], "labels": [1]}).listing()
    'logits (1×2 float64), labels (1 int64)'
    """
    names = list(source) if isinstance(source, Mapping) else _columns_of(source)
    return Container(MEMORY, "memory", by_name(MEMORY, [_field(str(name), source[name]) for name in names]))


def _columns_of(source: Any) -> list[Any]:
    names = column_names(source) or getattr(source, "column_names", None)
    if not isinstance(names, list | tuple) or not names:
        raise InputError(
            f"what holds predictions must be a file, a data frame whose columns have names, or arrays by name, but "
            f"has type {type(source).__name__}; of arrays make calkit.Predictions(scores, y_true, kind='logits' "
            "or 'probs')."
        )
    return list(names)


def _field(name: str, column: Any) -> Field:
    values = to_values(column)
    if values.dtype.kind != "O":
        return Field.of(name, values)
    found = _of_objects(values)
    if found is None:
        kind = type(values.flat[0]).__name__
        remedy = "Make it plain numbers, text, or lists of numbers of one length."
        return unreadable(MEMORY, name, values.shape, f"values of type {kind}", remedy)
    return Field.of(name, found)


def _of_objects(values: NDArray[Any]) -> NDArray[Any] | None:
    """Return text, numbers or rows of numbers with a type of their own; "" and NaN stand for what is missing."""
    entries = values.tolist()
    present = [entry for entry in entries if not is_missing(entry)]
    if present and all(isinstance(entry, str) for entry in present):
        return text_array(["" if is_missing(entry) else entry for entry in entries], MEMORY)
    try:
        found = np.array([np.nan if is_missing(entry) else entry for entry in entries])
    except ValueError:
        return None
    return found if found.dtype.kind in "biuf" and len(found) else None
