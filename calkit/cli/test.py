"""``calkit test``: whether predictions are calibrated, up to what chance explains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from calkit.cli import completion
from calkit.cli.options import FileCommand, InputOptions, input_options
from calkit.cli.outputs import announce, check_output, format_of, format_option, write_text
from calkit.cli.progress import computing
from calkit.cli.terminal import plain_table
from calkit.evaluation import p_text
from calkit.inference.tests import DEFAULT_TESTS, TESTS
from calkit.printing import json_text, printable
from calkit.significance import CalibrationTests, calibration_tests
from calkit.specs import split_specs

__all__ = ["command"]


def _sees(name: str) -> str:
    return f"sees {TESTS[name].sees}" if name in TESTS else ""


def _json(found: list[CalibrationTests]) -> str:
    return json_text([tested.to_dict() for tested in found]) + "\n"


def _table(found: list[CalibrationTests]) -> str:
    return "".join(map(_shown, found))


# Functions that turn tests into text, by the name of the format.
_FORMATS = {"table": _table, "json": _json}


def _shown(tested: CalibrationTests) -> str:
    words = [str(tested.meta[key]) for key in ("file", "split") if tested.meta.get(key)]
    heading = printable("  ".join([*words, f"{tested.n_samples:,} samples", f"target {tested.target}"]))
    rows = [[r.title, p_text(r.p_value), r.finding or _sees(name)] for name, r in tested.items()]
    return f"{heading}\n{plain_table(['test', 'p', 'finding'], rows)}"


@click.command(cls=FileCommand)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@input_options
@click.option(
    "--tests",
    metavar="LIST",
    help=f"Tests, by commas: {', '.join(TESTS)}; or metrics, which are resampled. Default: {','.join(DEFAULT_TESTS)}.",
)
@click.option(
    "--target",
    metavar="TARGET",
    shell_complete=completion.targets,
    help="What is judged, as for 'calkit evaluate': positive:class=NAME, top-5.",
)
@click.option("--resamples", type=click.IntRange(min=1), default=1000, show_default=True, help="Draws of outcomes.")
@click.option("--random-state", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the draws.")
@format_option(_FORMATS, "table")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file instead of the terminal.")
def command(
    files: tuple[str, ...],
    source: InputOptions,
    tests: str | None,
    target: str | None,
    resamples: int,
    random_state: int,
    form: str | None,
    output: Path | None,
) -> None:
    """Test whether predictions are calibrated.

    The rows must be ones that nothing was fitted on. A large p-value does not show that a model is calibrated: with few
    rows little can be seen.

    \b
    calkit test logits.npz --split test
    calkit test scores.csv --tests cox,kuiper,ece:n_bins=10
    calkit test logits.npz --target positive:class=3 --format json
    """  # noqa: D301
    check_output(output, [*files, *source.files()])
    names = None if tests is None else split_specs(tests)
    found = [
        _tested(source.load(path, split), names, target=target, n_resamples=resamples, random_state=random_state)
        for path in files
        for split in source.splits(path)
    ]
    write_text(_FORMATS[form or format_of(output, _FORMATS, "table")](found), output)
    if output is not None:
        announce(f"wrote {output}", output)


def _tested(*arguments: Any, **options: Any) -> CalibrationTests:
    with computing("tests"):
        return calibration_tests(*arguments, **options)
