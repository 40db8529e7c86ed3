"""Formats of files: one reader a module, found by suffix."""

from __future__ import annotations

from pathlib import Path

from calkit.errors import FileFormatError
from calkit.io.container import Container
from calkit.io.formats import delimited, npy, npz
from calkit.io.formats.base import FORMATS, Format, WritableFormat

__all__ = ["FORMATS", "Format", "WritableFormat", "find_format", "open_container"]

# The modules are imported for what they register.
_READERS = (delimited, npy, npz)


def find_format(path: str | Path) -> Format:
    """Return the format of a file, by its suffix.

    Raises
    ------
    FileFormatError
        If no format has that suffix; the message lists those that are known.
    """
    name = Path(path).name.lower()
    for word in FORMATS:
        if any(name.endswith(suffix) for suffix in FORMATS[word].suffixes):
            return FORMATS[word]
    known = ", ".join(suffix for word in FORMATS for suffix in FORMATS[word].suffixes)
    raise FileFormatError(f"{path}: no format is known by that suffix. Known: {known}.")


def open_container(path: str | Path) -> Container:
    """Open a file as far as to know which arrays it holds.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Container

    Raises
    ------
    FileFormatError
        If the file is missing, cannot be read, or is not what its suffix says.
    """
    path = Path(path)
    if path.is_dir():
        raise FileFormatError(f"{path} is a folder; name a file in it.")
    if not path.exists():
        raise FileFormatError(f"{path} does not exist.")
    form = find_format(path)
    try:
        if path.stat().st_size == 0:
            raise FileFormatError(f"{path} is empty.")
        return form.read(path)
    except OSError as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}.") from None
