"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from calkit.errors import FileFormatError

__all__ = ["atomic_write"]


@contextlib.contextmanager
def atomic_write(path: str | Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it there when the block ends well, else remove it.

    Parameters
    ----------
    path : str or Path
        The file to write. Its folder must exist; a file that is there already is replaced at the end.
    durable : bool, default=False
        Wait until the file is on the disk before it is renamed, so that not even a power failure leaves half of it.

    Yields
    ------
    Path
        Where to write. It has the suffix of ``path``.

    Raises
    ------
    FileFormatError
        If the folder does not exist or cannot be written to.

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
    try:
        if path.is_dir():
            raise FileFormatError(f"cannot write {path}: it is a folder; name a file in it.")
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise FileFormatError(f"cannot write {path}: {error.strerror or error} ({path.parent}).") from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; give the file the rights any new file of this user has.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        if durable:
            _sync(temporary)
        temporary.replace(path)
        if durable and os.name == "posix":
            _sync(path.parent)
    except OSError as error:
        raise FileFormatError(f"cannot write {path}: {error.strerror or error}.") from None
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
