"""From metrics to what has to be counted for them, and from what was counted to their values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from calkit.evaluation.result import Evaluation
from calkit.inference.judgement import Inference, Judgement
from calkit.inference.resampling import Resampling
from calkit.metrics import Metric
from calkit.stats import BinSums, Statistic
from calkit.stats.layout import Layout

__all__ = ["Judgements", "as_resampling", "evaluation_of", "judgements_of", "statistics_of"]


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


class Judgements(Mapping[str, Judgement]):
    """What values are worth, by spec, each found when it is first asked for: the draws take longer than the pass.

    Parameters
    ----------
    pending : dict of callable
        What finds each of them.
    """

    def __init__(self, pending: Mapping[str, Callable[[], Judgement]]) -> None:
        self._specs = tuple(pending)
        self._pending = dict(pending)
        self._found: dict[str, Judgement] = {}

    def __getitem__(self, spec: str) -> Judgement:
        judge = self._pending.get(spec)
        if judge is not None:
            self._found[spec] = judge()
            # What was counted for it is let go of.
            self._pending.pop(spec, None)
        return self._found[spec]

    def __contains__(self, spec: object) -> bool:
        return spec in self._specs

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def judgements_of(
    metrics: Iterable[Metric],
    values: Mapping[str, float],
    summaries: Mapping[Statistic[Any], Any],
    resampling: Resampling,
) -> Judgements:
    """Return what the value of each metric is worth: interval, floor and p-value, as far as it has any."""
    pending = {}
    for metric in metrics:
        value, inference = values[metric.spec], metric.inference
        if inference is None or math.isnan(value):
            continue
        counted = tuple(summaries[statistic] for statistic in inference.statistics(resampling))
        pending[metric.spec] = partial(_judged, metric, inference, value, counted, resampling)
    return Judgements(pending)


def _judged(
    metric: Metric, inference: Inference, value: float, counted: tuple[Any, ...], resampling: Resampling
) -> Judgement:
    return inference.judge(value, counted, resampling).within(metric.bounds)


def evaluation_of(
    metrics: tuple[Metric, ...],
    summaries: Mapping[Statistic[Any], Any],
    n_samples: int,
    layout: Layout,
    resampling: Resampling | None,
) -> Evaluation:
    """Return the evaluation that summaries tell."""
    values = {metric.spec: metric.value(summaries[metric.statistic]) for metric in metrics}
    judgements = Judgements({}) if resampling is None else judgements_of(metrics, values, summaries, resampling)
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
