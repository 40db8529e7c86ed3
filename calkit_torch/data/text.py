"""Words as numbers: a tokeniser, a vocabulary, documents of one length."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from calkit.errors import FileFormatError
from calkit_torch.models import PADDING

__all__ = ["build_vocabulary", "encode", "lines", "tokenize"]

_WORD = re.compile(r"""[^\s!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~]+""")
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}


def tokenize(text: str) -> list[str]:
    """Return the words of a text in lower case.

    Words end at white space and at ASCII punctuation other than the apostrophe, as in the tokeniser of Keras.

    Examples
    --------
    >>> tokenize("It's 3 o'clock -- re: trains/buses, etc.")
    ["it's", '3', "o'clock", 're', 'trains', 'buses', 'etc']
    """
    return _WORD.findall(text.lower())


def build_vocabulary(
    documents: Iterable[Iterable[str]], *, max_words: int | None = None, first: int = 1
) -> dict[str, int]:
    """Number the words of some documents, the most frequent first, equally frequent ones by the alphabet.

    Parameters
    ----------
    documents : iterable of iterables of str
    max_words : int, optional
        How many words get a number; all by default.
    first : int
        The number of the first word. 0 is padding.

    Returns
    -------
    dict of str to int

    Examples
    --------
    >>> build_vocabulary([["b", "a"], ["b", "c"]], max_words=2)
    {'b': 1, 'a': 2}
    """
    counts: Counter[str] = Counter()
    for document in documents:
        counts.update(document)
    ranked = sorted(counts, key=lambda word: (-counts[word], word))[:max_words]
    return {word: i for i, word in enumerate(ranked, start=first)}


def encode(documents: Sequence[Sequence[str]], vocabulary: Mapping[str, int], length: int) -> NDArray[np.int64]:
    """Write documents as rows of word ids.

    Parameters
    ----------
    documents : sequence of sequences of str
    vocabulary : mapping of str to int
        Words that it does not hold are left out.
    length : int
        Of a row. Of longer documents the last words are kept, shorter ones are filled up with 0 at the end.

    Returns
    -------
    ndarray of int64, shape (n_documents, length)

    Examples
    --------
    >>> encode([["a", "b"], ["b", "x", "a", "b"]], {"a": 1, "b": 2}, length=3)
    array([[1, 2, 0],
           [2, 1, 2]])
    """
    ids = np.full((len(documents), length), PADDING, dtype=np.int64)
    for row, document in zip(ids, documents, strict=True):
        known = [vocabulary[word] for word in document if word in vocabulary][-length:]
        row[: len(known)] = known
    return ids


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the lines of a text in UTF-8, plain or compressed (.gz, .xz, .bz2), each with its place for a message.

    Only a line feed ends a line.

    Raises
    ------
    FileFormatError
        If the file cannot be read as text.
    """
    try:
        file: TextIO
        with _OPENERS.get(path.suffix, open)(path, "rt", encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                yield f"{path}, line {number}", line
    except FileFormatError:
        raise
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError, ValueError) as error:
        raise FileFormatError(f"cannot read {path} as text: {error}") from error
