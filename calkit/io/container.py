"""What every format of file comes down to: named arrays, described at once and read when wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Container", "Field"]


@dataclass(frozen=True)
class Field:
    """A named array in a file.

    Attributes
    ----------
    name : str
        The name it has in the file.
    shape : tuple of int
    dtype : numpy.dtype
    load : callable
        Takes nothing; returns the array, or something with its shape and type that can be sliced by rows.
    columns : tuple of str
        Names of its columns, where the file has some (the classes of ``logit_cat,logit_dog``).
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    load: Callable[[], Any]
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        shape = "×".join(str(n) for n in self.shape) or "scalar"
        return f"{self.name} ({shape} {self.dtype})"


@dataclass(frozen=True)
class Container:
    """A file, opened as far as to know which arrays it holds.

    Attributes
    ----------
    path : Path
    format : str
        Name of the format: ``"npz"``.
    fields : mapping of str to Field
        In the order of the file.
    named : bool
        Whether the names stand in the file; else its one array is named after the file.
    """

    path: Path
    format: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    named: bool = True

    def listing(self) -> str:
        """Return what is inside in one line, for error messages."""
        return ", ".join(str(item) for item in self.fields.values()) or "nothing"
