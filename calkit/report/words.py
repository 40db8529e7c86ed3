"""What the figures of a report say, in sentences, and what its words mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

from calkit.metrics import get_metric
from calkit.report.model import Measure, MetricInfo, Report, Result, Subject
from calkit.specs import parse_spec

__all__ = [
    "METRIC_NOTES",
    "after_words",
    "comparison_sentences",
    "fitted_text",
    "label_of",
    "notes",
    "percent",
    "subject_sentences",
]

#: What each metric is, by its name; others are shown without a note.
METRIC_NOTES = {
    "accuracy": "Share of the samples whose most probable class is the true one.",
    "error": "Share of the samples whose most probable class is not the true one. A temperature does not change it.",
    "ece": (
        "Expected calibration error: the gap between accuracy and mean confidence in bins of equal width, averaged "
        "over the samples. 0 is best."
    ),
    "adaece": "Adaptive ECE: the same, in bins that hold equally many samples.",
    "classwise_ece": "The same gaps for the probability of every class in turn, averaged over the classes.",
    "smece": "Smooth ECE: the gaps of a smoothed curve instead of bins; how smooth, the data decide.",
    "mce": "Maximum calibration error: the largest gap of any bin, however few samples it holds, so it is noisy.",
    "nll": (
        "Negative log-likelihood of the true class, in nats. Unlike ECE it also rewards telling the classes apart, and "
        "no rule of binning enters it."
    ),
    "brier": "Squared distance of the probabilities from the true class, summed over the classes (0 to 2).",
    "s99": "S99: share of the samples whose confidence is at least 99 %.",
    "s99_accuracy": "Accuracy of those samples. Where it is below 99 %, they are over-confident.",
}

_SYMBOLS = {"temperature": "T"}


def notes(metrics: Sequence[MetricInfo]) -> list[tuple[str, str]]:
    """Return (heading, explanation) of the metrics that have one."""
    named = [(info.heading.removesuffix(" %"), parse_spec(info.spec).name) for info in metrics]
    return [(heading, METRIC_NOTES[name]) for heading, name in named if name in METRIC_NOTES]


def label_of(result: Result) -> str:
    """Return what a column of scores is called: ``as it is``, or the calibrator."""
    return "as it is" if result.calibrator is None else result.calibrator


def fitted_text(result: Result) -> str:
    """Return what was fitted: ``T = 2.515``; empty where nothing is told."""
    return ", ".join(f"{_SYMBOLS.get(name, name)} = {value:.4g}" for name, value in result.fitted.items())


def percent(share: float, decimals: int = 1) -> str:
    """Return a fraction as people read it: ``12.3 %``, which no line break parts."""
    return f"{share * 100:.{decimals}f}\N{NO-BREAK SPACE}%"


def subject_sentences(subject: Subject) -> list[str]:
    """Return what a reader should take from one subject."""
    diagram = subject.before.diagram
    gap = (diagram.mean_confidence - diagram.mean_accuracy) * 100
    verdict = "neither over- nor under-confident on average"
    if abs(gap) >= 0.05:
        verdict = f"{'over' if gap > 0 else 'under'}-confident by {abs(gap):.1f} points on average"
    split = f"{subject.split} samples" if subject.split else "samples"
    first = (
        f"On {subject.n_samples:,} {split} the classifier is right {percent(diagram.mean_accuracy)} of the time at a "
        f"mean confidence of {percent(diagram.mean_confidence)}: {verdict}."
    )
    changes = [sentence for result in subject.after for sentence in _change(subject.before, result)]
    return [first, *changes, *_sure(subject)]


def _change(before: Result, after: Result) -> list[str]:
    spec = next((spec for spec in before.values if spec in after.values and parse_spec(spec).name == "ece"), None)
    if spec is None:
        return []
    metric = get_metric(spec)
    old, new = (metric.format(result.values[spec].value) for result in (before, after))
    told = [text for text in (fitted_text(after), after.fitted_on and f"fitted on {after.fitted_on}") if text]
    aside = f" ({', '.join(told)})" if told else ""
    return [f"With {after.calibrator}{aside}, the ECE goes from {old}\N{NO-BREAK SPACE}% to {new}\N{NO-BREAK SPACE}%."]


def _sure(subject: Subject) -> list[str]:
    parts = []
    for result in subject.results[:2]:
        if "s99" in result.values and "s99_accuracy" in result.values:
            share, accuracy = result.values["s99"].value, result.values["s99_accuracy"].value
            right = "" if math.isnan(accuracy) else f", of which {percent(accuracy)} are right"
            name = f"with {result.calibrator}, " if result.calibrator else ""
            parts.append(f"{name}{percent(share)} of the samples{right}")
    return [f"At least 99 % sure: {'; '.join(parts)}."] if parts else []


def comparison_sentences(report: Report) -> list[str]:
    """Return which subject has the lowest ECE, before and after calibration."""
    spec = next((info.spec for info in report.metrics if parse_spec(info.spec).name == "ece"), None)
    if spec is None or len(report.subjects) < 2:
        return []
    sentences = []
    first = after_words(report.subjects)
    for when, place in (("As they are", 0), (first[0].upper() + first[1:], 1)):
        known = {
            subject.name: subject.results[place].values[spec]
            for subject in report.subjects
            if len(subject.results) > place and spec in subject.results[place].values
        }
        if len(known) > 1:
            best = min(known, key=lambda name: known[name].value)
            worst = max(known, key=lambda name: known[name].value)
            low, high = (f"{get_metric(spec).format(known[name].value)}\N{NO-BREAK SPACE}%" for name in (best, worst))
            sentences.append(
                f"{when}, {best} has the lowest ECE ({low}) and {worst} the highest ({high})"
                f"{_overlap(known[best], known[worst])}."
            )
    return sentences


def after_words(subjects: Sequence[Subject]) -> str:
    """Return what the second of the results of all subjects is called: ``with temperature``."""
    labels = {subject.after[0].calibrator for subject in subjects if subject.after}
    return f"with {labels.pop()}" if len(labels) == 1 else "after calibration"


def _overlap(best: Measure, worst: Measure) -> str:
    if best.high is None or worst.low is None:
        return ""
    return "; their intervals overlap" if worst.low <= best.high else "; their intervals lie apart"
