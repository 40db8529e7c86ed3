"""``calkit compare``: several models on the same rows, and which differences are real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from calkit.cli import completion
from calkit.cli.latex import latex_table
from calkit.cli.options import FileCommand, FitOptions, InputOptions, fit_options, input_options
from calkit.cli.outputs import announce, check_output, format_of, format_option, write_text
from calkit.cli.pictures import check_picture, picture_style, save_picture
from calkit.cli.progress import computing
from calkit.cli.terminal import plain_table
from calkit.comparison import Comparison, compare, difference_text
from calkit.errors import UsageError
from calkit.predictions import Predictions
from calkit.printing import json_text, markdown_cell, printable
from calkit.registry import Registry
from calkit.specs import split_specs

__all__ = ["COMPARISON_FORMATS", "command"]

#: Functions that turn a comparison into text, by the name of the format.
COMPARISON_FORMATS: Registry[Callable[[Comparison], str]] = Registry("format")

_FORMATS = ("table", "json", "csv", "md", "latex")


@click.command(cls=FileCommand)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@input_options
@fit_options
@click.option(
    "--metrics",
    metavar="LIST",
    shell_complete=completion.metrics,
    help="Metrics, by commas; by default those of 'calkit evaluate'.",
)
@click.option(
    "--target", shell_complete=completion.targets, help="What is judged: top, positive:class=NAME, classwise, top-5."
)
@click.option("--baseline", metavar="MODEL", help="Model the others are compared with; by default the first.")
@click.option(
    "--join",
    metavar="COLUMNS",
    help="Match rows by the values of this column (id), or of several by commas, whatever their order.",
)
@click.option(
    "--confidence-level",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Of the intervals.",
)
@click.option("--random-state", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the bootstrap.")
@format_option(_FORMATS, "table")
@click.option("--plot", type=click.Path(path_type=Path), metavar="PICTURE", help="Draw the differences too.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file instead of the terminal.")
def command(
    files: tuple[str, ...],
    source: InputOptions,
    fit: FitOptions,
    metrics: str | None,
    target: str | None,
    baseline: str | None,
    join: str | None,
    confidence_level: float,
    random_state: int,
    form: str | None,
    plot: Path | None,
    output: Path | None,
) -> None:
    """Compare models on the same rows.

    Each FILE holds the scores of one model; all must be of the same rows in the same order, which their labels are
    checked for, unless --join names a column that tells rows apart. With --method or --calibrator, models before and
    after calibration are compared as well, so that one FILE is enough. Differences come with intervals and p-values
    that allow for what noise the models share.

    \b
    calkit compare a.npz b.npz c.npz
    calkit compare logits.npz -m temperature -m isotonic --metrics ece,nll
    calkit compare a.csv b.csv --join id
    calkit compare a.npz b.npz --format latex --plot differences.png
    """  # noqa: D301
    check_output(output, [*files, *source.files(), *fit.files()])
    if plot is not None:
        check_output(plot, [*files, *source.files(), *fit.files()])
        check_picture(plot)
    models = _models(files, source, fit)
    if len(models) < 2:
        raise UsageError("compare takes two models or more: name another FILE, or a calibrator (-m temperature).")
    with computing("differences"):
        found = compare(
            models,
            None if metrics is None else split_specs(metrics),
            baseline=baseline,
            target=target,
            join=None if join is None else [name.strip() for name in join.split(",")],
            confidence_level=confidence_level,
            random_state=random_state,
        )
    if plot is not None:
        from calkit.plotting import ForestDisplay

        with picture_style():
            save_picture(ForestDisplay.from_comparison(found).figure_of(), plot)
        announce(f"wrote {plot}")
    write_text(COMPARISON_FORMATS[form or format_of(output, _FORMATS, "table")](found), output)


def _models(files: tuple[str, ...], source: InputOptions, fit: FitOptions) -> dict[str, Predictions]:
    """Return the models by name: of each file, uncalibrated and after each calibrator."""
    short = [Path(file).name for file in files]
    names = short if len(set(short)) == len(files) else list(files)
    if len(set(names)) < len(names):
        raise UsageError("a file is named twice; name each once.")
    models: dict[str, Predictions] = {}
    for name, file in zip(names, files, strict=True):
        calibrators = fit.fitted(file, source)
        predictions = source.load_preferred(file, "test", columns="all")
        models[name] = predictions
        for label, calibrator in calibrators:
            models[f"{name}, {label}" if len(files) > 1 else label] = calibrator.apply(predictions)
    return models


def _rows(found: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of texts: a row for each model, its value and difference for each metric."""
    header = ["model"]
    for metric in found.metrics:
        header += [metric.heading, f"difference, {found.confidence_level * 100:g} % interval"]
    rows = []
    for name, evaluation in found.evaluations.items():
        row = [printable(name)]
        for metric in found.metrics:
            difference = found.differences[metric.spec].get(name)
            told = "baseline" if difference is None else difference_text(metric, difference)
            row += [metric.format(evaluation[metric.spec]), told]
        rows.append(row)
    return header, rows


# Below a table that has stars.
_CLEAR = "* the interval excludes 0; unlike p, it does not allow for the number of comparisons\n"


@COMPARISON_FORMATS.register("table")
def _table(found: Comparison) -> str:
    parts = [f"{found.n_samples:,} samples; differences from {printable(found.baseline)}, "]
    parts[0] += f"{found.confidence_level * 100:g} % intervals, p-values by Holm's method\n"
    for metric in found.metrics:
        rows = []
        for name in found.ranking(metric.spec):
            difference = found.differences[metric.spec].get(name)
            told = "" if difference is None else difference_text(metric, difference)
            clear = "" if difference is None or not difference.is_clear else "*"
            value = metric.format(found.evaluations[name][metric.spec])
            rows.append([printable(name), value, "baseline" if difference is None else told, clear])
        parts.append(plain_table([metric.heading, "value", "difference", ""], rows))
    starred = any(d.is_clear for differences in found.differences.values() for d in differences.values())
    return "\n".join([*parts, *([_CLEAR] if starred else [])])


@COMPARISON_FORMATS.register("json")
def _json(found: Comparison) -> str:
    return json_text(found.to_dict()) + "\n"


@COMPARISON_FORMATS.register("csv")
def _csv(found: Comparison) -> str:
    import csv
    import io

    table = found.columns()
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table)
    for row in zip(*table.values(), strict=True):
        writer.writerow([_csv_cell(value) for value in row])
    return out.getvalue()


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    text = printable(str(value))
    # A spreadsheet would take these for formulas.
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


@COMPARISON_FORMATS.register("md")
def _markdown(found: Comparison) -> str:
    header, rows = _rows(found)
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "".join("| " + " | ".join(map(markdown_cell, line)) + " |\n" for line in lines)


@COMPARISON_FORMATS.register("latex")
def _latex(found: Comparison) -> str:
    return latex_table(*_rows(found))
