"""Laws that every metric obeys, for every target it is defined for, registered or not."""

from __future__ import annotations

import gc
import math
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.evaluation import evaluate
from calkit.metrics import METRICS, get_metric
from calkit.metrics.base import Metric
from calkit.predictions import Predictions
from calkit.stats import By, Rows, Statistic, summarize
from calkit.stats.kernel_table import general_path
from calkit.streaming import StreamingEvaluation
from calkit.testing.laws import law_of

__all__ = ["METRIC_LAWS", "check_metric", "example_predictions", "targets_of"]

Law = Callable[[str, str], None]

#: Laws by name; each takes a metric's spec and a target, and raises AssertionError.
METRIC_LAWS: dict[str, Law] = {}
_law = law_of(METRIC_LAWS)

# Sums are equal to rounding however they are added.
_CLOSE = 1e-12
# Logits and probabilities differ by the rounding of the softmax, and bins at an edge do not occur in the data.
_ROUNDED = 1e-9

# What stands for targets that need a parameter.
_EXAMPLES = {"positive": "positive:class=2", "top-k": "top-3"}


def check_metric(spec: str) -> None:
    """Check a metric against every law, for every target it is defined for.

    Parameters
    ----------
    spec : str
        A registered name, with parameters if any. Laws that its definition excepts (`law_exceptions`) are left out.

    Raises
    ------
    AssertionError
        For the first law that is broken.

    Examples
    --------
    >>> from calkit.testing import check_metric
    >>> check_metric("ece:n_bins=10")
    """
    excepted = METRICS[get_metric(spec).name].law_exceptions
    for target in targets_of(spec):
        for name, law in METRIC_LAWS.items():
            if name not in excepted:
                law(spec, target)


def targets_of(spec: str) -> list[str]:
    """Return the targets that a metric is defined for, with examples of their parameters."""
    return [_EXAMPLES.get(name, name) for name in METRICS[get_metric(spec).name].supports()]


def example_predictions(target: str, n: int = 240, seed: int = 0) -> Predictions:
    """Return over-confident logits whose labels are drawn at twice their temperature, and groups."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 4)) * 4
    gumbel = -np.log(-np.log(rng.random(logits.shape)))
    y: NDArray[Any] = (logits / 2 + gumbel).argmax(axis=1)
    if target == "multilabel":
        y = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits / 2))).astype(int)
    columns = {"group": rng.integers(0, 3, n)}
    return Predictions(logits, y, kind="logits", columns=columns, multilabel=target == "multilabel")


def _labels(predictions: Predictions) -> Any:
    return predictions.votes if predictions.multilabel else predictions.y_true


def _votes(data: Predictions) -> Any:
    """Return soft labels, of which half the votes are for the true class."""
    others = np.random.default_rng(3).integers(0, 4, data.n_samples)
    return np.eye(4)[data.y_true] * 0.5 + 0.5 * np.eye(4)[others]


def _value(spec: str, target: str, predictions: Predictions) -> float:
    return next(iter(evaluate(predictions, [spec], target=target, floors=False).values()))


def _bound(spec: str, target: str, predictions: Predictions) -> Metric:
    return get_metric(spec).bind(predictions, target)


def _equal(a: float, b: float, what: str, tolerance: float = _CLOSE) -> None:
    close = math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance) or (math.isnan(a) and math.isnan(b))
    assert close, f"{what}: {a!r} and {b!r}"


@_law
def any_split(spec: str, target: str) -> None:
    """Summaries of parts add up to that of the whole, in whatever pieces the rows come."""
    data = example_predictions(target)
    metric = _bound(spec, target, data)
    whole = metric.value(summarize(data, [metric.statistic])[metric.statistic])
    for rows in (1, 7, 100):
        found = summarize(data, [metric.statistic], block_rows=rows)
        _equal(metric.value(found[metric.statistic]), whole, f"{spec} of {target} in blocks of {rows} rows")
    statistic = metric.statistic.streamed
    parts = [summarize(data.take(slice(a, b)), [statistic])[statistic] for a, b in ((0, 1), (1, 90), (90, 240))]
    _equal(metric.value(parts[0] + parts[1] + parts[2]), whole, f"{spec} of {target} from three parts")


@_law
def any_order(spec: str, target: str) -> None:
    """The order of the rows does not matter."""
    data = example_predictions(target)
    shuffled = data.take(np.random.default_rng(1).permutation(data.n_samples))
    _equal(_value(spec, target, shuffled), _value(spec, target, data), f"{spec} of {target}, shuffled")


@_law
def weights_are_repeats(spec: str, target: str) -> None:
    """A weight of 2 is a row given twice, a weight of 0 a row left out; only their ratios matter."""
    data = example_predictions(target)
    weight = np.random.default_rng(2).integers(0, 4, data.n_samples).astype(float)
    weighted = _value(spec, target, data.replace(sample_weight=weight))
    repeated = data.take(np.repeat(np.arange(data.n_samples), weight.astype(int)))
    _equal(weighted, _value(spec, target, repeated), f"{spec} of {target}, weighted and repeated")
    scaled = _value(spec, target, data.replace(sample_weight=weight / 8))
    _equal(scaled, weighted, f"{spec} of {target}, weights divided by 8")


@_law
def votes_are_weighted_rows(spec: str, target: str) -> None:
    """A soft label is the same as a row for each vote, weighted by its share."""
    if target == "multilabel":
        return
    data = example_predictions(target, 120)
    votes = _votes(data)
    soft = Predictions(data.scores, votes, kind="logits")
    rows, columns = np.nonzero(votes)
    hard = Predictions(data.scores[rows], columns, kind="logits", sample_weight=votes[rows, columns])
    _equal(_value(spec, target, soft), _value(spec, target, hard), f"{spec} of {target}, votes and rows", _ROUNDED)


@_law
def soft_labels_may_be_split(spec: str, target: str) -> None:
    """Parts of rows with soft labels add up to the whole, also one whose labels are all one-hot."""
    if target == "multilabel":
        return
    data = example_predictions(target, 120)
    scores, votes = data.scores.astype(np.float32), _votes(data)
    votes[:50] = np.eye(4)[data.y_true[:50]]
    metric = _bound(spec, target, data)
    statistic = metric.statistic.streamed
    whole = _value(spec, target, Predictions(scores, votes, kind="logits"))
    parts = [Predictions(scores[a:b], votes[a:b], kind="logits") for a, b in ((0, 50), (50, 120))]
    hard, soft = (summarize(part, [statistic])[statistic] for part in parts)
    _equal(metric.value(hard + soft), whole, f"{spec} of {target}, one-hot and soft labels added")


@_law
def logits_and_probabilities(spec: str, target: str) -> None:
    """Logits give the values of their probabilities."""
    data = example_predictions(target)
    p = 1 / (1 + np.exp(-data.scores)) if data.multilabel else np.exp(data.scores)
    probs = p if data.multilabel else p / p.sum(axis=1, keepdims=True)
    found = _value(spec, target, data.replace(scores=probs, kind="probs"))
    _equal(found, _value(spec, target, data), f"{spec} of {target}, probabilities and logits", _ROUNDED)


@_law
def one_column_is_an_event(spec: str, target: str) -> None:
    """One column of scores is judged as the probability of class 1."""
    if not target.startswith("positive"):
        return
    data = example_predictions(target)
    margin, y = data.scores[:, 1] - data.scores[:, 0], (data.y_true == 1).astype(int)
    two = Predictions(np.stack([np.zeros_like(margin), margin], axis=1), y, kind="logits")
    one = next(iter(evaluate(Predictions(margin, y, kind="logits"), [spec], floors=False).values()))
    _equal(one, _value(spec, "positive", two), f"{spec} of one column")


@_law
def groups_are_their_rows(spec: str, target: str) -> None:
    """The value of a group is that of its rows by themselves."""
    data = example_predictions(target)
    found = evaluate(data, [spec], target=target, by="group", floors=False)
    for label, group in found.groups.items():
        rows = data.take(np.flatnonzero(data.columns["group"] == label))
        assert group.n_samples == rows.n_samples
        _equal(next(iter(group.values())), _value(spec, target, rows), f"{spec} of {target} in group {label}")


@_law
def streams_are_the_whole(spec: str, target: str) -> None:
    """A stream that is saved, loaded and merged gives the value of all rows."""
    data = example_predictions(target)
    y = _labels(data)

    def stream(rows: slice) -> StreamingEvaluation:
        made = StreamingEvaluation([spec], target=target, by="group", keep_pairs=True, floors=False)
        groups = {"group": data.columns["group"][rows]}
        return made.update(data.scores[rows], y[rows], columns=groups)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.npz"
        stream(slice(0, 100)).save(path)
        merged = (StreamingEvaluation.load(path) + stream(slice(100, None))).result()
    whole = evaluate(data, [spec], target=target, by="group", floors=False)
    _equal(next(iter(merged.values())), next(iter(whole.values())), f"{spec} of {target}, streamed")
    for label, group in whole.groups.items():
        mine = next(iter(merged.groups[label].values()))
        _equal(mine, next(iter(group.values())), f"{spec} of {target} in group {label}, streamed")


@_law
def kernels_are_the_general_path(spec: str, target: str) -> None:
    """Kernels of their own give what the general path gives."""
    for seed in range(3):
        data = example_predictions(target, seed=seed).replace(sample_weight=np.random.default_rng(seed).random(240))
        fast = _value(spec, target, data)
        with general_path():
            _equal(fast, _value(spec, target, data), f"{spec} of {target}, kernel and general path")


@_law
def values_lie_within_the_bounds(spec: str, target: str) -> None:
    """Values lie in the range that the definition states, also for few rows and for perfect and wrong answers."""
    data = example_predictions(target)
    metric = _bound(spec, target, data)
    low, high = metric.bounds
    for rows in (slice(0, 1), slice(0, 3), slice(None)):
        value = _value(spec, target, data.take(rows))
        assert math.isnan(value) or low - _CLOSE <= value <= high + _CLOSE, (spec, target, value)


@_law
def sums_have_a_fixed_size(spec: str, target: str) -> None:
    """What says that it is a sum does not grow with the rows."""
    data = example_predictions(target)
    metric = _bound(spec, target, data)
    if metric.statistic.is_sum:
        statistic = By(metric.statistic, "group")
        few, many = (summarize(data.take(slice(0, n)), [statistic])[statistic] for n in (60, 240))
        sizes = [[_size(part) for part in sums.summaries.values()] for sums in (few, many)]
        assert sorted(sizes[0]) == sorted(sizes[1]), (spec, target)


def _size(summary: Any) -> int:
    from calkit.stats.stored import to_arrays

    return sum(np.size(value) for value in to_arrays(summary).values())


@_law
def rows_are_let_go(spec: str, target: str) -> None:
    """Nothing holds a block of rows once it is counted; a circle of references would, until Python looks for it."""
    data = example_predictions(target)
    watched = _Watched(next(_bound(spec, target, data).statistic.passes()))
    collects = gc.isenabled()
    gc.disable()
    try:
        summarize(data, [watched, By(watched, "group")], executor="serial")
        assert watched.seen
        assert not any(rows() for rows in watched.seen), f"{spec} of {target} holds the rows"
    finally:
        if collects:
            gc.enable()


@dataclass(frozen=True, eq=False)
class _Watched(Statistic[Any]):
    """Another statistic, with weak references to the rows that it has seen."""

    statistic: Statistic[Any]
    seen: list[weakref.ref[Rows]] = field(default_factory=list)

    def measure(self, rows: Rows) -> Any:
        self.seen.append(weakref.ref(rows))
        return self.statistic.measure(rows)


@_law
def specs_print_back(spec: str, target: str) -> None:
    """The spec of a metric stands for that metric."""
    metric = METRICS[get_metric(spec).name](**get_metric(spec).parameters, target=target)
    again = get_metric(metric.spec)
    assert (again.spec, again.name, again.parameters) == (metric.spec, metric.name, metric.parameters)
    data = example_predictions(target)
    _equal(evaluate(data, [metric.spec], floors=False)[metric.spec], _value(spec, target, data), metric.spec)
