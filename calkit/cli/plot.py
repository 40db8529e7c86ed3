"""``calkit plot``: reliability diagrams and training histories, as a picture."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from functools import partial
from inspect import signature
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calkit.cli import completion
from calkit.cli.options import FileCommand, FitOptions, InputOptions, fit_options, input_options
from calkit.cli.outputs import announce, check_output
from calkit.cli.pictures import as_size, check_picture, picture_style, save_picture
from calkit.cli.progress import computing, shown
from calkit.errors import UsageError
from calkit.predictions import Predictions
from calkit.registry import unknown_name
from calkit.specs import call_with_spec, parse_spec
from calkit.stats.rows import CLASS_COLUMNS
from calkit.stats.targets import get_view

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["command"]

# Diagrams of one file that stand in a row at most with those of the next.
_COLUMNS = 4


class _What(click.Option):
    """Lists the plots where help is asked for: matplotlib is not imported before that."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from calkit.plotting import available_other_plots, available_plots

        record = super().get_help_record(ctx)
        names = ", ".join([*available_plots(), *available_other_plots()])
        return record and (record[0], record[1].format(plots=names))


@click.command(cls=FileCommand)
@click.argument("files", nargs=-1, metavar="FILE...")
@input_options
@fit_options
@click.option(
    "--what",
    cls=_What,
    shell_complete=completion.plots,
    default="reliability",
    show_default=True,
    metavar="PLOT",
    help="{plots}, with parameters if any: temperature:metric=nll, reliability:binning=quantile.",
)
@click.option("--bins", "n_bins", type=click.IntRange(min=1), help="Number of bins (15 for reliability).")
@click.option("--binning", type=click.Choice(["uniform", "quantile"]), help="Bins of equal width or of equal mass.")
@click.option(
    "--target",
    shell_complete=completion.targets,
    help="Which forecasts: top, positive:class=NAME, top-5; classwise for a diagram of each class.",
)
@click.option(
    "--by",
    metavar="COLUMN",
    help="A reliability diagram for each value of a column, or for each 'predicted class' or 'true class'.",
)
@click.option(
    "--style", type=click.Choice(["line", "corp", "bars"]), help="Form of reliability diagrams.  [default: line]"
)
@click.option(
    "--band",
    type=click.Choice(["consistency", "simultaneous", "none"]),
    help="Of reliability diagrams: where calibrated models lie, or what holds the true curve.",
)
@click.option("--overlay", is_flag=True, help="Draw all reliability diagrams on the same axes.")
@click.option("--columns", "n_columns", type=click.IntRange(min=1), help="Diagrams in a row.")
@click.option("--title", help="Title of the figure; by default the file's name.")
@click.option("--size", metavar="WxH", callback=as_size, help="Size in inches: 6x4.")
@click.option("--dpi", type=click.IntRange(10, 1200), default=150, show_default=True, help="Pixels per inch.")
@click.option("--dark", is_flag=True, help="Light on dark.")
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
    what: str,
    n_bins: int | None,
    binning: str | None,
    target: str | None,
    by: str | None,
    style: str | None,
    band: str | None,
    overlay: bool,
    n_columns: int | None,
    title: str | None,
    size: tuple[float, float] | None,
    dpi: int,
    dark: bool,
    history: bool,
    panels: str | None,
    part: str,
    output: Path,
) -> None:
    """Draw reliability diagrams and other curves.

    Below each reliability diagram stands the share of the samples in each bin. With --method or --calibrator, before
    and after stand side by side, and so do several files; --overlay draws all on the same axes. Of a file with several
    splits the test split is drawn, unless --split names another. With --history, FILE is the folder of a training run,
    and curves over its epochs are drawn; those of several runs are overlaid. Pictures of formulas take no FILE.

    \b
    calkit plot logits.npz --split test -m temperature -o reliability.png
    calkit plot a.npz b.npz --overlay -o models.png
    calkit plot a.npz b.npz --what risk-coverage -o selective.png
    calkit plot runs/ce runs/focal --history -o history.png
    calkit plot --what gradient-ratio:1,3,5 -o theory.png
    """  # noqa: D301
    check_output(output, [*files, *source.files(), *fit.files()])
    check_picture(output)
    counting = {"n_bins": n_bins, "binning": binning, "target": target, "by": by, "style": style, "band": band}
    drawing = {"overlay": overlay or None, "n_columns": n_columns}
    with picture_style(dark=dark):
        if history:
            _refuse("--history", **counting, **drawing)
            figure = _history(files, fit, panels, part, title, size)
        elif panels is not None:
            raise UsageError("--panels belongs to --history; add it, or leave --panels out.")
        elif _is_other(what):
            _refuse(f"--what {what}", **counting, **drawing)
            figure = _other(what, files, _to_the_letter(title), size)
        else:
            figure = _displays(
                files,
                source,
                fit,
                what,
                _given(counting),
                {**_given(drawing), "title": _to_the_letter(title), "size": size},
            )
        with shown(f"writing {output.name}"):
            save_picture(figure, output, dpi=dpi)
    announce(f"wrote {output}", output)


# What the options are called whose names are not those of the parameters.
_OPTIONS = {"n_bins": "--bins", "n_columns": "--columns"}


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _to_the_letter(title: str | None) -> str | None:
    from calkit.plotting.style import as_text

    return None if title is None else as_text(title)


def _refuse(what: str, **options: Any) -> None:
    """Raise for options that a picture does not have."""
    for name in _given(options):
        raise UsageError(f"{_OPTIONS.get(name, '--' + name)} does not apply to {what}; leave it out.")


def _is_other(what: str) -> bool:
    """Return whether a plot is made of something else than predictions."""
    from calkit.plotting import OTHER_PLOTS

    return parse_spec(what).name in OTHER_PLOTS


def _other(what: str, words: tuple[str, ...], title: str | None, size: tuple[float, float] | None) -> Figure:
    from calkit.plotting import OTHER_PLOTS

    spec = parse_spec(what)
    display = call_with_spec(partial(OTHER_PLOTS[spec.name].from_words, words), spec, "plot")
    return display.figure(title=title, size=size)


def _displays(
    files: tuple[str, ...],
    source: InputOptions,
    fit: FitOptions,
    what: str,
    counting: dict[str, Any],
    drawing: dict[str, Any],
) -> Figure:
    from calkit.plotting import PLOTS, available_other_plots, available_plots
    from calkit.plotting.style import as_text

    spec = parse_spec(what)
    if spec.name not in PLOTS:
        raise unknown_name("plot", spec.name, [*available_plots(), *available_other_plots()])
    kind = PLOTS[spec.name]
    if not files:
        raise UsageError(f"--what {spec.name} is drawn of predictions: name at least one FILE.")
    # Several events or groups have a display each, where there is such a thing.
    each = "by" in counting or get_view(counting.get("target", "top")).keyed
    make = getattr(kind, "each", kind.from_predictions) if each else partial(kind.from_predictions, plot=False)
    for function, options in ((make, counting), (kind.figure, drawing)):
        for name in options.keys() - signature(function).parameters.keys():
            raise UsageError(f"{_OPTIONS.get(name, '--' + name)} does not apply to --what {spec.name}; leave it out.")
    spec = replace(spec, kwargs={**counting, **spec.kwargs})
    by = [counting["by"]] if "by" in counting and counting["by"] not in CLASS_COLUMNS else []
    displays: dict[str, Any] = {}
    several = len(files) > 1
    for file in files:
        heading, items = _judged(file, source, fit, [*by, *fit.columns()])
        for name, item in items:
            with computing("the curves"):
                counted = call_with_spec(partial(make, item), spec, "plot")
            for part, display in (counted if isinstance(counted, dict) else {"": counted}).items():
                lines = [heading] * (several or not (name or part)) + [name] * bool(name)
                # File names are shown to the letter.
                title = as_text("\n".join([*lines, *filter(None, [part])]))
                displays[_distinct(title, displays)] = display
    if not several and len(displays) > 1:
        drawing["title"] = drawing["title"] or as_text(heading)
    in_a_row = len(displays) // len(files)
    if several and in_a_row > 1 and "n_columns" in signature(kind.figure).parameters:
        # What belongs to one file stands in one row.
        drawing.setdefault("n_columns", in_a_row * max(1, _COLUMNS // in_a_row))
    with shown("drawing bands and curves"):
        return kind.figure(displays, **drawing)


def _judged(
    file: str, source: InputOptions, fit: FitOptions, columns: list[str]
) -> tuple[str, list[tuple[str, Predictions]]]:
    """Return the heading of a file, and its predictions as they are and calibrated, each with its name."""
    calibrators = fit.fitted(file, source)
    predictions = source.load_preferred(file, "test", columns=columns)
    split = f" ({predictions.meta['split']})" if "split" in predictions.meta else ""
    items = [("uncalibrated" if calibrators else "", predictions)]
    for label, calibrator in calibrators:
        values = calibrator.describe().text()
        items.append((f"{label}\n{values}" if values else label, calibrator.apply(predictions)))
    return f"{Path(file).name}{split}", items


def _distinct(name: str, taken: Container[str]) -> str:
    """Return a name that is not taken yet: two files may have the same."""
    names = (name if i == 1 else f"{name} [{i}]" for i in count(1))
    return next(each for each in names if each not in taken)


def _history(
    runs: tuple[str, ...],
    fit: FitOptions,
    panels: str | None,
    part: str,
    title: str | None,
    size: tuple[float, float] | None,
) -> Figure:
    from calkit.plotting import HistoryDisplay, plot_history

    if fit.methods or fit.calibrators:
        raise UsageError("a history is drawn as it was; leave --method and --calibrator out.")
    if not runs:
        raise UsageError("--history is drawn of training runs: name at least one folder.")
    display = HistoryDisplay.from_runs(runs, part=part)
    title = title or (next(iter(display.histories)) if len(runs) == 1 else None)
    names = None if panels is None else [name.strip() for name in panels.split(",")]
    return plot_history(display, panels=names, title=title, size=size)
