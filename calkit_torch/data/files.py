"""Where the files of data sets are, and how they get there."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import urlopen

from calkit.atomic import atomic_write
from calkit.errors import FileFormatError

__all__ = ["RemoteFile", "default_folder", "fetch", "md5_of"]

_CHUNK = 1 << 20
_TIMEOUT = 60.0  # seconds without a byte


@dataclass(frozen=True)
class RemoteFile:
    """A file on the web, and its checksum.

    Parameters
    ----------
    name : str
        What it is called here.
    url : str
    md5 : str
        In hexadecimal.
    """

    name: str
    url: str
    md5: str


def default_folder(name: str) -> Path:
    """Return where the files of a data set are, if nothing else is said.

    The folder ``name`` in the one that the environment variable ``CALKIT_DATA`` names, or in ``~/.cache/calkit``.
    """
    root = os.environ.get("CALKIT_DATA")
    return (Path(root) if root else Path.home() / ".cache" / "calkit") / name


def md5_of(path: Path) -> str:
    """Return the MD5 checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def fetch(remote: RemoteFile, folder: Path, *, progress: Callable[[int, int | None], None] | None = None) -> Path:
    """Download a file, and keep it only if its checksum is right.

    Parameters
    ----------
    remote : RemoteFile
    folder : Path
        Made if it is not there.
    progress : callable, optional
        Called with the bytes that have come and those expected, None if unknown. By default a line on standard
        error, if that is a terminal.

    Returns
    -------
    Path

    Raises
    ------
    FileFormatError
        If the file cannot be had or written, or its checksum is wrong.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileFormatError(f"cannot make the folder {folder}: {error.strerror or error}.") from None
    target = folder / remote.name
    with atomic_write(target) as temporary:
        digest = hashlib.md5(usedforsecurity=False)
        try:
            with urlopen(remote.url, timeout=_TIMEOUT) as source, temporary.open("wb") as file:  # noqa: S310
                length = source.headers.get("Content-Length")
                _copy(source, file, digest.update, progress or _line_of(remote), int(length) if length else None)
        except (URLError, HTTPException, TimeoutError, ConnectionError, EOFError) as error:
            raise FileFormatError(
                f"cannot download {remote.url}: {getattr(error, 'reason', None) or error}. "
                f"Put the file into {folder} yourself."
            ) from None
        if digest.hexdigest() != remote.md5:
            raise FileFormatError(
                f"{remote.url} gave a file whose MD5 checksum is {digest.hexdigest()}, and not {remote.md5}: it is "
                "damaged or another one, and was not kept. Try again."
            )
    return target


def _copy(
    source: IO[bytes],
    file: IO[bytes],
    update: Callable[[bytes], None],
    progress: Callable[[int, int | None], None],
    expected: int | None,
) -> None:
    done = 0
    while chunk := source.read(_CHUNK):
        file.write(chunk)
        update(chunk)
        done += len(chunk)
        progress(done, expected)
    if expected is not None and done < expected:
        raise EOFError(f"the connection ended after {done} of {expected} bytes")


def _line_of(remote: RemoteFile) -> Callable[[int, int | None], None]:
    if not sys.stderr.isatty():
        return lambda *_: None

    def show(done: int, expected: int | None) -> None:
        of = f" of {expected / 1e6:.0f}" if expected else ""
        end = "\n" if done == expected else ""
        sys.stderr.write(f"\r{remote.name}: {done / 1e6:.0f}{of} MB{end}")
        sys.stderr.flush()

    return show
