"""``calkit formats``: which files can be read and written."""

from __future__ import annotations

import click

from calkit.cli.tables import print_table
from calkit.io import FORMATS
from calkit.io.formats.base import WritableFormat

__all__ = ["command"]


@click.command()
def command() -> None:
    """List the formats of files, their suffixes, and which can be written."""
    rows = [
        [name, " ".join(form.suffixes), "read, write" if isinstance(form, WritableFormat) else "read"]
        for name, form in ((name, FORMATS[name]) for name in FORMATS)
    ]
    print_table(["format", "suffixes", "can be"], rows)
