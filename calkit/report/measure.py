"""Everything a report shows of one set of scores, from one pass over its rows; and the scores at many temperatures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calkit.comparison import Paired
from calkit.errors import UsageError
from calkit.evaluation import choose_metrics, evaluation_of, judgements_of, statistics_of, with_groups
from calkit.inference.by_key import ErrorsByKey
from calkit.inference.counts import Cells
from calkit.inference.judgement import Judgement
from calkit.inference.means import MeanInference
from calkit.labels.values import is_empty
from calkit.metrics import Metric, get_metric
from calkit.metrics.binned import expected_gap
from calkit.predictions import Predictions
from calkit.registry import unknown_name
from calkit.report.classes import judged_classes
from calkit.report.model import Mistake, Result
from calkit.report.values import ClassErrors, Diagram, Group, Measure, Sweep
from calkit.stats import At, BinSums, By, Statistic, Temperature, UniformBins, View, summarize
from calkit.stats.grouping import group_name
from calkit.stats.mistakes import MistakeRows, Mistakes
from calkit.stats.rows import CLASS_COLUMNS
from calkit.stats.targets import get_view
from calkit.stats.views import TOP, Classwise, MultiLabel

if TYPE_CHECKING:
    from calkit.inference.resampling import Resampling

__all__ = ["Asked", "diagram_of", "measured", "metric_target", "swept", "view_of"]

# A table of more classes than this says nothing to anyone, and takes as long as all the rest.
_MOST_CLASSES = 1000

# Groups that a report has at most.
_MOST_GROUPS = 100

# Rows of a column that are looked at together.
_PIECE = 1 << 16

# Mistakes that are listed, columns that tell their rows, and letters of each.
_MISTAKES = 10
_ID_COLUMNS = 3
_ID_LETTERS = 60

# Temperatures of a sweep reach at least so far, and as far beyond a fitted one as the factor says.
_LOWEST, _HIGHEST, _BEYOND = 0.5, 5.0, 1.5
# How many there are, and how many exponentials all of them may take: a few seconds' worth.
_STEPS = ((60, 200_000_000), (24, 400_000_000), (12, 1_000_000_000))


@dataclass(frozen=True)
class Asked:
    """What is measured of each set of scores of a subject.

    Attributes
    ----------
    metrics : tuple of Metric
        As they apply to the subject's predictions.
    view : View
        What is judged.
    n_bins : int
        Of the diagrams.
    resampling : Resampling or None
        None for no intervals.
    by : str or None
        The column that tells the groups.
    loss : Metric
        The NLL of what is judged.
    """

    metrics: tuple[Metric, ...]
    view: View
    n_bins: int
    resampling: Resampling | None
    by: str | None
    loss: Metric

    @classmethod
    def of(
        cls,
        predictions: Predictions,
        metrics: Sequence[Metric],
        n_bins: int,
        resampling: Resampling | None,
        *,
        target: str | View | None = None,
        by: str | None = None,
    ) -> Asked:
        """Bind what is asked to a subject's predictions.

        Raises
        ------
        NotFoundError
            If the predictions have no such column.
        UsageError
            If it has too many values.
        """
        view = view_of(predictions, target)
        if by is not None:
            _check_groups(predictions, by)
        judged = metric_target(predictions, target)
        loss = get_metric("nll").bind(predictions, judged)
        return cls(choose_metrics(metrics, predictions, judged), view, n_bins, resampling, by, loss)

    @property
    def statistics(self) -> list[Statistic[Any]]:
        """What is counted for the metrics, and of each group."""
        return statistics_of(self.metrics, self.resampling)


def view_of(predictions: Predictions, target: str | View | None = None) -> View:
    """Return what a report judges: unless told otherwise predicted classes, also where the scores are one column."""
    if target is None:
        return MultiLabel() if predictions.multilabel else TOP
    return get_view(target).bind(predictions)


def metric_target(predictions: Predictions, target: str | View | None = None) -> str | View | None:
    """Return the target of the metrics: with none, those of K columns judge whole distributions where they can."""
    return TOP if target is None and predictions.one_column else target


def _check_groups(predictions: Predictions, by: str) -> None:
    if by in CLASS_COLUMNS:
        n_groups = predictions.n_classes or 0
    elif by in predictions.columns:
        n_groups = _n_values(predictions.columns[by])
    else:
        raise unknown_name("column", by, [*predictions.columns, *CLASS_COLUMNS], of="the predictions")
    if n_groups > _MOST_GROUPS:
        raise UsageError(
            f"by={by!r} has {n_groups:,} values, and a report shows {_MOST_GROUPS} groups at most; name a column with "
            "fewer values, or use 'calkit evaluate --by'."
        )


def _n_values(column: Any) -> int:
    """Return how many values a column has; those that are missing count as one."""
    found: set[Any] = set()
    # A piece at a time: a list of all rows would take many times their array.
    for start in range(0, len(column), _PIECE):
        found.update(None if is_empty(value) else value for value in column[start : start + _PIECE].tolist())
    return len(found)


def measured(predictions: Predictions, asked: Asked) -> tuple[Result, Paired | None]:
    """Return all that is reported of scores, and what differences from other scores of the same rows need."""
    resampling, view = asked.resampling, asked.view
    bins, mistakes = UniformBins(asked.n_bins, view), Mistakes(_MISTAKES, view)
    gap = None if view.keyed else _overconfidence(bins)
    chosen = [*asked.metrics, *([] if gap is None else [gap])]
    classes = _class_statistic(predictions, asked)
    wanted: list[Statistic[Any]] = [
        *statistics_of(chosen, resampling),
        *([] if resampling is None else Paired.statistics(chosen, resampling)),
        bins,
        *([] if predictions.multilabel else [mistakes]),
        *([] if classes is None else [classes]),
        *([] if asked.by is None else [By(statistic, asked.by) for statistic in asked.statistics]),
    ]
    summaries = summarize(predictions, wanted)
    values = {metric.spec: metric.value(summaries[metric.statistic]) for metric in chosen}
    found = {} if resampling is None else judgements_of(chosen, values, summaries, resampling)
    measures = {spec: _measure(value, found.get(spec)) for spec, value in values.items()}
    result = Result(
        None,
        {},
        None,
        measures,
        Diagram.from_bins(summaries[bins]),
        None if gap is None else measures.pop(gap.spec),
        None if classes is None else _class_errors(predictions, summaries[classes], resampling),
        mistakes=() if predictions.multilabel else _mistakes(predictions, summaries[mistakes]),
        groups=() if asked.by is None else _groups(predictions, asked, asked.by, summaries),
    )
    return result, None if resampling is None else Paired.of(chosen, values, found, summaries, resampling)


def _measure(value: float, judgement: Judgement | None) -> Measure:
    if judgement is None:
        return Measure(value)
    floor = None if judgement.floor is None else judgement.floor.mean
    low, high = judgement.interval or (None, None)
    p_value = judgement.p_value if judgement.p_adjusted is None else judgement.p_adjusted
    return Measure(value, low, high, floor, p_value)


def _class_statistic(predictions: Predictions, asked: Asked) -> Statistic[Any] | None:
    """Return what is counted of each class; with intervals, what the noise of its error needs as well."""
    if predictions.n_classes is None or predictions.n_classes > _MOST_CLASSES:
        return None
    view = MultiLabel() if predictions.multilabel else Classwise()
    bins = UniformBins(asked.n_bins, view)
    return bins if asked.resampling is None else Cells(bins)


def _class_errors(predictions: Predictions, summary: Any, resampling: Resampling | None) -> ClassErrors:
    if isinstance(summary, BinSums) or resampling is None:
        return ClassErrors.from_bins(summary)
    errors = ErrorsByKey(summary, predictions.n_classes or 0)
    return judged_classes(errors, _names(predictions), resampling.confidence_level)


def _names(predictions: Predictions) -> list[str]:
    return [str(name) for name in predictions.class_names or range(predictions.n_classes or 0)]


def _groups(predictions: Predictions, asked: Asked, by: str, summaries: Mapping[Any, Any]) -> tuple[Group, ...]:
    whole = evaluation_of(asked.metrics, summaries, predictions.n_counted, predictions, asked.resampling)
    n_groups = len(summaries[By(asked.statistics[0], by)].counts)
    found = with_groups(whole, asked.statistics, by, summaries, predictions, _enough(asked.resampling, n_groups))
    return tuple(
        Group(
            group_name(label),
            group.n_samples,
            {spec: _measure(value, group.judgements.get(spec)) for spec, value in group.items()},
        )
        for label, group in found.groups.items()
    )


def _enough(resampling: Resampling | None, n_groups: int) -> Resampling | None:
    """Return enough draws for the p-value of one of many groups to be significant."""
    if resampling is None or resampling.confidence_level is None:
        return resampling
    n = math.ceil(2 * n_groups / (1 - resampling.confidence_level))
    return replace(resampling, n_resamples=max(resampling.n_resamples, n))


def _overconfidence(bins: UniformBins) -> Metric:
    return Metric(
        "overconfidence",
        "Mean confidence minus accuracy",
        bins,
        _mean_gap,
        bounds=(-1.0, 1.0),
        inference=MeanInference(UniformBins(1, bins.view)),
    )


def _mean_gap(bins: BinSums) -> float:
    return float((bins.confidence.sum() - bins.correct.sum()) / bins.weight.sum())


def diagram_of(predictions: Predictions, n_bins: int, view: View) -> Diagram:
    """Return the diagram alone."""
    bins = UniformBins(n_bins, view)
    return Diagram.from_bins(summarize(predictions, [bins])[bins])


def _mistakes(predictions: Predictions, found: MistakeRows) -> tuple[Mistake, ...]:
    """Return the most confident mistakes, with the ids of their rows."""
    pairs, names = predictions.kind == "confidence", _names(predictions)
    # Fractions tell no row apart.
    known = [(name, values) for name, values in predictions.columns.items() if np.dtype(values.dtype).kind != "f"]
    columns = dict(known[:_ID_COLUMNS])
    return tuple(
        Mistake(
            row,
            {name: _shortened(str(np.asarray(values[row : row + 1])[0])) for name, values in columns.items()},
            float(found.confidence[i]),
            None if pairs else names[int(found.predicted[i])],
            None if pairs else names[int(found.true[i])],
            bool(found.came[i]),
        )
        for i, row in enumerate(found.row.tolist())
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _ID_LETTERS else f"{text[: _ID_LETTERS - 1]}…"


def swept(predictions: Predictions, asked: Asked, fitted: Iterable[float]) -> Sweep | None:
    """Return the scores at many temperatures, 1 and the fitted ones among them; None where that cannot be had.

    Of several events (classes) there is none: one diagram does not show them.
    """
    if predictions.kind == "confidence" or asked.view.keyed:
        return None
    scores = predictions.n_samples * (predictions.n_classes or 1)
    steps = next((n for n, limit in _STEPS if n * scores <= limit), None)
    if steps is None:
        return None
    grid = _temperatures(steps, list(fitted))
    nll = asked.loss
    bins = [At(UniformBins(asked.n_bins, asked.view), Temperature(1 / t)) for t in grid]
    losses = [At(nll.statistic, Temperature(1 / t)) for t in grid]
    # One temperature after the other: what both statistics need of it is computed once.
    wanted = [item for pair in zip(bins, losses, strict=True) for item in pair]
    summaries = summarize(predictions.logits(), wanted)
    found: list[BinSums] = [summaries[item] for item in bins]
    return Sweep(
        tuple(grid),
        tuple(nll.value(summaries[item]) for item in losses),
        tuple(expected_gap(item) for item in found),
        _rows(item.weight for item in found),
        _rows(item.confidence for item in found),
        _rows(item.correct for item in found),
    )


def _temperatures(steps: int, fitted: list[float]) -> list[float]:
    low, high = min([_LOWEST, *(t / _BEYOND for t in fitted)]), max([_HIGHEST, *(t * _BEYOND for t in fitted)])
    return sorted({1.0, *fitted, *np.geomspace(low, high, steps).tolist()})


def _rows(arrays: Iterable[NDArray[np.float64]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(array.tolist()) for array in arrays)
