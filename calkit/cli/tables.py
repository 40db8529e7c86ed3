"""Evaluations as tables for people and papers, and as JSON, CSV or Markdown for programs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.table import Table

from calkit.cli.latex import latex_table
from calkit.cli.terminal import broken, empty_table, fits, panels, to_text
from calkit.evaluation import Evaluation, WorstGroup, fitted_text, p_text
from calkit.evaluation.chance import below_chance
from calkit.metrics import Metric
from calkit.printing import json_text, markdown_cell, printable
from calkit.registry import Registry
from calkit.stats.grouping import group_name

__all__ = ["RENDERERS", "render"]

# Up to this number, evaluations stand side by side, with the metrics down the page; more stand one a row.
_SIDE_BY_SIDE = 4

# Where the groups of evaluations keep which column and value they are of, and what is done with label errors.
_GROUP, _LABEL_ERRORS = "group", "label errors"


def _with_groups(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Return the evaluations, each followed by those of its parts, which know in their `meta` whose they are."""
    found = []
    for whole in evaluations:
        errors = whole.label_errors
        if errors is None:
            found.append(whole)
        else:
            found.append(replace(whole, meta={**whole.meta, _LABEL_ERRORS: f"{errors.n_errors:,} counted"}))
            found.append(replace(errors.without, meta={**whole.meta, _LABEL_ERRORS: "left out"}))
        for label, group in whole.groups.items():
            found.append(replace(group, meta={**whole.meta, _GROUP: (str(whole.by), group_name(label))}))
    return found


def _labels(evaluations: Sequence[Evaluation]) -> dict[str, list[str]]:
    """Return what tells the evaluations apart, as columns; a column that is empty everywhere is left out."""
    calibrators = [_calibrator(e) for e in evaluations]
    columns = {
        "file": [printable(str(e.meta.get("file", ""))) for e in evaluations],
        "split": [printable(str(e.meta.get("split", ""))) for e in evaluations],
        "calibrator": [name or "uncalibrated" for name in calibrators] if any(calibrators) else calibrators,
        _LABEL_ERRORS: [str(e.meta.get(_LABEL_ERRORS, "")) for e in evaluations],
        **_group_labels(evaluations),
    }
    return {name: values for name, values in columns.items() if any(values)}


def _group_labels(evaluations: Sequence[Evaluation]) -> dict[str, list[str]]:
    """Return the group of each evaluation, as a column for each column of the data that tells groups."""
    names = dict.fromkeys(e.by for e in evaluations if e.by is not None)
    return {
        name: [dict([e.meta[_GROUP]]).get(name, "") if _GROUP in e.meta else "all" for e in evaluations]
        for name in names
    }


def _worst(evaluations: Sequence[Evaluation]) -> str:
    """Return a line for each evaluation that has groups: the worst ones, allowing for how many there are."""
    lines = []
    for e in evaluations:
        groups: dict[Any, list[str]] = {}
        for metric in e.metrics:
            if metric.spec in e.worst_groups:
                found = e.worst_groups[metric.spec]
                groups.setdefault(found.group, []).append(_worst_text(metric, found))
        worst = [f"{group_name(label)} ({'; '.join(texts)})" for label, texts in groups.items()]
        if worst:
            where = " ".join(str(word) for word in (e.meta.get("split"), _calibrator(e)) if word)
            head = f"Worst {e.by} of {len(e.groups)}{f', {where}' if where else ''}"
            lines.append(f"{head}: {', '.join(worst)}\n")
    note = "limits of the worst hold for all groups at once; p-values of groups by Holm's method\n"
    return "".join(lines) + (note if lines else "")


def _worst_text(metric: Metric, found: WorstGroup) -> str:
    parts = [metric.title, metric.format(found.value)]
    if found.interval is not None:
        parts.append(f"[{', '.join(metric.format(limit) for limit in found.interval)}]")
    p = "" if found.p_adjusted is None else f", p {p_text(found.p_adjusted)}"
    return " ".join(parts) + p


def _calibrator(evaluation: Evaluation) -> str:
    calibrator = evaluation.meta.get("calibrator")
    if not calibrator:
        return ""
    fitted = fitted_text(calibrator["fitted"], calibrator.get("symbols"))
    return f"{calibrator['spec']}; {fitted}" if fitted else str(calibrator["spec"])


def _metrics(evaluations: Sequence[Evaluation]) -> list[Metric]:
    """Return all metrics that any of the evaluations has, in order."""
    return list({(metric.spec, metric.view): metric for e in evaluations for metric in e.metrics}.values())


def _cell(
    evaluation: Evaluation, metric: Metric, between: str = " ", words: str = "floor", *, floors: bool = True
) -> str:
    """Return the value of a metric, with its interval and its floor if it has them."""
    if all((own.spec, own.view) != (metric.spec, metric.view) for own in evaluation.metrics):
        return "–"
    parts = (
        metric.format(evaluation[metric.spec]),
        evaluation.interval_text(metric),
        evaluation.floor_text(metric, words) if floors else "",
    )
    return between.join(part for part in parts if part)


def _level(evaluations: Sequence[Evaluation]) -> str:
    """Return in words which intervals stand beside the values; nothing if none do."""
    levels = sorted({e.confidence_level for e in evaluations if e.confidence_level is not None})
    return f"{', '.join(f'{level * 100:g}' for level in levels)} % intervals in brackets" if levels else ""


def _floors(evaluations: Sequence[Evaluation]) -> str:
    """Say what floors are, if there are any."""
    floors = any(judgement.floor for e in evaluations for judgement in e.judgements.values())
    return "floor: a perfect model of this size\n" if floors else ""


def _doubts(evaluations: Sequence[Evaluation]) -> str:
    """Return a line for each evaluation whose accuracy is below that of guesses."""
    return "".join(f"{text}\n" for text in dict.fromkeys(map(below_chance, evaluations)) if text)


#: Functions that turn evaluations into text, by the name of the format.
RENDERERS: Registry[Callable[[Sequence[Evaluation]], str]] = Registry("format")


@RENDERERS.register("json")
def _json(evaluations: Sequence[Evaluation]) -> str:
    return json_text([e.to_dict() for e in evaluations]) + "\n"


@RENDERERS.register("csv")
def _csv(evaluations: Sequence[Evaluation]) -> str:
    """Values as fractions, one evaluation a row; limits, floors and p-values in columns after their metric."""
    evaluations = _with_groups(evaluations)
    calibrators: list[Mapping[str, Any]] = [e.meta.get("calibrator") or {"spec": "", "fitted": {}} for e in evaluations]
    labels = {
        "file": [printable(str(e.meta.get("file", ""))) for e in evaluations],
        "split": [printable(str(e.meta.get("split", ""))) for e in evaluations],
        "calibrator": [calibrator["spec"] for calibrator in calibrators],
        **_group_labels(evaluations),
    }
    if any(_LABEL_ERRORS in e.meta for e in evaluations):
        labels[_LABEL_ERRORS] = [str(e.meta.get(_LABEL_ERRORS, "")) for e in evaluations]
    for name in dict.fromkeys(name for calibrator in calibrators for name in calibrator["fitted"]):
        labels[name] = [repr(c["fitted"][name]) if name in c["fitted"] else "" for c in calibrators]
    specs = list(dict.fromkeys(metric.spec for metric in _metrics(evaluations)))
    columns = {spec: _numbers(spec, evaluations) for spec in specs}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = [f"{spec}{end}" for spec, own in columns.items() for end in own]
    writer.writerow([*labels, "n_samples", *heads])
    for i, e in enumerate(evaluations):
        found = [values[i] for own in columns.values() for values in own.values()]
        numbers = ["" if value is None or math.isnan(value) else repr(value) for value in found]
        writer.writerow([*(column[i] for column in labels.values()), e.n_samples, *numbers])
    return out.getvalue()


def _numbers(spec: str, evaluations: Sequence[Evaluation]) -> dict[str, list[float | None]]:
    """Return the columns of a metric by the ends of their names; those that are empty everywhere are left out."""
    found = [e.judgement(spec) for e in evaluations]
    limited = any(e.confidence_level is not None for e in evaluations)
    limits = [judgement.interval or (None, None) for judgement in found]
    columns: dict[str, list[float | None]] = {
        "": [e.get(spec) for e in evaluations],
        "_low": [low for low, _ in limits] if limited else [],
        "_high": [high for _, high in limits] if limited else [],
        "_floor": [None if judgement.floor is None else judgement.floor.mean for judgement in found],
        "_floor_p95": [None if judgement.floor is None else judgement.floor.p95 for judgement in found],
        "_p": [judgement.p_value for judgement in found],
        "_p_adjusted": [judgement.p_adjusted for judgement in found],
    }
    always = ("", "_low", "_high")
    return {
        end: values
        for end, values in columns.items()
        if values and (end in always or any(value is not None for value in values))
    }


@RENDERERS.register("md")
def _markdown(evaluations: Sequence[Evaluation]) -> str:
    """Values as people read them, one evaluation a row."""
    below = "\n".join(text for text in (_worst(evaluations), _doubts(evaluations)) if text)
    evaluations = _with_groups(evaluations)
    labels = _labels(evaluations)
    metrics = _metrics(evaluations)
    level = _level(evaluations)
    header = [*labels, f"samples ({level})" if level else "samples", *(metric.heading for metric in metrics)]
    ruler = ["---"] * len(labels) + ["--:"] * (len(header) - len(labels))
    lines = [header, ruler]
    for i, e in enumerate(evaluations):
        values = [_cell(e, metric, words="perfect model of this size:") for metric in metrics]
        lines.append([*(column[i] for column in labels.values()), str(e.n_samples), *values])
    table = "".join("| " + " | ".join(map(markdown_cell, line)) + " |\n" for line in lines)
    return table + (f"\n{below}" if below else "")


@RENDERERS.register("table")
def _table(evaluations: Sequence[Evaluation]) -> str:
    """Values as people read them, within the width of the terminal: few evaluations side by side, many one a row."""
    notes = (_worst(evaluations), _doubts(evaluations))
    evaluations = _with_groups(evaluations)
    labels = _labels(evaluations)
    shared, own = _told_apart(labels)
    titles = [text for text in (*shared.values(), _level(evaluations)) if text]
    title = "  ".join(titles)
    if not fits(title):
        title = "\n".join(titles)
    arrange = _side_by_side if len(evaluations) <= _SIDE_BY_SIDE else _one_a_row
    tables = "\n".join(map(to_text, arrange(evaluations, own)))
    below = "\n".join(text for text in (_floors(evaluations), *notes) if text)
    return (f"{title}\n\n" if title else "") + tables + (f"\n{below}" if below else "")


def _told_apart(labels: dict[str, list[str]]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the labels that all evaluations share, and the others; files by their own names where those differ."""
    files = set(labels.get("file", []))
    if len({Path(name).name for name in files}) == len(files) > 1:
        labels["file"] = [Path(name).name for name in labels["file"]]
    shared = {name: values[0] for name, values in labels.items() if len(set(values)) == 1}
    return shared, {name: values for name, values in labels.items() if name not in shared}


@RENDERERS.register("latex")
def _latex(evaluations: Sequence[Evaluation]) -> str:
    """Values with their intervals, one evaluation a row; what all rows share is left out, and so are floors."""
    evaluations = _with_groups(evaluations)
    _, own = _told_apart(_labels(evaluations))
    metrics = _metrics(evaluations)
    level = _level(evaluations)
    header = [*own, f"samples ({level})" if level else "samples", *(metric.heading for metric in metrics)]
    rows = [
        [
            *(column[i] for column in own.values()),
            str(e.n_samples),
            *(_cell(e, metric, floors=False) for metric in metrics),
        ]
        for i, e in enumerate(evaluations)
    ]
    return latex_table(header, rows, n_texts=len(own))


def _side_by_side(evaluations: Sequence[Evaluation], labels: dict[str, list[str]]) -> list[Table]:
    """Return tables with a column for each evaluation; intervals stand under the values where the width asks for it."""
    metrics = _metrics(evaluations)

    def make(columns: Sequence[int], between: str) -> Table:
        table = empty_table()
        table.add_column("")
        for i in columns:
            words = [values[i] for values in labels.values() if values[i]]
            table.add_column("\n".join(line for word in words for line in broken(word)), justify="right")
        table.add_row("samples", *(f"{evaluations[i].n_samples:,}" for i in columns))
        for metric in metrics:
            table.add_row(metric.heading, *(_cell(evaluations[i], metric, between) for i in columns))
        return table

    everything = range(len(evaluations))
    if fits(make(everything, " ")):
        return [make(everything, " ")]
    return panels(everything, lambda columns: make(columns, "\n"))


def _one_a_row(evaluations: Sequence[Evaluation], labels: dict[str, list[str]]) -> list[Table]:
    """Return tables with a row for each evaluation; numbers stand for their names where the width asks for it."""
    names = empty_table()
    for name in ("", *labels):
        names.add_column(name, overflow="fold")
    for i in range(len(evaluations)):
        names.add_row(str(i + 1), *(values[i] for values in labels.values()))

    metrics = _metrics(evaluations)
    columns = {"samples": [f"{e.n_samples:,}" for e in evaluations]}
    for metric in metrics:
        columns[metric.heading] = [_cell(e, metric) for e in evaluations]

    def make(chosen: Sequence[str], first: dict[str, list[str]]) -> Table:
        table = empty_table()
        for name in first:
            table.add_column(name)
        for name in chosen:
            table.add_column(name, justify="right")
        shown = [*first.values(), *(columns[name] for name in chosen)]
        for row in zip(*shown, strict=True):
            table.add_row(*row)
        return table

    if fits(make(list(columns), labels)):
        return [make(list(columns), labels)]
    numbers = {"": [str(i + 1) for i in range(len(evaluations))]}
    if not all(fits(make([name], numbers)) for name in columns):
        columns = {name: [cell.replace(" [", "\n[").replace(" (", "\n(") for cell in c] for name, c in columns.items()}
    return [names, *panels(list(columns), lambda chosen: make(chosen, numbers))]


def render(evaluations: Sequence[Evaluation], form: str) -> str:
    """Return evaluations as text of a format: table, json, csv, md, latex."""
    return RENDERERS[form](evaluations)
