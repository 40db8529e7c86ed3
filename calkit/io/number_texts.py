"""Columns of numbers that are text in a file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calkit.containers.container import Field, printable

__all__ = ["as_numbers", "first_word"]


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
