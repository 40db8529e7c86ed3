"""Small files that make the libraries which read them take memory, time, or the process: found by attack."""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

LABELS = np.array([0, 2, 1, 1])

#: Name, the library that reads it, and a function that writes it into a folder.
ATTACKS: dict[str, tuple[str, Callable[[Path], Path]]] = {}


def attack(name: str, library: str = "numpy") -> Callable[[Callable[[Path], Path]], Callable[[Path], Path]]:
    def store(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
        ATTACKS[name] = (library, write)
        return write

    return store


def zeros_deflated(n_megabytes: int) -> bytes:
    """Return a zlib stream of megabytes of zeros, made without compressing them all."""
    packer = zlib.compressobj(9)
    start = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    # An empty last block, and the checksum of zeros: see RFC 1950.
    tail = b"\x03\x00" + struct.pack(">HH", (n_megabytes << 20) % 65521, 1)
    return start + again * (n_megabytes - 1) + tail


def write_chunk(path: Path, filters: list[tuple[int, tuple[int, ...]]], chunk: bytes) -> Path:
    """Write an HDF5 file of 4 rows whose only chunk of scores is given as stored."""
    import h5py

    with h5py.File(path, "w") as file:
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_chunk((4, 3))
        for number, options in filters:
            layout.set_filter(number, h5py.h5z.FLAG_OPTIONAL, options)
        space = h5py.h5s.create_simple((4, 3))
        data = h5py.h5d.create(file.id, b"logits", h5py.h5t.IEEE_F64LE, space, layout)
        data.write_direct_chunk((0, 0), chunk)
        file["labels"] = LABELS
    return path


@attack("hdf5-gzip-twice", "h5py")
def _gzip_twice(folder):
    # 1.5 GB in 1.5 MB in 5 kB.
    return write_chunk(folder / "a.h5", [(1, (9,)), (1, (9,))], zlib.compress(zeros_deflated(1500), 9))


@attack("hdf5-lzf", "h5py")
def _lzf(folder):
    # One zero, then "as the 264 bytes before" again and again: h5py starts over with a slightly larger buffer, always.
    stream = b"\x00\x00" + b"\xe0\xff\x00" * 300_000
    return write_chunk(folder / "a.h5", [(32000, (4, 261, 96))], stream)


@attack("hdf5-nested-groups", "h5py")
def _nested_groups(folder):
    import h5py

    with h5py.File(folder / "a.h5", "w", libver="latest") as file:
        group = file
        for _ in range(20_000):
            group = group.create_group("g")
        file["logits"], file["labels"] = np.zeros((4, 3)), LABELS
    return folder / "a.h5"


@attack("zarr-two-frames", "zarr")
def _two_frames(folder):
    import zarr
    from numcodecs import Zstd

    group = zarr.open_group(str(folder / "a.zarr"), mode="w")
    group.create_array("logits", data=np.arange(12.0).reshape(4, 3))
    group.create_array("labels", data=LABELS)
    [file] = [p for p in (folder / "a.zarr" / "logits" / "c").rglob("*") if p.is_file()]
    # The header of the first frame says 96 bytes; all frames that follow are unpacked as well.
    file.write_bytes(Zstd().encode(bytes(96)) + Zstd().encode(bytes(100 << 20)) * 20)
    return folder / "a.zarr"


@attack("gz-empty-members")
def _empty_members(folder):
    import gzip

    text = gzip.compress(b"logit_0,logit_1,label\n1,2,0\n")
    (folder / "a.csv.gz").write_bytes(gzip.compress(b"", 1) * 2_000_000 + text)
    return folder / "a.csv.gz"


@attack("xz-dictionary")
def _dictionary(folder):
    import lzma

    # A window of a gigabyte, which is set aside before a byte is read.
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    (folder / "a.csv.xz").write_bytes(lzma.compress(b"logit_0,logit_1,label\n1,2,0\n", filters=filters))
    return folder / "a.csv.xz"


@attack("pt-nested-lists", "torch")
def _nested_lists(folder):
    depth = 1_000_000
    tree = b"\x80\x02" + b"](" * depth + b"e" * depth + b"."
    with zipfile.ZipFile(folder / "a.pt", "w") as archive:
        archive.writestr("archive/data.pkl", tree)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    assert pickle.loads(tree[:2] + b"](](ee.") == [[]]
    return folder / "a.pt"


@attack("parquet-page", "pyarrow")
def _parquet_page(folder):
    import pyarrow as pa
    import pyarrow.parquet as pq

    # One text of 200 MB in a page of a few kilobytes; that it is so long stands in the header of the page alone.
    text = pa.array(["x" * (200 << 20)], pa.large_string())
    table = pa.table({"logit_0": [0.5], "logit_1": [0.5], "label": text})
    pq.write_table(table, folder / "a.parquet", compression="zstd", use_dictionary=False, write_statistics=False)
    return folder / "a.parquet"


@attack("arrow-buffer", "pyarrow")
def _arrow_buffer(folder):
    import pyarrow as pa

    flat = pa.array(np.zeros(200 << 20, np.float64))
    table = pa.table(
        {"logits": pa.ListArray.from_arrays(pa.array([0, 3, 200 << 20], pa.int32()), flat), "label": [0, 1]}
    )
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(folder / "a.arrow", table.schema, options=options) as writer:
        writer.write_table(table)
    return folder / "a.arrow"
