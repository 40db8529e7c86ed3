"""Texts as arrays: of text, of the numbers or truth values that they spell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import Field, printable
from calkit.hardening.limits import check

__all__ = ["as_numbers", "first_word", "from_words", "text_array", "word_kind"]

_TRUTH = {"true": True, "false": False}


def text_array(words: Sequence[str], where: Path | str = "a column of text") -> NDArray[np.str_]:
    """Return words as an array of text, without the spaces around them; they must be short enough to be labels."""
    check(where, words=(len(words), max(map(len, words), default=0)))
    return np.array([word.strip() for word in words], dtype=str)


def word_kind(words: Sequence[str]) -> np.dtype[Any]:
    """Return the type that all words have: int64, float64, bool or else text."""
    for kind in (np.int64, np.float64):
        try:
            return np.array(words, dtype=kind).dtype
        except (ValueError, OverflowError):
            continue
    return np.dtype(bool if all(word.strip().lower() in _TRUTH for word in words) else str)


def from_words(words: Sequence[str], exact: str = "", where: Path | str = "a column of text") -> NDArray[Any]:
    """Return integers if all words are, else floats if all are, else booleans, else text: the type, not the role.

    Kinds of values (``"i"``, ``"f"``, ``"b"``) that are `exact` must be written in no other way than the words are;
    these stay text if they are, as ids do.

    Examples
    --------
    >>> from_words(["1", "2.5"]), from_words(["true", "False"]), from_words(["cat", "1"])
    (array([1. , 2.5]), array([ True, False]), array(['cat', '1'], dtype='<U3'))
    >>> from_words(["1", "20"], exact="ifb"), from_words(["01", "20"], exact="ifb")
    (array([ 1, 20]), array(['01', '20'], dtype='<U2'))
    """
    kind = word_kind(words)
    if kind.kind == "U":
        return text_array(words, where)
    truths = [_TRUTH[word.strip().lower()] for word in words] if kind.kind == "b" else words
    values = np.array(truths, dtype=kind)
    if kind.kind in exact:
        text = text_array(words, where)
        return values if np.array_equal(values.astype(str), text) else text
    return values


def as_numbers(item: Field, sign: str = "") -> Field:
    """Return a column of numbers that are text in the file, as they are written in a way of their own, as numbers.

    A sign may stand behind them.
    """
    if item.dtype.kind != "U" or len(item.shape) != 1:
        return item
    texts = item.read()
    try:
        values = (np.char.rstrip(np.char.rstrip(texts), sign) if sign else texts).astype(np.float64)
    except ValueError:
        return item
    return replace(item, dtype=values.dtype, load=lambda: values)


def first_word(item: Field, sign: str) -> str:
    """Say which row of a column of text is no number, and what can be done; end the sentence where there is none."""
    texts = item.read().tolist() if item.dtype.kind == "U" and len(item.shape) == 1 else []
    for row, text in enumerate(texts):
        word = text.strip()
        try:
            float(word.rstrip(sign) if sign else word)
        except ValueError:
            if not word:
                return f": row {row} is empty. Remove the row."
            how = " Percentages are read with percent=True (--percent)." if word.endswith("%") else ""
            return f": row {row} holds {printable(word)!r:.60}.{how}"
    return "."
