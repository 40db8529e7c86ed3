"""Several models on the same rows: which differences of their metrics are real."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Unpack

import numpy as np

from calkit.errors import InputError
from calkit.evaluation import Evaluation, choose_metrics, evaluation_of, statistics_of
from calkit.inference.judgement import Judgement
from calkit.inference.paired import Difference, OneSided, holm, mean_difference, square_and_add
from calkit.inference.resampling import Resampling
from calkit.metrics import Metric
from calkit.metrics.base import as_predictions
from calkit.metrics.pos_label import with_event
from calkit.metrics.shared import ArrayArguments
from calkit.names import is_id
from calkit.predictions import Predictions, not_predictions
from calkit.registry import unknown_name
from calkit.roles.row_ids import id_texts, joined
from calkit.stats import FoldSums, Statistic, Summaries, View, summarize
from calkit.tabular import Tabular

__all__ = ["Comparison", "Paired", "compare", "difference", "difference_text", "why_not_same_rows"]


@dataclass(frozen=True)
class Comparison(Tabular):
    """Models on the same rows, and the differences from one of them.

    Attributes
    ----------
    evaluations : dict of str to Evaluation
        By the name of the model.
    baseline : str
        The model that the others are compared with.
    differences : dict of str to dict of str to Difference
        By the spec of the metric and the name of the model: its value minus the baseline's.
    metrics : tuple of Metric
    n_samples : int
    confidence_level : float
    meta : mapping
    """

    evaluations: Mapping[str, Evaluation]
    baseline: str
    differences: Mapping[str, Mapping[str, Difference]]
    metrics: tuple[Metric, ...]
    n_samples: int
    confidence_level: float
    meta: Mapping[str, Any] = field(default_factory=dict)

    def ranking(self, metric: str) -> list[str]:
        """Return the names of the models, the best value of a metric first; what is not a number comes last."""
        known = {own.spec: own for own in self.metrics}
        spec = next((own.spec for own in self.metrics if metric in (own.spec, own.name)), None)
        if spec is None:
            raise unknown_name("metric", metric, known, of="this comparison")
        sign = -1 if known[spec].higher_is_better else 1
        values = {name: evaluation[spec] for name, evaluation in self.evaluations.items()}
        return sorted(values, key=lambda name: (math.isnan(values[name]), sign * values[name]))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON."""
        return {
            **self.meta,
            "n_samples": self.n_samples,
            "baseline": self.baseline,
            "confidence_level": self.confidence_level,
            "models": {name: evaluation.to_dict() for name, evaluation in self.evaluations.items()},
            "differences": {
                spec: {name: asdict(difference) for name, difference in each.items()}
                for spec, each in self.differences.items()
            },
            "ranking": {metric.spec: self.ranking(metric.spec) for metric in self.metrics},
        }

    def columns(self) -> dict[str, list[Any]]:
        """Return the differences as columns, a row for each metric and model."""
        rows = [
            (metric.spec, name, self.evaluations[name][metric.spec], found)
            for metric in self.metrics
            for name, found in self.differences[metric.spec].items()
        ]
        return {
            "metric": [row[0] for row in rows],
            "model": [row[1] for row in rows],
            "value": [row[2] for row in rows],
            "difference": [row[3].value for row in rows],
            "low": [row[3].low for row in rows],
            "high": [row[3].high for row in rows],
            "p_value": [row[3].p_value for row in rows],
            "p_adjusted": [row[3].p_adjusted for row in rows],
            **self._floors([(row[0], row[1]) for row in rows]),
        }

    def _floors(self, rows: list[tuple[str, str]]) -> dict[str, list[float | None]]:
        """Return the floor of the value of each (metric, model): mean, 95 % quantile and p-value."""
        found = [self.evaluations[name].judgement(spec) for spec, name in rows]
        return {
            "floor": [None if item.floor is None else item.floor.mean for item in found],
            "floor_p95": [None if item.floor is None else item.floor.p95 for item in found],
            "floor_p_value": [item.p_value for item in found],
        }

    def _repr_html_(self) -> str:
        """Return the differences as notebooks show them."""
        from calkit.notebook import html_table

        header = ["model", *(metric.heading for metric in self.metrics)]
        rows = []
        for name, evaluation in self.evaluations.items():
            cells = []
            for metric in self.metrics:
                found = self.differences[metric.spec].get(name)
                told = "baseline" if found is None else difference_text(metric, found)
                cells.append(f"{metric.format(evaluation[metric.spec])} ({told})")
            rows.append([name, *cells])
        return html_table(header, rows, f"{self.n_samples:,} samples, differences from {self.baseline}")

    def __str__(self) -> str:
        lines = [f"{self.n_samples} samples, differences from {self.baseline}"]
        for metric in self.metrics:
            lines.append(f"{metric.heading}: {metric.format(self.evaluations[self.baseline][metric.spec])}")
            for name, found in self.differences[metric.spec].items():
                lines.append(f"  {name}: {difference_text(metric, found)}")
        return "\n".join(lines)


def difference_text(metric: Metric, found: Difference) -> str:
    """Return a difference as people read it: ``-0.74 [-1.00, -0.62], p < .001``."""

    def signed(value: float) -> str:
        text = metric.format(value)
        return text if text.startswith("-") or not float(text.strip("–") or 0) else f"+{text}"

    if found.low is None or found.high is None:
        return signed(found.value)
    p = found.p_value if found.p_adjusted is None else found.p_adjusted
    told = "" if p is None else ", p < .001" if p < 0.001 else f", p {p:.3f}".replace("0.", ".")
    return f"{signed(found.value)} [{signed(found.low)}, {signed(found.high)}]{told}"


def compare(
    predictions: Mapping[str, Any],
    metrics: Iterable[str | Metric] | None = None,
    *,
    y_true: Any = None,
    baseline: str | None = None,
    target: str | View | None = None,
    join: str | Sequence[str] | None = None,
    confidence_level: float = 0.95,
    n_resamples: int = 1000,
    random_state: int = 0,
    **arguments: Unpack[ArrayArguments],
) -> Comparison:
    """Compare models on the same rows.

    Parameters
    ----------
    predictions : mapping of str to Predictions, or to array-like
        Two or more, by the names of the models; the same rows in the same order. Arrays beside `y_true`: probabilities
        of shape (n, K) or (n,), or logits with ``from_logits=True``.
    metrics : iterable of str or Metric, optional
        By default those of :func:`~calkit.evaluate`.
    y_true : array-like, optional
        True classes, where the models are arrays.
    baseline : str, optional
        The model that the others are compared with; by default the first.
    target : str or View, optional
        What is judged, as for :func:`~calkit.evaluate`.
    join : str or sequence of str, optional
        The column, or the columns, whose values tell the rows apart: rows are matched by them, whatever their order.
    confidence_level : float, default=0.95
        Of the intervals.
    n_resamples, random_state : int
        Of the bootstrap.
    **arguments
        Beside arrays: `from_logits`, `sample_weight`, `class_names`, `pos_label`, …, as for :func:`~calkit.evaluate`.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If there are fewer than two, or their rows are not the same: other labels, weights, ids or numbers of rows.
    NotFoundError
        If there is no such baseline, or no such column.

    Notes
    -----
    Differences of means (NLL, Brier score) have limits of Student's t, with or without the skewness of the rows'
    differences (Hall 1992), whichever reaches further; those of shares (accuracy) allow for one more row that differs
    either way (Bonett & Price 2012). A calibration error is raised by noise, each model's by another amount, so that a
    bootstrap of the difference of two errors does not cover; their limits are combined from those of each, with the
    correlation of the noises (square-and-add, Zou & Donner 2008). p-values are corrected for the number of models by
    Holm's method.

    Examples
    --------
    >>> import calkit
    >>> from calkit.datasets import load_digits_logits
    >>> test = load_digits_logits("test")
    >>> calibrator = calkit.TemperatureScaling().fit_predictions(load_digits_logits("validation"))
    >>> found = calkit.compare({"before": test, "after": calibrator.apply(test)}, ["ece"])
    >>> found.differences["ece"]["after"].is_clear
    True
    >>> calkit.compare({"sure": [0.9, 0.1, 0.8], "unsure": [0.6, 0.4, 0.6]}, ["brier"], y_true=[1, 0, 1]).baseline
    'sure'
    """
    names = list(predictions)
    if len(names) < 2:
        raise InputError("predictions must hold two models or more; for one, use evaluate.")
    predictions, target = _of_arrays(predictions, y_true, {"target": target, **arguments})
    chosen = names[0] if baseline is None else baseline
    if chosen not in predictions:
        raise unknown_name("model", chosen, names)
    if join is not None:
        predictions = joined(predictions, join, names[0])
    _check_same_rows(predictions, chosen)
    resampling = Resampling(confidence_level, n_resamples, random_state)
    evaluations, known, bound, headings = {}, {}, {}, dict[str, str]()
    for name, item in predictions.items():
        own = choose_metrics(metrics, item, target)
        summaries = summarize(item, [*statistics_of(own, resampling), *Paired.statistics(own, resampling)])
        found = evaluation_of(own, summaries, summaries.n_samples, item, resampling)
        evaluations[name] = replace(found, meta=dict(item.meta))
        known[name] = Paired.of(own, found.values_by_spec, found.judgements, summaries, resampling)
        bound[name] = own
        for metric in own:
            if headings.setdefault(metric.spec, metric.heading) != metric.heading:
                raise InputError("one column of scores beside one a class: say target='positive' (--target positive).")
    shared = [metric for metric in bound[chosen] if all(metric.spec in each for each in evaluations.values())]
    others = [name for name in names if name != chosen]
    differences = {
        metric.spec: _corrected({name: difference(metric, known[name], known[chosen], resampling) for name in others})
        for metric in shared
    }
    return Comparison(evaluations, chosen, differences, tuple(shared), predictions[chosen].n_counted, confidence_level)


def _of_arrays(models: Mapping[str, Any], y_true: Any, given: Mapping[str, Any]) -> tuple[dict[str, Predictions], Any]:
    """Return models as predictions, and what is judged; those that are arrays have labels and arguments beside them."""
    if y_true is None:
        if beside := sorted({*given} - {"target"}):
            raise InputError(f"{', '.join(beside)} stands beside arrays alone; pass their labels too: y_true.")
        wrong = next((item for item in models.values() if not isinstance(item, Predictions)), None)
        if wrong is not None:
            raise not_predictions(wrong)
        return dict(models), given["target"]
    arguments = {name: with_event(y_true, scores, given) for name, scores in models.items()}
    targets = [more["target"] for _, more in arguments.values()]
    if any(target != targets[0] for target in targets):
        raise InputError("the scores of some models have one column, of others one a class; give all alike.")
    return {name: as_predictions(y, models[name], **more) for name, (y, more) in arguments.items()}, targets[0]


@dataclass(frozen=True)
class Paired:
    """What is known of one model, so that its differences from others on the same rows can be computed.

    Attributes
    ----------
    values : mapping of str to float
        By the spec of the metric.
    judgements : mapping of str to Judgement
    folds : mapping of str to FoldSums
        Sums over folds of the rows, of the metrics that have them.
    n_samples : int
    """

    values: Mapping[str, float]
    judgements: Mapping[str, Judgement]
    folds: Mapping[str, FoldSums]
    n_samples: int

    @staticmethod
    def statistics(metrics: Iterable[Metric], resampling: Resampling) -> list[Statistic[Any]]:
        """Return what has to be counted beside the metrics and their intervals."""
        return [m.statistic.folded(resampling.folds) for m in metrics if _is_paired(m)]

    @classmethod
    def of(
        cls,
        metrics: Iterable[Metric],
        values: Mapping[str, float],
        judgements: Mapping[str, Judgement],
        summaries: Summaries,
        resampling: Resampling,
    ) -> Paired:
        """Take what was counted."""
        folded = {m.spec: m.statistic.folded(resampling.folds) for m in metrics if _is_paired(m)}
        folds = {spec: statistic.to_folds(summaries[statistic]) for spec, statistic in folded.items()}
        return cls(values, judgements, folds, summaries.n_samples)


def _is_paired(metric: Metric) -> bool:
    return metric.statistic.groupable and getattr(metric.inference, "pairing", None) is not None


def difference(metric: Metric, one: Paired, two: Paired, resampling: Resampling) -> Difference:
    """Return the value of one model minus that of another on the same rows, with what is known of it.

    Parameters
    ----------
    metric : Metric
    one, two : Paired
    resampling : Resampling
        That of the counting.
    """
    spec = metric.spec
    plain = Difference(one.values[spec] - two.values[spec])
    if metric.inference is None or math.isnan(plain.value) or one.n_samples < 2:
        return plain
    paired = spec in one.folds and spec in two.folds
    pairing = getattr(metric.inference, "pairing", None)
    if paired and pairing in ("mean", "share"):
        filled = one.folds[spec].weight > 0
        sums = [each.folds[spec].total.reshape(len(filled), -1).sum(axis=1)[filled] for each in (one, two)]
        weight = one.folds[spec].weight[filled] * one.folds[spec].n_keys
        row = float(weight.sum()) / one.n_samples if pairing == "share" else None
        found = mean_difference(sums[0], sums[1], weight, resampling.level, row)
        # A metric such as the error is one minus its mean.
        turned = abs(found.value + plain.value) < abs(found.value - plain.value)
        return _turned(found, plain.value) if turned else replace(found, value=plain.value)
    sides = [_side(each.judgements.get(spec, Judgement()), each.values[spec]) for each in (one, two)]
    if sides[0] is None or sides[1] is None:
        return plain
    tables = [each.folds[spec].total.reshape(len(each.folds[spec].weight), -1) for each in (one, two) if paired]
    return square_and_add(sides[0], sides[1], (tables[0], tables[1]) if paired else None, resampling.level)


def _turned(found: Difference, value: float) -> Difference:
    low = None if found.high is None else -found.high
    high = None if found.low is None else -found.low
    return replace(found, value=value, low=low, high=high, estimate=value)


def _side(judgement: Judgement, value: float) -> OneSided | None:
    if judgement.interval is None:
        return None
    low, high = judgement.interval
    estimate = value if judgement.estimate is None else judgement.estimate
    return OneSided(value, min(max(estimate, low), high), low, high)


def _corrected(found: dict[str, Difference]) -> dict[str, Difference]:
    """Return the differences of a metric with p-values corrected for their number."""
    known = {name: item.p_value for name, item in found.items() if item.p_value is not None}
    adjusted = dict(zip(known, holm(list(known.values())), strict=True))
    return {name: replace(item, p_adjusted=adjusted.get(name)) for name, item in found.items()}


def _check_same_rows(predictions: Mapping[str, Predictions], baseline: str) -> None:
    """Raise unless all models were measured on the same rows."""
    for name, item in predictions.items():
        item.require_labels()
        reason = why_not_same_rows(item, predictions[baseline])
        if reason:
            raise InputError(
                f"{name} and {baseline} are not of the same rows: {reason}. Compare predictions of the same rows in "
                "the same order, or name the column that tells the rows apart: join (--join id)."
            )


def why_not_same_rows(one: Predictions, two: Predictions) -> str:
    """Return what tells that two models were measured on other rows; empty if nothing does."""
    if one.n_samples != two.n_samples:
        return f"{one.n_samples:,} and {two.n_samples:,} of them"
    if (one.kind == "confidence") != (two.kind == "confidence"):
        return "one holds (confidence, correct) pairs, the other scores of all classes"
    weights = [np.ones(1) if each.sample_weight is None else np.asarray(each.sample_weight) for each in (one, two)]
    if not (weights[0] == weights[1]).all():
        return "their weights differ"
    for name in (name for name in one.columns if name in two.columns and is_id(name)):
        differ = np.flatnonzero(np.not_equal(*(id_texts(np.asarray(each.columns[name])) for each in (one, two))))
        if len(differ):
            return f"{name} differs in row {differ[0]}"
    if one.kind == "confidence":
        # Whether an answer is right differs from model to model; nothing else tells rows apart.
        return ""
    labels = _labels(one), _labels(two)
    differ = np.flatnonzero(np.not_equal(*labels))
    if not len(differ):
        return ""
    first = " and ".join(repr(str(each[differ[0]])) for each in labels)
    return f"the labels differ in {len(differ):,} of them, the first being row {differ[0]} ({first})"


def _labels(predictions: Predictions) -> Any:
    """Return the true classes by name, so that models whose columns are in another order can be compared."""
    if predictions.class_names is None:
        return np.asarray(predictions.y_true).astype(str)
    return np.asarray([str(name) for name in predictions.class_names])[np.asarray(predictions.y_true)]
