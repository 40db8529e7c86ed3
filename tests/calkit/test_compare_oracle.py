"""Differences of means of two models, with weights, soft labels and tied scores, against plain loops."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

import calkit

N, K = 90, 3
CASES = list(itertools.product([False, True], repeat=3))


def models(weighted, soft, ties):
    rng = np.random.default_rng([weighted, soft, ties])
    z = 2 * rng.normal(size=(N, K))
    z = np.rint(z) if ties else z
    one, two = (np.exp(f * z) / np.exp(f * z).sum(axis=1, keepdims=True) for f in (1.0, 1.7))
    if not ties:
        two = two[:, [0, 2, 1]]
    y = rng.multinomial(4, [0.5, 0.3, 0.2], N) / 4 if soft else rng.integers(0, K, N)
    w = rng.choice([0.5, 1.0, 4.0], N) if weighted else None
    return one, two, y, w


def shares(y):
    return [[float(j == each) for j in range(K)] for each in y] if y.ndim == 1 else y.tolist()


def first_of_largest(p):
    return min(range(K), key=lambda j: (-p[j], j))


LOSSES = {
    "nll": lambda p, q: -math.fsum(a * math.log(b) for a, b in zip(q, p, strict=True)),
    "brier": lambda p, q: math.fsum(
        a * math.fsum((b - (j == i)) ** 2 for j, b in enumerate(p)) for i, a in enumerate(q)
    ),
    "accuracy": lambda p, q: q[first_of_largest(p)],
}


def limits(value, influence, skewness, level=0.95):
    """Those whose t, less its skewness (Hall 1992), is Student's; found by search."""
    m = len(influence)
    error = math.sqrt(math.fsum(d**2 for d in influence) * m / (m - 1))

    def less_skewness(t):
        return t + skewness * (t**2 / 3 + 1 / 6) + skewness**2 * t**3 / 27

    for tail in ((1 + level) / 2, (1 - level) / 2):
        quantile = stats.t(m - 1).ppf(tail)
        yield value - error * brentq(lambda t, q=quantile: less_skewness(t) - q, -1000, 1000, xtol=1e-13)


@pytest.mark.parametrize(("weighted", "soft", "ties"), CASES)
@pytest.mark.parametrize("metric", list(LOSSES))
def test_differences_of_means(weighted, soft, ties, metric):
    one, two, y, w = models(weighted, soft, ties)
    weight = [1.0] * N if w is None else w.tolist()
    each = [
        LOSSES[metric](q, share) - LOSSES[metric](p, share)
        for p, q, share in zip(one.tolist(), two.tolist(), shares(y), strict=True)
    ]
    total = math.fsum(weight)
    value = math.fsum(v * d for v, d in zip(weight, each, strict=True)) / total
    influence = [v * (d - value) / total for v, d in zip(weight, each, strict=True)]
    if metric == "accuracy":
        # One more row that differs either way, of the mean weight (Bonett & Price 2012).
        influence += [1 / N, -1 / N]
    skewness = math.fsum(d**3 for d in influence) / math.fsum(d**2 for d in influence) ** 1.5
    found = [tuple(limits(value, influence, g)) for g in (skewness, 0.0)] if any(each) or metric == "accuracy" else []
    pair = {name: calkit.Predictions(p, y, kind="probs", sample_weight=w) for name, p in (("a", one), ("b", two))}
    difference = calkit.compare(pair, [metric]).differences[metric]["b"]
    assert difference.value == pytest.approx(value, rel=1e-12, abs=1e-15)
    assert difference.low == pytest.approx(min(low for low, _ in found), rel=1e-9, abs=1e-12)
    assert difference.high == pytest.approx(max(high for _, high in found), rel=1e-9, abs=1e-12)
    assert (difference.p_value < 0.05) == difference.is_clear


@pytest.mark.parametrize(("weighted", "ties"), list(itertools.product([False, True], repeat=2)))
def test_differences_of_calibration_errors_turn_round(weighted, ties):
    one, two, y, w = models(weighted, False, ties)
    pair = {name: calkit.Predictions(p, y, kind="probs", sample_weight=w) for name, p in (("a", one), ("b", two))}
    metrics = ["ece", "adaece", "smece", "ks", "rmsce", "l2-debiased", "classwise_ece"]
    there = calkit.compare(pair, metrics).differences
    back = calkit.compare(pair, metrics, baseline="b").differences
    for metric in metrics:
        found, turned = there[metric]["b"], back[metric]["a"]
        values = [calkit.evaluate(each, [metric], floors=False)[metric] for each in pair.values()]
        assert found.value == pytest.approx(values[1] - values[0], rel=1e-12, abs=1e-15)
        assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))
        assert turned.p_value == pytest.approx(found.p_value)
        assert (found.p_value < 0.05) == found.is_clear


def test_soft_labels_have_no_interval_of_a_calibration_error_but_a_value():
    one, two, y, _ = models(False, True, False)
    pair = {name: calkit.Predictions(p, y, kind="probs") for name, p in (("a", one), ("b", two))}
    found = calkit.compare(pair, ["ece"]).differences["ece"]["b"]
    assert (found.low, found.high, found.p_value) == (None, None, None)
    assert found.value != 0
