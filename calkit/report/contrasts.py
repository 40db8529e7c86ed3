"""Which values of a report differ for certain: from the uncalibrated ones, and from model to model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from calkit.comparison import Paired, difference, why_not_same_rows
from calkit.inference.resampling import Resampling
from calkit.metrics import Metric
from calkit.predictions import Predictions
from calkit.report.model import Contrast, Difference, Subject
from calkit.report.values import Measure
from calkit.specs import parse_spec

__all__ = ["COMPARED", "Measured", "changed", "contrasts_of", "differences_of", "distinct_of"]

# Of fewer rows than this no value stands out.
_FEWEST_ROWS = 30

#: Metrics that are compared in pictures, the first three of these that the report has.
COMPARED = ("ece", "nll", "error", "adaece", "brier", "mce")

# What subjects are contrasted by.
_CONTRASTED = "ece"


@dataclass(frozen=True)
class Measured:
    """A subject's predictions, its metrics, and what differences of its results need, in the order of the results."""

    predictions: Predictions
    metrics: tuple[Metric, ...] = field(default=())
    paired: tuple[Paired | None, ...] = ()


def _difference(metric: Metric, one: Paired | None, two: Paired | None, resampling: Resampling | None) -> Measure:
    if one is None or two is None or resampling is None:
        return Measure(math.nan)
    found = difference(metric, one, two, resampling)
    return Measure(found.value, found.low, found.high, None, found.p_value)


def changed(subject: Subject, measured: Measured, resampling: Resampling | None) -> Subject:
    """Return a subject with the changes of its calibrators, and what stands out among its results."""
    if resampling is None:
        return subject
    results = [subject.before]
    for result, paired in zip(subject.after, measured.paired[1:], strict=True):
        changes = {m.spec: _difference(m, paired, measured.paired[0], resampling) for m in measured.metrics}
        results.append(replace(result, changes=changes))
    places = {(subject.name, place): paired for place, paired in enumerate(measured.paired)}
    best = _best(places, measured.metrics, subject.n_samples, resampling)
    return replace(subject, results=tuple(results), distinct={spec: place for spec, (_, place) in best.items()})


def distinct_of(
    subjects: Sequence[Subject], measured: Sequence[Measured], resampling: Resampling | None
) -> dict[str, tuple[str, int]]:
    """Return what stands out among the results of all subjects; nothing if they were measured on other rows."""
    if resampling is None or len(subjects) < 2 or not _same_rows(measured):
        return {}
    places = {
        (subject.name, place): paired
        for subject, known in zip(subjects, measured, strict=True)
        for place, paired in enumerate(known.paired)
    }
    return _best(places, measured[0].metrics, subjects[0].n_samples, resampling)


def _best(
    places: Mapping[tuple[str, int], Paired | None],
    metrics: Sequence[Metric],
    n_samples: int,
    resampling: Resampling,
) -> dict[str, tuple[str, int]]:
    """Return, by metric, the place whose value is better than each other one, where that is sure."""
    found: dict[str, tuple[str, int]] = {}
    if n_samples < _FEWEST_ROWS or len(places) < 2:
        return found
    for metric in metrics:
        sign = -1 if metric.higher_is_better else 1
        known = {
            place: paired
            for place, paired in places.items()
            if paired is not None and not math.isnan(paired.values.get(metric.spec, math.nan))
        }
        if len(known) < 2 or metric.is_descriptive:
            continue
        best = min(known, key=lambda place: sign * known[place].values[metric.spec])
        others = [paired for place, paired in known.items() if place != best]
        if all(_difference(metric, known[best], other, resampling).is_clear for other in others):
            found[metric.spec] = best
    return found


def contrasts_of(
    subjects: Sequence[Subject], measured: Sequence[Measured], resampling: Resampling | None
) -> tuple[Contrast, ...]:
    """Return the subjects of lowest and highest ECE, uncalibrated and after the first calibrator."""
    contrasts = []
    comparable = _same_rows(measured) if len(subjects) > 1 else False
    for place in (0, 1):
        known = [
            (subject, own, metric)
            for subject, own in zip(subjects, measured, strict=True)
            for metric in own.metrics
            if len(subject.results) > place and parse_spec(metric.spec).name == _CONTRASTED
        ]
        specs = {metric.spec for _, _, metric in known}
        if len(known) < 2 or len(specs) != 1:
            continue
        (spec,) = specs
        ranked = sorted(known, key=lambda item: item[0].results[place].values[spec].value)
        (low, one, metric), (high, two, _) = ranked[0], ranked[-1]
        gap = _difference(metric, two.paired[place], one.paired[place], resampling) if comparable else None
        contrasts.append(Contrast(place, spec, low.name, high.name, gap))
    return tuple(contrasts)


def differences_of(
    subjects: Sequence[Subject], measured: Sequence[Measured], resampling: Resampling | None
) -> tuple[Difference, ...]:
    """Return how much each subject differs from the first one in what is compared; nothing if the rows are others."""
    if resampling is None or len(subjects) < 2 or not _same_rows(measured):
        return ()
    known = {metric.spec: metric for metric in measured[0].metrics}
    first, baseline = subjects[0], measured[0]
    return tuple(
        Difference(
            place,
            spec,
            subject.name,
            first.name,
            _difference(known[spec], own.paired[place], baseline.paired[place], resampling),
        )
        for spec in [spec for spec in COMPARED if spec in known][:3]
        for place in (0, 1)
        for subject, own in zip(subjects[1:], measured[1:], strict=True)
        if place < min(len(own.paired), len(baseline.paired))
    )


def _same_rows(measured: Sequence[Measured]) -> bool:
    return not any(why_not_same_rows(item.predictions, measured[0].predictions) for item in measured[1:])
