"""The law of class-wise errors where cells hold less than one event each: nearly all of |gap| is linear in these."""

import numpy as np
import pytest

import calkit
from calkit.inference.floors import gamma_law

N_SAMPLES = 50


def _labels(p, n_draws, rng):
    return (rng.random((n_draws, len(p), 1)) > p.cumsum(axis=1)[:, :-1]).sum(axis=2)


def _flat(n, n_classes, rng):
    z = rng.normal(size=(n, n_classes)) * 0.3
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("n_classes", "n", "spec"),
    [(100, 60, "adaece"), (100, 60, "ece:n_bins=200"), (10, 60, "adaece"), (3, 300, "ece:n_bins=1")],
)
def test_calibrated_models_are_not_rejected_too_often(n_classes, n, spec):
    # Of 100 classes and 60 rows half of the samples had p < 1e-6, and the 95 % quantile lay below the mean.
    rng = np.random.default_rng(1)
    p = _flat(n, n_classes, rng)
    judged = [calkit.evaluate(y, p, [spec], target="classwise", n_resamples=100) for y in _labels(p, N_SAMPLES, rng)]
    p_values = np.array([each.judgement(spec).p_value for each in judged])
    # At 5 and 1 %, with four standard errors.
    assert (p_values <= 0.05).mean() <= 0.05 + 4 * (0.05 * 0.95 / N_SAMPLES) ** 0.5
    assert (p_values <= 0.01).mean() <= 0.01 + 4 * (0.01 * 0.99 / N_SAMPLES) ** 0.5
    floor, values = judged[0].judgement(spec).floor, np.array([each[spec] for each in judged])
    assert floor.p95 >= np.quantile(values, 0.85)
    assert floor.p95 > floor.mean


@pytest.mark.parametrize("skew", [0.5, 2.0, 4.0, 30.0, 1000.0])
def test_laws_of_large_skewness_have_no_less_beyond_two_standard_deviations(skew):
    law = gamma_law(0.0, 1.0, skew)
    assert law.p_value(2.0) >= 0.0227
    for tail in (0.05, 0.01, 0.001):
        assert law.p_value(law.critical(tail)) == pytest.approx(tail, rel=1e-6)
