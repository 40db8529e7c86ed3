"""HDF5: data sets by their path in the file, read in slices of whole chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import Container, Field, by_name, printable, unreadable
from calkit.containers.sources import sliced
from calkit.containers.words import text_array
from calkit.hardening.limits import check
from calkit.io.formats.base import FORMATS, Format
from calkit.lazy import block_rows
from calkit.sandbox.session import open_isolated

__all__ = ["Hdf5", "hdf5_fields"]

_WHAT = ".h5"
_ELSEWHERE = "Only data in the file itself are read; copy them into it."

# One row of chunks of this size stays unpacked while it is read in slices.
_CACHE_BYTES = 32 << 20
_MAX_SLICE_BYTES = 64 << 20


class Hdf5(Format):
    """Data sets by their path in the file; ``file.h5:group/name`` addresses one."""

    name = "hdf5"
    requires = ("h5py",)
    suffixes = (".h5", ".hdf5", ".hdf", ".he5")
    magic: ClassVar[tuple[bytes, ...]] = (b"\x89HDF\r\n\x1a\n",)

    def read(self, path: Path) -> Container:
        """Read the shapes and types of all data sets."""
        return Container(path, self.name, by_name(path, hdf5_fields(path, _WHAT)))


def hdf5_fields(path: Path, what: str, *, transposed: bool = False) -> list[Field]:
    """Return the data sets of an HDF5 file, of axes in reverse order if MATLAB wrote them."""
    with _open(path) as file:
        return [_field(path, what, name, dataset, transposed=transposed) for name, dataset in _datasets(file)]


def _open(path: Path) -> Any:
    import h5py

    return h5py.File(path, "r", rdcc_nbytes=_CACHE_BYTES, locking="best-effort")


def _datasets(file: Any) -> Iterator[tuple[str, Any]]:
    """Yield all data sets that are in the file itself, each once; links to other files are not followed."""
    import h5py

    names: list[str] = []

    def note(name: str | bytes, item: Any) -> None:
        if isinstance(name, bytes):
            raise ValueError(f"the name {name!r} is not UTF-8")
        if isinstance(item, h5py.Dataset):
            check(file.filename, arrays=len(names))
            names.append(name)

    file.visititems(note)
    for name in names:
        yield name, file[name]


def _field(path: Path, what: str, name: str, dataset: Any, *, transposed: bool) -> Field:
    import h5py

    shape = dataset.shape[::-1] if transposed else dataset.shape
    if shape is None:
        return unreadable(path, name, (), "no data", "Save an array.")
    if dataset.is_virtual or dataset.external:
        return unreadable(path, name, shape, "data that lie in other files", _ELSEWHERE)
    try:
        dtype = dataset.dtype
    except TypeError:
        return unreadable(path, name, shape, "values of a type that NumPy does not know", "Save plain numbers.")
    if h5py.check_string_dtype(dtype) is not None:
        return Field(name, shape, np.dtype(str), partial(_safely, path, name))
    if dtype.hasobject or (dtype.kind not in "biuf" and not dtype.names):
        return unreadable(path, name, shape, f"values of type {dtype}", "Save plain numbers or text.")
    if transposed and len(shape) == 2 and 1 in shape:
        return Field(name, (math.prod(shape),), dtype, partial(_read_vector, path, what, name))
    return Field(name, shape, dtype, partial(_load, path, what, name, transposed=transposed))


def _load(path: Path, what: str, name: str, *, transposed: bool) -> Any:
    where = f"{path}:{printable(name)}"
    # The file stays open as long as the source that the data set becomes a part of.
    dataset = _open(path)[name]
    if not dataset.shape:
        return dataset[()]
    chunk = dataset.chunks
    if chunk is not None:
        check(where, chunk=math.prod(chunk) * dataset.dtype.itemsize)
        n_chunks = math.prod(-(-length // step) for length, step in zip(dataset.shape, chunk, strict=True))
        check(where, stored=path.stat().st_size, chunks=n_chunks)
    shape = dataset.shape[::-1] if transposed else dataset.shape
    rows = _slice_rows(shape, dataset.dtype, None if chunk is None else chunk[-1 if transposed else 0])

    def read(start: int, stop: int) -> NDArray[Any]:
        return np.asarray(dataset[..., start:stop].T if transposed else dataset[start:stop])

    return sliced(where, what, shape, dataset.dtype, read, rows)


def _slice_rows(shape: tuple[int, ...], dtype: np.dtype[Any], chunk: int | None) -> int:
    """Return how many rows to read at a time: whole chunks, so that each is unpacked once, unless that is too much."""
    rows = block_rows(shape, dtype)
    if chunk is None:
        return rows
    most = max(1, _MAX_SLICE_BYTES // max(1, math.prod(shape[1:]) * dtype.itemsize))
    return max(rows // chunk * chunk, min(chunk, most))


def _read_text(path: Path, name: str) -> NDArray[Any]:
    with _open(path) as file:
        dataset = file[name]
        values = np.asarray(dataset.asstr()[()])
        return text_array(values.reshape(-1).tolist(), f"{path}:{printable(name)}").reshape(dataset.shape)


def _safely(path: Path, name: str) -> Any:
    """Read text in a process of its own: the library follows pointers for it, in damaged files without end."""
    isolated = open_isolated(path, "hdf5")
    return _read_text(path, name) if isolated is None else isolated.fields[name].load()


def _read_vector(path: Path, what: str, name: str) -> NDArray[Any]:
    return np.asarray(_load(path, what, name, transposed=True)).reshape(-1)


FORMATS.register("hdf5")(Hdf5())
