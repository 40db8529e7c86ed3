"""``calkit calibrators``: what can be fitted, and what each takes."""

from __future__ import annotations

from collections.abc import Mapping

import click

from calkit.calibrators import CALIBRATORS, get_calibrator
from calkit.calibrators.catalogue import about
from calkit.cli.listing import show_listing

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
    header = ["calibrator", "aliases", "what it does"]
    hint = "calkit calibrators CALIBRATOR tells the parameters, and what data it takes."
    show_listing(rows, form, whole=bool(names), header=header, line=_line, hint=hint)


def _line(row: Mapping[str, str]) -> list[str]:
    return [row["name"], row["aliases"].replace(", ", " "), row["summary"]]
