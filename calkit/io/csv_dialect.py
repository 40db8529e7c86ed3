"""The dialect of delimited text: what separates columns, whether numbers have decimal commas, where records end.

What separates the columns is seen in the first line, so that semicolons (with decimal commas, as spreadsheets of half
the world write them) and tabs may stand in a file called ``.csv``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from calkit.io.text import plain_lines

__all__ = ["Dialect", "find_delimiter", "is_number"]

_DELIMITERS = ";\t|,"
_QUOTED = re.compile(r'"[^"]*"')


@dataclass(frozen=True)
class Dialect:
    """How a text is delimited, and whether its numbers have commas for decimal points."""

    delimiter: str
    decimal_comma: bool = False

    def reader(self, text: Iterable[str]) -> Any:
        """Return the standard library's reader of lines."""
        return csv.reader(text, delimiter=self.delimiter, strict=True)

    def records(self, data: bytes) -> tuple[int, int]:
        """Find whole rows, whose quoted values may hold line ends: see :data:`calkit.io.text.Records`."""
        if b'"' not in data:
            return plain_lines(data)
        # Every byte is a character of Latin-1, and those that matter here mean the same in UTF-8.
        lines = io.StringIO(data.decode("latin-1"), newline="\n")
        reader = self.reader(lines)
        count = whole = 0
        try:
            for row in reader:
                count += bool(row)
                whole = reader.line_num
        except csv.Error as error:
            if "unexpected end of data" not in str(error):
                # Not unfinished but wrong: the parser that reads the values says so.
                return len(data), count + 1
            lines.seek(0)
            return sum(len(next(lines)) for _ in range(whole)), count
        return len(data), count

    def names_number(self, word: str) -> bool:
        """Tell whether a word of the first line is a number, so that it names no column."""
        return is_number(word) or (self.delimiter != "," and is_number(word.replace(",", ".")))

    def of_values(self, columns: Sequence[Sequence[str]]) -> Dialect:
        """Return the dialect with decimal commas, if columns hold numbers with commas and none with points."""
        if self.delimiter == ",":
            return self
        commas = points = False
        for words in columns:
            text = "\n".join(words)
            if "," in text:
                commas |= all(is_number(word.replace(",", ".")) for word in words)
            elif "." in text:
                points |= all(map(is_number, words))
        return replace(self, decimal_comma=commas and not points)

    def points(self, words: Sequence[str]) -> Sequence[str]:
        """Return words with points for decimal commas, if the text has these and all words are numbers."""
        if not self.decimal_comma:
            return words
        changed = [word.replace(",", ".") for word in words]
        return changed if all(map(is_number, changed)) else words


def find_delimiter(line: str, usual: str) -> str:
    """Return what separates the columns of a text, from its first line; `usual` if that is there.

    Examples
    --------
    >>> find_delimiter("prob_cat;prob_dog;label", ","), find_delimiter("0,5;0,25;1", ","), find_delimiter("a,b", ",")
    (';', ';', ',')
    """
    line = _QUOTED.sub("", line.strip())
    if ";" in line and all(is_number(word.replace(",", ".")) for word in line.split(";")):
        return ";"
    if usual in line:
        return usual
    found = max(_DELIMITERS, key=line.count)
    if found in line:
        return found
    return " " if " " in line and all(map(is_number, line.split(" "))) else usual


def is_number(text: str) -> bool:
    """Tell whether Python reads a text as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
