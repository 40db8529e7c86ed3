"""``calkit plot``: reliability diagrams and training histories, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from calkit.cli.options import FitOptions, InputOptions, fit_options, input_options
from calkit.cli.outputs import check_output
from calkit.cli.pictures import check_picture, save_picture
from calkit.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["command"]

# So many diagrams stand in a row, unless one file has more.
_COLUMNS = 4


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
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
@click.option("--history", is_flag=True, help="Draw the training histories of run folders instead.")
@click.option(
    "--panels",
    metavar="LIST",
    help="What of the history to draw, by commas: nll,ece,norm, or values such as test.adaece and .lr.",
)
@click.option(
    "--part",
    type=click.Choice(["test", "validation", "train"]),
    default="test",
    show_default=True,
    help="The samples whose history is drawn.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Picture to write: .png, .svg or .pdf."
)
def command(
    files: tuple[str, ...],
    source: InputOptions,
    fit: FitOptions,
    n_bins: int,
    binning: str,
    history: bool,
    panels: str | None,
    part: str,
    output: Path,
) -> None:
    """Draw reliability diagrams, or the history of training runs.

    Below each diagram stands the share of the samples in each bin. With --method or --calibrator, before and after
    stand side by side, and so do several files. Of a file with several splits the test split is drawn, unless --split
    names another. With --history, FILE is the folder of a training run, and curves over its epochs are drawn; those of
    several runs are laid over each other.

    \b
    calkit plot logits.npz --split test -m temperature -o reliability.png
    calkit plot runs/ce runs/focal --history -o history.png
    """  # noqa: D301
    check_output(output, [*files, *source.files(), *fit.files()])
    check_picture(output)
    if history:
        figure = _history(files, fit, panels, part)
    elif panels is not None:
        raise UsageError("--panels belongs to --history; add it, or leave --panels out.")
    else:
        figure = _reliability(files, source, fit, n_bins, binning)
    save_picture(figure, output)
    click.echo(f"wrote {output}")


def _reliability(files: tuple[str, ...], source: InputOptions, fit: FitOptions, n_bins: int, binning: str) -> Figure:
    from calkit.plotting import ReliabilityDisplay, plot_reliability

    displays, titles = [], []
    for file in files:
        calibrators = fit.fitted(file, source)
        predictions = source.load_preferred(file, "test")
        split = f" ({predictions.meta['split']})" if "split" in predictions.meta else ""
        titles.append(f"{Path(file).name}{split}")
        shown = [("as it is" if calibrators else "", predictions)]
        for label, calibrator in calibrators:
            values = calibrator.describe().text()
            shown.append((f"{label}\n{values}" if values else label, calibrator.apply(predictions)))
        for name, item in shown:
            lines = [titles[-1]] * (len(files) > 1) + [name] * bool(name)
            displays.append(
                ReliabilityDisplay.from_predictions(
                    item, n_bins=n_bins, binning=binning, name="\n".join(lines), plot=False
                )
            )
    # What belongs to one file stands in one row.
    each = len(displays) // len(files)
    title = titles[0] if len(files) == 1 else None
    return plot_reliability(displays, title=title, n_columns=each * max(1, _COLUMNS // each))


def _history(runs: tuple[str, ...], fit: FitOptions, panels: str | None, part: str) -> Figure:
    from calkit.plotting import HistoryDisplay, plot_history

    if fit.methods or fit.calibrators:
        raise UsageError("a history is drawn as it was; leave --method and --calibrator out.")
    display = HistoryDisplay.from_runs(runs, part=part)
    title = next(iter(display.histories)) if len(runs) == 1 else None
    names = None if panels is None else [name.strip() for name in panels.split(",")]
    return plot_history(display, panels=names, title=title)
