"""What a format is, and where formats are registered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from calkit.containers.container import Container
from calkit.predictions import Predictions
from calkit.registry import Registry

__all__ = ["FORMATS", "Format", "PicklingFormat", "WritableFormat"]


class Format(ABC):
    """A way to store arrays in a file; the docstring of a format says what is expected in its files.

    Attributes
    ----------
    name : str
    suffixes : tuple of str
        Endings of file names, in lower case, with the dot.
    magic : tuple of bytes
        What its files begin with; empty for text.
    is_text : bool
        Whether its files are text, which may be compressed.
    requires : tuple of str
        Optional libraries that reading and writing import; the caller checks that they are there.
    folder_marks : tuple of str
        Files that a folder of this format holds, one of them at least; empty if it is no format of folders.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    magic: ClassVar[tuple[bytes, ...]] = ()
    is_text: ClassVar[bool] = False
    folder_marks: ClassVar[tuple[str, ...]] = ()
    requires: ClassVar[tuple[str, ...]] = ()

    @property
    def what(self) -> str:
        """The format as messages name it: by its first suffix, if it has any."""
        return self.suffixes[0] if self.suffixes else self.name

    def matches(self, head: bytes) -> bool:
        """Tell from the first bytes of a file whether it is of this format."""
        return head.startswith(self.magic) if self.magic else False

    def matches_folder(self, path: Path) -> bool:
        """Tell whether a folder is of this format."""
        return any((path / name).is_file() for name in self.folder_marks)

    @abstractmethod
    def read(self, path: Path) -> Container:
        """Open a file that exists and is not empty; nothing in it is ever executed.

        Errors of libraries, here and in the fields that are returned, need no care: the caller turns them into
        a :class:`~calkit.errors.FileFormatError`.
        """

    def read_trusted(self, path: Path) -> Container:
        """Open a file whose pickles the user trusts to run code."""
        return self.read(path)


class PicklingFormat(Format):
    """A format whose files may hold pickled objects, which are read only where the user trusts them."""

    @abstractmethod
    def _open(self, path: Path, *, trusted: bool) -> Container:
        """Open a file; what is pickled in it is refused unless trusted."""

    def read(self, path: Path) -> Container:
        """Open a file without unpickling anything."""
        return self._open(path, trusted=False)

    def read_trusted(self, path: Path) -> Container:
        """Open a file whose pickles the user trusts to run code."""
        return self._open(path, trusted=True)


class WritableFormat(Format):
    """A format that predictions can be written to as well."""

    @abstractmethod
    def write(self, path: Path, predictions: Predictions) -> None:
        """Write predictions to a path of the format's suffix, a block of rows at a time."""


#: Formats by name.
FORMATS: Registry[Format] = Registry("format", entry_points="calkit.formats")
