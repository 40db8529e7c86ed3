"""``calkit fit``: learn a calibrator from validation predictions."""

from __future__ import annotations

from pathlib import Path

import click

from calkit.cli import completion
from calkit.cli.options import FileCommand, InputOptions, input_options
from calkit.cli.outputs import announce, check_output
from calkit.errors import UsageError
from calkit.io.formats import format_of_suffix

__all__ = ["command"]


@click.command(cls=FileCommand)
@click.argument("file", metavar="VAL")
@input_options
@click.option(
    "-m",
    "--method",
    "methods",
    multiple=True,
    default=("temperature",),
    show_default="temperature",
    metavar="METHOD",
    shell_complete=completion.calibrators,
    help="Calibrator, with parameters if any: auto, svs, temperature:objective=ece. Of several, the best one in "
    "cross-validation is taken, if it is better than none.",
)
@click.option(
    "--guard", type=click.FloatRange(min=0), metavar="N", help="Standard errors that it must be better by: 0.75."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="JSON file to write.",
)
def command(file: str, source: InputOptions, methods: tuple[str, ...], guard: float | None, output: Path) -> None:
    """Fit a calibrator on validation predictions and save it.

    Of a file with several splits the validation split is used, unless --split names another.

    \b
    calkit fit val.npz -m temperature:objective=ece -o cal.json
    calkit fit val.npz -m temperature -m svs -m auto -o cal.json
    calkit apply cal.json test.npz -o calibrated.npz
    """  # noqa: D301
    from calkit.calibrators import get_calibrator, save_calibrator, select_calibrator

    for written in (output, Path(f"{output}.npz")):
        check_output(written, [file, *source.files()])
    _check_suffix(output)
    if guard is not None and len(methods) < 2:
        raise UsageError("--guard is for a choice among several methods; give more than one -m.")
    unfitted = [get_calibrator(method) for method in methods]
    columns = list(dict.fromkeys(column for calibrator in unfitted for column in calibrator.needs_columns))
    predictions = source.load_preferred(file, "validation", columns=columns)
    if len(methods) == 1:
        (method,), (calibrator,) = methods, unfitted
        calibrator.fit_predictions(predictions)
    else:
        selection = select_calibrator(predictions, methods, guard=0.75 if guard is None else guard)
        method, calibrator = selection.name, selection.calibrator
        announce(f"{selection}\n", output)
    save_calibrator(calibrator, output)
    found = calibrator.describe()
    values = found.text(digits=10)
    split = f" ({predictions.meta['split']})" if "split" in predictions.meta else ""
    told = f"{method}: {values}" if values else method
    announce(f"{told}; fitted on {predictions.n_samples:,} rows of {file}{split}; wrote {output}", output)
    for note in found.notes:
        announce(note, output)


def _check_suffix(output: Path) -> None:
    """Refuse names that promise data: a reader of the file would not find any."""
    form = format_of_suffix(output)
    if form is not None and form.name != "json":
        raise UsageError(f"{output}: calibrators are JSON, not {form.what}; name the file .json.")
