"""``calkit fit``: learn a calibrator from validation predictions."""

from __future__ import annotations

from pathlib import Path

import click

from calkit.cli.options import InputOptions, input_options
from calkit.cli.outputs import announce, check_output
from calkit.errors import UsageError
from calkit.io.formats import format_of_suffix

__all__ = ["command"]


@click.command()
@click.argument("file", metavar="VAL")
@input_options
@click.option(
    "-m",
    "--method",
    default="temperature",
    show_default=True,
    metavar="METHOD",
    help="Calibrator, with parameters if any: temperature, temperature:objective=ece.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="JSON file to write.",
)
def command(file: str, source: InputOptions, method: str, output: Path) -> None:
    """Fit a calibrator on validation predictions and save it.

    Of a file with several splits the validation split is used, unless --split names another.

    \b
    calkit fit val.npz -m temperature:objective=ece -o cal.json
    calkit apply cal.json test.npz -o calibrated.npz
    """  # noqa: D301
    from calkit.calibrators import get_calibrator, save_calibrator

    check_output(output, [file, *source.files()])
    _check_suffix(output)
    calibrator = get_calibrator(method)
    predictions = source.load_preferred(file, "validation")
    calibrator.fit_predictions(predictions)
    save_calibrator(calibrator, output)
    values = calibrator.describe().text(digits=10)
    split = f" ({predictions.meta['split']})" if "split" in predictions.meta else ""
    told = f"{method}: {values}" if values else method
    announce(f"{told}; fitted on {predictions.n_samples:,} rows of {file}{split}; wrote {output}", output)


def _check_suffix(output: Path) -> None:
    """Refuse names that promise data: whoever reads them later would not find any."""
    form = format_of_suffix(output)
    if form is not None and form.name != "json":
        raise UsageError(f"{output}: calibrators are JSON, not {form.what}; name the file .json.")
