"""Intervals of CORP's miscalibration, U-calibration and errors without bins."""

import math
from functools import partial

import numpy as np
import pytest

import calkit
from calkit.estimators.binned import NORMS, swept
from calkit.estimators.corp import miscalibration
from calkit.estimators.decisions import v_shaped_regret
from calkit.estimators.kernels import beta_kernel_error, beta_kernel_errors
from calkit.estimators.logits import logit_smoothed
from calkit.estimators.ranked import Ranked, ranked
from calkit.inference.bounds import brier_miscalibration, recalibration_limits, regrets, variance_share
from calkit.inference.floors import NullLaw
from calkit.inference.resampling import Resampling
from calkit.inference.whole import drawn_rows, ranked_pairs
from calkit.metrics import get_metric
from calkit.stats import ConfidencePairs

NAMES = ["corp-mcb", "ucal", "ece-sweep", "kde-ece"]


def judged(p, y, name, **options):
    found = calkit.evaluate(calkit.Predictions(p, y, kind="probs", **options), [name], confidence_level=0.95)
    return found.judgement(next(iter(found)))


def test_the_root_of_the_miscalibration_obeys_the_triangle_inequality():
    # sup over a convex set of 2 <r, h> - |h|²: of r = a + b, the root is at most that of a and that of b.
    rng = np.random.default_rng(0)
    ones = np.ones(30)
    for _ in range(200):
        p, q = np.sort(rng.random(30)), rng.random(30)
        y = rng.random(30) < q
        seen, true, noise = (brier_miscalibration(Ranked(p, ones, v, ones)) for v in (y * 1.0, q, p + y - q))
        assert seen**0.5 <= true**0.5 + noise**0.5 + 1e-9


def test_the_upper_limit_of_the_miscalibration():
    # x - z sqrt(c x / n) = value at the limit x, c x being the variance of a row.
    rng, z = np.random.default_rng(0), 1.959963985
    p = rng.random(400)
    y = rng.random(400) < 0.8 * p
    forecasts = ranked(p, y)
    high = judged(p, y, "corp-mcb").interval[1]
    share = variance_share(forecasts, z)
    assert high - z * (share * high / 400) ** 0.5 == pytest.approx(brier_miscalibration(forecasts), rel=1e-6)
    assert 0.3 < share < 4 / 3


def test_the_variance_of_a_row_in_units_of_its_miscalibration():
    # One step of 8 rows, 6 of them positive, at p = 1/2: g = 3/4, the middle of its score interval 8 / 12 for z = 2.
    forecasts = ranked(np.full(8, 0.5), np.arange(8) < 6)
    assert variance_share(forecasts, 2.0) == pytest.approx(1 / 16 + 1)
    # At p = 0.8 none of 8: g = 0, middle 2 / 12, and p varies more. At most 4 / 3, also where no gap is seen.
    forecasts = ranked(np.full(8, 0.8), np.zeros(8, dtype=bool))
    assert variance_share(forecasts, 2.0) == pytest.approx(0.64 + 4 * 0.8 * 0.2)
    assert variance_share(ranked(np.full(2, 0.5), np.array([True, False])), 2.0) == 4 / 3


@pytest.mark.parametrize(("said", "true"), [(0.99, 0.95), (0.99, 0.9), (0.999, 0.99), (0.9, 0.6)])
@pytest.mark.parametrize("n", [30, 300])
def test_the_upper_limit_holds_for_almost_sure_forecasts(said, true, n):
    # Whether it holds depends on the number of events alone, whose law is binomial.
    count = np.arange(n + 1)
    mass = np.array([math.comb(n, k) * true**k * (1 - true) ** (n - k) for k in count])
    held = []
    for k in count:
        pairs = ConfidencePairs(np.full(n, said), np.arange(n) < k)
        forecasts = ranked_pairs(pairs)
        value = brier_miscalibration(forecasts)
        nothing = NullLaw(0.0, lambda _: 1.0, lambda _: 0.0)
        high = recalibration_limits(value, pairs, forecasts, nothing, Resampling(0.95))[1]
        held.append(high >= (said - true) ** 2)
    assert mass[held].sum() > 0.97


@pytest.mark.parametrize("weighted", [False, True])
def test_the_means_whose_largest_is_the_regret(weighted):
    rng = np.random.default_rng(0)
    for _ in range(20):
        p, y = rng.random(40), rng.random(40) < 0.4
        w = rng.integers(1, 4, 40) * 1.0 if weighted else None
        mean, noise = regrets(ConfidencePairs(p, y, w), Resampling(0.95, 4000))
        weight = np.ones(40) if w is None else w
        below = [2 * (weight * (y - v) * (p <= v)).sum() / weight.sum() for v in np.sort(p)]
        above = [2 * (weight * (v - y) * (p > v)).sum() / weight.sum() for v in np.sort(p)]
        np.testing.assert_allclose(mean, [*below, *above], atol=1e-12)
        value = v_shaped_regret(ranked(p, y, w))
        assert mean.max() <= value + 1e-12
    # The errors have the variances of means of rows.
    v = np.sort(p)[20]
    terms = 2 * weight * ((y - v) * (p <= v) - mean[20] / 2) / weight.sum()
    assert noise[:, 20].std() == pytest.approx((terms**2).sum() ** 0.5, rel=0.05)


def test_sets_of_outcomes_have_the_errors_of_each():
    rng = np.random.default_rng(0)
    p, y, w = rng.random(60), rng.random((60, 3)) < 0.5, rng.random(60)
    each = [beta_kernel_error(p, y[:, i].astype(float), w, 0.02) for i in range(3)]
    np.testing.assert_allclose(beta_kernel_errors(Ranked(p, w, w * y.T, w**2), 0.02), each, rtol=1e-12)


def test_rows_of_one_probability_may_come_as_one_forecast():
    rng = np.random.default_rng(0)
    p, w = rng.integers(0, 6, 80) / 5, np.full(80, 0.7)
    y = rng.random(80) < 0.4
    assert beta_kernel_errors(ranked(p, y, w), 0.02) == pytest.approx(beta_kernel_error(p, y, w, 0.02), abs=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_outcomes_drawn_in_cells_have_the_errors_of_those_drawn_row_by_row(weighted):
    rng = np.random.default_rng(0)
    p = rng.beta(3, 1, 800)
    forecasts = ranked(p, rng.random(800) < p, rng.integers(1, 4, 800) * 0.5 if weighted else None)
    measure = partial(beta_kernel_errors, bandwidth=0.01)
    rows, cells = (drawn_rows(measure, forecasts, 400, np.random.default_rng(1), n) for n in (None, 128))
    assert cells.mean() == pytest.approx(rows.mean(), rel=0.06)
    assert np.quantile(cells, 0.95) == pytest.approx(np.quantile(rows, 0.95), rel=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_a_lower_limit_above_0_is_significant(name):
    rng = np.random.default_rng(1)
    p = rng.uniform(0.1, 0.9, 600)
    seen = []
    for shift in (0, 0.03, 0.06, 0.2):
        found = judged(p, rng.random(600) < np.clip(p - shift, 0, 1), name)
        seen.append(found.interval[0] > 0)
        assert found.interval[0] == 0 or found.p_value <= 0.025
        assert 0 < found.floor.mean < found.floor.p95
    # Of CORP and of regrets, limits above 0 need large errors.
    assert seen[-1] or name in ("ucal", "corp-mcb")
    assert not seen[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("y", [[True], [True, True, True], [False, True, False]])
def test_few_rows_and_ties(name, y):
    found = judged(np.full(len(y), 0.5), np.array(y), name)
    if len(y) == 1:
        assert found.interval is None
    else:
        low, high = found.interval
        assert 0 <= low <= high <= get_metric(name).bounds[1]


def test_what_has_no_interval_by_its_parameters():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.1, 0.9, 100)
    y = rng.random(100) < p
    for spec in ("corp-mcb:score=log", "ece-sweep:norm=max", "kde-ece:norm=2"):
        found = judged(p, y, spec)
        assert found.interval is None
        assert found.floor is not None


@pytest.mark.parametrize("name", ["ks", "atb"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_floor_of_curves_over_classes_is_that_of_drawn_labels(name, weighted):
    rng = np.random.default_rng(0)
    probs = rng.dirichlet([2, 1, 0.2, 0.2], 150)
    weight = rng.integers(0, 3, 150) * 1.0 if weighted else None

    def evaluated(y):
        return calkit.evaluate(
            calkit.Predictions(probs, y, kind="probs", sample_weight=weight), [f"{name}:target=classwise"]
        )

    labels = (rng.random((150, 300, 1)) > probs.cumsum(axis=1)[:, None, :-1]).sum(axis=2)
    values = [next(iter(evaluated(y).values())) for y in labels.T]
    floor = evaluated(labels[:, 0]).judgement(f"{name}:target=classwise").floor
    assert floor.mean == pytest.approx(np.mean(values), rel=0.12)
    assert floor.p95 == pytest.approx(np.quantile(values, 0.95), rel=0.2)
    worst = evaluated(probs.argmin(axis=1)).judgement(f"{name}:target=classwise")
    assert worst.p_value < 1e-3


MEASURES = {
    "corp-mcb": miscalibration,
    "corp-mcb of the log score": partial(miscalibration, score="log"),
    "ucal": v_shaped_regret,
    "ece-sweep": partial(swept, norm=NORMS["l1"]),
    "ls-ece": partial(logit_smoothed, width=0.5),
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize("weighted", [False, True])
def test_measures_of_several_sets_are_those_of_each(measure, weighted):
    rng = np.random.default_rng(2)
    p, w = np.sort(rng.random(40)), rng.integers(1, 4, 40) * (0.7 if weighted else 1.0)
    sets = (rng.random((150, 40)) < p) * w
    together = measure(Ranked(p, w, sets, w))
    assert together.shape == (150,)
    np.testing.assert_allclose(together, [measure(Ranked(p, w, one, w)) for one in sets], atol=1e-12)
