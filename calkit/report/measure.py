"""Everything a report shows of one set of scores, from one pass over its rows; and the scores at many temperatures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calkit.comparison import Paired
from calkit.evaluation import choose_metrics, judgements_of, statistics_of
from calkit.inference.judgement import Judgement
from calkit.inference.means import MeanInference
from calkit.metrics import Metric
from calkit.metrics.binned import expected_gap
from calkit.predictions import Predictions
from calkit.report.model import Mistake, Result
from calkit.report.values import ClassErrors, Diagram, Measure, Sweep
from calkit.stats import At, BinSums, ClasswiseBins, RowMean, Statistic, Temperature, UniformBins, summarize
from calkit.stats.mistakes import MistakeRows, Mistakes

if TYPE_CHECKING:
    from calkit.inference.resampling import Resampling

__all__ = ["diagram_of", "measured", "swept", "target_of"]

# A table of more classes than this says nothing to anyone, and takes as long as all the rest.
_MOST_CLASSES = 1000

# Mistakes that are listed, and columns that tell their rows.
_MISTAKES = 10
_ID_COLUMNS = 3

# Temperatures of a sweep reach at least so far, and as far beyond a fitted one as the factor says.
_LOWEST, _HIGHEST, _BEYOND = 0.5, 5.0, 1.5
# How many there are, and how many exponentials all of them may take: a few seconds' worth.
_STEPS = ((60, 200_000_000), (24, 400_000_000), (12, 1_000_000_000))


def target_of(predictions: Predictions) -> str | None:
    """Return what a report judges: predicted classes, also where the scores are one column; None for the default."""
    return "top" if predictions.one_column else None


def measured(
    predictions: Predictions, metrics: Sequence[Metric], n_bins: int, resampling: Resampling | None
) -> tuple[Result, Paired | None]:
    """Return all that is reported of scores, and what differences from other scores of the same rows need."""
    bins, classes, mistakes = UniformBins(n_bins), ClasswiseBins(n_bins), Mistakes(_MISTAKES)
    gap = _overconfidence(bins)
    chosen = [*choose_metrics(metrics, predictions, target_of(predictions)), gap]
    by_class = predictions.n_classes is not None and predictions.n_classes <= _MOST_CLASSES
    wanted: list[Statistic[Any]] = [
        *statistics_of(chosen, resampling),
        *([] if resampling is None else Paired.statistics(chosen, resampling)),
        bins,
        mistakes,
        *([classes] if by_class else []),
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
        measures.pop(gap.spec),
        ClassErrors.from_bins(summaries[classes]) if by_class else None,
        mistakes=_mistakes(predictions, summaries[mistakes]),
    )
    return result, None if resampling is None else Paired.of(chosen, values, found, summaries, resampling)


def _measure(value: float, judgement: Judgement | None) -> Measure:
    if judgement is None:
        return Measure(value)
    floor = None if judgement.floor is None else judgement.floor.mean
    low, high = judgement.interval or (None, None)
    return Measure(value, low, high, floor, judgement.p_value)


def _overconfidence(bins: UniformBins) -> Metric:
    return Metric(
        "overconfidence",
        "Mean confidence minus accuracy",
        bins,
        _mean_gap,
        bounds=(-1.0, 1.0),
        inference=MeanInference(UniformBins(1)),
    )


def _mean_gap(bins: BinSums) -> float:
    return float((bins.confidence.sum() - bins.correct.sum()) / bins.weight.sum())


def diagram_of(predictions: Predictions, n_bins: int) -> Diagram:
    """Return the diagram alone."""
    bins = UniformBins(n_bins)
    return Diagram.from_bins(summarize(predictions, [bins])[bins])


def _mistakes(predictions: Predictions, found: MistakeRows) -> tuple[Mistake, ...]:
    """Return the most confident mistakes, with the ids of their rows."""
    pairs = predictions.kind == "confidence"
    names = predictions.class_names or range(predictions.n_classes or 0)
    columns = dict(list(predictions.columns.items())[:_ID_COLUMNS])
    return tuple(
        Mistake(
            row,
            {name: str(np.asarray(values[row : row + 1])[0]) for name, values in columns.items()},
            float(found.confidence[i]),
            None if pairs else str(names[int(found.predicted[i])]),
            None if pairs else str(names[int(found.true[i])]),
        )
        for i, row in enumerate(found.row.tolist())
    )


def swept(predictions: Predictions, n_bins: int, fitted: Iterable[float]) -> Sweep | None:
    """Return the scores at many temperatures, 1 and the fitted ones among them; None where that cannot be had."""
    if predictions.kind == "confidence":
        return None
    scores = predictions.n_samples * (predictions.n_classes or 1)
    steps = next((n for n, limit in _STEPS if n * scores <= limit), None)
    if steps is None:
        return None
    grid = _temperatures(steps, list(fitted))
    bins = [At(UniformBins(n_bins), Temperature(1 / t)) for t in grid]
    losses = [At(RowMean("nll"), Temperature(1 / t)) for t in grid]
    # One temperature after the other: what both statistics need of it is computed once.
    wanted = [item for pair in zip(bins, losses, strict=True) for item in pair]
    summaries = summarize(predictions.logits(), wanted)
    found: list[BinSums] = [summaries[item] for item in bins]
    return Sweep(
        tuple(grid),
        tuple(summaries[item].mean for item in losses),
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
