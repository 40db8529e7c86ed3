"""Evaluations as tables for people and as JSON, CSV or Markdown for programs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from calkit.evaluation import Evaluation
from calkit.metrics import Metric
from calkit.registry import Registry

__all__ = ["RENDERERS", "print_table", "render"]

# So many evaluations fit side by side, with the metrics down the page.
_SIDE_BY_SIDE = 4


def _labels(evaluations: Sequence[Evaluation]) -> dict[str, list[str]]:
    """Return what tells the evaluations apart, as columns; a column that is empty everywhere is left out."""
    columns = {
        "file": [str(e.meta.get("file", "")) for e in evaluations],
        "split": [str(e.meta.get("split", "")) for e in evaluations],
        "calibrator": [_calibrator(e) for e in evaluations],
    }
    return {name: values for name, values in columns.items() if any(values)}


def _calibrator(evaluation: Evaluation) -> str:
    calibrator = evaluation.meta.get("calibrator")
    if not calibrator:
        return ""
    fitted = "".join(f" [{name} = {value:.6g}]" for name, value in calibrator["fitted"].items())
    return f"{calibrator['spec']}{fitted}"


def _metrics(evaluations: Sequence[Evaluation]) -> list[Metric]:
    """Return all metrics that any of the evaluations has, in order."""
    return list({metric.spec: metric for e in evaluations for metric in e.metrics}.values())


def _cell(evaluation: Evaluation, metric: Metric) -> str:
    """Return the value of a metric, with its interval if it has one."""
    if metric.spec not in evaluation:
        return "–"
    return f"{metric.format(evaluation[metric.spec])} {evaluation.interval_text(metric)}".rstrip()


def _with_level(name: str, evaluations: Sequence[Evaluation]) -> str:
    """Return a heading that says which intervals stand beside the values."""
    levels = sorted({e.confidence_level for e in evaluations if e.confidence_level is not None})
    return f"{name} ({', '.join(f'{level * 100:g}' for level in levels)} % intervals)" if levels else name


#: Functions that turn evaluations into text, by the name of the format.
RENDERERS: Registry[Callable[[Sequence[Evaluation]], str]] = Registry("format")


@RENDERERS.register("json")
def _json(evaluations: Sequence[Evaluation]) -> str:
    return json.dumps([_finite(e.to_dict()) for e in evaluations], indent=2, ensure_ascii=False) + "\n"


@RENDERERS.register("csv")
def _csv(evaluations: Sequence[Evaluation]) -> str:
    """Values as they are, one evaluation a row; limits of intervals in columns after their metric."""
    labels = _labels(evaluations)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    specs = [metric.spec for metric in _metrics(evaluations)]
    limited = any(e.confidence_level is not None for e in evaluations)
    ends = ("", "_low", "_high") if limited else ("",)
    writer.writerow([*labels, "n_samples", *(f"{spec}{end}" for spec in specs for end in ends)])
    for i, e in enumerate(evaluations):
        rows = [(e.get(spec, math.nan), *(e.intervals.get(spec) or (math.nan, math.nan))) for spec in specs]
        found = [number for row in rows for number in row[: len(ends)]]
        values = ["" if math.isnan(v) else repr(v) for v in found]
        writer.writerow([*(column[i] for column in labels.values()), e.n_samples, *values])
    return out.getvalue()


@RENDERERS.register("md")
def _markdown(evaluations: Sequence[Evaluation]) -> str:
    """Values as people read them, one evaluation a row."""
    labels = _labels(evaluations)
    metrics = _metrics(evaluations)
    header = [*labels, _with_level("samples", evaluations), *(metric.heading for metric in metrics)]
    ruler = ["---"] * len(labels) + ["--:"] * (len(header) - len(labels))
    lines = [header, ruler]
    for i, e in enumerate(evaluations):
        values = [_cell(e, metric) for metric in metrics]
        lines.append([*(column[i] for column in labels.values()), str(e.n_samples), *values])
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)


@RENDERERS.register("table")
def _table(evaluations: Sequence[Evaluation]) -> str:
    """Values as people read them: few evaluations side by side, many one a row."""
    labels = _labels(evaluations)
    files = set(labels.get("file", []))
    if len({Path(name).name for name in files}) == len(files) > 1:
        labels["file"] = [Path(name).name for name in labels["file"]]
    metrics = _metrics(evaluations)
    names = [_with_level("samples", evaluations), *(metric.heading for metric in metrics)]
    rows = [[f"{e.n_samples:,}", *(_cell(e, metric) for metric in metrics)] for e in evaluations]
    if len(evaluations) > _SIDE_BY_SIDE:
        table = _empty_table()
        for name in labels:
            table.add_column(name, overflow="fold")
        for name in names:
            table.add_column(name, justify="right")
        for i, row in enumerate(rows):
            table.add_row(*(column[i] for column in labels.values()), *row)
        return to_text(table)
    shared = {name: values[0] for name, values in labels.items() if len(set(values)) == 1}
    table = _empty_table()
    table.add_column("")
    for i in range(len(evaluations)):
        own = [values[i] or "as it is" for name, values in labels.items() if name not in shared]
        table.add_column("\n".join(own).replace(" [", "\n["), justify="right")
    for k, name in enumerate(names):
        table.add_row(name, *(row[k] for row in rows))
    title = "  ".join(shared.values())
    return (f"{title}\n\n" if title else "") + to_text(table)


def _empty_table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")


def to_text(renderable: Table) -> str:
    """Return what rich would print, as wide as the terminal, or as it needs where there is none."""
    probe = Console()
    buffer = io.StringIO()
    Console(
        file=buffer,
        width=probe.width if probe.is_terminal else 400,
        force_terminal=probe.is_terminal,
        no_color=probe.no_color,
        markup=False,
        highlight=False,
    ).print(renderable)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()).strip("\n") + "\n"


def render(evaluations: Sequence[Evaluation], form: str) -> str:
    """Return evaluations as text of a format: table, json, csv, md."""
    return RENDERERS[form](evaluations)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a plain table of strings."""
    table = _empty_table()
    for name in header:
        table.add_column(name)
    for row in rows:
        table.add_row(*row)
    click.echo(to_text(table), nl=False)


def _finite(value: Any) -> Any:
    """Return plain data with NaN as null, which is what JSON has for it."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
