"""NumPy's .npy: one array, mapped into memory rather than read."""

from __future__ import annotations

import math
import tokenize
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
from numpy.lib import format as npy_format

from calkit.containers.container import Container, Field, by_name, unreadable
from calkit.containers.sources import mapped
from calkit.errors import FileFormatError
from calkit.hardening.guard import damaged
from calkit.hardening.limits import format_bytes
from calkit.io.bfloat16 import bfloat16_field
from calkit.io.formats.base import FORMATS, PicklingFormat
from calkit.io.tree import object_fields
from calkit.lazy import Converted, LazyArray

__all__ = ["Npy", "NpyHeader", "mapped_array", "number_field", "pickled", "read_header"]

# What NumPy writes for bfloat16, whose name it does not know (JAX and TensorFlow bring the type along).
_UNNAMED = np.dtype("V2")

_PARSERS = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}


@dataclass(frozen=True)
class NpyHeader:
    """What an array in .npy format says of itself, in `size` bytes."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    column_major: bool
    size: int

    @property
    def nbytes(self) -> int:
        """Bytes of the array, in numbers that do not overflow."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(stream: IO[bytes], where: Path | str) -> NpyHeader:
    """Read the header of an array in .npy format."""
    try:
        version = npy_format.read_magic(stream)
        if version not in _PARSERS:
            raise ValueError(f"version {version[0]}.{version[1]} of the format is not known")
        shape, column_major, dtype = _PARSERS[version](stream)
    except (ValueError, TypeError, EOFError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise damaged(where, ".npy", error) from error
    if any(isinstance(n, bool) or n < 0 for n in shape):
        raise damaged(where, ".npy", f"its shape is {shape}")
    if not dtype.itemsize:
        raise damaged(where, ".npy", f"its type {dtype} has no size")
    return NpyHeader(shape, dtype, column_major, stream.tell())


def mapped_array(path: Path, header: NpyHeader, offset: int) -> Any:
    """Return an array of a file, whose header ends at an offset, as a read-only memory map."""
    return mapped(path, header.shape, header.dtype, offset, "F" if header.column_major else "C")


def number_field(name: str, header: NpyHeader, load: Callable[[], Any]) -> Field:
    """Return the field of an array of numbers, text or records."""
    if header.dtype == _UNNAMED:
        return bfloat16_field(name, header.shape, partial(_bits, load))
    return Field(name, header.shape, header.dtype, load)


def _bits(load: Callable[[], Any]) -> Any:
    values, bits = load(), np.dtype(np.uint16)
    if isinstance(values, LazyArray):
        return Converted(values, lambda rows: rows.view(bits), values.shape, bits)
    return values.view(bits)


def pickled(where: Path | str, name: str, shape: tuple[int, ...]) -> Field:
    """Return the field of an array of Python objects, which only unpickling could read."""
    return unreadable(
        where,
        name,
        shape,
        "pickled Python objects",
        "Reading them may run any code. Save plain numbers, or text as np.asarray(values, dtype=str); for a file of "
        "your own, pass trust_pickle=True (--trust-pickle).",
    )


class Npy(PicklingFormat):
    """One array, named after its file; mapped into memory."""

    name = "npy"
    suffixes = (".npy",)
    magic: ClassVar[tuple[bytes, ...]] = (b"\x93NUMPY",)

    def _open(self, path: Path, *, trusted: bool) -> Container:
        with path.open("rb") as stream:
            header = read_header(stream, path)
        name = path.name.removesuffix(path.suffix)
        if header.dtype.hasobject:
            items = object_fields("", partial(_unpickle, path)) if trusted else [pickled(path, "", header.shape)]
            items = [item if item.name else item.renamed(name) for item in items]
        else:
            self._check_size(path, header)
            items = [
                number_field(
                    "" if header.dtype.names else name, header, partial(mapped_array, path, header, header.size)
                )
            ]
        fields = by_name(path, items)
        return Container(path, self.name, fields, named=list(fields) != [name])

    def _check_size(self, path: Path, header: NpyHeader) -> None:
        held = path.stat().st_size - header.size
        if held != header.nbytes:
            state = "truncated" if held < header.nbytes else "more than one array, or damaged"
            raise FileFormatError(
                f"{path} is {state}: its header announces {format_bytes(header.nbytes)} "
                f"({'×'.join(map(str, header.shape)) or 'scalar'} {header.dtype}), but {format_bytes(held)} follow. "
                "Write it again."
            )


def _unpickle(path: Path) -> Any:
    return np.load(path, allow_pickle=True)


FORMATS.register("npy")(Npy())
