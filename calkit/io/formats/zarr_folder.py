"""Zarr: arrays as folders of compressed chunks, read in slices of whole chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import FileFormatError
from calkit.io.container import Container, Field, by_name, unreadable
from calkit.io.formats.base import FORMATS, Format
from calkit.io.hardening.limits import check
from calkit.io.sources import sliced
from calkit.io.tables import text_array
from calkit.io.unpacking import COMPRESSORS, check_chunk, count_chunks, largest_chunk
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


# Chunks together in a file: where each lies is told at the end, by two numbers and after all of them a checksum.
_SHARDS = "sharding_indexed"
_INDEX_CODECS = ["bytes", "crc32c"]
_ENTRY_BYTES = 16
_CHECKSUM_BYTES = 4
_MISSING = 2**64 - 1


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
        check(path, stored=stored, nbytes=sum(math.prod(f.shape) * f.dtype.itemsize for f in fields))
        return Container(path, self.name, by_name(path, fields), named=not alone)


def _arrays(zarr: Any, path: Path, root: Any) -> Iterator[tuple[str, Any]]:
    for index, (name, item) in enumerate(root.members(max_depth=None)):
        check(path, arrays=index)
        if isinstance(item, zarr.Array):
            yield name, item


def _field(path: Path, name: str, array: Any) -> Field:
    shape, kind = tuple(array.shape), array.metadata.to_dict()
    codecs = [c for c in kind.get("codecs") or [kind.get("compressor"), *(kind.get("filters") or ())] if c]
    names = list(map(_codec_name, codecs))
    if names == [_SHARDS]:
        inner = codecs[0]["configuration"]
        if list(map(_codec_name, inner["index_codecs"])) != _INDEX_CODECS or inner["index_location"] != "end":
            return unreadable(path, name, shape, "shards with an index of a rare kind", "Write it without shards.")
        names = list(map(_codec_name, inner["codecs"]))
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


def _codec_name(codec: Any) -> str:
    return str(codec.get("id") or codec.get("name")).removeprefix("numcodecs.")


def _load(path: Path, name: str, array: Any, compressor: str) -> Any:
    where = f"{path}:{name}"
    check(where, stored=array.nbytes_stored(), chunks=count_chunks(array.shape, array.chunks))
    check(where, chunk=math.prod(array.chunks) * array.dtype.itemsize)
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
    stored = _Stored(path, array, largest_chunk(raw) + 1)
    for place in product(first, *others):
        data = stored.chunk(place)
        if data:
            check_chunk(where, compressor, data, raw)


class _Stored:
    """The chunks of an array as they are stored, each up to so many bytes; nothing for those that are not."""

    def __init__(self, path: Path, array: Any, most: int) -> None:
        self._folder = path / array.path
        self._key = array.metadata.encode_chunk_key
        self._most = most
        self._per_file = [of // chunk for of, chunk in zip(array.shards or array.chunks, array.chunks, strict=True)]
        self._sharded = array.shards is not None
        self._index: tuple[Path, Any] | None = None

    def chunk(self, place: tuple[int, ...]) -> bytes:
        file = self._folder / self._key(tuple(n // per for n, per in zip(place, self._per_file, strict=True)))
        if not file.is_file():
            return b""
        with file.open("rb") as stream:
            size = self._most
            if self._sharded:
                offset, size = self._entry(file, stream, place)
                stream.seek(offset)
            return stream.read(min(size, self._most))

    def _entry(self, file: Path, stream: IO[bytes], place: tuple[int, ...]) -> tuple[int, int]:
        """Return where a chunk lies in the file of several, and its bytes."""
        if self._index is None or self._index[0] != file:
            size = _ENTRY_BYTES * math.prod(self._per_file)
            stream.seek(-size - _CHECKSUM_BYTES, 2)
            index = np.frombuffer(stream.read(size), "<u8").reshape(*self._per_file, 2)
            self._index = (file, index)
        offset, size = self._index[1][tuple(n % per for n, per in zip(place, self._per_file, strict=True))].tolist()
        return (0, 0) if size == _MISSING else (offset, size)


def _read_text(where: str, array: Any) -> NDArray[Any]:
    values = np.asarray(array[()])
    words = values.reshape(-1).tolist()
    if not all(isinstance(value, str) for value in words):
        raise TypeError("it holds Python objects other than text")
    return text_array(words, where).reshape(values.shape)


FORMATS.register("zarr")(Zarr())
