"""``calkit metrics``: what can be measured, and when it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping

import click

from calkit.cli.listing import show_listing
from calkit.metrics import METRICS, get_metric
from calkit.metrics.catalogue import about

__all__ = ["command"]


@click.command()
@click.argument("names", nargs=-1, metavar="[METRIC]...")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="Default: table.")
def command(names: tuple[str, ...], form: str) -> None:
    """List the metrics, or tell all about some of them.

    \b
    calkit metrics
    calkit metrics ece brier
    calkit metrics --format json
    """  # noqa: D301
    chosen = [METRICS[get_metric(name).name] for name in names] or list(METRICS.values())
    rows = [about(definition) for definition in chosen]
    header = ["metric", "aliases", "title", "range", "what it is"]
    hint = "calkit metrics METRIC tells formula, parameters, targets, cost, source, and when to trust it."
    show_listing(rows, form, whole=bool(names), header=header, line=_line, hint=hint)


def _line(row: Mapping[str, str]) -> list[str]:
    return [row["name"], row["aliases"].replace(", ", " "), row["title"], row["range"], row["summary"]]
