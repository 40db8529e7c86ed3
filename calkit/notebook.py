"""What notebooks show: tables, pictures and pages as HTML that needs nothing else, every text escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from calkit.printing import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["html_page", "html_picture", "html_table"]

# Pixels of a picture per inch, and how many of them make one of the page: screens are fine.
_DPI, _FINENESS = 80, 2

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


def html_picture(figure: Figure, alt: str) -> str:
    """Return a figure as an image that stands in the HTML itself.

    Parameters
    ----------
    figure : matplotlib Figure
    alt : str
        What it shows, in words.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI * _FINENESS)
    data = base64.b64encode(buffer.getvalue()).decode()
    width = round(figure.get_figwidth() * _DPI)
    style = f"width:{width}px;max-width:100%;height:auto"
    return f'<img src="data:image/png;base64,{data}" alt="{escape(printable(alt))}" style="{style}">'


def html_page(page: str, title: str, height: str) -> str:
    """Return a whole page as a frame: its styles, scripts and ids stay apart from those of all others.

    Parameters
    ----------
    page : str
        HTML that loads nothing. Its scripts run, and reach nothing outside of it.
    title : str
        What the frame is called for those who cannot see it.
    height : str
        As CSS has it: ``"40rem"``.

    Examples
    --------
    >>> html_page("<!doctype html><p>1 &lt; 2", "a page", "10rem").count("&amp;lt;")
    1
    """
    # Links within the page would lead to the notebook's address without a base of its own.
    based = page.replace("<head>", '<head>\n<base href="about:srcdoc">', 1)
    style = f"width:100%;height:{height};border:0"
    return (
        f'<iframe sandbox="allow-scripts allow-modals" title="{escape(printable(title))}" style="{style}" '
        f'srcdoc="{escape(based)}"></iframe>'
    )
