"""``calkit calibrators``: what can be fitted, and what each takes."""

from __future__ import annotations

import json

import click

from calkit.calibrators import CALIBRATORS, get_calibrator
from calkit.calibrators.catalogue import about
from calkit.cli.tables import paragraph, print_table

__all__ = ["command"]


@click.command()
@click.argument("names", nargs=-1, metavar="[CALIBRATOR]...")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="Default: table.")
def command(names: tuple[str, ...], form: str) -> None:
    """List the calibrators, or tell all about some of them.

    \b
    calkit calibrators
    calkit calibrators svs isotonic
    calkit calibrators --format json
    """  # noqa: D301
    rows = [about(get_calibrator(name).name) for name in names] or [about(name) for name in CALIBRATORS]
    if form == "json":
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif names:
        click.echo("\n".join(map(paragraph, rows)), nl=False)
    else:
        print_table(["calibrator", "aliases", "what it does"], [_line(row) for row in rows])
        click.echo("calkit calibrators CALIBRATOR tells the parameters, and what data it takes.")


def _line(row: dict[str, str]) -> list[str]:
    return [row["name"], row["aliases"].replace(", ", " "), row["summary"]]
