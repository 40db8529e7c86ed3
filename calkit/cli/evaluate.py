"""``calkit evaluate``: how calibrated predictions are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from calkit.cli import completion
from calkit.cli.app import ThresholdBrokenError
from calkit.cli.baseline import read_baseline
from calkit.cli.junit import junit_text
from calkit.cli.options import FileCommand, FitOptions, InputOptions, fit_options, input_options, label_error_rows
from calkit.cli.outputs import check_output, format_of, format_option, write_text
from calkit.cli.progress import computing
from calkit.cli.tables import RENDERERS, render
from calkit.cli.thresholds import broken, check_lines, parse_threshold
from calkit.errors import UsageError
from calkit.evaluation import DEFAULT_METRICS, Evaluation, evaluate
from calkit.executors import use_executor
from calkit.metrics import Metric, get_metric
from calkit.predictions import Predictions
from calkit.shards import Shards
from calkit.specs import split_specs
from calkit.stats import get_view
from calkit.stats.rows import CLASS_COLUMNS

__all__ = ["command"]

# Of intervals whose limits are judged, unless another is asked for.
_LEVEL = 0.95


@click.command(cls=FileCommand)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@input_options
@fit_options
@click.option(
    "--metrics",
    metavar="LIST",
    shell_complete=completion.metrics,
    help=f"Metrics, by commas, with parameters if any: ece,ece:n_bins=25,mce. Default: {', '.join(DEFAULT_METRICS)}.",
)
@click.option(
    "--target",
    metavar="WHAT",
    shell_complete=completion.targets,
    help="What is judged: top, positive, positive:class=NAME, classwise, top-5, ordinal. By default the top label; of "
    "one column of scores the event, y = 1.",
)
@click.option(
    "--by",
    metavar="COLUMN",
    help="Show the values in each group too: the rows of each value of a column, of each 'predicted class' or 'true "
    "class'.",
)
@click.option(
    "--label-errors",
    metavar="NAME|FILE",
    help="Rows known to be mislabelled: a column of truth values, or a file of them or of places of rows. Shows the "
    "values without them too.",
)
@format_option(RENDERERS, "table")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file instead of the terminal.")
@click.option(
    "--confidence-level",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    help="Show the interval of each value that covers the population's with this probability: 0.95.",
)
@click.option("--resamples", type=click.IntRange(min=1), metavar="N", help="Draws of outcomes, rows. Default: 1000.")
@click.option("--random-state", type=click.IntRange(min=0), metavar="N", help="Seed of the draws. Default: 0.")
@click.option("-j", "--jobs", type=int, metavar="N", help="Threads; -1 for all cores. Default: as many as pay.")
@click.option(
    "--dask",
    metavar="local|ADDRESS",
    help="Let the workers of a Dask cluster read and count: 'local' starts one here, tcp://... joins one.",
)
@click.option(
    "--fail-if",
    "conditions",
    multiple=True,
    metavar="CONDITION",
    help="Leave with code 3 if it holds: 'ece>0.05', 'accuracy<90%', 'ece.low>5%' (only where that is sure), "
    "'ece.worst>10%' (the worst group of --by), 'ece>baseline+1%', 'ece.low>baseline.high'. With calibrators, their "
    "values are judged.",
)
@click.option(
    "--baseline",
    metavar="FILE",
    help="What 'baseline' stands for in --fail-if: an earlier 'calkit evaluate --format json', or a file of scores.",
)
@click.option(
    "--junit",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write which conditions of --fail-if held, as JUnit XML, too: pages of continuous integration show it.",
)
def command(
    files: tuple[str, ...],
    source: InputOptions,
    fit: FitOptions,
    metrics: str | None,
    target: str | None,
    by: str | None,
    label_errors: str | None,
    form: str | None,
    output: Path | None,
    confidence_level: float | None,
    resamples: int | None,
    random_state: int | None,
    jobs: int | None,
    dask: str | None,
    conditions: tuple[str, ...],
    baseline: str | None,
    junit: Path | None,
) -> None:
    """Tell how calibrated predictions are.

    FILE holds logits or probabilities and the true labels; 'calkit formats' lists the formats. A folder, a pattern
    ('part-?.npz') or numbered files are taken for one. Every split of the file is evaluated unless --split names one.
    With --method, calibrators are fitted on the validation split, and the other splits are shown before and after.

    \b
    calkit evaluate logits.npz
    calkit evaluate logits.npz --split test -m temperature:objective=ece
    calkit evaluate logits.npz --confidence-level 0.95
    calkit evaluate logits.npz --target classwise
    calkit evaluate scores.csv --by region
    calkit evaluate logits.npz --label-errors wrong.npy
    calkit evaluate probs.csv --kind probs --format json --fail-if 'ece>0.05'
    calkit evaluate new.npz --baseline old.json --fail-if 'ece>baseline+1%'
    """  # noqa: D301
    words = [word for word in (baseline, label_errors) if word is not None]
    for written in (output, junit):
        check_output(written, [*files, *source.files(), *fit.files(), *words])
    if junit is not None and not conditions:
        raise UsageError("--junit tells which conditions held; name them: --fail-if 'ece>5%'.")
    thresholds = [parse_threshold(text) for text in conditions]
    if baseline is not None and not any(threshold.relative for threshold in thresholds):
        raise UsageError("--baseline is not used; name it in a condition: --fail-if 'ece>baseline+1%'.")
    if confidence_level is None and any(threshold.needs_intervals for threshold in thresholds):
        confidence_level = _LEVEL
    chosen = [get_metric(name) for name in split_specs(metrics)] if metrics is not None else None
    evaluations: list[Evaluation] = []
    measure = _measure(
        confidence_level, resamples, random_state, target=None if target is None else get_view(target), by=by
    )
    columns = [] if by is None or by in CLASS_COLUMNS else [by]
    if label_errors is not None:
        rows = label_error_rows(label_errors, source)
        columns += [label_errors] if rows is None else []
        measure = partial(measure, label_errors=label_errors if rows is None else rows)
    judged = [threshold.metric for threshold in thresholds]

    def evaluate_file(path: str) -> list[Evaluation]:
        return _evaluate_file(path, source, fit, chosen, judged, measure, columns, on_workers=dask is not None)

    with use_executor(f"dask:{dask}" if dask else None, jobs):
        # First, so that what the baseline lacks is said before anything is written.
        baselines = None if baseline is None else read_baseline(baseline, evaluate_file)
        check_lines(thresholds, baselines)
        for path in files:
            evaluations += evaluate_file(path)
    write_text(render(evaluations, form or format_of(output, RENDERERS, "table")), output)
    if junit is not None:
        write_text(junit_text(thresholds, evaluations, baselines), junit)
    lines = broken(thresholds, evaluations, baselines)
    if lines:
        raise ThresholdBrokenError(*lines)


def _measure(
    level: float | None, resamples: int | None, random_state: int | None, **what: Any
) -> Callable[..., Evaluation]:
    given = {"n_resamples": resamples, "random_state": random_state}
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if chosen and level is None:
        raise UsageError("--resamples and --random-state belong to intervals; ask for them: --confidence-level 0.95.")
    return partial(evaluate, confidence_level=level, **what, **chosen)


def _evaluate_file(
    path: str,
    source: InputOptions,
    fit: FitOptions,
    chosen: list[Metric] | None,
    judged: list[Metric],
    measure: Callable[..., Evaluation],
    columns: list[str],
    *,
    on_workers: bool,
) -> list[Evaluation]:
    fit_split = fit.fit_split(path, source)
    calibrators = fit.fitted(path, source)
    splits = source.splits(path)
    if source.split is None and len(splits) > 1:
        splits = [split for split in splits if split != fit_split]
    evaluations = []
    for split in splits:
        read = source.shards if on_workers else source.load
        predictions: Predictions | Shards = read(path, split, columns=[*columns, *fit.columns()])
        wanted = [*(chosen if chosen is not None else _defaults(predictions.kind)), *judged]
        with computing("intervals and floors"):
            before = measure(predictions, wanted)
        evaluations.append(before)
        for label, calibrator in calibrators:
            note = {"spec": label, **calibrator.describe().to_dict()}
            with computing("intervals and floors"):
                after = measure(calibrator.apply(predictions), wanted)
            evaluations.append(replace(after, meta={**before.meta, "calibrator": note}))
    return evaluations


def _defaults(kind: str) -> list[Metric]:
    metrics = [get_metric(name) for name in DEFAULT_METRICS]
    return [metric for metric in metrics if not (kind == "confidence" and metric.needs_distribution)]
