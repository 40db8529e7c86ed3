"""Tables as notebooks show them: plain HTML, every text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from calkit.printing import printable

__all__ = ["html_table"]

_CELL = 'style="text-align:right;padding:0.15em 0.8em"'
_HEAD = 'style="text-align:left;padding:0.15em 0.8em"'


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """Return a table of texts as HTML; the first cell of each row heads it.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequence of str
    caption : str, optional

    Examples
    --------
    >>> html_table(["a"], [["<b>"]]).count("&lt;b&gt;")
    1
    """

    def text(value: str) -> str:
        return escape(printable(value))

    head = "".join(f'<th scope="col" {_HEAD}>{text(name)}</th>' for name in header)
    body = "".join(
        f'<tr><th scope="row" {_HEAD}>{text(row[0])}</th>'
        + "".join(f"<td {_CELL}>{text(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    told = f'<caption style="text-align:left">{text(caption)}</caption>' if caption else ""
    return f"<table>{told}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
