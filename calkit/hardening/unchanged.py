"""A file that is replaced while it is read must not give a mixture of two: it is refused.

What a path leads to is noted when it is opened, and compared after every later opening and every block of rows. Where
they are equal then, everything that was read in between came from the same file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import FileFormatError
from calkit.lazy import LazyArray

__all__ = ["Stamp"]

# In folders of more entries the folders alone are compared: they change when an entry is replaced.
_MAX_ENTRIES = 1000

_Entry = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Stamp:
    """What a path led to when it was noted.

    Attributes
    ----------
    path : Path
        A file or a folder.
    entries : tuple
        For the file, or the folder and all that is in it: the name, and the device, inode, size, and times of the
        last changes of content and of place, in nanoseconds.
    portable : bool
        Whether only size and time are compared, which are the same on every machine that sees the file.
    """

    path: Path
    entries: tuple[_Entry, ...]
    portable: bool = False

    @classmethod
    def of(cls, path: Path, *, portable: bool = False) -> Stamp:
        """Note what a path leads to.

        Raises
        ------
        OSError
            If it leads nowhere.
        """
        return cls(path, _entries(path, portable), portable)

    def check(self) -> None:
        """Refuse the path if it leads elsewhere now.

        Raises
        ------
        FileFormatError
            If the file was replaced, changed or removed.
        """
        try:
            same = _entries(self.path, self.portable) == self.entries
        except OSError:
            same = False
        if not same:
            raise FileFormatError(
                f"{self.path} was replaced, changed or removed while it was read; what was read so far may not fit the "
                "rest. Read it again, from a copy if it goes on changing."
            )

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Check the path at the end of a block, and also where the block fails: a change may be why."""
        try:
            yield
        except Exception:
            self.check()
            raise
        self.check()

    def watched(self, values: Any) -> Any:
        """Return an array whose rows are read later such that the path is checked with each block of them."""
        if not isinstance(values, LazyArray):
            return values
        return _Watched(values, self)


class _Watched(LazyArray):
    def __init__(self, source: LazyArray, stamp: Stamp) -> None:
        super().__init__(source.shape, source.dtype, source.itemsize)
        self.has_random_access = source.has_random_access
        self._source = source
        self._stamp = stamp

    def _rows(self, start: int, stop: int) -> NDArray[Any]:
        with self._stamp.kept():
            return np.asarray(self._source[start:stop])

    def _gather(self, numbers: NDArray[np.intp]) -> NDArray[Any]:
        with self._stamp.kept():
            return np.asarray(self._source[numbers])


def _entries(path: Path, portable: bool) -> tuple[_Entry, ...]:
    top = path.stat()
    own = (str(path), _identity(top, portable))
    if not path.is_dir():
        return (own,)
    inside = sorted(path.rglob("*"))
    if len(inside) > _MAX_ENTRIES:
        inside = [item for item in inside if item.is_dir()]
    return (own, *((str(item), _identity(item.stat(), portable)) for item in inside))


def _identity(found: os.stat_result, portable: bool) -> tuple[int, ...]:
    seen = (found.st_size, found.st_mtime_ns)
    return seen if portable else (found.st_dev, found.st_ino, *seen, found.st_ctime_ns)
