"""What is drawn does not depend on the order that rows come in."""

import numpy as np
import pytest

import calkit
from calkit.inference.tests import run_tests
from calkit.metrics.base import METRICS

N = 120


def shuffled(k, weighted, ties):
    """The same rows twice, in two orders."""
    rng = np.random.default_rng([k, weighted, ties])
    z = 2 * rng.normal(size=(N, k))
    z = np.rint(z) if ties else z
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = (rng.random((N, 1)) > p.cumsum(axis=1)[:, :-1]).sum(axis=1)
    w = rng.choice([0.5, 1.0, 3.0], N) if weighted else None
    for order in (np.arange(N), rng.permutation(N)):
        yield calkit.Predictions(p[order], y[order], kind="probs", sample_weight=None if w is None else w[order])


def judged(predictions, metrics, target):
    found = calkit.evaluate(predictions, metrics, target=target, confidence_level=0.9, n_resamples=50)
    for metric in found.metrics:
        judgement = found.judgement(metric.spec)
        floor = () if judgement.floor is None else (judgement.floor.mean, judgement.floor.p95)
        yield metric.spec, [*(judgement.interval or ()), *floor, *(() if not floor else (judgement.p_value,))]


@pytest.mark.parametrize("target", ["top", "classwise"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ties", [False, True])
def test_judgements(target, weighted, ties):
    names = [name for name in METRICS if target in METRICS[name].supports()]
    one, two = (dict(judged(each, names, target)) for each in shuffled(3, weighted, ties))
    for spec, numbers in one.items():
        assert two[spec] == pytest.approx(numbers, rel=1e-9, abs=1e-12), spec


def test_tests_of_few_events():
    rng = np.random.default_rng(0)
    p = 1 - 0.02 * rng.random(200)
    y = (rng.random(200) < p).astype(int)
    order = rng.permutation(200)
    names = ["cox", "spiegelhalter", "ks", "kuiper", "atb", "smece", "hosmer-lemeshow", "t-cal", "skce"]
    one, two = run_tests(p, y, tests=names), run_tests(p[order], y[order], tests=names)
    assert {n: r.p_value for n, r in one.items()} == pytest.approx({n: r.p_value for n, r in two.items()}, rel=1e-12)
