"""Value, p-value and interval of every metric agree: the lower limit is above 0 exactly where the p-value is small."""

import numpy as np
import pytest
from scipy.special import gammaincinv
from scipy.stats import poisson

import calkit
from calkit.inference.flips import flips_limit
from calkit.inference.floors import NullLaw
from calkit.metrics import METRICS, available_metrics
from calkit.testing.metrics import targets_of

LEVEL, TAIL = 0.95, 0.025
# A model that is better than every constant has no regret, calibrated or not: noise beyond that of one is no regret.
NO_ERROR = {"ucal"}
# Bins of equal mass may hold forecasts so far apart that true gaps cancel out within them.
MIXED = {"adaece", "tace"}
# Draws that take seconds.
SLOW = {"kde-ece"}
NAMES = [name for name in available_metrics() if name not in NO_ERROR | SLOW]


def drawn(p, rng):
    return np.minimum((rng.random((len(p), 1)) > p.cumsum(axis=1)).sum(axis=1), p.shape[1] - 1)


def worlds(seed):
    """Forecasts, labels and weights: almost sure or not, calibrated or not, of equal weight or not."""
    rng = np.random.default_rng(seed)
    for concentration in (0.02, 0.3, 2.0):
        for mixed in (0.0, 0.1, 0.3):
            n, k = int(rng.choice([5, 20, 60, 120])), int(rng.choice([2, 3, 6]))
            p = np.maximum(rng.dirichlet(np.full(k, concentration), n), 1e-5)
            p /= p.sum(axis=1, keepdims=True)
            y = drawn((1 - mixed) * p + mixed / k, rng)
            weights = (None, rng.choice([1.0, 2.0, 5.0], n), 10 ** rng.uniform(-3, 3, n))
            yield p, y, weights[rng.integers(3)]


def judged(p, y, weight, target):
    y = np.eye(p.shape[1], dtype=int)[y] if target == "multilabel" else y
    metrics = [name for name in NAMES if target in targets_of(name)]
    options = {"target": target, "confidence_level": LEVEL, "n_resamples": 150, "sample_weight": weight}
    return metrics, lambda **more: calkit.evaluate(y, p, metrics, **options, **more)


def assert_agree(evaluation, metrics):
    seen = 0
    for metric in metrics:
        found = evaluation.judgement(metric)
        if found.interval is None or found.p_value is None:
            continue
        value, (low, high) = evaluation[metric], found.interval
        assert (low > 0) <= (found.p_value <= TAIL), (metric, value, found)
        assert low > 0 or found.p_value > TAIL or metric in MIXED, (metric, value, found)
        assert METRICS[metric].bounds[0] - 1e-12 <= high, (metric, found)
        seen += low > 0
    return seen


@pytest.mark.parametrize("target", ["top", "classwise", "ordinal", "multilabel"])
def test_the_lower_limit_is_above_0_exactly_where_the_p_value_is_small(target):
    seen = 0
    for world in worlds(1):
        metrics, evaluate = judged(*world, target)
        seen += assert_agree(evaluate(), metrics)
    assert seen > 2


@pytest.mark.parametrize("target", ["top", "classwise", "ordinal"])
def test_so_it_is_in_every_group(target):
    seen = 0
    for p, y, weight in worlds(2):
        metrics, evaluate = judged(p, y, weight, target)
        group = np.arange(len(y)) % 3
        for found in evaluate(by=group).groups.values():
            seen += assert_agree(found, metrics)
    assert seen > 2


@pytest.mark.parametrize("target", ["classwise", "ordinal", "multilabel"])
@pytest.mark.parametrize("wrong", [5, 8])
def test_the_limit_of_errors_where_hardly_one_was_to_come(target, wrong):
    n, k, sure = 100, 4, 0.9999
    p = np.full((n, k), (1 - sure) / (k - 1))
    y = np.arange(n) % k
    p[np.arange(n), y] = sure
    y[:wrong] = (y[:wrong] + 1) % k
    _metrics, evaluate = judged(p, y, None, target)
    found = evaluate().judgement("ece")
    assert found.p_value < 0.01
    low = found.interval[0]
    assert 0 < low < evaluate()["ece"]
    if target == "classwise":
        # A limit of the rate of the Poisson variable that was seen; two of the k forecasts of a row change.
        rate = float(gammaincinv(wrong, TAIL))
        assert 0.5 * rate < low * k * n / 2 < 1.01 * rate


def test_the_limit_of_changes_is_that_of_a_rate():
    # Of a value that is 0 if the model is calibrated, each change adds 1: as many as come with a probability of 2.5 %.
    law = NullLaw(0.0, lambda value: float(value <= 0), lambda _: 0.0)
    for changes in (2, 5, 30):
        limit = flips_limit(float(changes), law, 1.0, TAIL)
        assert poisson.sf(changes - 1, limit) == pytest.approx(TAIL, rel=1e-4)
    assert flips_limit(1.0, law, 1.0, TAIL) == pytest.approx(TAIL, rel=1e-4)
    # Where rows differ in weight, one heavy row may make up all of it: Markov's inequality.
    assert flips_limit(5.0, law, np.inf, TAIL) == pytest.approx(5 * TAIL, rel=0.03)
    assert flips_limit(0.0, law, 1.0, TAIL) == 0


def test_gaps_that_cancel_out_within_a_bin_do_not_show_an_error_of_the_bin():
    # Forecasts of 0.02 and 0.98 in one bin, all outcomes fair: the error of this bin is 0, its noise is not that told.
    rng = np.random.default_rng(0)
    p, small, above = np.tile([0.02, 0.98], 100), 0, 0
    for _ in range(60):
        y = (rng.random(200) < 0.5).astype(int)
        evaluation = calkit.evaluate(y, p, ["ece:n_bins=1"], target="positive", confidence_level=LEVEL, n_resamples=200)
        found = evaluation.judgement("ece:n_bins=1")
        small += found.p_value <= TAIL
        above += found.interval[0] > 0
    # 5 % are 3 of 60.
    assert above <= 7 < small
