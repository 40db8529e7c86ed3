"""``calkit bench-calibrators``: how often calibrators help or harm, on files of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from calkit.cli import completion
from calkit.cli.options import FileCommand, InputOptions, input_options
from calkit.cli.outputs import announce, check_output, format_of, format_option, write_text
from calkit.cli.progress import computing
from calkit.cli.terminal import plain_table
from calkit.errors import UsageError
from calkit.predictions import Predictions
from calkit.printing import json_text, printable
from calkit.registry import Registry

if TYPE_CHECKING:
    from calkit.calibrators.choice.benchmark import CalibratorBenchmark, CalibratorRow

__all__ = ["BENCH_FORMATS", "command"]

#: Functions that turn a benchmark into text, by the name of the format.
BENCH_FORMATS: Registry[Callable[[CalibratorBenchmark], str]] = Registry("format")

_FORMATS = ("table", "md", "json")

_HEADER = ["calibrator", "harm", "by > 1 %", "win", "rank", "log-loss", "Brier", "ECE %", "ms"]


def _sizes(_: click.Context, __: click.Parameter, words: str) -> list[int]:
    try:
        sizes = [int(word) for word in words.split(",")]
    except ValueError as error:
        raise UsageError(f"--sizes must be whole numbers by commas, as 50,200,1000, but is {words!r:.60}.") from error
    if min(sizes) < 1:
        raise UsageError(f"--sizes must be at least 1, but holds {min(sizes)}.")
    return sizes


@click.command(cls=FileCommand)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@input_options
@click.option(
    "-m",
    "--method",
    "methods",
    multiple=True,
    metavar="SPEC",
    shell_complete=completion.calibrators,
    help="Calibrator to try; repeat for more. Default: all that serve the number of classes.",
)
@click.option("--sizes", default="50,200,1000", show_default=True, callback=_sizes, help="Rows to fit on, by commas.")
@click.option("--repeats", type=click.IntRange(min=1), default=1, show_default=True, help="Splits for each size.")
@click.option(
    "--test-rows", type=click.IntRange(min=1), default=4000, show_default=True, help="Other rows to judge on, at most."
)
@click.option("--random-state", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the splits.")
@format_option(_FORMATS, "table")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file instead of the terminal.")
def command(
    files: tuple[str, ...],
    source: InputOptions,
    methods: tuple[str, ...],
    sizes: list[int],
    repeats: int,
    test_rows: int,
    random_state: int,
    form: str | None,
    output: Path | None,
) -> None:
    """Measure how often calibrators help or harm.

    Each FILE holds the scores of one model, with labels, for rows it was not trained on. Calibrators are fitted to a
    few random rows of it and judged on others. Harm is the share of trials whose log-loss gets worse than without
    calibration, win the share in which it falls; rank is 0 for the best calibrator of a trial and 1 for the last.

    \b
    calkit bench-calibrators a.npz b.npz
    calkit bench-calibrators logits.npz -m temperature -m isotonic -m auto --sizes 100,500 --repeats 10
    calkit bench-calibrators a.npz b.npz --split test --format json -o trials.json
    """  # noqa: D301
    from calkit.calibrators.choice.benchmark import bench_calibrators

    check_output(output, [*files, *source.files()])
    models = _models(files, source)
    with computing("trials of calibrators"):
        found = bench_calibrators(
            models,
            methods or None,
            sizes=sizes,
            n_repeats=repeats,
            n_test_rows=test_rows,
            random_state=random_state,
        )
    write_text(BENCH_FORMATS[form or format_of(output, _FORMATS, "table")](found), output)
    if output is not None:
        announce(f"wrote {output}", output)


def _models(files: tuple[str, ...], source: InputOptions) -> dict[str | tuple[str, str], Predictions]:
    """Return the splits of all files; files are the data sets of the benchmark."""
    if len(set(files)) < len(files):
        raise UsageError("a file is named twice; name each once.")
    return {(file, split or "scores"): source.load(file, split) for file in files for split in source.splits(file)}


@BENCH_FORMATS.register("table")
def _table(found: CalibratorBenchmark) -> str:
    parts = [f"{title}\n{plain_table(_HEADER, [_cells(row) for row in rows])}" for title, rows in _tables(found)]
    return "\n".join(parts)


@BENCH_FORMATS.register("md")
def _markdown(found: CalibratorBenchmark) -> str:
    parts = []
    for title, rows in _tables(found):
        lines = [_HEADER, ["---", "---", "--:", "--:", "---", "--:", "--:", "--:", "--:"]]
        lines += [[f"`{row.name}`", *_cells(row)[1:]] for row in rows]
        parts.append(f"### {title}\n\n" + "".join("| " + " | ".join(line) + " |\n" for line in lines))
    return "\n".join(parts)


@BENCH_FORMATS.register("json")
def _json(found: CalibratorBenchmark) -> str:
    return json_text(found.to_dict()) + "\n"


def _tables(found: CalibratorBenchmark) -> list[tuple[str, list[CalibratorRow]]]:
    return list(found.tables().items())


def _cells(row: CalibratorRow) -> list[str]:
    return [
        printable(row.name),
        f"{row.harm:.2f}{_interval(row.harm_interval)}",
        f"{row.much_harm:.2f}",
        f"{row.win:.2f}",
        f"{row.rank:.2f}{_interval(row.rank_interval)}",
        f"{100 * row.log_loss:+z.1f} %",
        f"{100 * row.brier:+z.1f} %",
        f"{100 * row.ece:.1f}",
        f"{1000 * row.seconds:.0f}",
    ]


def _interval(limits: tuple[float, float] | None) -> str:
    return "" if limits is None else f" [{limits[0]:.2f}, {limits[1]:.2f}]"
