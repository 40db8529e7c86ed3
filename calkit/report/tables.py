"""Rows of texts for the tables of a page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from calkit.evaluation.result import p_text
from calkit.report.model import Report, Subject
from calkit.report.values import Diagram, Group
from calkit.report.words import percent
from calkit.specs import parse_spec

__all__ = ["bin_rows", "class_rows", "flat_rows", "made_rows", "shown_groups", "tiles", "worst_rows"]

#: Classes in a table, those with the largest error.
MOST_CLASSES = 20

# Groups that are shown at most.
_MOST_GROUPS = 30


# Metrics whose values stand out.
_TILES = (("ece", "ECE", 2), ("s99", "at least 99\N{NO-BREAK SPACE}% sure", 1))


def bin_rows(diagram: Diagram) -> list[tuple[str, ...]]:
    """Return a row of texts for each bin that holds samples."""
    bins = diagram.to_bins()
    rows = []
    for i, count in enumerate(diagram.count):
        if bins.weight[i]:
            shares = (bins.share[i], bins.mean_confidence[i], bins.accuracy[i], bins.gap[i])
            shown = (_percent(share) for share in shares)
            rows.append((f"{diagram.lower[i]:.3f} to {diagram.upper[i]:.3f}", f"{count:,}", *shown))
    return rows


def class_rows(subject: Subject) -> list[tuple[str, ...]]:
    """Return a row of texts for each class, that with the largest error first; none for two classes, which agree.

    A row holds the name, how often the class is true, and for each result the mean probability and the ECE; with
    intervals, then what noise alone would give, uncalibrated.
    """
    classes = [result.classes for result in subject.results if result.classes is not None]
    if len(classes) < len(subject.results) or len(classes[0].ece) < 3:
        return []
    names = subject.class_names or [str(k) for k in range(len(classes[0].ece))]
    order = sorted(range(len(names)), key=lambda k: -classes[0].ece[k])[:MOST_CLASSES]
    return [
        (
            names[k],
            _percent(classes[0].frequency[k]),
            *(_percent(value) for item in classes for value in (item.probability[k], item.ece[k])),
            *([_percent(classes[0].floor[k]), p_text(classes[0].p_value[k])] if classes[0].floor else []),
        )
        for k in order
    ]


def shown_groups(subject: Subject) -> list[tuple[Group, ...]]:
    """Return the groups that are shown, of each result: all of few, else those with the largest ECE before."""
    groups = [result.groups for result in subject.results]
    if len(groups[0]) <= _MOST_GROUPS:
        return groups
    spec = next((spec for spec in subject.before.values if parse_spec(spec).name == "ece"), None)
    order = sorted(range(len(groups[0])), key=lambda i: 0.0 if spec is None else -_value(groups[0][i], spec))
    return [tuple(each[i] for i in order[:_MOST_GROUPS]) for each in groups]


def _value(group: Group, spec: str) -> float:
    value = group.values[spec].value
    return -math.inf if math.isnan(value) else value


def worst_rows(subject: Subject) -> list[tuple[str, ...]]:
    """Return a row of texts for each of the worst classes.

    A row holds the name, its samples, their share, the mean probability, which side it errs on, the ECE and its limits,
    what noise alone would give, and the p-value.
    """
    classes = subject.before.classes
    rows: list[tuple[str, ...]] = []
    for item in () if classes is None else classes.worst:
        gap = item.probability - item.frequency
        limits = (
            ""
            if item.ece.low is None or item.ece.high is None
            else f"[{_percent(item.ece.low)}, {_percent(item.ece.high)}]"
        )
        rows.append(
            (
                item.name,
                f"{item.weight:,.0f}",
                _percent(item.frequency),
                _percent(item.probability),
                f"{'+' if gap > 0 else ''}{_percent(gap)}",
                _percent(item.ece.value),
                limits,
                _percent(item.ece.floor or 0.0),
                p_text(item.ece.p_value or 0.0),
            )
        )
    return rows


def tiles(subject: Subject) -> list[tuple[str, str, str]]:
    """Return the few numbers that stand out: what, the value, and the value after the first calibrator."""
    after = subject.after[0] if subject.after else None
    then = "" if after is None else f"with {after.calibrator}"
    shown: list[tuple[str, str, str]] = []
    if subject.before.overconfidence is not None:
        right, sure = ("right", "sure on average") if subject.is_top else ("frequency of the event", "mean probability")
        shown.append((right, percent(subject.before.diagram.mean_accuracy), ""))
        mean = percent(subject.before.diagram.mean_confidence)
        shown.append((sure, mean, "" if after is None else f"{percent(after.diagram.mean_confidence)} {then}"))
    for name, what, decimals in _TILES if subject.is_top else _TILES[:1]:
        spec = next((spec for spec in subject.before.values if parse_spec(spec).name == name), None)
        if spec is not None:
            values = [percent(result.values[spec].value, decimals) for result in subject.results[:2]]
            what = what if subject.before.overconfidence is not None else f"{what}, {subject.target}"
            shown.append((what, values[0], f"{values[1]} {then}" if len(values) > 1 else ""))
    return shown


def made_rows(report: Report) -> list[tuple[str, str]]:
    """Return how the numbers were computed."""
    rows = [
        ("calkit", report.calkit),
        *((name, version) for name, version in report.versions.items()),
        ("diagrams", f"{report.n_bins} bins (a, b] of equal width"),
    ]
    if report.confidence_level is not None:
        level = f"{report.confidence_level * 100:g}\N{NO-BREAK SPACE}%"
        exact = "Clopper-Pearson for shares and for MCE, the law of the noise for other errors of bins"
        exact += ", Student's t without the skewness of the rows for means, and with it or not for differences"
        drawn = f"{report.n_resamples:,} draws, seed {report.random_state}"
        rows.append(("intervals", f"{level}; {exact}; {drawn}"))
    return rows


def flat_rows(mapping: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return keys and values as texts, those of inner tables with dots between."""
    rows = []
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += flat_rows(value, f"{name}.")
        else:
            rows.append((name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)))
    return rows


def _percent(share: float) -> str:
    return f"{100 * share:z.2f}".replace("-", "\N{MINUS SIGN}")
