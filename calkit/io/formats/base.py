"""What a format is, and where formats are registered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from calkit.errors import FileFormatError
from calkit.io.container import Container
from calkit.predictions import Predictions
from calkit.registry import Registry

__all__ = ["FORMATS", "Format", "WritableFormat", "damaged"]


class Format(ABC):
    """A way to store arrays in a file.

    Attributes
    ----------
    name : str
    suffixes : tuple of str
        Endings of file names, in lower case, with the dot.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def read(self, path: Path) -> Container:
        """Open a file that exists and is not empty."""


class WritableFormat(Format):
    """A format that predictions can be written to as well."""

    @abstractmethod
    def write(self, path: Path, predictions: Predictions) -> None:
        """Write predictions to a path of the format's suffix."""


#: Formats by name.
FORMATS: Registry[Format] = Registry("format")


def damaged(path: Path, what: str, reason: object) -> FileFormatError:
    """Return the error for a file that is truncated, altered, or not what its suffix says."""
    text = " ".join(str(reason).split())
    return FileFormatError(f"{path} is not a readable {what} file: {text.rstrip('.')}. Is it complete?")
