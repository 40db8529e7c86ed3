"""20 Newsgroups, for a network over words.

Source: K. Lang: NewsWeeder: learning to filter netnews, ICML 1995; http://qwone.com/~jason/20Newsgroups/. Prepared as
in the Keras code of A. Kumar, S. Sarawagi, U. Jain: Trainable calibration measures for neural networks from kernel mean
embeddings, ICML 2018, which the focal-loss calibration paper adapted.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from calkit.errors import InputError, UsageError
from calkit.parameters import check_count
from calkit.registry import unknown_name
from calkit_torch.data.base import DataSet
from calkit_torch.data.feeds import TensorFeed
from calkit_torch.data.newsgroups_files import Messages, read_messages
from calkit_torch.data.registry import register_dataset
from calkit_torch.data.split import Split, shuffled
from calkit_torch.data.text import build_vocabulary, encode, tokenize
from calkit_torch.models import glove_embedding, read_glove

__all__ = ["DIVISIONS", "load_newsgroups", "split_sizes"]

DIVISIONS = ("random", "bydate")

_WITHOUT_VECTOR = 1


@register_dataset("20newsgroups")
def load_newsgroups(
    *,
    division: str = "random",
    max_words: int = 20_000,
    length: int = 1000,
    headers: bool = False,
    glove: str | None = None,
    trainable: bool = True,
    folder: Path | None = None,
    split_seed: int = 1,
    download: bool = False,
) -> DataSet:
    """Return 20 Newsgroups: messages as rows of word ids, 20 classes.

    Parameters
    ----------
    division : {"random", "bydate"}
        "random" shuffles all messages and divides them as :func:`split_sizes` says. "bydate" takes the test messages of
        the by-date set, which are later ones, and divides only the others, in the same proportion.
    max_words : int
        Size of the vocabulary: the most frequent words of the training messages. Others are left out.
    length : int
        Words of a message; of longer ones the last are kept.
    headers : bool
        Whether to keep what stands before the first empty line, which often names the group.
    glove : str, optional
        A file of GloVe vectors, see :func:`~calkit_torch.models.read_glove`. With it the vocabulary is made of the
        messages of all splits. The paper's networks have 100-d vectors that are not trained, with zeros for words
        without a vector: ``glove=glove.6B.100d.txt,trainable=false``. Without GloVe the vectors are learned from
        scratch, which is another experiment.
    trainable : bool
        Whether the vectors are trained. If not, all words of the vocabulary without a vector share one id, 1, whose
        vector is zero; if so, each starts from its own random vector.
    folder : Path, optional
        See :func:`~calkit_torch.data.newsgroups_files.read_messages`.
    split_seed : int
        What the division depends on.
    download : bool
        Whether scikit-learn is to fetch the by-date set if nothing is there.

    Returns
    -------
    DataSet
        Inputs (n, length) of int64, padded with 0 at the end.

    Raises
    ------
    NotFoundError
        If there is no such division.
    UsageError
        If the division is by date, and the files do not say what is for the test.
    """
    if division not in DIVISIONS:
        raise unknown_name("division", str(division), DIVISIONS)
    check_count(1, max_words=max_words, length=length)
    if not trainable and not glove:
        raise UsageError("trainable=false is for vectors that are given; add glove=FILE.")
    messages = read_messages(folder, download=download)
    parts = _divide(messages, division, split_seed)
    train, validation, test = map(torch.from_numpy, parts)
    words = [tokenize(text if headers else _body(text)) for text in messages.texts]
    rows = np.concatenate(parts) if glove else parts[0]
    vocabulary = build_vocabulary([words[i] for i in rows], max_words=max_words)
    if glove and not trainable:
        vocabulary = _known_only(vocabulary, glove)
    ids = torch.from_numpy(encode(words, vocabulary, length))
    unknown = "random" if trainable else "zero"
    class_names = sorted(set(messages.labels))
    labels = torch.tensor([class_names.index(label) for label in messages.labels])
    return DataSet(
        "20newsgroups",
        train=Split(ids[train], labels[train]),
        validation=Split(ids[validation], labels[validation]),
        test=Split(ids[test], labels[test]),
        class_names=tuple(class_names),
        feed=TensorFeed(),
        options={"embedding": glove_embedding(glove, vocabulary, trainable=trainable, unknown=unknown)}
        if glove
        else {"vocabulary_size": len(vocabulary) + 1},
    )


def split_sizes(n: int) -> tuple[int, int, int]:
    """Return how many of n messages are for training, validation and test.

    A fifth is for the test; of the rest, 900 of 15,998 for validation, rounded. So the 19,997 messages of the
    original set are divided as in the focal-loss calibration paper.

    Examples
    --------
    >>> split_sizes(19_997), split_sizes(18_846)
    ((15098, 900, 3999), (14229, 848, 3769))
    """
    n_test = n // 5
    n_validation = round((n - n_test) * 900 / 15_998)
    return n - n_test - n_validation, n_validation, n_test


def _known_only(vocabulary: Mapping[str, int], glove: str) -> dict[str, int]:
    """Return the vocabulary with one id, 1, for all words that have no vector."""
    known = read_glove(glove, vocabulary)
    ids = {word: i for i, word in enumerate((w for w in vocabulary if w in known), start=_WITHOUT_VECTOR + 1)}
    return {word: ids.get(word, _WITHOUT_VECTOR) for word in vocabulary}


def _divide(messages: Messages, division: str, seed: int) -> list[NDArray[np.int64]]:
    """Return the rows of training, validation and test."""
    n = len(messages.texts)
    if n < 30:
        raise InputError(f"20newsgroups has {n} messages here, which is too few to divide; is the folder complete?")
    if division == "random":
        n_train, n_validation, _ = split_sizes(n)
        return np.split(shuffled(n, seed), [n_train, n_train + n_validation])
    if messages.is_test is None:
        raise UsageError("division=bydate needs files that say which messages are for the test; leave it out.")
    test, rest = np.flatnonzero(messages.is_test), np.flatnonzero(~messages.is_test)
    rest = rest[shuffled(len(rest), seed)]
    return [*np.split(rest, [len(rest) - round(len(rest) * 900 / 15_998)]), test]


def _body(text: str) -> str:
    """Return what follows the first empty line."""
    header, empty_line, body = text.partition("\n\n")
    return body if header and empty_line else text
