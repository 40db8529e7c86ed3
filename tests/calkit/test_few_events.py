"""Forecasts that are almost sure: laws of few events, which are far from normal."""

import itertools

import numpy as np
import pytest
from scipy.stats import beta, binom

import calkit
from calkit.inference.few_events import Expected
from calkit.inference.floors import drawn_law
from calkit.inference.tests import TESTS, run_tests

# Errors that are at least the absolute mean residual.
AT_LEAST_THE_MEAN = ["ece", "adaece", "rmsce", "ks", "kuiper", "smece", "smcal", "ls-ece"]
# The same in squares, or times a factor, or above 0.
MORE = ["atb", "mmce", "corp-mcb"]


def almost_sure(n, wrong, probability):
    return np.full(n, probability), (np.arange(n) >= wrong).astype(int)


@pytest.mark.parametrize("test", ["cox", "spiegelhalter", "hosmer-lemeshow", "ks", "kuiper", "atb", "smece"])
def test_one_error_in_a_hundred_that_are_almost_sure_is_no_wonder(test):
    p, y = almost_sure(100, 1, 0.999)
    # That of one or more, 1 - 0.999^100 = 0.095; normal laws say 0.004. Five standard errors of 1,000 draws.
    found = run_tests(p, y, tests=[test])[test].p_value
    assert found == pytest.approx(binom.sf(0, 100, 0.001), abs=0.047)


@pytest.mark.parametrize("metric", [*AT_LEAST_THE_MEAN, *MORE])
def test_value_interval_and_p_value_agree(metric):
    for wrong, probability in ((3, 0.9999), (1, 0.999), (30, 0.9)):
        p, y = almost_sure(100, wrong, probability)
        event = calkit.Predictions(p, y, kind="probs")
        found = calkit.evaluate(event, [metric], target="positive", confidence_level=0.95).judgement(metric)
        assert (found.interval[0] > 0) == (found.p_value <= 0.025), (wrong, found)


@pytest.mark.parametrize("metric", AT_LEAST_THE_MEAN)
def test_the_lower_limit_of_few_errors_is_that_of_their_rate(metric):
    p, y = almost_sure(100, 3, 0.9999)
    event = calkit.Predictions(p, y, kind="probs")
    low, high = calkit.evaluate(event, [metric], target="positive", confidence_level=0.95).intervals[metric]
    # Clopper & Pearson, with a tail of 1.25 %.
    assert low == pytest.approx(beta.ppf(0.0125, 3, 98) - 1e-4, rel=1e-9)
    assert high > 0.06


def test_the_bound_of_the_tail_is_one():
    for events, rows in ((0.01, 100), (0.1, 1000), (2.0, 500)):
        p = events / rows
        for surprises in range(1, 40):
            # That many errors of rows that are almost sure give this mean absolute residual.
            value = (surprises * (1 - p) + (rows - surprises) * p) / rows
            assert Expected(events, rows).bound(value) >= binom.sf(surprises - 1, rows, p)


def test_what_was_given_no_chance():
    p, y = almost_sure(50, 1, 1.0)
    for name, found in run_tests(p, y, tests=[name for name in TESTS if name != "skce-block"]).items():
        assert found.p_value > 0 or found.finding == "an outcome came that was given no chance", name
    event = calkit.Predictions(p, y, kind="probs")
    found = calkit.evaluate(event, ["ece", "ks", "smece"], target="positive")
    assert [found.judgement(metric).p_value for metric in found] == [0, 0, 0]


@pytest.mark.parametrize(("n", "probability"), [(100, 0.999), (1000, 0.999), (500, 0.99)])
def test_the_debiased_square_knows_the_noise_where_no_error_was_seen(n, probability):
    # Whether it is significant depends on the number of errors alone, whose law is binomial. The residuals of rows that
    # all came out right show no noise, so that none in 1,000 at 0.999, with a probability of 0.37, seemed significant.
    level = 0.0
    for wrong in range(25):
        p, y = almost_sure(n, wrong, probability)
        event = calkit.Predictions(p, y, kind="probs")
        found = calkit.evaluate(event, ["l2-debiased"], target="positive", confidence_level=0.95)
        judged = found.judgement("l2-debiased")
        assert judged.interval[0] <= 0 or judged.p_value <= 0.025
        level += binom.pmf(wrong, n, 1 - probability) * (judged.p_value <= 0.05)
    assert level <= 0.055
    assert judged.p_value < 0.01


@pytest.mark.parametrize("metric", ["ks", "kuiper"])
def test_curves_of_few_steps_reach_less_far_than_a_brownian_motion(metric):
    rng = np.random.default_rng(0)
    p = np.round(rng.random(400), 1)
    floor = calkit.evaluate(calkit.Predictions(p, rng.random(400) < p, kind="probs"), [metric]).judgement(metric).floor
    values = [calkit.evaluate((rng.random(400) < p).astype(int), p, [metric], floors=False)[metric] for _ in range(200)]
    # The law of a Brownian motion has a larger mean, by a fifth for Kuiper.
    assert floor.mean == pytest.approx(np.mean(values), rel=0.07)


def test_values_that_are_equal_but_for_rounding_count_as_equal():
    # Most draws are 0, and the value is 0 but for rounding.
    draws = np.append(np.zeros(90), np.linspace(0.1, 1, 9))
    assert drawn_law(draws).p_value(1e-17) == 1


# The error where all forecasts are the same, by their distance from the rate of the event.
OF_ONE_BIN = {
    **dict.fromkeys(["ece", "adaece", "ace", "rmsce", "mce", "ks", "kuiper", "smcal"], abs),
    "over-confidence": lambda gap: max(gap, 0.0),
    "l2-debiased": lambda gap: gap**2,
    "corp-mcb": lambda gap: gap**2,
}


@pytest.mark.parametrize(("n", "sure"), [(20, 0.999), (100, 0.999), (100, 0.99), (400, 0.99), (400, 0.95)])
def test_intervals_cover_whatever_number_of_errors_came(n, sure):
    # The number of errors is all that counts, and its law is binomial: how often intervals hold the truth is exact.
    # Residuals of rows that all came out right show hardly any noise, as if no error could come: where 0.005 to 0.05 of
    # the rows were wrong, limits of that noise alone missed up to 90 % of the samples.
    errors = np.arange(min(n, 60) + 1)
    limits = {metric: [] for metric in OF_ONE_BIN}
    for wrong in errors:
        p, y = almost_sure(n, wrong, sure)
        event = calkit.Predictions(p, y, kind="probs")
        found = calkit.evaluate(event, list(limits), target="positive", confidence_level=0.95, n_resamples=150)
        for metric, of_metric in limits.items():
            of_metric.append(found.intervals[metric])
    for rate in (0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08):
        chance = binom.pmf(errors, n, rate)
        for metric, truth in OF_ONE_BIN.items():
            low, high = np.array(limits[metric]).T
            true = truth(sure - (1 - rate))
            missed = [chance[low > true + 1e-12].sum(), chance[high < true - 1e-12].sum()]
            assert max(missed) <= 0.037, (metric, rate, missed)
            assert sum(missed) <= 0.06, (metric, rate, missed)


def test_the_interval_of_blocks_of_almost_sure_forecasts():
    # Products of two residuals: that of a block with two errors is most of the mean, and hardly ever among 20 blocks.
    rng = np.random.default_rng(0)
    p = rng.beta(30, 0.6, 2000)
    gap = np.minimum(p, 0.15)
    true = float(gap @ np.exp(-np.abs(p[:, None] - p) / 0.1) @ gap) / len(p) ** 2
    missed = 0
    for _ in range(150):
        rows = rng.integers(0, len(p), 40)
        y = (rng.random(40) < (p - gap)[rows]).astype(int)
        event = calkit.Predictions(p[rows], y, kind="probs")
        found = calkit.evaluate(
            event, ["skce:estimator=block"], target="positive", confidence_level=0.95, n_resamples=60
        )
        low, high = found.intervals["skce:estimator=block"]
        missed += not low <= true <= high
    # Student's t of the blocks misses half of them; 5 % are 7.5, give or take 2.7.
    assert missed <= 12


def test_smooth_ece_counts_outcomes_of_the_same_value():
    # All sets of outcomes of seven forecasts. The law is drawn on a coarser grid than the value: what was seen must not
    # lie just above the draws that are the same, or its p-value is that of the next larger one, 0.1 in place of 0.34.
    p = np.array([1.0, 0.2762, 0.9775, 1.0, 0.0069, 0.0, 0.0639])
    sets = np.array(list(itertools.product([0, 1], repeat=len(p))))
    chance = np.where(sets, p, 1 - p).prod(axis=1)
    sets, chance = sets[chance > 1e-4], chance[chance > 1e-4]
    found = [calkit.evaluate(y, p, ["smece"], target="positive", n_resamples=500) for y in sets]
    values = np.array([one["smece"] for one in found])
    exact = np.array([chance[values >= value - 1e-9].sum() for value in values])
    p_values = np.array([one.judgement("smece").p_value for one in found])
    # Three standard errors of 500 draws, and what the uneven weight of the tail bound adds.
    assert (p_values >= exact - 3 * np.sqrt(exact * (1 - exact).clip(0) / 500) - 0.002).all()
