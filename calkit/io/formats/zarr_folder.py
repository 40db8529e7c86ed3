"""Zarr: arrays as folders of compressed chunks, read in slices of whole chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import FileFormatError
from calkit.io.container import Container, Field, by_name, unreadable
from calkit.io.formats.base import FORMATS, Format
from calkit.io.limits import MAX_ARRAYS, MAX_CHUNK_BYTES, check_claim, check_count, format_bytes
from calkit.io.sources import block_rows, sliced

__all__ = ["Zarr"]

_WHAT = ".zarr"

# Codecs that only rearrange bytes. Others exist that run what they find ("pickle").
_CODECS = frozenset(
    {
        *("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"),
        *("astype", "bitround", "bytes", "delta", "fixedscaleoffset", "packbits", "quantize", "shuffle", "transpose"),
        *("adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3"),
        *("sharding_indexed", "vlen-utf8"),
    }
)


class Zarr(Format):
    """A folder with an array, or a hierarchy of them; versions 2 and 3."""

    name = "zarr"
    suffixes = (".zarr",)
    requires = ("zarr",)
    folder_marks = ("zarr.json", ".zgroup", ".zarray")

    def read(self, path: Path) -> Container:
        """Read the metadata of all arrays."""
        import zarr

        if not path.is_dir():
            raise FileFormatError(f"{path} is no folder. Zarr arrays are folders; unpack it if it is an archive.")
        root: Any = zarr.open(str(path), mode="r")
        alone = isinstance(root, zarr.Array)
        arrays = [("", root)] if alone else list(_arrays(zarr, path, root))
        fields = [_field(path, name or path.name.split(".")[0], array) for name, array in arrays]
        stored = sum(array.nbytes_stored() for _, array in arrays)
        check_claim(path, sum(math.prod(f.shape) * f.dtype.itemsize for f in fields), stored)
        return Container(path, self.name, by_name(path, fields), named=not alone)


def _arrays(zarr: Any, path: Path, root: Any) -> Iterator[tuple[str, Any]]:
    for index, (name, item) in enumerate(root.members(max_depth=None)):
        check_count(path, index, "members", MAX_ARRAYS)
        if isinstance(item, zarr.Array):
            yield name, item


def _field(path: Path, name: str, array: Any) -> Field:
    shape, kind = tuple(array.shape), array.metadata.to_dict()
    codecs = kind.get("codecs") or [kind.get("compressor"), *(kind.get("filters") or ())]
    names = [str(codec.get("id") or codec.get("name")).removeprefix("numcodecs.") for codec in codecs if codec]
    unknown = [word for word in names if word not in _CODECS]
    if unknown:
        return unreadable(path, name, shape, f"chunks in the codec {unknown[0]!r}", "Write it with zstd or zlib.")
    dtype = np.dtype(array.dtype)
    if dtype.kind in "UTO":
        return Field(name, shape, np.dtype(str), partial(_read_text, array))
    if dtype.kind not in "biuf":
        return unreadable(path, name, shape, f"values of type {dtype}", "Save plain numbers or text.")
    return Field(name, shape, dtype, partial(_load, path, name, array))


def _load(path: Path, name: str, array: Any) -> Any:
    where = f"{path}:{name}"
    chunk = math.prod(array.chunks) * array.dtype.itemsize
    if chunk > MAX_CHUNK_BYTES:
        raise FileFormatError(
            f"{where} is stored in chunks of {format_bytes(chunk)}, which cannot be read piece by piece. Write it with "
            "smaller chunks."
        )
    if not array.shape:
        return np.asarray(array[()])
    rows = max(1, block_rows(array.shape, array.dtype) // array.chunks[0]) * array.chunks[0]
    return sliced(where, _WHAT, tuple(array.shape), np.dtype(array.dtype), lambda a, b: np.asarray(array[a:b]), rows)


def _read_text(array: Any) -> NDArray[Any]:
    values = np.asarray(array[()])
    if not all(isinstance(value, str) for value in values.reshape(-1).tolist()):
        raise TypeError("it holds Python objects other than text")
    return values.astype(str)


FORMATS.register("zarr")(Zarr())
