"""Forecasts that are almost sure: laws of few events, which are far from normal."""

import numpy as np
import pytest
from scipy.stats import beta, binom

import calkit
from calkit.inference.few_events import Expected
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
