"""JSON documents of any length, an element at a time."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calkit.errors import FileFormatError
from calkit.io.hardening.limits import MAX_LINE_BYTES, TEXT_BLOCK_BYTES, format_bytes
from calkit.io.text import open_bytes

__all__ = ["Element", "Place", "TrailingDataError", "walk"]

#: The keys that lead to a list or a value in a document.
Place = tuple[str, ...]

_MAX_DEPTH = 16
_NUMERALS = "0123456789+-.eE"


class TrailingDataError(ValueError):
    """The document has ended, and something follows: it may be one of several, a line each."""


@dataclass(frozen=True)
class Element:
    """A part of a document.

    Attributes
    ----------
    place : tuple of str
        The keys that lead to it.
    value : object
        An element of the list there (several follow each other), or a single value.
    listed : bool
        Which of the two.
    size : int
        Characters it takes in the document.
    """

    place: Place
    value: Any
    listed: bool
    size: int


def walk(path: Path) -> Iterator[Element]:
    """Yield the elements of all lists that only keys lead to, and other values that they lead to.

    Parameters
    ----------
    path : Path

    Yields
    ------
    Element

    Raises
    ------
    TrailingDataError
        If more follows after the document.
    """
    with open_bytes(path) as stream:
        text = _Text(path, stream)
        yield from _walk(text, ())
        if text.peek():
            raise TrailingDataError("more follows after the end of the document")


def _walk(text: _Text, place: Place) -> Iterator[Element]:
    if len(place) > _MAX_DEPTH:
        raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")
    char = text.peek()
    if char == "{":
        for key in _members(text):
            yield from _walk(text, (*place, key))
    elif char == "[":
        for _ in _elements(text):
            yield _element(text, place, listed=True)
    else:
        yield _element(text, place, listed=False)


def _element(text: _Text, place: Place, *, listed: bool) -> Element:
    start = text.position
    value = text.value()
    return Element(place, value, listed, text.position - start)


def _members(text: _Text) -> Iterator[str]:
    """Yield the keys of an object; the caller reads each value before asking for the next."""
    text.take("{")
    if text.peek() == "}":
        text.take("}")
        return
    while True:
        key = text.value()
        if not isinstance(key, str):
            raise ValueError(f"a key is needed at character {text.position}")
        text.take(":")
        yield key
        if text.take(",}") == "}":
            return


def _elements(text: _Text) -> Iterator[None]:
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        yield
        if text.take(",]") == "]":
            return


class _Text:
    """The part of a document that is being read."""

    def __init__(self, path: Path, stream: Any) -> None:
        self._path = path
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder()
        self._held = ""
        self._at = 0
        self._passed = 0
        self._ended = False

    @property
    def position(self) -> int:
        """Number of characters read."""
        return self._passed + self._at

    def peek(self) -> str:
        """Return the next character that is no space, without taking it; nothing at the end."""
        while True:
            while self._at < len(self._held):
                if self._held[self._at] not in " \t\r\n":
                    return self._held[self._at]
                self._at += 1
            if not self._refill():
                return ""

    def take(self, wanted: str) -> str:
        """Take the next character, which must be one of those wanted."""
        char = self.peek()
        if not char or char not in wanted:
            what = f"{char!r} stands" if char else "the text ends"
            raise ValueError(f"{what} at character {self.position} where one of {' '.join(wanted)} is needed")
        self._at += 1
        return char

    def value(self) -> Any:
        """Read a whole value."""
        self.peek()
        while True:
            try:
                value, end = self._json.raw_decode(self._held, self._at)
            except json.JSONDecodeError as error:
                if not self._refill():
                    raise ValueError(f"{error.msg} at character {self._passed + error.pos}") from None
                continue
            # A number at the end of what is held may go on.
            if self._held[end:].strip(_NUMERALS) or not self._refill():
                self._at = end
                return value

    def _refill(self) -> bool:
        """Read on; tell whether anything was left."""
        if self._ended:
            return False
        if len(self._held) - self._at > MAX_LINE_BYTES:
            raise FileFormatError(
                f"{self._path}: the value at character {self.position} is longer than {format_bytes(MAX_LINE_BYTES)}; "
                "rows must be elements of a list, or lines of their own (.jsonl)."
            )
        self._passed += self._at
        # Doubling what is held keeps the work of starting over in proportion.
        size = max(TEXT_BLOCK_BYTES, len(self._held) - self._at)
        piece = self._stream.read(size)
        self._held = self._held[self._at :] + self._decoder.decode(piece, final=not piece)
        self._at = 0
        self._ended = not piece
        return True
