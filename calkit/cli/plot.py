"""``calkit plot``: reliability diagrams, as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from calkit.atomic import atomic_write
from calkit.cli.options import FitOptions, InputOptions, fit_options, input_options
from calkit.errors import UsageError

__all__ = ["command"]


@click.command()
@click.argument("file", metavar="FILE")
@input_options
@fit_options
@click.option("--bins", "n_bins", type=click.IntRange(min=1), default=15, show_default=True, help="Number of bins.")
@click.option(
    "--binning",
    type=click.Choice(["uniform", "quantile"]),
    default="uniform",
    show_default=True,
    help="Bins of equal width or of equal mass.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Picture to write: .png, .svg or .pdf."
)
def command(file: str, source: InputOptions, fit: FitOptions, n_bins: int, binning: str, output: Path) -> None:
    """Draw a reliability diagram, with the share of the samples in each bin below.

    With --method or --calibrator, before and after stand side by side. Of a file with several splits the test split
    is drawn, unless --split names another.

    \b
    calkit plot logits.npz --split test -m temperature -o reliability.png
    """  # noqa: D301
    from calkit.plotting import ReliabilityDisplay, plot_reliability

    calibrators = fit.fitted(file, source)
    predictions = source.load_preferred(file, "test")
    shown = {"as it is": predictions}
    for label, calibrator in calibrators:
        values = ", ".join(f"{name} = {value:.4g}" for name, value in calibrator.fitted_values().items())
        shown[f"{label}\n{values}" if values else label] = calibrator.apply(predictions)
    displays = {
        name: ReliabilityDisplay.from_predictions(item, n_bins=n_bins, binning=binning, plot=False)
        for name, item in shown.items()
    }
    split = f" ({predictions.meta['split']})" if "split" in predictions.meta else ""
    figure = plot_reliability(displays, title=f"{Path(file).name}{split}")
    formats = figure.canvas.get_supported_filetypes()
    if output.suffix.lower().lstrip(".") not in formats:
        raise UsageError(f"{output}: pictures are written as {', '.join('.' + name for name in sorted(formats))}.")
    with atomic_write(output) as temporary:
        figure.savefig(temporary, dpi=150)
    click.echo(f"wrote {output}")
