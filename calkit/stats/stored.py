"""Summaries as named arrays, for files, and back."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import UsageError
from calkit.stats.pairs import ConfidencePairs
from calkit.stats.parts import Parts

__all__ = ["from_arrays", "read_arrays", "to_arrays"]

_LABELS = "labels"


def to_arrays(summary: Any) -> dict[str, Any]:
    """Return the numbers of a summary by name; parts are numbered, and their labels written as JSON.

    Raises
    ------
    UsageError
        If it is no dataclass of numbers and arrays.
    """
    if isinstance(summary, Parts):
        labels = [[label, summary.counts.get(label)] for label in summary.summaries]
        arrays: dict[str, Any] = {_LABELS: np.array(json.dumps(labels))}
        for place, part in enumerate(summary.summaries.values()):
            arrays |= {f"{place}.{name}": value for name, value in to_arrays(part).items()}
        return arrays
    if not is_dataclass(summary):
        raise UsageError(f"a {type(summary).__name__} cannot be stored; summaries in files must be dataclasses.")
    found = {field.name: getattr(summary, field.name) for field in fields(summary)}
    return {name: value for name, value in found.items() if value is not None}


def from_arrays(pattern: Any, arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> Any:
    """Return a summary of the same class and types as a pattern, which any row gives.

    Raises
    ------
    ValueError
        If the arrays are no such summary.
    """
    if isinstance(pattern, Parts):
        if prefix + _LABELS not in arrays:
            raise ValueError("the labels of its parts are missing")
        labels = json.loads(str(arrays[prefix + _LABELS]))
        one = next(iter(pattern.summaries.values()))
        found = [from_arrays(one, arrays, f"{prefix}{place}.") for place in range(len(labels))]
        counts = {label: int(count) for label, count in labels if count is not None}
        return Parts({label: part for (label, _), part in zip(labels, found, strict=True)}, counts)
    values: dict[str, Any] = {}
    of_rows = isinstance(pattern, ConfidencePairs)
    for field in fields(pattern):
        name, example = field.name, getattr(pattern, field.name)
        stored = arrays.get(prefix + name)
        if stored is None and example is not None and field.default is not MISSING:
            # Files of before it was stored; it does not depend on the rows.
            values[name] = example
        elif stored is None and example is not None:
            raise ValueError(f"{type(pattern).__name__}.{name} is missing")
        elif stored is None or example is None:
            values[name] = stored
        elif np.asarray(example).dtype != stored.dtype or (np.shape(example) != stored.shape and not of_rows):
            raise ValueError(f"{type(pattern).__name__}.{name} has type {stored.dtype} and shape {stored.shape}")
        else:
            values[name] = stored if isinstance(example, np.ndarray) else stored.item()
    return type(pattern)(**values)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file; nothing in it is executed."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        arrays = (np.lib.format.read_array(archive.open(name), allow_pickle=False) for name in names)
        return {name.removesuffix(".npy"): array for name, array in zip(names, arrays, strict=True)}
