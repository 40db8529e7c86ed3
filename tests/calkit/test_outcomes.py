"""Means by outcome: against plain loops, on the host and on the device, from logits and from probabilities."""

import math

import numpy as np
import pytest

import calkit
from calkit.errors import UsageError
from calkit.metrics.outcomes import outcome_metrics
from tests import reference as ref

QUANTITIES = ("nll", "entropy", "confidence", "p_true")


def example(n=200, k=5, seed=0, dtype=np.float64, scale=3.0):
    rng = np.random.default_rng(seed)
    logits = (scale * rng.standard_normal((n, k))).astype(dtype)
    y = np.where(rng.random(n) < 0.5, logits.argmax(1), rng.integers(0, k, n))
    return logits, y, rng.integers(0, 3, n).astype(float)


def oracle(probs, y, weights):
    """Each quantity of each row as its definition reads, then weighted means of the rows of each group."""
    rows = {
        "nll": [-math.log(p[label]) for p, label in zip(probs, y, strict=True)],
        "entropy": [-math.fsum(x * math.log(x) for x in p if x > 0) for p in probs],
        "confidence": [max(p) for p in probs],
        "p_true": [p[label] for p, label in zip(probs, y, strict=True)],
    }
    right = [ref.first_of_largest(p) == label for p, label in zip(probs, y, strict=True)]
    found = {}
    for quantity, values in rows.items():
        for suffix, wanted in (("", (True, False)), ("_correct", (True,)), ("_misclassified", (False,))):
            kept = [i for i, r in enumerate(right) if r in wanted]
            total = math.fsum(weights[i] for i in kept)
            sums = math.fsum(weights[i] * values[i] for i in kept)
            found[quantity + suffix] = sums / total if total else math.nan
    return found


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["logits", "probs"])
@pytest.mark.parametrize("k", [2, 5, 40])
def test_equals_the_loop(kind, k, weighted):
    logits, y, weights = example(k=k)
    probs = [ref.softmax(row) for row in logits]
    scores = logits if kind == "logits" else np.array(probs)
    w = weights if weighted else None
    found = calkit.evaluate(calkit.Predictions(scores, y, kind=kind, sample_weight=w), outcome_metrics())
    expected = oracle(probs, y, weights if weighted else np.ones(len(y)))
    assert list(found) == list(expected)
    assert dict(found) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["logits", "probs"])
def test_the_device_counts_the_same(kind, weighted):
    torch = pytest.importorskip("torch")
    from calkit_torch.bridge import DeviceMetrics

    logits, y, weights = example(dtype=np.float32)
    scores = logits if kind == "logits" else np.array([ref.softmax(row) for row in logits])
    w = weights if weighted else None
    device = DeviceMetrics(outcome_metrics(), kind=kind)
    for i in range(0, len(y), 64):
        part = slice(i, i + 64)
        weight = None if w is None else torch.from_numpy(w[part])
        device.update(torch.from_numpy(scores[part]), torch.from_numpy(y[part]), weight)
    host = calkit.evaluate(calkit.Predictions(scores, y, kind=kind, sample_weight=w), outcome_metrics())
    assert dict(device.compute()) == pytest.approx(dict(host), rel=1e-7)


def test_nll_is_the_metric_of_that_name_and_a_mean_over_no_rows_is_nan():
    logits, _, _ = example()
    y = logits.argmax(1)
    found = calkit.evaluate(calkit.Predictions(logits, y, kind="logits"), outcome_metrics())
    assert found["nll"] == pytest.approx(calkit.nll(y, logits, from_logits=True), rel=1e-14)
    assert found["nll_correct"] == pytest.approx(found["nll"], rel=1e-14)
    assert all(math.isnan(found[f"{quantity}_misclassified"]) for quantity in QUANTITIES)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_logits(dtype):
    """All on one class: entropy 0. All alike: log K. Nothing overflows on the way, on the host or on the device."""
    torch = pytest.importorskip("torch")
    from calkit_torch.bridge import DeviceMetrics

    big = float(np.finfo(dtype).max)
    logits = np.array([[big, -big, -big], [0, 0, 0]], dtype)
    for y, suffix in (([0, 0], "_correct"), ([1, 1], "_misclassified")):
        found = calkit.evaluate(calkit.Predictions(logits, y, kind="logits"), outcome_metrics())
        device = DeviceMetrics(outcome_metrics()).update(torch.from_numpy(logits), torch.tensor(y)).compute()
        for evaluation in (found, device):
            assert evaluation["entropy" + suffix] == pytest.approx(math.log(3) / 2, rel=1e-12)
            assert evaluation["confidence" + suffix] == pytest.approx((1 + 1 / 3) / 2, rel=1e-12)


def test_a_soft_label_is_a_row_for_each_vote():
    logits, y, _ = example(60)
    votes = 3 * np.eye(5, dtype=int)[y] + np.eye(5, dtype=int)[(y + 1) % 5]
    rows, columns = np.nonzero(votes)
    weight = (votes / 4)[rows, columns]
    soft = calkit.evaluate(calkit.Predictions(logits, votes, kind="logits"), outcome_metrics())
    probs = [ref.softmax(row) for row in logits]
    expected = oracle([probs[i] for i in rows], columns, weight)
    assert dict(soft) == pytest.approx(expected, rel=1e-12)


def test_intervals_are_those_of_the_bootstrap_of_rows():
    logits, y, weights = example(400)
    predictions = calkit.Predictions(logits, y, kind="logits", sample_weight=weights)
    found = calkit.evaluate(predictions, outcome_metrics(), confidence_level=0.95)
    rng, probs = np.random.default_rng(1), np.array([ref.softmax(row) for row in logits])
    wrong = probs.argmax(1) != y
    drawn = []
    for _ in range(1000):
        rows = rng.integers(0, 400, 400)
        rows = rows[wrong[rows]]
        drawn.append(np.average(probs[rows].max(1), weights=weights[rows]))
    limits = np.quantile(drawn, [0.025, 0.975])
    assert found.intervals["confidence_misclassified"] == pytest.approx(limits, abs=0.01)
    for spec, (low, high) in found.intervals.items():
        assert low <= found[spec] <= high


def test_names_and_targets():
    assert calkit.metrics.get_metric("nll-wrong").spec == "nll_misclassified"
    assert calkit.metrics.get_metric("nll-correct").spec == "nll_correct"
    pairs = calkit.Predictions.from_confidence([0.9, 0.6, 0.7], [True, False, True])
    found = calkit.evaluate(pairs, ["confidence_correct", "confidence-wrong"])
    assert found["confidence_correct"] == pytest.approx(0.8, abs=1e-15)
    assert found["confidence-wrong"] == 0.6
    with pytest.raises(UsageError, match="entropy is defined for target top"):
        calkit.metrics.entropy([[1, 0]], [[0.3, 0.4]], target="multilabel")


@pytest.mark.parametrize("cuts", [[1], [50, 51], [10, 100, 150]])
def test_any_split_of_the_rows_gives_the_same(cuts):
    logits, y, weights = example(dtype=np.float32)
    whole = calkit.Predictions(logits, y, kind="logits", sample_weight=weights)
    stream = calkit.StreamingEvaluation(outcome_metrics())
    for part in np.split(np.arange(len(y)), cuts):
        stream.update(logits[part], y[part], weights[part])
    assert dict(stream.result()) == pytest.approx(dict(calkit.evaluate(whole, outcome_metrics())), rel=1e-12)
