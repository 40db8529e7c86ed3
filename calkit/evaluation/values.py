"""From metrics to what has to be counted for them, and from what was counted to their values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from calkit.evaluation.result import Evaluation
from calkit.inference.judgement import Judgement
from calkit.inference.resampling import Resampling
from calkit.metrics import Metric
from calkit.stats import BinSums, Statistic
from calkit.stats.views import Layout

__all__ = ["as_resampling", "evaluation_of", "judgements_of", "statistics_of"]


def as_resampling(
    confidence_level: float | None, n_resamples: int, random_state: int | None, *, floors: bool = True
) -> Resampling | None:
    """Return what is asked of floors and intervals; None if neither are wanted."""
    if confidence_level is None and not floors:
        return None
    seed = int(np.random.SeedSequence().generate_state(1)[0]) if random_state is None else random_state
    return Resampling(confidence_level, n_resamples, seed)


def statistics_of(metrics: Iterable[Metric], resampling: Resampling | None) -> list[Statistic[Any]]:
    """Return what has to be counted for metrics, and for their floors and intervals if they are wanted."""
    metrics = list(metrics)
    statistics: list[Statistic[Any]] = [metric.statistic for metric in metrics]
    if resampling is not None:
        for metric in metrics:
            statistics += [] if metric.inference is None else metric.inference.statistics(resampling)
    return statistics


def judgements_of(
    metrics: Iterable[Metric],
    values: Mapping[str, float],
    summaries: Mapping[Statistic[Any], Any],
    resampling: Resampling,
) -> dict[str, Judgement]:
    """Return what the value of each metric is worth: interval, floor and p-value, as far as it has any."""
    found: dict[str, Judgement] = {}
    for metric in metrics:
        value, inference = values[metric.spec], metric.inference
        if inference is None or math.isnan(value):
            continue
        counted = tuple(summaries[statistic] for statistic in inference.statistics(resampling))
        found[metric.spec] = inference.judge(value, counted, resampling).within(metric.bounds)
    return found


def evaluation_of(
    metrics: tuple[Metric, ...],
    summaries: Mapping[Statistic[Any], Any],
    n_samples: int,
    layout: Layout,
    resampling: Resampling | None,
) -> Evaluation:
    """Return the evaluation that summaries tell."""
    values = {metric.spec: metric.value(summaries[metric.statistic]) for metric in metrics}
    judgements = {} if resampling is None else judgements_of(metrics, values, summaries, resampling)
    counted = {metric.spec: summaries[metric.statistic] for metric in metrics}
    level = None if resampling is None else resampling.confidence_level
    return Evaluation(
        values,
        metrics,
        n_samples,
        layout.n_classes,
        layout.kind,
        confidence_level=level,
        judgements=judgements,
        bins={spec: summary for spec, summary in counted.items() if isinstance(summary, BinSums)},
    )
