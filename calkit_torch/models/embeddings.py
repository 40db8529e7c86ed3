"""Word vectors: read from GloVe text files, or learned from scratch.

A vocabulary is a mapping from words to ids. Id 0 is padding: its vector is zero and stays so.
"""

from __future__ import annotations

import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from calkit.errors import FileFormatError, InputError, UsageError
from calkit.parameters import check_positive
from calkit.registry import unknown_name

__all__ = ["PADDING", "glove_embedding", "random_embedding", "read_glove", "resolve_embedding"]

PADDING = 0
"""The id that stands for no word."""

_RANGE = 0.05
_UNKNOWN = ("random", "zero")
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}


def random_embedding(vocabulary_size: int, embedding_dim: int, *, seed: int = 0) -> nn.Embedding:
    """Return word vectors to be learned from scratch.

    Parameters
    ----------
    vocabulary_size : int
        Number of ids, padding included: the largest id plus 1.
    embedding_dim : int
        Length of a vector.
    seed : int
        Equal seeds give equal vectors.

    Returns
    -------
    nn.Embedding
        Trainable; entries uniform within ±0.05, zero for the padding.

    Examples
    --------
    >>> random_embedding(1000, 25)
    Embedding(1000, 25, padding_idx=0)
    """
    check_positive(vocabulary_size=vocabulary_size, embedding_dim=embedding_dim)
    return _embedding(_random_vectors(vocabulary_size, embedding_dim, torch.Generator().manual_seed(seed)))


def glove_embedding(
    path: str | Path, vocabulary: Mapping[str, int], *, seed: int = 0, trainable: bool = True, unknown: str = "random"
) -> nn.Embedding:
    """Return word vectors read from a GloVe file.

    Parameters
    ----------
    path : str or Path
        As for :func:`read_glove`.
    vocabulary : mapping of str to int
        The words wanted and their ids.
    seed : int
        What random vectors depend on.
    trainable : bool
        Whether the vectors are trained along with the network.
    unknown : {"random", "zero"}
        The vectors of words that the file does not hold: uniform within ±0.05, or zero.

    Returns
    -------
    nn.Embedding
        With one row for each id up to the largest; the row of the padding is zero.

    Raises
    ------
    FileFormatError
        If the file cannot be read.
    InputError
        If an id is negative or the file holds none of the words.

    References
    ----------
    J. Pennington, R. Socher, C. D. Manning: GloVe: global vectors for word representation, EMNLP 2014.
    """
    if unknown not in _UNKNOWN:
        raise unknown_name("vector of unknown words", unknown, _UNKNOWN)
    ids = vocabulary.values()
    if not ids or min(ids) < 0:
        raise InputError("vocabulary must map words to ids from 0 on; it is empty or holds a negative id.")
    found = read_glove(path, vocabulary)
    if not found:
        raise InputError(f"{path} holds none of the vocabulary's {len(vocabulary)} words; compare their case.")
    known = torch.from_numpy(np.stack(list(found.values())))
    shape = (max(ids) + 1, known.shape[1])
    vectors = torch.zeros(shape) if unknown == "zero" else _random_vectors(*shape, torch.Generator().manual_seed(seed))
    vectors[[vocabulary[word] for word in found]] = known
    return _embedding(vectors, trainable=trainable)


def read_glove(path: str | Path, words: Container[str]) -> dict[str, NDArray[np.float32]]:
    """Read the vectors of some words from a GloVe file.

    Parameters
    ----------
    path : str or Path
        Text: one word a line, followed by its numbers, separated by single spaces; in UTF-8; plain, or
        compressed with the ending ``.gz`` or ``.xz``. The first line says how many numbers there are.
        A word may hold spaces, as some of the Common Crawl vectors do. Or, ending in ``.npz``, the arrays ``words``
        (n,), text or UTF-8 bytes, and ``vectors`` (n, dim).
    words : container of str
        The words wanted. Other lines are checked for their length only. Of two lines with the same
        word the first counts.

    Returns
    -------
    dict of str to ndarray of float32
        The words found, in the order of the file.

    Raises
    ------
    FileFormatError
        If the file is missing, empty or no text, or a line holds too few or too many numbers or
        something else than numbers; the message says which line.
    """
    if Path(path).suffix == ".npz":
        return _from_npz(Path(path), words)
    vectors: dict[str, NDArray[np.float32]] = {}
    try:
        with _open(Path(path)) as file:
            for number, word, values in _lines(file, path):
                if word in words and word not in vectors:
                    vectors[word] = _vector(values, f"{path}, line {number}")
    except (OSError, EOFError, zlib.error, lzma.LZMAError, UnicodeDecodeError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"cannot read {path} as text of word vectors: {error}") from error
    return vectors


def _from_npz(path: Path, words: Container[str]) -> dict[str, NDArray[np.float32]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            names, vectors = file["words"], file["vectors"]
    except (OSError, EOFError, KeyError, ValueError, zlib.error, zipfile.BadZipFile) as error:
        raise FileFormatError(f"cannot read {path} as word vectors, arrays words and vectors: {error}") from error
    if names.dtype.kind not in "SU" or vectors.dtype.kind != "f" or vectors.ndim != 2 or len(names) != len(vectors):
        raise FileFormatError(
            f"{path} must hold words (n,) of text and vectors (n, dim) of floats, but they are {names.dtype} of shape "
            f"{names.shape} and {vectors.dtype} of shape {vectors.shape}."
        )
    found: dict[str, NDArray[np.float32]] = {}
    for name, vector in zip(names.tolist(), vectors, strict=True):
        word = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
        if word in words and word not in found:
            found[word] = vector.astype(np.float32)
            if not np.isfinite(found[word]).all():
                raise FileFormatError(f"{path}: the numbers must be finite, but those of {word!r} are not.")
    return found


def resolve_embedding(
    embedding: nn.Embedding | None, vocabulary_size: int | None, embedding_dim: int | None, default_dim: int
) -> nn.Embedding:
    """Return the embedding given, or a new one of the size given.

    A new one is drawn from torch's random generator, as the other layers of a network are.

    Raises
    ------
    UsageError
        If both or neither are given.
    """
    if embedding is not None:
        if vocabulary_size is not None or embedding_dim is not None:
            raise UsageError("embedding already has its size; leave out vocabulary_size and embedding_dim.")
        return embedding
    if vocabulary_size is None:
        raise UsageError("give either embedding, with vectors, or vocabulary_size, to learn them from scratch.")
    dim = default_dim if embedding_dim is None else embedding_dim
    check_positive(vocabulary_size=vocabulary_size, embedding_dim=dim)
    return _embedding(_random_vectors(vocabulary_size, dim))


def _random_vectors(n_words: int, dim: int, generator: torch.Generator | None = None) -> Tensor:
    return torch.empty(n_words, dim).uniform_(-_RANGE, _RANGE, generator=generator)


def _embedding(vectors: Tensor, *, trainable: bool = True) -> nn.Embedding:
    vectors[PADDING] = 0
    embedding: nn.Embedding = nn.Embedding.from_pretrained(  # type: ignore[no-untyped-call]
        vectors, freeze=not trainable, padding_idx=PADDING
    )
    return embedding


def _open(path: Path) -> TextIO:
    # Only \n ends a line: words may hold other characters that Python takes for line ends.
    file: TextIO = _OPENERS.get(path.suffix, open)(path, "rt", encoding="utf-8", newline="\n")
    return file


def _lines(file: TextIO, path: str | Path) -> Iterator[tuple[int, str, str]]:
    """Yield line number, word and numbers of each line."""
    dim = 0
    for number, line in enumerate(file, start=1):
        line = line.rstrip("\r\n ")
        if number == 1:
            dim = line.count(" ")
        n_spaces = line.count(" ")
        if not dim or n_spaces < dim or line.startswith(" "):
            raise FileFormatError(
                f"{path}, line {number}: expected a word and {dim or 'some'} numbers, but found {_short(line)}."
            )
        # The word of the usual line is cut off at its first space, which does not split the numbers.
        word = line.partition(" ")[0] if n_spaces == dim else line.rsplit(" ", dim)[0]
        if n_spaces > dim and _is_number(word.rpartition(" ")[2]):
            raise FileFormatError(f"{path}, line {number}: more than the {dim} numbers of line 1: {_short(line)}.")
        yield number, word, line[len(word) + 1 :]
    if not dim:
        raise FileFormatError(f"{path} is empty; expected a word and its numbers on each line.")


def _vector(values: str, where: str) -> NDArray[np.float32]:
    try:
        vector = np.array(values.split(" "), dtype=np.float32)
    except ValueError:
        raise FileFormatError(f"{where}: expected numbers after the word, but found {_short(values)}.") from None
    if not np.isfinite(vector).all():
        raise FileFormatError(f"{where}: the numbers must be finite, but found {_short(values)}.")
    return vector


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
