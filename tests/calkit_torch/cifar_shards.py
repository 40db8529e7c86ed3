"""Shards of CIFAR images as the tests' data folder holds them, and official archives made of such images."""

from __future__ import annotations

import io
import pickle
import runpy
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit_torch.data.cifar import CifarFiles

#: Reads images and labels of a shard; see there.
load_shard = runpy.run_path(str(Path(__file__).parents[2] / "examples/focal_calibration/cifar10.py"))["load_shard"]


def some_images(n: int, n_classes: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    images = rng.integers(256, size=(n, 32, 32, 3), dtype=np.uint8)
    return images, rng.integers(n_classes, size=n).astype(np.uint8)


def python2_batch(images: NDArray[np.uint8], labels: NDArray[np.uint8], label_key: str) -> bytes:
    """Return a batch as Python 2 pickled it: protocol 2, text as byte strings, NumPy's old module names.

    Written opcode by opcode after the head of the official ``data_batch_1``, since Python 3 cannot write it.
    """
    rows = np.ascontiguousarray(images.transpose(0, 3, 1, 2).reshape(len(images), -1))

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    shape = b"".join(map(number, rows.shape)) + b"\x86"
    dtype = b"cnumpy\ndtype\n(" + text(b"u1") + number(0) + number(1) + b"tR"
    dtype += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + number(0) + b"t" + text(b"b") + b"tR"
    content = b"T" + struct.pack("<i", rows.nbytes) + rows.tobytes()
    array += b"(" + number(1) + shape + dtype + b"\x89" + content + b"tb"
    entries = text(b"data") + array
    entries += text(label_key.encode()) + b"](" + b"".join(number(int(y)) for y in labels) + b"e"
    return b"\x80\x02}(" + entries + b"u."


def members(files: CifarFiles, train: int = 100, test: int = 30, n_classes: int = 10) -> dict[str, bytes]:
    """Return small files as an archive holds them, by name."""
    found = {files.names_file: pickle.dumps({files.names_key: [f"class {k}" for k in range(n_classes)]}, protocol=2)}
    for seed, name in enumerate(files.train + files.test):
        n = train // len(files.train) if name in files.train else test
        found[name] = python2_batch(*some_images(n, n_classes, seed), files.label_key)
    return found


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def write_archive(path: Path, folder: str, contents: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path
