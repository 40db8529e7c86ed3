"""Lists of what there is by name, and all that is known of single ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import click

from calkit.cli.terminal import print_table

__all__ = ["show_listing"]

Row = Mapping[str, str]


def show_listing(
    rows: Sequence[Row], form: str, *, whole: bool, header: Sequence[str], line: Callable[[Row], list[str]], hint: str
) -> None:
    """Print rows as JSON, one by one with all that is known, or as a table with a hint below it."""
    if form == "json":
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif whole:
        click.echo("\n".join(map(_paragraph, rows)), nl=False)
    else:
        print_table(header, [line(row) for row in rows])
        click.echo(hint)


def _paragraph(row: Row) -> str:
    """Return what is known of one thing as lines of names and values; those without a value are left out."""
    width = max(map(len, row))
    return "".join(f"{key:<{width}}  {value}\n" for key, value in row.items() if value)
