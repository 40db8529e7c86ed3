"""``calkit report``: measurements, diagrams and training histories on one page."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from calkit.cli import completion
from calkit.cli.options import FileCommand, FitOptions, InputOptions, fit_options, input_options
from calkit.cli.outputs import announce, check_output, format_of, format_option, write_text
from calkit.cli.progress import computing
from calkit.errors import UsageError
from calkit.report import REPORT_FORMATS, Entry, make_report, render_report
from calkit.report.entries import noted_warnings
from calkit.runs import RunFolder, is_run_folder
from calkit.specs import split_specs

__all__ = ["command"]


@click.command(cls=FileCommand)
@click.argument("inputs", nargs=-1, required=True, metavar="RUN_OR_FILE...")
@input_options
@fit_options
@click.option("--as-is", is_flag=True, help="Fit nothing: measure the scores as they are.")
@click.option(
    "--metrics",
    metavar="LIST",
    shell_complete=completion.metrics,
    help="Metrics, by commas, with parameters if any: error,ece:n_bins=25,nll.",
)
@click.option(
    "--target",
    metavar="TARGET",
    shell_complete=completion.targets,
    help="What is judged: top, positive, positive:class=NAME, classwise, top-5, ordinal, multilabel. Default: top.",
)
@click.option(
    "--by", metavar="COLUMN", help="Show the groups of this column too; or of 'predicted class', 'true class'."
)
@click.option("--bins", "n_bins", type=click.IntRange(min=1), default=15, show_default=True, help="Bins of diagrams.")
@click.option(
    "--confidence-level",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    metavar="SHARE",
    help="Of the intervals.",
)
@click.option("--no-intervals", is_flag=True, help="Leave intervals out, which is quicker.")
@click.option(
    "--random-state", type=click.IntRange(min=0), default=0, metavar="N", help="Seed of the bootstrap. Default: 0."
)
@click.option("--title", default="Calibration report", show_default=True, help="Title of the page.")
@format_option(REPORT_FORMATS, "html")
@click.option(
    "--template",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A Jinja template of your own for the page; it may extend report.html.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write. JSON goes to stdout without.")
def command(
    inputs: tuple[str, ...],
    source: InputOptions,
    fit: FitOptions,
    as_is: bool,
    metrics: str | None,
    target: str | None,
    by: str | None,
    n_bins: int,
    confidence_level: float,
    no_intervals: bool,
    random_state: int,
    title: str,
    form: str | None,
    template: Path | None,
    output: Path | None,
) -> None:
    """Report on classifiers on one page.

    RUN_OR_FILE is a file of logits with a validation and a test split, or the folder of a training run. Calibrators
    (-m, as for 'calkit evaluate'; a temperature by default) are fitted on the validation split, and the figures are
    those of the test split. Several inputs are compared; runs are shown with their recipe and their history.

    \b
    calkit report logits.npz -o report.html
    calkit report runs/ce runs/focal -m temperature:objective=ece -o report.html
    calkit report scores.csv --as-is --target positive --by region -o report.html
    calkit report runs/ce --format json
    """  # noqa: D301
    form = form or format_of(output, REPORT_FORMATS, "html")
    if output is None and form == "html":
        raise UsageError("a page needs a file to go to: -o report.html.")
    if as_is and (fit.methods or fit.calibrators):
        raise UsageError("--as-is fits nothing; leave it out, or --method and --calibrator.")
    if not (as_is or fit.methods or fit.calibrators):
        fit = replace(fit, methods=("temperature",))
    check_output(output, [*inputs, *source.files(), *fit.files(), *([] if template is None else [str(template)])])
    entries = [_entry(path, source, fit) for path in inputs]
    with computing("the report"):
        report = make_report(
            entries,
            metrics=split_specs(metrics) if metrics is not None else None,
            target=target,
            by=by,
            n_bins=n_bins,
            confidence_level=None if no_intervals else confidence_level,
            random_state=random_state,
            title=title,
            command=_typed(click.get_current_context()),
        )
        text = render_report(report, form, template=template)
    write_text(text, output)
    if output is not None:
        announce(f"wrote {output}", output)


def _entry(path: str, source: InputOptions, fit: FitOptions) -> Entry:
    run = RunFolder(path) if is_run_folder(path) else None
    file = path if run is None else str(run.logits())
    if fit.methods and fit.fit_on is None and "validation" not in replace(source, split=None).splits(file):
        raise UsageError(
            f"{path} has no validation split to fit {fit.methods[0]} on. Measure it uncalibrated with --as-is, name a "
            "file or a split to fit on (-m temperature --fit-on ...), or pass what 'calkit fit' wrote (--calibrator)."
        )
    with noted_warnings() as noted:
        validation = fit.validation(file, source) if fit.methods else None
        predictions = source.load_preferred(file, "test", columns="all")
        calibrators = fit.fitted(file, source, validation)
    return Entry(
        name=Path(path).name if run is None else run.label,
        predictions=predictions,
        calibrators=calibrators,
        source=path,
        fitted_on=(fit.fit_on or f"the {fit.fit_split(file, source)} split") if fit.methods else None,
        run=run,
        fit_samples=None if validation is None else validation.n_counted,
        warnings=noted,
    )


def _typed(context: click.Context) -> str:
    """Return the command as it was typed, with its options in their long form."""
    words = ["calkit", "report"]
    for parameter in context.command.params:
        name = str(parameter.name)
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value: Any = context.params[name]
        if isinstance(parameter, click.Argument):
            words[2:2] = [str(item) for item in value]
        elif getattr(parameter, "is_flag", False):
            words.append(parameter.opts[0])
        else:
            option = max(parameter.opts, key=len)
            words += [word for item in (value if parameter.multiple else [value]) for word in (option, str(item))]
    return shlex.join(words)
