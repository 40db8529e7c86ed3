"""NumPy's .npy: one array, mapped into memory rather than read."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format

from calkit.errors import FileFormatError
from calkit.io.container import Container, Field
from calkit.io.formats.base import FORMATS, Format, damaged

__all__ = ["Npy", "read_header"]


def read_header(stream: BinaryIO, path: Path, member: str = "") -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type from the header of an array in .npy format.

    Raises
    ------
    FileFormatError
        If the header is damaged, or the array holds Python objects, which only unpickling could read.
    """
    name = f"{path}:{member}" if member else str(path)
    try:
        version = npy_format.read_magic(stream)
        if version == (1, 0):
            shape, _, dtype = npy_format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, _, dtype = npy_format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"version {version[0]}.{version[1]} of the format is not supported")
    except (ValueError, EOFError) as error:
        raise damaged(Path(name), ".npy", error) from None
    if dtype.hasobject:
        raise FileFormatError(
            f"{name} holds pickled Python objects, which may run code when read; it is refused. Save plain numbers or "
            "fixed-width strings: np.asarray(values, dtype=str)."
        )
    return shape, dtype


class Npy(Format):
    """One array per file; its name is the file's."""

    name = "npy"
    suffixes = (".npy",)

    def read(self, path: Path) -> Container:
        """Read the header; the array is mapped when loaded."""
        with path.open("rb") as stream:
            shape, dtype = read_header(stream, path)
        stem = path.name[: -len(".npy")]
        return Container(path, self.name, {stem: Field(stem, shape, dtype, partial(_map, path))}, named=False)


def _map(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise damaged(path, ".npy", error) from None


FORMATS.register("npy")(Npy())
