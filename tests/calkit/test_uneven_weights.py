"""Few events among rows that differ in weight: every set of outcomes is gone through, so that levels are exact."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

import calkit
from calkit.inference.few_events import expected_of_rows
from calkit.inference.means import effective_rows
from calkit.inference.tests import DEFAULT_TESTS, run_tests

METRICS = ["ece", "adaece", "mce", "rmsce", "ace", "ks", "kuiper", "atb", "smece", "smcal", "skce", "mmce", "corp-mcb"]

WORLDS = {
    "one heavy row": (np.full(5, 0.97), np.array([40.0, 1, 1, 1, 1])),
    "rare": (np.array([0.01, 0.03, 0.02, 0.01, 0.02]), np.array([1.0, 2, 30, 5, 1])),
    "a bit uneven": (np.array([0.98, 0.97, 0.99, 0.99, 0.98]), np.array([0.5, 1.5, 1, 1, 1.2])),
}


@pytest.fixture(params=WORLDS)
def outcomes(request):
    """All sets of outcomes with their probabilities."""
    p, weight = WORLDS[request.param]
    sets = np.array(list(product([0, 1], repeat=len(p))))
    chance = np.where(sets, p, 1 - p).prod(axis=1)
    kept = chance > 1e-6
    return p, weight, sets[kept], chance[kept]


def _assert_level(p_values, chance):
    for level in (0.01, 0.05):
        assert chance[p_values <= level].sum() <= level


def test_p_values_of_metrics_keep_their_level_exactly(outcomes):
    p, weight, sets, chance = outcomes
    found = [calkit.evaluate(y, p, METRICS, sample_weight=weight, n_resamples=200, confidence_level=0.95) for y in sets]
    for spec in METRICS:
        judged = [each.judgement(spec) for each in found]
        p_values = np.array([each.p_value for each in judged])
        _assert_level(p_values, chance)
        low = np.array([each.interval[0] for each in judged])
        assert not (low[p_values > 0.025] > 0).any(), spec


def test_p_values_of_tests_keep_their_level_exactly(outcomes):
    p, weight, sets, chance = outcomes
    names = [*DEFAULT_TESTS, "ks", "atb", "hosmer-lemeshow", "skce"]
    found = [run_tests(p, y, tests=names, sample_weight=weight, n_resamples=200) for y in sets]
    for name in names:
        _assert_level(np.array([each[name].p_value for each in found]), chance)


@pytest.mark.parametrize("target", ["classwise", "ordinal"])
def test_p_values_over_keys_keep_their_level_exactly(target):
    p = np.array([[0.97, 0.02, 0.01], [0.01, 0.98, 0.01], [0.005, 0.005, 0.99], [0.01, 0.97, 0.02]])
    weight = np.array([25.0, 1, 1, 2])
    sets = np.array(list(product([0, 1, 2], repeat=len(p))))
    chance = np.prod([p[i, sets[:, i]] for i in range(len(p))], axis=0)
    sets, chance = sets[chance > 1e-4], chance[chance > 1e-4]
    specs = ["ece", "mce", "l2-debiased"]
    found = [calkit.evaluate(y, p, specs, target=target, sample_weight=weight, n_resamples=200) for y in sets]
    for spec in specs:
        p_values = [each.judgement(spec).p_value for each in found]
        _assert_level(np.array([1.0 if each is None else each for each in p_values]), chance)


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
@pytest.mark.parametrize(("n", "p"), [(40, 0.999), (100, 0.9995), (30, 0.99), (50, 0.02)])
def test_kernel_error_of_few_events_keeps_its_level(n, p, estimator):
    # By the number of hits, since all forecasts are the same. With .04 expected failures 96 % of samples had p .04.
    hits = np.arange(n + 1)
    chance = binom.pmf(hits, n, p)
    hits, chance = hits[chance > 1e-5], chance[chance > 1e-5]
    spec = f"skce:estimator={estimator}"
    found = [calkit.evaluate(np.arange(n) < k, np.full(n, p), [spec], n_resamples=500) for k in hits]
    p_values = np.array([each.judgement(spec).p_value for each in found])
    assert p_values[np.argmax(chance)] > 0.5
    for level in (0.01, 0.05):
        # p-values of drawn laws have a standard error.
        assert chance[p_values <= 0.7 * level].sum() <= level


def test_bound_of_uneven_rows_holds():
    # Against draws: Σ w |y - p| over the sum of the weights.
    rng = np.random.default_rng(0)
    p, weight = 1 - 10 ** -rng.uniform(2, 4, 100), np.exp(1.5 * rng.normal(size=100))
    expected = expected_of_rows(p, weight)
    residual = np.abs((rng.random((20_000, 100)) < p) - p) @ weight / weight.sum()
    for value in np.quantile(residual, [0.5, 0.9, 0.99, 0.999]):
        assert expected.bound(value) >= (residual >= value).mean()
    for tail in (0.3, 0.05, 0.01, 0.001):
        assert expected.bound(expected.critical(tail)) == pytest.approx(tail, rel=1e-6)


def test_rows_of_weight_0_are_absent():
    p, y = np.array([0.9, 0.99, 0.98, 0.3, 0.6]), np.array([1, 0, 1, 1, 0])
    weight = np.array([1.0, 1, 1, 0, 0])
    names = [*DEFAULT_TESTS, "hosmer-lemeshow", "e-value", "spiegelhalter", "skce-block"]
    with_them, without = run_tests(p, y, tests=names, sample_weight=weight), run_tests(p[:3], y[:3], tests=names)
    for name in names:
        assert with_them[name].p_value == pytest.approx(without[name].p_value, rel=1e-12), name


def test_the_interval_of_a_weighted_share_covers_where_rows_of_large_weight_are_less_sure():
    # 40 rows of weight 10 are right with a probability of .5, 360 of weight 1 with .99: (Σw)² / Σw² rows covered 91 %.
    truth = (400 * 0.5 + 360 * 0.99) / 760
    weight = np.repeat([10.0, 1.0], [40, 360])
    forecasts = np.tile([0.3, 0.7], (400, 1))
    covered = 0.0
    for heavy in range(8, 33):
        for light in range(350, 361):
            y = np.concatenate([np.arange(40) < heavy, np.arange(360) < light]).astype(int)
            found = calkit.evaluate(y, forecasts, ["accuracy"], sample_weight=weight, confidence_level=0.95)
            low, high = found.intervals["accuracy"]
            covered += (low <= truth <= high) * binom.pmf(heavy, 40, 0.5) * binom.pmf(light, 360, 0.99)
    assert covered > 0.94


def test_rows_of_one_weight_are_all_effective():
    for weight in (1.0, 0.3):
        assert effective_rows(0.7, 10 * weight, 7 * weight**2, 10 * weight**2) == pytest.approx(10, rel=1e-14)
