"""``calkit show``: what is in a file."""

from __future__ import annotations

import click

from calkit.cli.tables import print_table
from calkit.io import open_container
from calkit.io.names import read_name

__all__ = ["command"]


@click.command()
@click.argument("file", metavar="FILE")
def command(file: str) -> None:
    r"""Print the arrays of a file, and what their names are taken for.

    \b
    calkit show logits.npz
    """
    container = open_container(file)
    rows = []
    for item in container.fields.values():
        meaning = read_name(item.name)
        shape = " × ".join(f"{n:,}" for n in item.shape) or "scalar"
        role, split = (meaning.role, meaning.split) if meaning else ("", "")
        rows.append([item.name, shape, str(item.dtype), role, split])
    click.echo(f"{file}: {container.format}")
    print_table(["array", "shape", "type", "taken for", "split"], rows)
