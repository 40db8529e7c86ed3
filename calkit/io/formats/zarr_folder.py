"""Zarr: arrays as folders of compressed chunks, read in slices of whole chunks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import Container, Field, by_name, unreadable
from calkit.containers.sources import sliced
from calkit.containers.words import text_array
from calkit.errors import FileFormatError
from calkit.hardening.limits import check
from calkit.io.formats.base import FORMATS, Format
from calkit.lazy import block_rows

__all__ = ["Zarr"]

_WHAT = ".zarr"

# Codecs that only rearrange bytes. Others exist that run what they find ("pickle").
_CODECS = frozenset(
    {
        *("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"),
        *("astype", "bitround", "bytes", "delta", "fixedscaleoffset", "packbits", "quantize", "shuffle", "transpose"),
        *("adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3"),
        "vlen-utf8",
    }
)


# Chunks together in a file, with codecs of their own and others for the index.
_SHARDS = "sharding_indexed"


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
        return Container(path, self.name, by_name(path, fields), named=not alone)


def _arrays(zarr: Any, path: Path, root: Any) -> Iterator[tuple[str, Any]]:
    for index, (name, item) in enumerate(root.members(max_depth=None)):
        check(path, arrays=index)
        if isinstance(item, zarr.Array):
            yield name, item


def _field(path: Path, name: str, array: Any) -> Field:
    shape, kind = tuple(array.shape), array.metadata.to_dict()
    codecs = [c for c in kind.get("codecs") or [kind.get("compressor"), *(kind.get("filters") or ())] if c]
    unknown = [word for word in _codec_names(codecs) if word not in _CODECS]
    if unknown:
        return unreadable(path, name, shape, f"chunks in the codec {unknown[0]!r}", "Write it with zstd or zlib.")
    dtype = np.dtype(array.dtype)
    if dtype.kind in "UTO":
        return Field(name, shape, np.dtype(str), partial(_read_text, f"{path}:{name}", array))
    if dtype.kind not in "biuf":
        return unreadable(path, name, shape, f"values of type {dtype}", "Save plain numbers or text.")
    return Field(name, shape, dtype, partial(_load, f"{path}:{name}", array))


def _codec_names(codecs: Iterable[Any]) -> Iterator[str]:
    """Yield the names of codecs, and of those that the chunks in shards and their index have."""
    for codec in codecs:
        name = str(codec.get("id") or codec.get("name")).removeprefix("numcodecs.")
        if name == _SHARDS:
            inner = codec["configuration"]
            yield from _codec_names([*inner["codecs"], *inner["index_codecs"]])
        else:
            yield name


def _load(where: str, array: Any) -> Any:
    n_chunks = math.prod(-(-length // step) for length, step in zip(array.shape, array.chunks, strict=True))
    check(where, stored=array.nbytes_stored(), chunks=n_chunks, chunk=math.prod(array.chunks) * array.dtype.itemsize)
    if not array.shape:
        return np.asarray(array[()])
    rows = max(1, block_rows(array.shape, array.dtype) // array.chunks[0]) * array.chunks[0]

    def read(start: int, stop: int) -> NDArray[Any]:
        return np.asarray(array[start:stop])

    return sliced(where, _WHAT, tuple(array.shape), np.dtype(array.dtype), read, rows)


def _read_text(where: str, array: Any) -> NDArray[Any]:
    values = np.asarray(array[()])
    words = values.reshape(-1).tolist()
    if not all(isinstance(value, str) for value in words):
        raise TypeError("it holds Python objects other than text")
    return text_array(words, where).reshape(values.shape)


FORMATS.register("zarr")(Zarr())
