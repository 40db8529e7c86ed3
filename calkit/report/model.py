"""What a report says, as plain data: no HTML, no pictures, no raw rows.

Everything a page shows is made of these, and so is the JSON. Fractions are fractions; NaN becomes null in JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from calkit.report.values import ClassErrors, Diagram, Group, Measure, MetricInfo, Sweep
from calkit.stats import get_view
from calkit.stats.views import TOP

__all__ = [
    "Contrast",
    "Difference",
    "Mistake",
    "Report",
    "Result",
    "SavedEpoch",
    "Subject",
    "Training",
]


@dataclass(frozen=True)
class Result:
    """One set of scores, measured: uncalibrated, or after a calibrator.

    Attributes
    ----------
    calibrator : str or None
        Its spec or file; None for the uncalibrated scores.
    fitted : mapping of str to float, int or str
        What was fitted: ``{"temperature": 2.5}``.
    fitted_on : str or None
        The split or the file it was fitted on, where that is known.
    values : mapping of str to Measure
        By the spec of the metric.
    diagram : Diagram
    overconfidence : Measure or None
        Mean confidence minus accuracy: positive where the classifier is surer than it is right. None for a target of
        several events.
    classes : ClassErrors or None
        None where only (confidence, correct) pairs are known.
    symbols : mapping of str to str
        What to call fitted values: ``{"temperature": "T"}``.
    notes : tuple of str
        Sentences on what the calibrator does.
    temperature : float or None
        The temperature that the calibrator equals, where it is one.
    mistakes : tuple of Mistake
        The most confident ones.
    changes : mapping of str to Measure
        Of a calibrator: differences of the values from the uncalibrated ones, with paired intervals.
    groups : tuple of Group
        The values of each group of rows, where they were asked for.
    """

    calibrator: str | None
    fitted: Mapping[str, float | int | str]
    fitted_on: str | None
    values: Mapping[str, Measure]
    diagram: Diagram
    overconfidence: Measure | None = None
    classes: ClassErrors | None = None
    symbols: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    temperature: float | None = None
    mistakes: tuple[Mistake, ...] = ()
    changes: Mapping[str, Measure] = field(default_factory=dict)
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True)
class Mistake:
    """A wrong answer.

    Attributes
    ----------
    row : int
        Place among the rows, from 0.
    ids : mapping of str to str
        Other columns of the row: its id, say.
    confidence : float
        Probability of what did not happen: of the answer given, or of an event that did not come, or of the absence of
        one that came.
    predicted, true : str or None
        The classes; None where only (confidence, correct) pairs are known.
    came : bool
        Of the forecasts of an event, whether it came.
    """

    row: int
    ids: Mapping[str, str]
    confidence: float
    predicted: str | None
    true: str | None
    came: bool = False

    @property
    def probability(self) -> float:
        """What was forecast: the probability of the answer given, or of the event."""
        return 1 - self.confidence if self.came else self.confidence


@dataclass(frozen=True)
class SavedEpoch:
    """The diagram of the logits saved at the end of an epoch (counted from 1)."""

    epoch: int
    diagram: Diagram


@dataclass(frozen=True)
class Training:
    """How the network came about.

    Attributes
    ----------
    recipe : mapping
        As ``recipe.toml`` has it.
    history : tuple of mapping
        The lines of ``history.jsonl``, one per epoch.
    saved_epochs : tuple of SavedEpoch
    versions : mapping
        As ``versions.json`` has it.
    """

    recipe: Mapping[str, Any]
    history: tuple[Mapping[str, Any], ...]
    saved_epochs: tuple[SavedEpoch, ...] = ()
    versions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """One classifier.

    Attributes
    ----------
    name : str
        Unlike that of any other subject of the report.
    source : str
        The file or folder.
    split : str or None
        The split that was measured.
    kind : str
        Of the scores: logits, probs or confidence.
    n_samples : int
    n_classes : int or None
    class_names : tuple of str or None
    results : tuple of Result
        The uncalibrated scores, then those of each calibrator.
    training : Training or None
        For a run folder.
    sweep : Sweep or None
        None for (confidence, correct) pairs, and where it would take too long.
    fit_samples : int or None
        How many samples calibrators were fitted on, where that is known.
    distinct : mapping of str to int
        By the spec of a metric, which of the results is better than each other one, where that is sure.
    target : str
        What was judged: ``"top"``, ``"positive:class=cat"``.
    by : str or None
        The column that tells the groups.
    warnings : tuple of str
        What reading the scores and fitting the calibrators warned of.
    """

    name: str
    source: str
    split: str | None
    kind: str
    n_samples: int
    n_classes: int | None
    class_names: tuple[str, ...] | None
    results: tuple[Result, ...]
    training: Training | None = None
    sweep: Sweep | None = None
    fit_samples: int | None = None
    distinct: Mapping[str, int] = field(default_factory=dict)
    target: str = TOP.spec
    by: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def is_top(self) -> bool:
        """Whether predicted classes were judged, whose probability is called confidence."""
        return self.target == TOP.spec

    @property
    def is_event(self) -> bool:
        """Whether forecasts of one event were judged that is not the predicted class."""
        return not (self.is_top or get_view(self.target).keyed)

    @property
    def before(self) -> Result:
        """The uncalibrated scores."""
        return self.results[0]

    @property
    def after(self) -> tuple[Result, ...]:
        """Those of the calibrators."""
        return self.results[1:]


@dataclass(frozen=True)
class Contrast:
    """The subjects with the lowest and the highest value of a metric.

    Attributes
    ----------
    place : int
        Which of their results: 0 the uncalibrated, 1 that of the first calibrator.
    spec : str
        The metric.
    low, high : str
        Names of the subjects.
    difference : Measure or None
        Highest minus lowest, paired; None where the subjects were not measured on the same rows.
    """

    place: int
    spec: str
    low: str
    high: str
    difference: Measure | None = None


@dataclass(frozen=True)
class Difference:
    """How much a metric of a subject differs from that of the first one, on the same rows.

    Attributes
    ----------
    place : int
        Which of their results: 0 the uncalibrated, 1 that of the first calibrator.
    spec : str
        The metric.
    name, baseline : str
        Names of the subject and of the first one.
    difference : Measure
        Value minus that of the first one, with a paired interval.
    """

    place: int
    spec: str
    name: str
    baseline: str
    difference: Measure


@dataclass(frozen=True)
class Report:
    """Everything a report says.

    Attributes
    ----------
    title : str
    calkit : str
        The version that made it.
    metrics : tuple of MetricInfo
        In the order of the tables.
    subjects : tuple of Subject
    n_bins : int
        Of the diagrams.
    confidence_level : float or None
        Of the intervals; None where there are none.
    random_state, n_resamples : int
        Seed and number of the resamples behind the intervals.
    command : str or None
        The command that made it, if one did.
    versions : mapping of str to str
        Of Python and of the libraries the numbers depend on.
    distinct : mapping of str to (str, int)
        By the spec of a metric, the subject and the place of the result that is better than all others of the report,
        where that is sure.
    contrasts : tuple of Contrast
    differences : tuple of Difference
        From the first subject; none where the subjects were not measured on the same rows.
    """

    title: str
    calkit: str
    metrics: tuple[MetricInfo, ...]
    subjects: tuple[Subject, ...]
    n_bins: int
    confidence_level: float | None = None
    random_state: int = 0
    n_resamples: int = 1000
    command: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    distinct: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    contrasts: tuple[Contrast, ...] = ()
    differences: tuple[Difference, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON: what is not finite is None."""
        return {"format": "calkit-report", "version": 1, **_plain(asdict(self))}

    def _repr_html_(self) -> str:
        """Return the page in a frame of its own, for notebooks."""
        from calkit.notebook import html_page
        from calkit.report.render import render_report

        return html_page(render_report(self), self.title, "45rem")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | bool | int | float):
        return value
    # A date of a recipe, for instance.
    return str(value)
