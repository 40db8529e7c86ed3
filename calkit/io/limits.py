"""How much a file may ask for: bounds that honest files keep and hostile ones do not."""

from __future__ import annotations

import math
from pathlib import Path

from calkit.errors import FileFormatError

__all__ = [
    "BLOCK_BYTES",
    "MAX_ARRAYS",
    "MAX_CHUNK_BYTES",
    "MAX_COLUMNS",
    "MAX_EXPANSION",
    "MAX_LINE_BYTES",
    "MAX_NAME",
    "MAX_TEXT_EXPANSION",
    "TEXT_BLOCK_BYTES",
    "WHOLE_BYTES",
    "check_chunks",
    "check_claim",
    "check_count",
    "check_name",
    "format_bytes",
]

#: Scores up to this size are read once and kept; larger ones are read block by block in every pass.
WHOLE_BYTES = 128 << 20

#: Bytes of an array that are decoded at a time.
BLOCK_BYTES = 4 << 20

#: The same for text, whose numbers take many times their length while they are parsed.
TEXT_BLOCK_BYTES = 2 << 20

#: The largest unit of compression that is unpacked: an HDF5 or Zarr chunk, an Arrow record batch.
MAX_CHUNK_BYTES = 256 << 20

#: The longest line of text, and the longest element of a JSON document.
MAX_LINE_BYTES = 16 << 20

#: Arrays in one file.
MAX_ARRAYS = 10_000

#: The largest vocabularies of language models have about half as many.
MAX_COLUMNS = 1 << 19

#: Characters in the name of an array or a column; messages print them.
MAX_NAME = 1000

#: Scores compress to a half or a tenth, one-hot rows to a hundredth. Bombs do better: deflate reaches 1032 to 1, and
#: others much more.
MAX_EXPANSION = 200

#: The same for text, which takes longer to read.
MAX_TEXT_EXPANSION = 64

# Chunks that are not stored are made up one by one, which takes time.
_FREE_CHUNKS = 10_000

_FREE_BYTES = 256 << 20

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def format_bytes(n: float) -> str:
    """Return a size as people read it.

    Examples
    --------
    >>> format_bytes(2_500_000)
    '2.5 MB'
    """
    if n < 1000:
        return f"{int(n)} bytes"
    step = min(int(math.log10(n)) // 3, len(_UNITS))
    return f"{n / 1000**step:.3g} {_UNITS[step - 1]}"


def check_claim(path: Path | str, claimed: int, stored: int, most: int = MAX_EXPANSION) -> None:
    """Refuse a file whose headers promise far more data than its bytes can hold.

    Parameters
    ----------
    path : Path or str
        For the message.
    claimed : int
        Bytes that the arrays take once unpacked, as the headers say.
    stored : int
        Bytes that hold them.
    most : int
        How many times as much as is stored may be claimed.

    Raises
    ------
    FileFormatError
        If the arrays take more than 256 MiB and more than `most` times what is stored.
    """
    if claimed > max(_FREE_BYTES, most * stored):
        raise FileFormatError(
            f"{path} announces {format_bytes(claimed)} of data, but holds {format_bytes(stored)}: it is damaged, or "
            "made to exhaust memory. If it is neither, write it again with less compression."
        )


def check_count(path: Path | str, n: int, what: str, largest: int) -> None:
    """Refuse a file with more arrays or columns than any honest one has.

    Raises
    ------
    FileFormatError
        If `n` is above `largest`.
    """
    if n > largest:
        raise FileFormatError(f"{path} holds {n:,} {what}; more than {largest:,} are not read. Is it damaged?")


def check_chunks(where: Path | str, n: int, stored: int) -> None:
    """Refuse an array of more chunks than what is stored can hold.

    Parameters
    ----------
    where : Path or str
        The array, for the message.
    n : int
        Number of chunks.
    stored : int
        Bytes that hold them, and perhaps more.

    Raises
    ------
    FileFormatError
        If there are more than 10,000 and more than one a byte.
    """
    if n > max(_FREE_CHUNKS, stored):
        raise FileFormatError(
            f"{where} announces {n:,} chunks, but {format_bytes(stored)} are stored: it is damaged, or made to take "
            "time. If it is neither, write it with larger chunks."
        )


def check_name(path: Path | str, name: str) -> None:
    """Refuse a name that no message could print.

    Raises
    ------
    FileFormatError
        If it is longer than 1,000 characters.
    """
    if len(name) > MAX_NAME:
        raise FileFormatError(
            f"{path} holds a name of {len(name):,} characters; more than {MAX_NAME:,} are not read. Is it damaged?"
        )
