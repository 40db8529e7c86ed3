"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from calkit.errors import FileFormatError

__all__ = ["STDOUT", "atomic_write", "is_stdout", "is_stream"]

#: Stands for standard output.
STDOUT = "-"

# Names of open files, which may be files themselves: they are written to where they stand.
_DESCRIPTORS = re.compile(r"/dev/fd/(\d+)|/proc/self/fd/(\d+)")
_OTHER_TMPDIR = "set TMPDIR to a folder that has it"
_STREAMS = {STDOUT: 1, "/dev/stdout": 1, "/dev/stderr": 2}


@contextlib.contextmanager
def atomic_write(path: str | Path, *, durable: bool = False, suffix: str | None = None) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it there when the block ends well, else remove it.

    A symbolic link is followed: the file it leads to is replaced. A file that is replaced keeps its mode. What cannot
    be replaced, a device, a pipe or standard output, is written to when the block ends well.

    Parameters
    ----------
    path : str or Path
        The file to write, or ``"-"`` for standard output. Its folder must exist; a file that is there already is
        replaced at the end.
    durable : bool, default=False
        Wait until the file is on the disk before it is renamed, so that not even a power failure leaves half of it.
    suffix : str, optional
        Of the temporary path; by default that of ``path``.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    FileFormatError
        If the folder does not exist or cannot be written to, or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder) / "numbers.txt"
    ...     with atomic_write(target) as temporary:
    ...         _ = temporary.write_text("1 2 3")
    ...     target.read_text()
    '1 2 3'
    """
    path = Path(path)
    suffix = path.suffix if suffix is None else suffix
    with _errors_of(path):
        streamed = is_stream(path)
    way = _through_copy(path, suffix) if streamed else _beside(path, suffix, durable=durable)
    with way as temporary:
        yield temporary


def is_stream(path: str | Path) -> bool:
    """Tell whether something can only be written to, not replaced: a device, a pipe, standard output."""
    path = Path(path)
    if _descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise FileFormatError(f"cannot write {path}: it is a folder; name a file in it.")
    return not stat.S_ISREG(mode)


def is_stdout(path: str | Path) -> bool:
    """Tell whether a name stands for standard output."""
    return _descriptor(Path(path)) == 1


def _descriptor(path: Path) -> int | None:
    """Return the number of the open file that a name stands for, or None."""
    match = _DESCRIPTORS.fullmatch(str(path))
    return int(match[1] or match[2]) if match else _STREAMS.get(str(path))


@contextlib.contextmanager
def _beside(path: Path, suffix: str, *, durable: bool) -> Iterator[Path]:
    """Yield a file in the same folder, which takes the place of the target."""
    with _errors_of(path, path.parent):
        target = Path(os.path.realpath(path))
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    temporary = target.parent / f".{path.stem}-{os.urandom(8).hex()}{suffix}"
    try:
        # Made here, so that a signal finds no moment at which the file is there and would not be removed.
        with _errors_of(path, path.parent):
            os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with _errors_of(path):
            yield temporary
            temporary.chmod(_mode(target))
            if durable:
                _sync(temporary)
            temporary.replace(target)
            if durable and os.name == "posix":
                _sync(target.parent)
    finally:
        # Where it could not be made, it cannot be removed either.
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def _through_copy(path: Path, suffix: str) -> Iterator[Path]:
    """Yield a file in the folder of temporary files, which is copied to where it cannot be put."""
    with _errors_of(path, Path(tempfile.gettempdir()), _OTHER_TMPDIR):
        folder = tempfile.TemporaryDirectory(prefix="calkit-")
    with folder as name:
        temporary = Path(name) / f"copy{suffix}"
        with _errors_of(path, Path(name).parent, _OTHER_TMPDIR):
            yield temporary
        with _errors_of(path), temporary.open("rb") as source, _opened(path) as stream:
            shutil.copyfileobj(source, stream)
            stream.flush()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    number = _descriptor(path)
    if number == 1:
        sys.stdout.flush()
        yield sys.stdout.buffer
        return
    # Neither created, if it has gone meanwhile, nor cut, as a file would be.
    with os.fdopen(os.open(path, os.O_WRONLY) if number is None else os.dup(number), "wb") as stream:
        yield stream


@contextlib.contextmanager
def _errors_of(path: Path, folder: Path | None = None, room: str = "write elsewhere") -> Iterator[None]:
    """Turn errors of the system into one that names the file, the folder that they are about, and how to find room."""
    try:
        yield
    except BrokenPipeError:
        # Whoever read it has gone; that is no error of the file's.
        raise
    except FileFormatError:
        raise
    except OSError as error:
        name = "standard output" if is_stdout(path) else path
        where = "" if folder is None else f" ({folder})"
        # Libraries add words of their own to what the system says.
        why = os.strerror(error.errno) if error.errno else error.strerror or error
        remedy = f" Free some room, or {room}." if _is_full(error) else ""
        raise FileFormatError(f"cannot write {name}: {why}{where}.{remedy}") from None


def _is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _mode(target: Path) -> int:
    """Return the mode of the file that is replaced, or that of this user's new files; those are made private."""
    with contextlib.suppress(FileNotFoundError):
        return stat.S_IMODE(target.stat().st_mode)
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
