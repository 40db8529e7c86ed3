"""What the figures of a report say, in sentences, and what its words mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

from calkit import evaluation
from calkit.metrics import METRICS, get_metric
from calkit.report.model import Report, Result, Subject
from calkit.report.values import Measure, MetricInfo
from calkit.specs import parse_spec

__all__ = [
    "METRIC_NOTES",
    "after_words",
    "brief",
    "comparison_sentences",
    "fitted_text",
    "headline",
    "label_of",
    "notes",
    "percent",
    "subject_sentences",
    "unlike",
    "verdict",
    "worst_words",
]

#: What metrics are, by name, as reports say it; of others, what the catalogue says.
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

# What some of them are where an event is judged, and not the predicted class.
_EVENT_NOTES = {
    "accuracy": "Share of the samples for which it is right whether the event has a probability above 1/2.",
    "error": "Share of the samples for which it is wrong whether the event has a probability above 1/2.",
    "ece": (
        "Expected calibration error: the gap between observed frequency and mean probability in bins of equal width, "
        "averaged over the samples. 0 is best."
    ),
    "nll": "Negative log-likelihood of what happened, in nats. Unlike ECE it also rewards telling the samples apart.",
    "brier": "Squared distance of the probability from what happened (0 to 1).",
    "s99": "S99: share of the samples whose probability of the event is at least 99 %.",
    "s99_accuracy": "How often the event came among them. Where that is below 99 %, the probabilities are too high.",
}

# What is shown with one decimal in percent is 0 below this.
_UNSEEN = 0.0005


def notes(metrics: Sequence[MetricInfo], is_event: bool = False) -> list[tuple[str, str]]:
    """Return (heading, explanation) of the metrics: a note written for reports, or what the catalogue says.

    Of one event other things are true than of predicted classes.
    """
    named = [(info.heading.removesuffix(" %"), parse_spec(info.spec).name) for info in metrics]
    notes = {name: METRICS[name].summary for name in METRICS} | METRIC_NOTES | (_EVENT_NOTES if is_event else {})
    return [(heading, notes[name]) for heading, name in named if name in notes]


def label_of(result: Result) -> str:
    """Return what a column of scores is called: ``uncalibrated``, or the calibrator."""
    return "uncalibrated" if result.calibrator is None else result.calibrator


def fitted_text(result: Result) -> str:
    """Return what was fitted: ``T = 2.515``; empty where there is nothing to say."""
    return evaluation.fitted_text(result.fitted, result.symbols).replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")


def percent(share: float, decimals: int = 1) -> str:
    """Return a fraction as people read it: ``12.3 %``, which no line break parts."""
    return f"{share * 100:.{decimals}f}\N{NO-BREAK SPACE}%"


def points(share: float, decimals: int = 1) -> str:
    """Return a difference of fractions in percentage points: ``12.3``."""
    return f"{share * 100:z.{decimals}f}".replace("-", "\N{MINUS SIGN}")


# What is said of probabilities: neither, too much, too little.
_TOP_WORDS = (
    "neither over- nor under-confident on average",
    "over-confident by {} points",
    "under-confident by {} points",
)
_EVENT_WORDS = ("neither too high nor too low on average", "too high by {} points", "too low by {} points")


def verdict(result: Result, *, is_top: bool = True) -> str:
    """Return whether scores are too sure, in a few words: ``over-confident by 12.3 points``.

    Empty for a target of several events, whose probabilities have no one side.
    """
    if result.overconfidence is None:
        return ""
    words = (_TOP_WORDS if is_top else _EVENT_WORDS)[_side(result.overconfidence)]
    return words.format(points(abs(result.overconfidence.value)))


def _side(gap: Measure) -> int:
    """Return 1 where scores are too sure, -1 where they are not sure enough, 0 where that cannot be determined."""
    low, high = (gap.value, gap.value) if gap.low is None or gap.high is None else (gap.low, gap.high)
    if low <= 0 <= high or abs(gap.value) < _UNSEEN:
        return 0
    return 1 if gap.value > 0 else -1


def headline(subject: Subject, level: float | None = None) -> str:
    """Return the finding in one sentence: how sure, how often right, and what follows."""
    diagram, gap = subject.before.diagram, subject.before.overconfidence
    if gap is None:
        return _headline_of_many(subject)
    said = verdict(subject.before, is_top=subject.is_top)
    if level is not None and gap.low is not None and gap.high is not None:
        sign = _side(gap)
        low, high = sorted(((sign or 1) * gap.low, (sign or 1) * gap.high))
        difference = "" if sign else f"the difference is {points(gap.value)} points, "
        said += f" ({difference}{level * 100:g}\N{NO-BREAK SPACE}% interval {points(low)} to {points(high)})"
    sure, right = percent(diagram.mean_confidence), percent(diagram.mean_accuracy)
    if subject.is_top:
        return f"On average it is {sure} sure, and right {right} of the time: {said}."
    return f"On average the probability is {sure}, and the event comes {right} of the time: {said}."


def _headline_of_many(subject: Subject) -> str:
    """Return the finding on events that are judged each by itself."""
    classes, what = subject.before.classes, "labels" if subject.target == "multilabel" else "classes"
    if subject.target not in ("classwise", "multilabel") or classes is None or not classes.p_value:
        return "Each event is judged by itself, and values are means over the events."
    return f"Each of the {len(classes.ece):,} {what} is judged by itself: {worst_words(classes.n_sure)}."


def worst_words(n_sure: int) -> str:
    """Return how many classes or groups are miscalibrated beyond noise: ``2 are miscalibrated beyond noise``."""
    if n_sure == 0:
        return "none is miscalibrated beyond noise"
    return f"{n_sure:,} {'is' if n_sure == 1 else 'are'} miscalibrated beyond noise"


def brief(subject: Subject) -> str:
    """Return the finding in a few words: ``over-confident by 12.3 points; ECE 13.0 %, 2.7 % with temperature``."""
    spec = next((spec for spec in subject.before.values if parse_spec(spec).name == "ece"), None)
    said = verdict(subject.before, is_top=subject.is_top) or f"target {subject.target}"
    if spec is None:
        return f"{said}."
    results = subject.results[:2]
    shown = [f"{get_metric(spec).format(result.values[spec].value)}\N{NO-BREAK SPACE}%" for result in results]
    after = "".join(f", {text} {after_words([subject])}" for text in shown[1:])
    return f"{said}; ECE {shown[0]}{after}."


def subject_sentences(subject: Subject, level: float | None = None) -> list[str]:
    """Return what a reader should take from one subject, the most important first."""
    changes = [sentence for result in subject.after for sentence in _change(subject, result)]
    return [headline(subject, level), *changes, *_sure(subject), *group_sentences(subject, level)]


def group_sentences(subject: Subject, level: float | None = None) -> list[str]:
    """Return which groups are miscalibrated beyond noise; nothing where that cannot be known."""
    groups, spec = subject.before.groups, next((s for s in subject.before.values if parse_spec(s).name == "ece"), None)
    known = [(group, group.values[spec]) for group in groups if spec is not None and spec in group.values]
    if level is None or spec is None or any(measure.p_value is None for _, measure in known) or not known:
        return []
    tail, metric = 1 - level, get_metric(spec)
    sure = sorted(
        ((g, m) for g, m in known if m.p_value is not None and m.p_value <= tail), key=lambda item: -item[1].value
    )
    named = ", ".join(f"{g.label} (ECE {metric.format(m.value)}\N{NO-BREAK SPACE}%)" for g, m in sure[:5])
    more = f", … ({len(sure) - 5} more)" if len(sure) > 5 else ""
    found = f": {named}{more}" if sure else ""
    return [f"Of the {len(known):,} groups by {subject.by}, {worst_words(len(sure))}{found}."]


def _change(subject: Subject, result: Result) -> list[str]:
    before = subject.before
    spec = next((spec for spec in before.values if spec in result.values and parse_spec(spec).name == "ece"), None)
    if spec is None:
        return []
    metric = get_metric(spec)
    measures = before.values[spec], result.values[spec]
    old, new = (f"{metric.format(measure.value)}\N{NO-BREAK SPACE}%" for measure in measures)
    where = result.fitted_on and f"fitted on {result.fitted_on}"
    if where and subject.fit_samples is not None:
        where += f", {subject.fit_samples:,} samples"
    told = "; ".join(text for text in (fitted_text(result), where) if text)
    aside = f" ({told})" if told else ""
    change = f"With {result.calibrator}{aside}, the ECE goes from {old} to {new}{_paired(result.changes.get(spec))}."
    notes = "".join(f" {note}" for note in result.notes)
    said = verdict(result, is_top=subject.is_top)
    after = f" After that it is {said}." if said else ""
    return [f"{change}{after}{notes}{_same_samples(subject, result)}"]


def _same_samples(subject: Subject, result: Result) -> str:
    """Return a caution where scores were measured on what the calibrator was fitted on."""
    if subject.split is None or result.fitted_on not in (subject.split, f"the {subject.split} split"):
        return ""
    return " These are the samples it was fitted on, so it looks better than it is."


def _sure(subject: Subject) -> list[str]:
    parts = []
    for result in subject.results[:2] if subject.is_top else ():
        if "s99" in result.values and "s99_accuracy" in result.values:
            share, accuracy = result.values["s99"].value, result.values["s99_accuracy"].value
            right = "" if math.isnan(accuracy) else f", of which {percent(accuracy)} are right"
            name = f"with {result.calibrator}, " if result.calibrator else ""
            parts.append(f"{name}{percent(share)} of the samples{right}")
    return [f"At least 99 % sure: {'; '.join(parts)}."] if parts else []


def comparison_sentences(report: Report) -> list[str]:
    """Return which subject has the lowest ECE, before and after calibration, and whether that is a fair question."""
    spec = next((info.spec for info in report.metrics if parse_spec(info.spec).name == "ece"), None)
    if spec is None or len(report.subjects) < 2:
        return []
    values = {subject.name: subject for subject in report.subjects}
    first = after_words(report.subjects)
    when = ("Uncalibrated", first[0].upper() + first[1:])
    sentences = []
    for contrast in report.contrasts:
        shown = [
            f"{get_metric(spec).format(values[name].results[contrast.place].values[spec].value)}\N{NO-BREAK SPACE}%"
            for name in (contrast.low, contrast.high)
        ]
        sentences.append(
            f"{when[contrast.place]}, {contrast.low} has the lowest ECE ({shown[0]}) and {contrast.high} the highest "
            f"({shown[1]}){_apart(contrast.difference)}."
        )
    return [*sentences, *unlike(report.subjects)]


def _apart(gap: Measure | None) -> str:
    """Return what the paired interval of highest minus lowest says; empty where there is none."""
    said = _paired(gap)
    return said.replace(": it rises by", ", a difference of")


def unlike(subjects: Sequence[Subject]) -> list[str]:
    """Return a caution where subjects cannot have been measured on the same samples, and so cannot be ranked."""
    for what, found in (
        ("numbers of classes", {subject.n_classes for subject in subjects if subject.n_classes is not None}),
        ("numbers of samples", {subject.n_samples for subject in subjects}),
    ):
        if len(found) > 1:
            shown = ", ".join(f"{number:,}" for number in sorted(found))
            return [f"They have different {what} ({shown}): what sets them apart may be the data."]
    return []


def after_words(subjects: Sequence[Subject]) -> str:
    """Return what the second of the results of all subjects is called: ``with temperature``."""
    labels = {subject.after[0].calibrator for subject in subjects if subject.after}
    return f"with {labels.pop()}" if len(labels) == 1 else "after calibration"


def _paired(change: Measure | None) -> str:
    """Return what the paired interval of a difference says; empty where there is none."""
    if change is None or change.low is None or change.high is None:
        return ""
    if change.is_clear:
        low, high = sorted((abs(change.low), abs(change.high)))
        verb = "falls" if change.high < 0 else "rises"
        return f": it {verb} by {points(low, 2)} to {points(high, 2)} points (paired interval)"
    shown = f"{points(change.low, 2)} to {points(change.high, 2)} points"
    return f"; that may be chance (paired interval of the difference: {shown})"
