"""NumPy's .npz: named arrays in a zip archive; those stored without compression are mapped into memory."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from calkit.containers.container import Container, Field, by_name
from calkit.containers.sources import StreamSource
from calkit.errors import FileFormatError
from calkit.hardening.guard import damaged
from calkit.hardening.limits import check, format_bytes
from calkit.io.formats.base import FORMATS, PicklingFormat, WritableFormat
from calkit.io.formats.npy import NpyHeader, mapped_array, number_field, pickled, read_header
from calkit.io.tree import object_fields
from calkit.lazy import block_rows, row_blocks
from calkit.predictions import Predictions
from calkit.roles.writing import fields_of

__all__ = ["Npz"]

_SUFFIX = ".npy"
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ALIGNMENT = 64
_FILLER_ID = 0xCA1C
_WORKBOOK = "xl/workbook.xml"


class Npz(PicklingFormat, WritableFormat):
    """Arrays by name, mapped into memory unless they are compressed."""

    name = "npz"
    suffixes = (".npz",)
    magic: ClassVar[tuple[bytes, ...]] = (b"PK\x03\x04", b"PK\x05\x06")

    def matches(self, head: bytes) -> bool:
        """Tell an archive of arrays from those that torch writes."""
        return head.startswith(self.magic) and b"/data.pkl" not in head[:256]

    def _open(self, path: Path, *, trusted: bool) -> Container:
        with zipfile.ZipFile(path) as archive:
            if _WORKBOOK in archive.NameToInfo:
                raise FileFormatError(f"{path} is an Excel workbook; save the sheet as CSV.")
            members = [info for info in archive.infolist() if info.filename.endswith(_SUFFIX)]
            check(path, arrays=len(members))
            _check_sizes(path, members)
            fields = by_name(path, [item for info in members for item in _fields(path, archive, info, trusted=trusted)])
        if not fields:
            raise FileFormatError(f"{path} holds no arrays; write one with np.savez(path, logits=..., labels=...).")
        return Container(path, self.name, fields)

    def write(self, path: Path, predictions: Predictions) -> None:
        """Write arrays named after what they are, uncompressed and aligned, so that they can be mapped."""
        with path.open("wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for name, values in fields_of(predictions).items():
                _write_member(archive, stream.tell(), name + _SUFFIX, values)


def _check_sizes(path: Path, members: list[zipfile.ZipInfo]) -> None:
    size = path.stat().st_size
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in members):
        # zipfile sets no bound to what these unpack to.
        raise damaged(path, ".npz", "its members are compressed as NumPy never does")
    if sum(info.compress_size for info in members) > size:
        raise damaged(path, ".npz", "its members overlap or exceed the file")


def _fields(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, *, trusted: bool) -> list[Field]:
    name = info.filename.removesuffix(_SUFFIX)
    where = f"{path}:{name}"
    with archive.open(info) as stream:
        header = read_header(stream, where)
    if header.dtype.hasobject:
        if trusted:
            return object_fields(name, partial(_whole, path, info.filename, trusted=True))
        return [pickled(path, name, header.shape)]
    if header.size + header.nbytes != info.file_size:
        raise FileFormatError(
            f"{where} is damaged: its header announces {format_bytes(header.nbytes)} "
            f"({'×'.join(map(str, header.shape)) or 'scalar'} {header.dtype}), but the archive holds "
            f"{format_bytes(info.file_size - header.size)}. Write it again."
        )
    return [number_field(name, header, partial(_load, path, info, header))]


def _load(path: Path, info: zipfile.ZipInfo, header: NpyHeader) -> Any:
    where = f"{path}:{info.filename.removesuffix(_SUFFIX)}"
    if info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1:
        return mapped_array(path, header, _data_offset(path, info) + header.size)
    if header.column_major and len(header.shape) > 1:
        # No stream can give it by rows.
        return _whole(path, info.filename, trusted=False)
    if not header.shape:
        return next(_unpacked(path, info, header, 0)).reshape(())
    return StreamSource(where, ".npz", header.shape, header.dtype, partial(_unpacked, path, info, header))


def _data_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Return where the bytes of a member begin; its local header may be longer than its entry in the directory."""
    with path.open("rb") as stream:
        stream.seek(info.header_offset)
        signature, name_length, extra_length = _LOCAL_HEADER.unpack(stream.read(_LOCAL_HEADER.size))
        size = stream.seek(0, 2)
    offset = info.header_offset + _LOCAL_HEADER.size + int(name_length) + int(extra_length)
    if signature != b"PK\x03\x04" or offset + info.file_size > size:
        raise ValueError("a member lies outside the file")
    return offset


def _unpacked(path: Path, info: zipfile.ZipInfo, header: NpyHeader, _start: int) -> Iterator[NDArray[Any]]:
    """Yield blocks of rows of a compressed member; its checksum is verified at the end."""
    with zipfile.ZipFile(path) as archive, archive.open(info) as stream:
        stream.read(header.size)
        shape = header.shape or (1,)
        rows = block_rows(shape, header.dtype)
        for first in range(0, shape[0], rows):
            block = np.empty((min(rows, shape[0] - first), *shape[1:]), header.dtype)
            if cast("zipfile.ZipExtFile", stream).readinto(block.reshape(-1).view(np.uint8).data) < block.nbytes:
                raise EOFError("the data end early")
            yield block
        stream.read(1)


def _whole(path: Path, name: str, *, trusted: bool) -> Any:
    with np.load(path, allow_pickle=trusted) as archive:
        return archive[name]


def _write_member(archive: zipfile.ZipFile, offset: int, name: str, values: Any) -> None:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o644 << 16
    # The local header is followed by the name, this filler and 20 bytes for Zip64; then the data begin, on a
    # boundary that maps of any type like.
    filler = -(offset + _LOCAL_HEADER.size + len(name) + 4 + 20) % _ALIGNMENT
    info.extra = struct.pack("<HH", _FILLER_ID, filler) + bytes(filler)
    with archive.open(info, "w", force_zip64=True) as stream:
        descr = npy_format.dtype_to_descr(values.dtype)
        npy_format.write_array_header_1_0(
            stream, {"descr": descr, "fortran_order": False, "shape": tuple(values.shape)}
        )
        for block in row_blocks(values):
            stream.write(np.ascontiguousarray(block).data)


FORMATS.register("npz")(Npz())
