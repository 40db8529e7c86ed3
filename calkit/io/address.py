"""What a user names: a file, a folder, several files at once, standard input; and an array in it."""

from __future__ import annotations

import atexit
import glob
import itertools
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from calkit.errors import FileFormatError, UsageError

__all__ = ["STDIN", "is_address", "natural_order", "shard_paths", "split_address", "spool"]

#: Stands for standard input, and where something is written for standard output.
STDIN = "-"

_NUMBER = re.compile(r"\d+")
_OF = re.compile(r"(\d+)[-_]of[-_](\d+)")

# Plain numbers may as well tell different runs apart; these words do not.
_SHARD = r"[-_.](?:\d+[-_]of[-_]\d+|(?:shard|part|rank|chunk)[-_.]?\d+)"


def split_address(address: str | Path) -> tuple[Path, str | None]:
    """Split ``file.npz:name`` into the file and the name of an array or group; a file that exists is never split.

    Parameters
    ----------
    address : str or Path

    Returns
    -------
    path : Path
    member : str or None
    """
    text = str(address)
    head, colon, name = text.rpartition(":")
    if colon and head and name and not is_address(text) and is_address(head):
        return Path(head), name
    return Path(text), None


def is_address(text: str | Path) -> bool:
    """Tell whether a word names something to read: a file, a folder, several files by a pattern, standard input."""
    path = Path(text)
    return str(text) == STDIN or _exists(path) or bool(shard_paths(path))


def shard_paths(path: Path) -> list[Path]:
    """Return the files that a name which is no file stands for, in the order of their numbers; none if it is a file.

    It is a pattern (``logits-*.npz``), or what numbered files have in common: ``logits.npz`` stands for
    ``logits-00000-of-00002.npz`` and its like, or for ``logits_part0.npz`` and so on. Files that say how many they are
    must all be there.
    """
    if _exists(path):
        return []
    if glob.has_magic(str(path)):
        # Path.glob takes no absolute patterns.
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207
    else:
        found = _numbered(path)
    paths = sorted((p for p in found if os.path.isfile(p)), key=natural_order)  # noqa: PTH113 - see _exists
    _check_complete(path, paths)
    if not glob.has_magic(str(path)):
        _check_numbers(path, paths)
    return paths


def natural_order(path: Path) -> tuple[tuple[str, int], ...]:
    """Return a key by which ``part-2`` comes before ``part-10``."""
    words = _NUMBER.split(str(path))
    numbers = [int(word) for word in _NUMBER.findall(str(path))]
    return tuple(zip(words, [*numbers, -1], strict=True))


def _exists(path: Path) -> bool:
    # Unlike Path.exists, this is False of names that are too long and of folders that are closed to this user.
    return os.path.exists(path)  # noqa: PTH110


def _numbered(path: Path) -> list[Path]:
    stem, dot, suffixes = path.name.partition(".")
    if not stem or not os.path.isdir(path.parent):  # noqa: PTH112 - see _exists
        return []
    pattern = re.compile(re.escape(stem) + _SHARD + re.escape(dot + suffixes))
    return [found for found in path.parent.iterdir() if pattern.fullmatch(found.name)]


def _check_complete(path: Path, paths: list[Path]) -> None:
    """Raise if files named ``…-00001-of-00004`` are not all there."""
    held: dict[tuple[str, int], set[int]] = {}
    for found in paths:
        match = _OF.search(found.name)
        if match:
            family = (found.name[: match.start()] + found.name[match.end() :], int(match[2]))
            held.setdefault(family, set()).add(int(match[1]))
    for (_, total), numbers in held.items():
        # Some count from 0 and some from 1.
        if len(numbers) < total:
            raise FileFormatError(
                f"{path}: only {len(numbers)} of {total} numbered files are there. Fetch the others, or name "
                "single files."
            )


def _check_numbers(path: Path, paths: list[Path]) -> None:
    """Raise if files named ``…_part3`` leave a number out, or have one twice; a pattern may."""
    stem = len(path.name.partition(".")[0])
    numbers = sorted(int(_NUMBER.findall(found.name[stem:])[0]) for found in paths)
    for before, after in itertools.pairwise(numbers):
        if after - before != 1:
            what = f"{before} stands twice" if after == before else f"{before + 1} is missing"
            raise FileFormatError(
                f"{path}: among its numbered files, {paths[0].name} to {paths[-1].name}, the number {what}. Fetch or "
                "remove files, or name those that are meant by a pattern."
            )


def spool(path: Path, suffix: str = "") -> Path:
    """Copy a stream (``-`` or a pipe), read only once, to a temporary file that lasts as long as the process."""
    try:
        folder = tempfile.mkdtemp(prefix="calkit-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return _copied(path, Path(folder) / f"stdin{suffix}")
    except OSError as error:
        if isinstance(error, FileFormatError):
            raise
        name = "standard input" if str(path) == STDIN else path
        raise FileFormatError(
            f"cannot keep a copy of {name} in {tempfile.gettempdir()}: {error.strerror or error}. Free some room, or "
            "set TMPDIR to a folder that has it."
        ) from None


def _copied(path: Path, target: Path) -> Path:
    with target.open("wb") as stream:
        if str(path) != STDIN:
            with path.open("rb") as source:
                shutil.copyfileobj(source, stream)
        elif sys.stdin is None or sys.stdin.isatty():
            raise UsageError("'-' reads from standard input, but nothing is piped into it; name a file instead.")
        else:
            shutil.copyfileobj(sys.stdin.buffer, stream)
    return target
