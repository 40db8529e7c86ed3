"""How much a file may ask for: bounds that honest files keep and hostile ones do not, all of them here.

Readers say what a file declares with :func:`check`; nothing else in :mod:`calkit.io` compares it with a bound. What a
file does not declare (a chunk that unpacks to more than it should) is left to the sandbox:
:mod:`calkit.sandbox.session`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from calkit.errors import FileFormatError

__all__ = [
    "MAX_ARRAYS",
    "MAX_COLUMNS",
    "MAX_DOCUMENT_BYTES",
    "MAX_HEADER_BYTES",
    "MAX_LINE_BYTES",
    "TEXT_BLOCK_BYTES",
    "WHOLE_BYTES",
    "check",
    "format_bytes",
]

#: Scores up to this size are read once and kept; larger ones are read block by block in every pass.
WHOLE_BYTES = 128 << 20

#: Bytes of text that are parsed at a time, half as many as of arrays: numbers take many times their length meanwhile.
TEXT_BLOCK_BYTES = 2 << 20

#: The largest unit of compression that is unpacked: an HDF5 or Zarr chunk.
MAX_CHUNK_BYTES = 256 << 20

#: The longest line of text.
MAX_LINE_BYTES = 16 << 20

#: The longest JSON document, which takes some ten times as much once parsed; lines may go on for as long as they like.
MAX_DOCUMENT_BYTES = 256 << 20

#: The longest header of a file that has one.
MAX_HEADER_BYTES = 16 << 20

#: Arrays in one file.
MAX_ARRAYS = 10_000

#: The largest vocabularies of language models have about half as many.
MAX_COLUMNS = 1 << 19

#: Characters in the name of an array or a column; messages print them.
MAX_NAME = 1000

#: Arrays of text give every word the room of the longest; labels need little.
MAX_TEXT_BYTES = 256 << 20

#: Scores compress to a half or a tenth, one-hot rows to a hundredth. Bombs do better: deflate reaches 1032 to 1, and
#: others much more.
MAX_EXPANSION = 200

#: The same for text, which takes longer to read.
MAX_TEXT_EXPANSION = 64

# Chunks that are not stored are made up one by one, which takes time.
_FREE_CHUNKS = 10_000

# Members of trees that no file is too small for.
_FREE_MEMBERS = 100_000

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


def check(where: Path | str, *, stored: int = 0, **declared: Any) -> None:
    """Refuse what a file declares where no honest file does.

    Parameters
    ----------
    where : Path or str
        The file, or the array in it, for the message.
    stored : int, default=0
        Bytes that hold what is declared; needed for `nbytes`, `unpacked`, `chunks` and `members`.
    **declared
        What is declared, by what it is: ``arrays``, ``columns`` (their number); ``name`` (a text); ``words`` (the
        number of texts in an array, and the characters of the longest); ``document``, ``chunk`` (bytes); ``nbytes``
        (of all arrays, once unpacked); ``unpacked`` (bytes of text); ``chunks`` (of one array); ``members`` (of a
        tree of lists).

    Raises
    ------
    FileFormatError
        If it is more than the bound of its kind.

    Examples
    --------
    >>> check("run.npz", arrays=3, name="logits", stored=1000, nbytes=4000)
    >>> check("run.npz", arrays=20_000)
    Traceback (most recent call last):
    calkit.errors.FileFormatError: run.npz holds 20,000 arrays; more than 10,000 are not read. Is it damaged?
    """
    for what, value in declared.items():
        found = _BOUNDS[what](value, stored)
        if found:
            raise FileFormatError(f"{where} {found}")


def _number(what: str, most: int) -> Callable[[int, int], str]:
    def bound(n: int, _: int) -> str:
        return "" if n <= most else f"holds {n:,} {what}; more than {most:,} are not read. Is it damaged?"

    return bound


def _share(most: int) -> Callable[[int, int], str]:
    def bound(claimed: int, stored: int) -> str:
        if claimed <= max(_FREE_BYTES, most * stored):
            return ""
        return (
            f"announces {format_bytes(claimed)} of data, but holds {format_bytes(stored)}: it is damaged, or made to "
            "exhaust memory. If it is neither, write it again with less compression."
        )

    return bound


def _name(name: str, _: int) -> str:
    if len(name) <= MAX_NAME:
        return ""
    return f"holds a name of {len(name):,} characters; more than {MAX_NAME:,} are not read. Is it damaged?"


def _words(size: tuple[int, int], _: int) -> str:
    n, longest = size
    if 4 * n * longest <= MAX_TEXT_BYTES:
        return ""
    return (
        f"holds {n:,} texts of up to {longest:,} characters, which are too long to be labels. Write the number of the "
        "class instead."
    )


def _document(n: int, _: int) -> str:
    if n <= MAX_DOCUMENT_BYTES:
        return ""
    return (
        f"is a JSON document of more than {format_bytes(MAX_DOCUMENT_BYTES)}, which has to be read whole. Write a "
        "record a line (.jsonl), which is read in blocks; pandas does so with df.to_json(path, orient='records', "
        "lines=True)."
    )


def _chunk(n: int, _: int) -> str:
    if n <= MAX_CHUNK_BYTES:
        return ""
    return f"is stored in chunks of {format_bytes(n)}, which cannot be read piece by piece. Write smaller chunks."


def _chunks(n: int, stored: int) -> str:
    if n <= max(_FREE_CHUNKS, stored):
        return ""
    return (
        f"announces {n:,} chunks, but {format_bytes(stored)} are stored: it is damaged, or made to take time. If it "
        "is neither, write it with larger chunks."
    )


def _members(n: int, stored: int) -> str:
    if n <= max(_FREE_MEMBERS, stored):
        return ""
    return (
        "repeats the same lists over and over: it is damaged, or made to exhaust memory. Save tensors only, as in "
        "torch.save({'logits': …, 'labels': …}, path)."
    )


_BOUNDS: dict[str, Callable[[Any, int], str]] = {
    "arrays": _number("arrays", MAX_ARRAYS),
    "columns": _number("columns", MAX_COLUMNS),
    "name": _name,
    "words": _words,
    "document": _document,
    "chunk": _chunk,
    "nbytes": _share(MAX_EXPANSION),
    "unpacked": _share(MAX_TEXT_EXPANSION),
    "chunks": _chunks,
    "members": _members,
}
