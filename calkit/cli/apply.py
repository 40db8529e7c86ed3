"""``calkit apply``: calibrated predictions, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from calkit.cli.options import FileCommand, InputOptions, as_columns, columns_option, input_options
from calkit.cli.outputs import announce, check_output

__all__ = ["command"]


@click.command(cls=FileCommand)
@click.argument("calibrator", metavar="CAL.json")
@click.argument("file", metavar="TEST")
@input_options
@click.option(
    "--as",
    "written",
    type=click.Choice(["probs", "logits"]),
    default="probs",
    show_default=True,
    help="Write probabilities, or log-probabilities as logits.",
)
@columns_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write; 'calkit formats' lists the suffixes.",
)
def command(
    calibrator: str, file: str, source: InputOptions, written: Literal["probs", "logits"], columns: str, output: Path
) -> None:
    """Apply a calibrator to predictions and write the result.

    Of a file with several splits the test split is used, unless --split names another. No labels are needed; they, ids
    and other columns are written too, so that the result can be joined with other tables.

    \b
    calkit apply cal.json test.npz -o calibrated.npz
    """  # noqa: D301
    from calkit.calibrators import load_calibrator
    from calkit.io import save_predictions

    check_output(output, [calibrator, file, *source.files()])
    fitted = load_calibrator(calibrator)
    chosen = as_columns(columns)
    # Read for the calibrator alone, and not written.
    beside = [name for name in fitted.needs_columns if chosen != "all" and name not in chosen]
    read = chosen if isinstance(chosen, str) else [*chosen, *beside]
    predictions = source.load_preferred(file, "test", columns=read, labelled=False)
    calibrated = fitted.apply(predictions, kind=written)
    kept = {name: values for name, values in calibrated.columns.items() if name not in beside}
    save_predictions(calibrated.replace(columns=kept), output)
    split = f" ({predictions.meta['split']})" if "split" in predictions.meta else ""
    announce(f"wrote {predictions.n_samples:,} calibrated rows of {file}{split} as {written} to {output}", output)
