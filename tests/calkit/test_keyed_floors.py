"""Floors and intervals over classes, thresholds and labels, of which those of a row depend on each other."""

import itertools

import numpy as np
import pytest

import calkit
from calkit.estimators.kernels import block_pairs

DRAWS = 400


def judged(y, p, metric, target, **options):
    found = calkit.evaluate(y, p, [metric], target=target, confidence_level=0.95, n_resamples=DRAWS, **options)
    spec = next(iter(found))
    return found[spec], found.judgement(spec)


def drawn_rows(n, k, seed):
    """Rows of one label, drawn from its probabilities."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(k, 0.5), n)
    return draw_labels(p, rng), p


def draw_labels(p, rng):
    return np.minimum((rng.random((len(p), 1)) > p.cumsum(axis=1)).sum(axis=1), p.shape[1] - 1)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("side", ["over", "under"])
@pytest.mark.parametrize("k", [2, 4])
def test_one_sided_errors_over_classes_are_half_of_the_whole(k, side, weighted):
    # Probabilities of a row and its outcomes both sum to 1: what some classes have too much, others have too little.
    y, p = drawn_rows(150, k, 1)
    options = {"sample_weight": np.random.default_rng(2).random(150)} if weighted else {}
    value, found = judged(y, p, f"{side}-confidence", "classwise", **options)
    whole, expected = judged(y, p, "ece", "classwise", **options)
    assert value == pytest.approx(whole / 2, abs=1e-12)
    assert (found.p_value, found.floor) == (expected.p_value, expected.floor.halved)
    assert found.interval == (expected.interval[0] / 2, expected.interval[1] / 2)
    if k > 2:
        assert found.pooled.value == expected.pooled.value / 2


@pytest.mark.parametrize("metric", ["rmsce", "ace", "over-confidence", "ace:binning=equal-mass"])
def test_labels_that_are_all_alike_have_the_floor_of_one(metric):
    # Labels may depend on each other in any way; those that are the same vary the most.
    rng = np.random.default_rng(0)
    p = rng.beta(1, 2, 250)
    y = (rng.random(250) < p).astype(int)
    value, found = judged(np.repeat(y[:, None], 6, axis=1), np.repeat(p[:, None], 6, axis=1), metric, "multilabel")
    alone, expected = judged(y, p, metric, "positive")
    assert value == pytest.approx(alone, abs=1e-12)
    assert found.floor.mean == pytest.approx(expected.floor.mean, rel=0.06)
    assert found.floor.p95 == pytest.approx(expected.floor.p95, rel=0.08)
    assert found.p_value == pytest.approx(expected.p_value, abs=0.08)


@pytest.mark.parametrize("metric", ["ece", "adaece"])
def test_thresholds_that_depend_on_each_other_have_no_pooled_error(metric):
    # Outcomes at neighbouring thresholds are nearly the same: the sum of their gaps varies far more than if they were
    # drawn each by itself, so that it would seem significant in half of the samples of a calibrated model.
    rng = np.random.default_rng(0)
    place = rng.uniform(1, 8, 300)[:, None]
    p = np.exp(-((np.arange(10) - place) ** 2) / 4)
    p /= p.sum(axis=1, keepdims=True)
    for _ in range(12):
        _, found = judged(draw_labels(p, rng), p, metric, "ordinal")
        assert found.pooled is None
        assert found.interval[0] == 0 or found.p_value <= 0.025


@pytest.mark.parametrize("metric", ["kde-ece:bandwidth=0.05", "skce:estimator=block", "skce:estimator=block,block=4"])
@pytest.mark.parametrize("target", ["classwise", "top"])
def test_the_floors_of_measures_of_rows_are_those_of_drawn_labels(metric, target):
    y, p = drawn_rows(90, 3, 4)
    _, found = judged(y, p, metric, target)
    rng = np.random.default_rng(5)
    sets = [draw_labels(p, rng) for _ in range(120)]
    drawn = [calkit.evaluate(one, p, [metric], target=target, floors=False) for one in sets]
    values = np.array([next(iter(one.values())) for one in drawn])
    spread = values.std()
    assert found.floor.mean == pytest.approx(values.mean(), abs=0.35 * spread)
    assert found.floor.p95 == pytest.approx(np.quantile(values, 0.95), abs=0.6 * spread)


def test_the_interval_of_blocks():
    # Blocks are independent, so their mean has an interval; it leaves 0 out only where the p-value is small.
    rng = np.random.default_rng(0)
    seen = 0
    for shift in [0.0] * 8 + [0.3]:
        p = rng.uniform(0.3, 0.9, 400)
        y = rng.random(400) < p - shift
        value, found = judged(y.astype(int), p, "skce:estimator=block", "positive")
        assert value == pytest.approx(block_pairs(p, y - p, 0.1, 2).mean(), abs=1e-12)
        assert found.interval[0] <= value <= found.interval[1]
        assert found.interval[0] <= 0 or found.p_value <= 0.025
        seen = found.interval[0]
    assert seen > 0
    # A single block tells nothing.
    assert judged([1, 0], np.array([0.4, 0.5]), "skce:estimator=block", "positive")[1].interval == (-1, 1)


def test_blocks_of_several_sets_of_outcomes():
    rng = np.random.default_rng(0)
    p, r = rng.random(11), rng.normal(size=(11, 5))
    each = [block_pairs(p, one, 0.1, 3) for one in r.T]
    np.testing.assert_allclose(block_pairs(p, r, 0.1, 3).T, each, atol=1e-12)


def test_the_floor_of_a_root_is_the_mean_of_roots():
    rng = np.random.default_rng(0)
    p = rng.random(150)
    _, found = judged((rng.random(150) < p).astype(int), p, "mmce", "positive")
    values = [calkit.evaluate((rng.random(150) < p).astype(int), p, ["mmce"], floors=False)["mmce"] for _ in range(200)]
    # The root of the mean square is larger by about a sixth.
    assert found.floor.mean == pytest.approx(np.mean(values), rel=0.09)


ALMOST_SURE = np.array([[0.9, 0.06, 0.04], [0.02, 0.95, 0.03], [0.05, 0.05, 0.9]])


OVER_BINS = ["ece", "adaece", "ace", "rmsce", "mce", "l2-debiased"]
OVER_CLASSES = [*OVER_BINS, "smece", "skce", "mmce"]
CURVES = ["ks", "smcal", "corp-mcb"]


@pytest.mark.parametrize("target", ["classwise", "ordinal"])
@pytest.mark.parametrize("metric", ["ks", "kuiper", "atb", "smcal", "corp-mcb", "ls-ece"])
def test_one_error_among_rows_that_are_almost_sure_is_as_rare_as_it_is(metric, target):
    # One label of 100 is wrong with a probability of 0.005. A tail that falls exponentially beyond the ten largest of
    # 1,000 draws, which nearly all are 0, would say 1e-11.
    n, sure = 100, 0.99995
    y = np.arange(n) % 3
    p = np.full((n, 3), (1 - sure) / 2)
    p[np.arange(n), y] = sure
    p += np.random.default_rng(0).uniform(0, 1e-6, p.shape)
    y[0] = 1
    found = calkit.evaluate(y, p / p.sum(axis=1, keepdims=True), [metric], target=target, n_resamples=1000)
    assert 0.0009 < found.judgement(metric).p_value < 0.012


@pytest.mark.parametrize("metric", ["ks", "kuiper", "atb", "smcal"])
def test_floors_over_thresholds_are_those_of_drawn_labels(metric):
    rng = np.random.default_rng(0)
    place = rng.uniform(1, 6, 100)[:, None]
    p = np.exp(-((np.arange(7) - place) ** 2) / 4)
    p /= p.sum(axis=1, keepdims=True)
    values = [calkit.evaluate(draw_labels(p, rng), p, [metric], target="ordinal", floors=False) for _ in range(150)]
    values = np.array([value[metric] for value in values])
    _, found = judged(draw_labels(p, rng), p, metric, "ordinal")
    assert found.floor.mean == pytest.approx(values.mean(), abs=0.3 * values.std())
    assert found.floor.p95 == pytest.approx(np.quantile(values, 0.95), abs=0.6 * values.std())


@pytest.mark.parametrize(
    ("metric", "target"),
    [*((m, "classwise") for m in [*OVER_CLASSES, *CURVES]), *((m, "ordinal") for m in [*OVER_BINS, *CURVES])],
)
def test_p_values_of_almost_sure_forecasts_hold_for_all_labels_there_may_be(metric, target):
    every = list(itertools.product(range(3), repeat=3))
    p_value = np.array([judged(list(y), ALMOST_SURE, metric, target)[1].p_value for y in every])
    probability = np.array([ALMOST_SURE[np.arange(3), y].prod() for y in every])
    # Of a valid test, p-values up to a come with probability a at most; cells are drawn, and of three rows only.
    shown = np.array([probability[p_value <= a].sum() for a in p_value])
    assert (shown <= 1.4 * p_value + 0.01).all()
    assert p_value[every.index((0, 1, 2))] > 0.2
    assert p_value.min() < 0.1


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "sure"), [(100, 0.999), (2000, 0.999), (400, 0.98)])
def test_class_wise_tests_of_almost_sure_forecasts_keep_their_level(n, sure, weighted):
    rng = np.random.default_rng(5)
    weight = {"sample_weight": rng.choice([1.0, 2.0], n)} if weighted else {}
    found = []
    for _ in range(80):
        p = np.full((n, 5), (1 - sure) / 4)
        p[np.arange(n), rng.integers(0, 5, n)] = sure
        found.append(judged(draw_labels(p, rng), p, "ece", "classwise", **weight))
    values = np.array([judgement.p_value for _, judgement in found])
    assert (values <= 0.005).sum() <= 2
    assert (values <= 0.05).sum() <= 9
    for _, judgement in found:
        assert (judgement.interval[0] > 0) <= (judgement.p_value <= 0.025)
