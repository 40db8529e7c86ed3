"""``calkit formats``: which files can be read and written."""

from __future__ import annotations

import click

from calkit.cli.terminal import print_table
from calkit.io import FORMATS
from calkit.io.catalogue import about
from calkit.io.text import COMPRESSIONS

__all__ = ["command"]


@click.command()
def command() -> None:
    """List the formats of files, and which can be written."""
    rows = [about(name) for name in FORMATS]
    print_table(
        ["format", "suffixes", "can be", "needs"],
        [[row["name"], row["suffixes"], row["use"], _library(row)] for row in rows],
    )
    click.echo(f"Text also compressed: {' '.join(COMPRESSIONS)}. Pickles only with --trust-pickle.")


def _library(row: dict[str, str]) -> str:
    """Return the library that a format needs, and the extra that installs it."""
    return f"{row['library']}  [{row['extra']}]" if row["extra"] else row["library"]
