"""Zarr: arrays as folders of compressed chunks, read in slices of whole chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import FileFormatError
from calkit.io.container import Container, Field, by_name, unreadable
from calkit.io.formats.base import FORMATS, Format
from calkit.io.limits import MAX_ARRAYS, MAX_CHUNK_BYTES, check_claim, check_count, format_bytes
from calkit.io.sources import block_rows, sliced
from calkit.io.tables import text_array
from calkit.io.unpacking import COMPRESSORS, check_chunk, largest_chunk

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
    packed = [word for word in names if word in COMPRESSORS]
    if len(packed) > 1:
        return unreadable(path, name, shape, "chunks that are compressed twice", "Write it with zstd or zlib alone.")
    dtype = np.dtype(array.dtype)
    if dtype.kind in "UTO":
        return Field(name, shape, np.dtype(str), partial(_read_text, f"{path}:{name}", array))
    if dtype.kind not in "biuf":
        return unreadable(path, name, shape, f"values of type {dtype}", "Save plain numbers or text.")
    return Field(name, shape, dtype, partial(_load, path, name, array, packed[0] if packed else ""))


def _load(path: Path, name: str, array: Any, compressor: str) -> Any:
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

    def read(start: int, stop: int) -> NDArray[Any]:
        if compressor:
            _check_chunks(where, path, array, compressor, start, stop)
        return np.asarray(array[start:stop])

    return sliced(where, _WHAT, tuple(array.shape), np.dtype(array.dtype), read, rows)


def _check_chunks(where: str, path: Path, array: Any, compressor: str, start: int, stop: int) -> None:
    """Check the chunks that some rows touch, before the library unpacks them."""
    raw = math.prod(array.chunks) * array.dtype.itemsize
    first, *others = (range(-(-length // step)) for length, step in zip(array.shape, array.chunks, strict=True))
    first = range(start // array.chunks[0], -(-stop // array.chunks[0]))
    for place in product(first, *others):
        file = path / array.path / array.metadata.encode_chunk_key(place)
        if file.is_file():
            with file.open("rb") as stream:
                check_chunk(where, compressor, stream.read(largest_chunk(raw) + 1), raw)


def _read_text(where: str, array: Any) -> NDArray[Any]:
    values = np.asarray(array[()])
    words = values.reshape(-1).tolist()
    if not all(isinstance(value, str) for value in words):
        raise TypeError("it holds Python objects other than text")
    return text_array(words, where).reshape(values.shape)


FORMATS.register("zarr")(Zarr())
