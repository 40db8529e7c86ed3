"""``calkit show``: what is in a file."""

from __future__ import annotations

import click

from calkit.cli.tables import print_table
from calkit.io import available_formats, describe
from calkit.printing import json_text, printable

__all__ = ["command"]


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--count-nan", is_flag=True, help="Count NaN in all arrays, which reads the whole file.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="Default: table.")
@click.option("--file-format", type=click.Choice(available_formats()), help="Format of the file, if nothing tells.")
@click.option("--trust-pickle", is_flag=True, help="Read pickles, which can run any code: only for files of your own.")
@click.option("--sandbox", is_flag=True, help="Read files of strangers in a process with limits of memory and time.")
def command(file: str, count_nan: bool, form: str, file_format: str | None, trust_pickle: bool, sandbox: bool) -> None:
    """Print the arrays of a file, and what their names are taken for.

    Of the values, only labels are looked at, unless --count-nan asks for more.

    \b
    calkit show logits.npz
    """  # noqa: D301
    found = describe(file, count_nan=count_nan, file_format=file_format, trust_pickle=trust_pickle, sandbox=sandbox)
    if form == "json":
        click.echo(json_text(found.to_dict()))
        return
    header = ["array", "shape", "type", "taken for", "split", "labels", *(["NaN"] if count_nan else [])]
    rows = []
    for item in found.arrays:
        shape = " × ".join(f"{n:,}" for n in item.shape) or "scalar"
        labels = "{} … {}".format(*item.label_range) if item.label_range else ""
        nan = [f"{item.n_nan:,}" if item.n_nan is not None else "–"] if count_nan else []
        rows.append([item.name, shape, item.dtype, item.role, item.split, labels, *nan])
    size = "" if found.size is None else f", {found.size:,} bytes"
    click.echo(f"{printable(file)}: {found.format}{size}")
    print_table(header, rows)
    for item in found.arrays:
        if item.columns:
            click.echo(f" {item.name}: {item.classes()}")
