"""How much a compressed chunk unpacks to, told before a library unpacks it whole.

Libraries of chunked formats believe a chunk; one of a megabyte can unpack to a gigabyte, or to a hundred.
"""

from __future__ import annotations

import bz2
import lzma
import math
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from calkit.errors import FileFormatError
from calkit.io.hardening.limits import format_bytes

__all__ = ["COMPRESSORS", "check_chunk", "count_chunks", "is_harmless", "largest_chunk"]

# Deflate cannot do better than 1032 to 1.
_DEFLATE = 1032

#: What a chunk may unpack to, beyond what it should, without harm.
_HARMLESS = 768 << 20

# What framing and incompressible data add.
_SLACK = 64 << 10

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_PIECE_BYTES = 1 << 20


def is_harmless(deflated: int) -> bool:
    """Tell whether so many deflated bytes do no harm, whatever they unpack to."""
    return _DEFLATE * deflated < _HARMLESS


def largest_chunk(raw: int) -> int:
    """Return the most bytes that a chunk of ``raw`` bytes may take, stored or unpacked."""
    return 2 * raw + _SLACK


def count_chunks(shape: Sequence[int], chunk: Sequence[int]) -> int:
    """Return how many chunks an array has."""
    return math.prod(-(-length // step) for length, step in zip(shape, chunk, strict=True))


def check_chunk(where: Path | str, compressor: str, data: bytes, raw: int) -> None:
    """Refuse a chunk that unpacks to more than it should.

    Parameters
    ----------
    where : Path or str
        The array, for the message.
    compressor : str
        One of `COMPRESSORS`.
    data : bytes
    raw : int
        Bytes it should unpack to.

    Raises
    ------
    FileFormatError
        If it is far more.
    """
    most = largest_chunk(raw)
    if len(data) > most:
        raise FileFormatError(
            f"{where} is damaged: a chunk of {format_bytes(raw)} is stored in {format_bytes(len(data))}."
        )
    size = COMPRESSORS[compressor](data, most)
    if size > most:
        raise FileFormatError(
            f"{where} holds a chunk that unpacks to {format_bytes(size)} or more, where {format_bytes(raw)} are "
            "announced: it is damaged, or made to exhaust memory."
        )


def _zstd(data: bytes, _most: int) -> int:
    """Return the size in the header of a frame, which unpacking goes by; see RFC 8878."""
    if data[:4] != _ZSTD_MAGIC or len(data) < 6:
        raise ValueError("a chunk is not compressed with zstd")
    flag, single, dictionary = data[4] >> 6, bool(data[4] & 0x20), data[4] & 3
    start = 5 + (not single) + (0, 1, 2, 4)[dictionary]
    width = (int(single), 2, 4, 8)[flag]
    if not width:
        raise ValueError("a chunk does not tell how much it unpacks to; write it with zarr for Python")
    return int.from_bytes(data[start : start + width], "little") + (256 if width == 2 else 0)


def _blosc(data: bytes, _most: int) -> int:
    return int.from_bytes(data[4:8], "little")


def _lz4(data: bytes, _most: int) -> int:
    return int.from_bytes(data[:4], "little")


def _inflated(wbits: int) -> Callable[[bytes, int], int]:
    def size(data: bytes, most: int) -> int:
        if is_harmless(len(data)):
            return 0
        return _streamed(zlib.decompressobj(wbits), data, most)

    return size


def _bz2(data: bytes, most: int) -> int:
    return _streamed(bz2.BZ2Decompressor(), data, most)


def _lzma(data: bytes, most: int) -> int:
    return _streamed(lzma.LZMADecompressor(memlimit=_HARMLESS), data, most)


def _streamed(unpacker: Any, data: bytes, most: int) -> int:
    """Unpack piece by piece, keeping nothing; stop when it is too much."""
    total = 0
    while not unpacker.eof and total <= most:
        piece = unpacker.decompress(data, _PIECE_BYTES)
        data = getattr(unpacker, "unconsumed_tail", b"")
        total += len(piece)
        if not piece and not data:
            break
    return total


#: For each compressor of chunks, what tells the size of one (data, most): exactly, or any number above `most`.
COMPRESSORS: dict[str, Callable[[bytes, int], int]] = {
    "zstd": _zstd,
    "blosc": _blosc,
    "lz4": _lz4,
    "gzip": _inflated(31),
    "zlib": _inflated(15),
    "bz2": _bz2,
    "lzma": _lzma,
}
