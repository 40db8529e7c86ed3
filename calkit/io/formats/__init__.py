"""Formats of files: one reader a module, found by suffix or by the first bytes."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import NoReturn

from calkit.errors import FileFormatError
from calkit.hardening.guard import need
from calkit.io.csv_dialect import find_delimiter
from calkit.io.formats import (  # noqa: F401 - imported for what they register
    arrow,
    delimited,
    hdf5,
    json_file,
    matlab,
    npy,
    npz,
    parquet,
    pickle_file,
    safetensors,
    torch_file,
    zarr_folder,
)
from calkit.io.formats.base import FORMATS, Format, WritableFormat
from calkit.io.text import COMPRESSIONS

__all__ = [
    "FORMATS",
    "Format",
    "WritableFormat",
    "available_formats",
    "check_libraries",
    "format_of_file",
    "format_of_stream",
    "format_of_suffix",
]

# How much of the beginning of a file tells its format.
_HEAD_BYTES = 1024

_PACKED = {b"\x1f\x8b": ".gz", b"\xfd7zXZ\x00": ".xz", b"BZh": ".bz2"}


def available_formats() -> dict[str, tuple[str, ...]]:
    """Return the suffixes of each format that can be read, by its name.

    Examples
    --------
    >>> from calkit.io import available_formats
    >>> available_formats()["npz"]
    ('.npz',)
    """
    return {word: FORMATS[word].suffixes for word in FORMATS}


def format_of_suffix(path: str | Path) -> Format | None:
    """Return the format that the suffix of a file stands for, or None if it is not known."""
    name = Path(path).name.lower()
    return next((form for form in FORMATS.values() if name.endswith(form.suffixes)), None)


def check_libraries(form: Format, path: str | Path) -> None:
    """Import the libraries that a format needs for a file, or say which is missing."""
    for module in form.requires:
        need(module, path, form.what)


def format_of_file(path: Path) -> Format:
    """Return the format of a file that exists: by its suffix, or by its first bytes if the suffix says nothing."""
    head, found = _beginning(path)
    by_suffix = format_of_suffix(path)
    if by_suffix is None:
        return found or _unknown(path)
    if found is not None and not found.is_text and not by_suffix.matches(head):
        raise FileFormatError(
            f"{path} is named {path.suffix}, but begins like a {found.what} file. Rename it, or say "
            f"file_format={found.name!r} (--file-format {found.name})."
        )
    packed = next((suffix for magic, suffix in _PACKED.items() if head.startswith(magic)), None)
    if packed and by_suffix.is_text and not _is_packed(path.name):
        raise FileFormatError(f"{path} is compressed: rename it to {path.name}{packed}.")
    return by_suffix


def format_of_stream(path: Path) -> Format:
    """Return the format of data that came without a name: by the first bytes, or for text by its separators."""
    head, found = _beginning(path)
    if found is not None:
        return found
    lines = head.removeprefix(codecs.BOM_UTF8).splitlines()
    line = next((line for line in lines if line.strip()), b"").decode("latin-1")
    separator = find_delimiter(line, ",")
    if separator in line and line.isascii() and line.replace("\t", " ").isprintable():
        return FORMATS["tsv" if separator == "\t" else "csv"]
    raise FileFormatError(
        "the format of standard input cannot be told; say it: file_format='NAME' (--file-format NAME)."
    )


def _beginning(path: Path) -> tuple[bytes, Format | None]:
    """Return the first bytes of a file, and the format that they tell."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    return head, next((form for form in FORMATS.values() if form.matches(head)), None)


def _unknown(path: Path) -> NoReturn:
    known = ", ".join(suffix for form in FORMATS.values() for suffix in form.suffixes if not _is_packed(suffix))
    raise FileFormatError(
        f"{path}: no format is known by that suffix. Known: {known} (text also compressed: "
        f"{', '.join(COMPRESSIONS)}). Rename it, or say its format with file_format='NAME' (--file-format NAME)."
    )


def _is_packed(name: str) -> bool:
    return name.lower().endswith(COMPRESSIONS)
