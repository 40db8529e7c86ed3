"""Tables of text, as wide as the terminal allows."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import click
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from calkit.printing import printable

__all__ = ["broken", "empty_table", "fits", "panels", "plain_table", "print_table", "to_text"]

T = TypeVar("T")

# Words of headings are broken, where possible, into lines of this many characters.
_HEADING_WIDTH = 20


def panels(columns: Sequence[T], make: Callable[[Sequence[T]], Table]) -> list[Table]:
    """Return tables below each other, each of as many columns as the terminal is wide, and of one at least."""
    tables, start = [], 0
    while start < len(columns):
        end = start + 1
        while end < len(columns) and fits(make(columns[start : end + 1])):
            end += 1
        tables.append(make(columns[start:end]))
        start = end
    return tables


def broken(text: str) -> list[str]:
    """Break a heading into lines: after semicolons always, after other marks where it is too long."""
    lines: list[str] = []
    for part in text.split("; "):
        line = ""
        for piece in re.split(r"(?<=[:,/_=-])", part):
            if line and len(line) + len(piece) > _HEADING_WIDTH:
                lines.append(line)
                line = ""
            line += piece
        lines.append(line)
    return lines


def empty_table() -> Table:
    """Return a table without columns, in the style of all."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")


def _terminal_width() -> int | None:
    """Return the width of the terminal, or None where the output goes elsewhere."""
    probe = Console()
    return probe.width if probe.is_terminal else None


def _natural_width(table: Table) -> int:
    console = Console(width=10_000, markup=False)
    return Measurement.get(console, console.options, table).maximum


def fits(item: Table | str) -> bool:
    """Tell whether the terminal is wide enough for a table or a line, or the output goes elsewhere."""
    width = _terminal_width()
    return width is None or (len(item) if isinstance(item, str) else _natural_width(item)) <= width


def to_text(table: Table) -> str:
    """Return what rich would print: as wide as the table needs, at most as the terminal if its cells can be folded."""
    probe = Console()
    width = _natural_width(table)
    if any(column.overflow == "fold" for column in table.columns):
        width = min(width, _terminal_width() or width)
    buffer = io.StringIO()
    Console(
        file=buffer,
        width=width,
        force_terminal=probe.is_terminal,
        no_color=probe.no_color,
        markup=False,
        highlight=False,
    ).print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()).strip("\n") + "\n"


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a plain table of strings."""
    click.echo(plain_table(header, rows), nl=False)


def plain_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a plain table of strings as text."""
    table = empty_table()
    for k, name in enumerate(header):
        short = all(len(row[k]) <= _HEADING_WIDTH for row in rows)
        table.add_column(name, overflow="fold", no_wrap=short and k > 0)
    for row in rows:
        table.add_row(*map(printable, row))
    return to_text(table)
