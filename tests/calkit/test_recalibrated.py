"""Intervals of CORP's discrimination and refinement."""

import numpy as np
import pytest

import calkit

NAMES = ["corp-dsc", "refinement"]


def rows(n, seed, slope=0.7):
    """Forecasts and outcomes of events, and their true probabilities."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=n)
    p, true = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(-slope * z))
    return p, (rng.random(n) < true).astype(int), true


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("score", ["brier", "log"])
def test_they_cover_the_value_of_the_population(name, score):
    # Of the population outcomes are the true probabilities. Percentiles of the bootstrap covered 70 % of these samples.
    spec = name if score == "brier" else f"{name}:score=log"
    p, _, true = rows(20_000, 0)
    two = [np.stack([1 - part, part], axis=1) for part in (true, p)]
    truth = calkit.evaluate(*two, [spec], target="positive:class=1", floors=False)[spec]
    held = []
    for seed in range(40):
        p, y, _ = rows(400, seed + 1)
        low, high = calkit.evaluate(y, p, [spec], confidence_level=0.95, n_resamples=100).intervals[spec]
        held.append(low <= truth <= high)
    assert sum(held) >= 36


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_of_0_is_no_row_and_a_single_row_has_no_interval(name):
    p, y, _ = rows(60, 0)
    options = {"confidence_level": 0.95, "n_resamples": 50}
    alone = calkit.evaluate(y[:40], p[:40], [name], **options).intervals[name]
    with_none = calkit.evaluate(y, p, [name], sample_weight=np.arange(60) < 40, **options).intervals[name]
    assert with_none == pytest.approx(alone, rel=1e-12)
    assert calkit.evaluate([1], [0.4], [name], **options).intervals[name] is None


def test_the_discrimination_is_not_below_0():
    rng = np.random.default_rng(0)
    low, high = calkit.evaluate(rng.integers(0, 2, 50), rng.random(50), ["corp-dsc"], confidence_level=0.95).intervals[
        "corp-dsc"
    ]
    assert low == 0 < high
