"""Evaluations of parts of the rows: of groups, and of the rows whose labels are right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from calkit.errors import InputError
from calkit.evaluation.label_errors import as_flag
from calkit.evaluation.result import Evaluation, LabelErrors
from calkit.evaluation.values import evaluation_of, judgements_of
from calkit.evaluation.worst import WorstGroup, among, corrected
from calkit.inference.resampling import Resampling
from calkit.metrics.base import worst_group
from calkit.stats import By, Statistic
from calkit.stats.grouping import ordered
from calkit.stats.layout import Layout
from calkit.stats.rows import CLASS_COLUMNS

__all__ = ["with_groups", "with_label_errors"]


def with_groups(
    whole: Evaluation,
    statistics: list[Statistic[Any]],
    by: str,
    summaries: Mapping[Statistic[Any], Any],
    layout: Layout,
    resampling: Resampling | None,
) -> Evaluation:
    """Return the evaluation with those of its groups, from summaries by a column; in the order of their labels."""
    parts = {statistic: summaries[By(statistic, by)] for statistic in statistics}
    found = _evaluations_of(whole, parts, layout, resampling)
    judged = corrected({label: group.judgements for label, group in found.items()})
    groups = {label: replace(group, judgements=judged[label]) for label, group in found.items()}
    names = layout.class_names if by in CLASS_COLUMNS and layout.class_names is not None else None
    named = {label: label if names is None else names[label] for label in groups}
    worst = {}
    for metric in whole.metrics:
        values = {label: group[metric.spec] for label, group in groups.items()}
        if all(math.isnan(value) for value in values.values()):
            continue
        # None is the group of the rows whose value is missing.
        label = worst_group(metric, values)
        group = groups[label]
        value, judgement = values[label], group.judgement(metric.spec)
        interval = None
        if resampling is not None and judgement.interval is not None:
            own = {statistic: part.summaries[label] for statistic, part in parts.items()}
            asked = among(resampling, len(groups))
            interval = judgements_of([metric], {metric.spec: value}, own, asked)[metric.spec].interval
        p_values = judgement.p_value, judgement.p_adjusted
        worst[metric.spec] = WorstGroup(named[label], value, group.n_samples, len(groups), interval, *p_values)
    by_name = {named[label]: group for label, group in groups.items()}
    return replace(whole, by=by, groups=by_name, worst_groups=worst)


def with_label_errors(
    whole: Evaluation,
    statistics: list[Statistic[Any]],
    column: str,
    summaries: Mapping[Statistic[Any], Any],
    layout: Layout,
    resampling: Resampling | None,
) -> Evaluation:
    """Return the evaluation with that of the rows whose labels are right."""
    parts = {statistic: summaries[By(statistic, column)] for statistic in statistics}
    groups = _evaluations_of(whole, parts, layout, resampling)
    flagged = {as_flag(label): group for label, group in groups.items()}
    if False not in flagged:
        raise InputError("label_errors marks every row; metrics need rows whose labels are right.")
    n_errors = flagged[True].n_samples if True in flagged else 0
    return replace(whole, label_errors=LabelErrors.of(whole, flagged[False], n_errors))


def _evaluations_of(
    whole: Evaluation, parts: Mapping[Statistic[Any], Any], layout: Layout, resampling: Resampling | None
) -> dict[Any, Evaluation]:
    """Return the evaluation of each part of the rows, in the order of their labels."""
    counts = next(iter(parts.values())).counts
    found = {}
    for label in ordered(counts):
        own = {statistic: part.summaries[label] for statistic, part in parts.items()}
        found[label] = evaluation_of(whole.metrics, own, counts[label], layout, resampling)
    return found
