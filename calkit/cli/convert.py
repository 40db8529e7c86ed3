"""``calkit convert``: the same predictions in another format."""

from __future__ import annotations

import click

from calkit.cli.options import FileCommand, InputOptions, as_columns, columns_option, input_options
from calkit.cli.outputs import announce, check_output
from calkit.io import save_predictions

__all__ = ["command"]


@click.command(cls=FileCommand)
@click.argument("file", metavar="FILE")
@click.argument("output", metavar="OUTPUT")
@input_options
@columns_option
def command(file: str, output: str, source: InputOptions, columns: str) -> None:
    """Write predictions in another format.

    The suffix of OUTPUT names the format. Of a file with several splits one is written: name it with --split.

    \b
    calkit convert logits.csv logits.parquet
    calkit convert run.h5 test.npz --split test
    """  # noqa: D301
    check_output(output, [file, *source.files()])
    predictions = source.load(file, columns=as_columns(columns), labelled=False)
    save_predictions(predictions, output)
    announce(f"wrote {predictions.n_samples:,} rows of {file} to {output}", output)
