"""Names of files and arrays as they can be shown anywhere: control characters are written as escapes."""

from __future__ import annotations

import inspect
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["escape_texts", "json_text", "markdown_cell", "markdown_table", "printable", "summary_of"]

# What JSON leaves although terminals obey it; and the halves of pairs, in file names that are no text, which no file
# can hold.
_CONTROL = re.compile(r"[\ud800-\udfff\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


# The beginning of an element of HTML.
_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def printable(text: str, *, lines: bool = False) -> str:
    r"""Return text whose control characters, and others that cannot be printed, are written as escapes.

    Parameters
    ----------
    text : str
    lines : bool, default=False
        Whether line ends stay line ends.

    Examples
    --------
    >>> printable("caf\u00e9\x1b[31m.npz")
    'café\\x1b[31m.npz'
    >>> printable("12\u00a0%") == "12\u00a0%"
    True
    """
    if lines:
        return "\n".join(map(printable, text.split("\n")))
    if text.isprintable():
        return text
    return "".join(c if _is_shown(c) else c.encode("unicode_escape").decode("ascii") for c in text)


def _is_shown(character: str) -> bool:
    """Tell whether a character can be shown: spaces of any width can, though Python does not call them printable."""
    return character.isprintable() or unicodedata.category(character) == "Zs"


def markdown_cell(text: str) -> str:
    r"""Return a text as a cell of a table in Markdown shows it: no column ends in it, and it holds no element of HTML.

    Examples
    --------
    >>> print(markdown_cell("a|b <i>, p < .001"))
    a\|b &lt;i>, p < .001
    """
    return _TAG.sub("&lt;", text.replace("|", r"\|"))


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""Return a table in Markdown.

    Examples
    --------
    >>> print(markdown_table(["name", "norm"], [["ece", "|x|"]]), end="")
    | name | norm |
    | --- | --- |
    | ece | \|x\| |
    """
    lines = [header, ["---"] * len(header), *(map(markdown_cell, row) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def json_text(data: Any) -> str:
    r"""Return plain data as JSON that a terminal shows without obeying it; programs read the same data.

    NaN and infinities are null, since JSON has no numbers for them.

    Examples
    --------
    >>> print(json_text({"file": "caf\u00e9\x9b"}))
    {
      "file": "café\u009b"
    }
    """
    text = json.dumps(_finite(data), indent=2, ensure_ascii=False, allow_nan=False)
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _finite(value: Any) -> Any:
    """Return plain data with null for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def escape_texts(figure: Any) -> None:
    """Escape what cannot be printed in all texts of a Matplotlib figure; SVG with it in would be malformed."""
    for artist in figure.findobj(lambda artist: hasattr(artist, "set_text") and hasattr(artist, "get_text")):
        found = artist.get_text()
        shown = printable(found, lines=True)
        if shown != found:
            artist.set_text(shown)


def summary_of(documented: object) -> str:
    """Return the first paragraph of a docstring as one line, without marks of roles such as :math:`a + b`.

    Examples
    --------
    >>> summary_of(summary_of)
    'Return the first paragraph of a docstring as one line, without marks of roles such as a + b.'
    """
    paragraph = (inspect.getdoc(documented) or "").split("\n\n")[0].replace("\n", " ")
    return re.sub(r":[a-z:]+:`~?([^`]*)`", r"\1", paragraph)
