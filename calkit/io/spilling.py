"""Arrays that no stream can give by rows, unpacked once: into memory if they are small, else to a temporary file."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.io.hardening.limits import WHOLE_BYTES

__all__ = ["column_major"]


def column_major(pieces: Iterable[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array whose first axis runs fastest in the bytes given.

    Parameters
    ----------
    pieces : iterable of bytes
        All of its bytes, in pieces of any length.
    shape, dtype
        Of the array.

    Raises
    ------
    EOFError
        If there are fewer bytes than the array has, or more.
    """
    size = math.prod(shape) * dtype.itemsize
    if size <= WHOLE_BYTES:
        data = bytearray()
        _copy(pieces, data.extend, size)
        return np.frombuffer(data, dtype).reshape(shape, order="F")
    # The file has no name: it is gone when nothing refers to the map any more.
    with tempfile.TemporaryFile() as spill:
        _copy(pieces, spill.write, size)
        spill.flush()
        return np.memmap(spill, dtype, "r", 0, shape, "F")


def _copy(pieces: Iterable[bytes], write: Callable[[bytes], object], size: int) -> None:
    done = 0
    for piece in pieces:
        done += len(piece)
        if done > size:
            break
        write(piece)
    if done != size:
        raise EOFError(f"{size} bytes are announced, but {done} {'or more ' if done > size else ''}follow")
