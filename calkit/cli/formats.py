"""``calkit formats``: which files can be read and written."""

from __future__ import annotations

import click

from calkit.cli.tables import print_table
from calkit.io import FORMATS
from calkit.io.formats.base import Format, WritableFormat
from calkit.io.hardening.guard import extra_of
from calkit.io.text import COMPRESSIONS

__all__ = ["command"]


@click.command()
def command() -> None:
    """List the formats of files, and which can be written."""
    rows = []
    for name in FORMATS:
        form = FORMATS[name]
        suffixes = " ".join(s for s in form.suffixes if not s.endswith(COMPRESSIONS)) or "(folders)"
        rows.append([name, suffixes, "read, write" if isinstance(form, WritableFormat) else "read", _library(form)])
    print_table(["format", "suffixes", "can be", "needs"], rows)
    click.echo(f"Text also compressed: {' '.join(COMPRESSIONS)}. Pickles only with --trust-pickle.")


def _library(form: Format) -> str:
    """Return the library that a format needs, and the extra that installs it."""
    if not form.requires:
        return ""
    library = form.requires[0].split(".")[0]
    return f"{library}  [{extra_of(library)}]"
