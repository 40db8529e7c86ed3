"""Smooth ECE: the kernel against mirror images, the fixed point, and the bound on what the grid costs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import calkit
from calkit.errors import InputError
from calkit.metrics.smooth import error_bound, fixed_point
from calkit.stats import summarize
from calkit.stats.smoothing import ResidualGrid, Residuals, absolute_integral, smoothed
from tests import reference as ref


def pairs(n, seed=0, shift=0.05, low=0.4):
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(low, 1, n)
    return confidence, rng.random(n) < confidence - shift


def grid_of(confidence, correct, n_cells=1 << 14, weight=None):
    statistic = Residuals(n_cells)
    predictions = calkit.Predictions.from_confidence(confidence, correct, sample_weight=weight)
    return summarize(predictions, [statistic])[statistic]


@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.3, 2.0])
@pytest.mark.parametrize("place", [0, 3, 100, 256])
def test_the_kernel_is_a_gaussian_reflected_at_both_ends(sigma, place):
    masses = np.zeros(257)
    masses[place] = 1
    found = smoothed(masses, sigma)
    for t in (0, 1, 50, 128, 255, 256):
        expected = ref.reflected_gaussian(t / 256, place / 256, sigma)
        assert found[t] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_smoothing_adds_up_and_keeps_the_mass():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((3, 129))
    twice = smoothed(a, 0.05)
    # The heat equation: two Gaussians in a row are one, of the sum of the variances. Densities back to point masses:
    masses = twice / 128
    masses[:, [0, -1]] /= 2
    np.testing.assert_allclose(masses.sum(axis=1), a.sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(smoothed(masses, 0.12), smoothed(a, 0.13), atol=1e-12)


def test_integral_of_the_absolute_value_of_broken_lines():
    # From 1 to -1 through 0, and flat at -1: two triangles of 1/8 and a rectangle of 1/2.
    assert absolute_integral(np.array([1.0, -1.0, -1.0])) == pytest.approx(0.75)
    assert absolute_integral(np.array([0.0, 0.0])) == 0
    assert absolute_integral(np.array([3.0, -1.0])) == pytest.approx((9 + 1) / 8)


@pytest.mark.parametrize(("n", "shift"), [(1, 0.1), (2, 0.0), (30, 0.2), (300, 0.0), (300, 0.1)])
@pytest.mark.parametrize("n_cells", [1 << 8, 1 << 11, 1 << 14])
def test_the_grid_costs_less_than_the_bound(n, shift, n_cells):
    confidence, correct = pairs(n, seed=n, shift=shift)
    grid = grid_of(confidence, correct, n_cells)
    value = fixed_point(grid)
    exact = ref.smooth_ece(list(zip(confidence, correct, strict=True)))
    # The oracle's own integral is good to (1/4000)² / (8 value²).
    own = 1 / (8 * 4000**2 * value**2)
    assert abs(value - exact) <= error_bound(grid, value) + own
    assert n_cells > 1 << 8 or abs(value - exact) > 0


def test_the_value_is_the_fixed_point():
    grid = grid_of(*pairs(1000))
    value = fixed_point(grid)
    assert absolute_integral(smoothed(grid.residual / grid.weight, value)) == pytest.approx(value, abs=1e-14)


def test_values_that_are_known():
    # One side only: every width gives the mean residual. All right with confidence 1: nothing.
    assert calkit.smece([0] * 5, [[0.7, 0.3]] * 5) == pytest.approx(0.3, abs=1e-12)
    assert calkit.smece([0] * 5, [[1.0, 0.0]] * 5) == 0
    # Half of them right: residuals cancel.
    assert calkit.smece([0, 1], [[0.5, 0.5]] * 2) == pytest.approx(0, abs=1e-12)
    pair = calkit.Predictions.from_confidence([0.0, 1.0], [1, 0])
    sigma = calkit.evaluate(pair, ["smece"])["smece"]
    # Masses -1/2 at 0 and +1/2 at 1, odd around 1/2: ∫|r| is the mass that has not crossed the middle, by images.
    half = [
        (ref.reflected_gaussian(t, 1.0, sigma) - ref.reflected_gaussian(t, 0.0, sigma)) / 2
        for t in (np.arange(2000) + 0.5) / 4000 + 0.5
    ]
    assert math.fsum(half) / 2000 == pytest.approx(sigma, abs=1e-7)


def test_a_small_change_of_confidences_changes_little():
    # Unlike ECE: confidences beside an edge of a bin, moved across it.
    confidence, correct = np.full(100, 8 / 15), np.arange(100) < 50
    below, above = (calkit.Predictions.from_confidence(confidence + d, correct) for d in (-1e-6, 1e-6))
    mixed = calkit.Predictions.from_confidence(confidence + np.where(correct, 1e-6, -1e-6), correct)
    values = [calkit.evaluate(p, ["smece"])["smece"] for p in (below, above, mixed)]
    assert max(values) - min(values) < 1e-5
    assert calkit.evaluate(mixed, ["ece"])["ece"] > 0.4


@given(seed=st.integers(0, 10_000), n=st.integers(1, 60), shift=st.floats(-0.3, 0.3))
def test_between_the_mean_gap_and_one(seed, n, shift):
    confidence, correct = pairs(n, seed, shift, low=0.0)
    value = fixed_point(grid_of(confidence, correct))
    assert abs((confidence - correct).mean()) - 1e-12 <= value <= 1


def test_weights_and_rounded_probabilities():
    confidence, correct = pairs(50)
    weight = np.arange(50) % 3
    repeated = np.repeat(np.arange(50), weight)
    a = fixed_point(grid_of(confidence, correct, weight=weight))
    assert a == pytest.approx(fixed_point(grid_of(confidence[repeated], correct[repeated])), rel=1e-12)
    edge = calkit.Predictions(np.array([[1.0005, 0.0], [-0.0005, 1.0]]), [0, 0], kind="probs")
    assert 0.4 < calkit.evaluate(edge, ["smece"])["smece"] < 0.6


def test_temperature_search_prunes_and_finds_the_same():
    rng = np.random.default_rng(0)
    logits = 6 * rng.standard_normal((400, 4))
    y = np.where(rng.random(400) < 0.6, logits.argmax(1), rng.integers(0, 4, 400))
    model = calkit.TemperatureScaling("smece").fit(logits, y)
    values = [calkit.smece(y, logits / t, from_logits=True) for t in np.arange(1, 101) / 10]
    assert model.temperature_ == (np.arange(1, 101) / 10)[int(np.argmin(values))]
    assert model.n_evaluations_ < 50


def test_grids_of_different_sizes_are_not_added():
    a, b = (grid_of([0.5], [1], n_cells) for n_cells in (8, 16))
    with pytest.raises(InputError, match="same size"):
        a + b
    assert (a + a).weight == 2
    assert fixed_point(ResidualGrid(1.0, 0.0, np.zeros(9))) == 0
    assert error_bound(a, 0.0) == 0


def drawn_rows(n, k, seed, sharper=1.0):
    """Rows whose labels are drawn from the softmax of their logits, and probabilities of logits that are sharper."""
    rng = np.random.default_rng([n, k, seed])
    z = 2 * rng.normal(size=(n, k))
    true, said = (np.exp(f * z) / np.exp(f * z).sum(axis=1, keepdims=True) for f in (1.0, sharper))
    y = (rng.random((n, 1)) > true.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return calkit.Predictions(said, y, kind="probs")


@pytest.mark.parametrize("metric", ["smece", "tace", "over-confidence"])
def test_floors_and_intervals_over_classes(metric):
    options = {"target": "classwise", "n_resamples": 200, "confidence_level": 0.95}
    found = [calkit.evaluate(drawn_rows(300, 4, seed), [metric], **options) for seed in range(40)]
    judged = [each.judgement(each.metrics[0].spec) for each in found]
    # Of 40 calibrated samples 2 are expected below 5 %; the mean of the values is that of the floors.
    assert sum(each.p_value <= 0.05 for each in judged) <= 6
    values = [next(iter(each.values_by_spec.values())) for each in found]
    assert np.mean([each.floor.mean for each in judged]) == pytest.approx(np.mean(values), rel=0.12)
    assert all(each.interval[0] == 0 or each.p_value <= 0.025 for each in judged)
    wrong = calkit.evaluate(drawn_rows(300, 4, 0, sharper=2.5), [metric], **options)
    sure = wrong.judgement(wrong.metrics[0].spec)
    assert sure.p_value < 0.001
    assert 0 < sure.interval[0] < next(iter(wrong.values_by_spec.values())) < sure.interval[1]


KERNEL_ERRORS = ["mmce", "mmce:convention=focal-calibration", "skce", "skce:estimator=biased"]


def test_floors_of_kernel_errors_over_classes():
    options = {"target": "classwise", "n_resamples": 200}
    found = [calkit.evaluate(drawn_rows(300, 4, seed), KERNEL_ERRORS, **options) for seed in range(40)]
    wrong = calkit.evaluate(drawn_rows(300, 4, 0, sharper=2.5), KERNEL_ERRORS, **options)
    for metric in found[0].metrics:
        judged, values = [each.judgement(metric.spec) for each in found], [each[metric.spec] for each in found]
        # Of 40 calibrated samples 2 are expected below 5 %; the mean of the values is that of the floors.
        assert sum(each.p_value <= 0.05 for each in judged) <= 6
        within = np.mean([each.floor.p95 - each.floor.mean for each in judged]) / 2
        assert np.mean([each.floor.mean for each in judged]) == pytest.approx(np.mean(values), abs=within)
        assert wrong.judgement(metric.spec).p_value < 0.001


def test_the_floor_of_an_unbiased_error_may_be_below_zero():
    # Of 200 draws of a measure that is 0 in the mean, about half are below 0: spreading them must not cut them off.
    found = calkit.evaluate(drawn_rows(300, 4, 0), ["skce"], target="classwise", n_resamples=200)
    floor = found.judgement(found.metrics[0].spec).floor
    assert abs(floor.mean) < 0.2 * floor.p95


@pytest.mark.parametrize("metric", ["smece", "mmce", "skce"])
def test_two_classes_have_the_floor_of_one(metric):
    event = drawn_rows(400, 2, 0)
    found = [calkit.evaluate(event, [metric], target=target) for target in ("classwise", "positive")]
    both, one = (each.judgement(each.metrics[0].spec) for each in found)
    # Quantiles of 1,000 draws: the noise of either is about 4 %.
    assert both.floor.p95 == pytest.approx(one.floor.p95, rel=0.15)
    assert both.floor.mean == pytest.approx(one.floor.mean, abs=0.1 * one.floor.p95)
    assert both.p_value == pytest.approx(one.p_value, abs=0.05)
