"""Propositions 1 and 2 and the map of Appendix H, as laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar

from calkit.errors import InputError
from calkit.theory import focal_minimiser, focal_posterior, gamma_star, gradient_ratio, threshold

probability = st.floats(0, 1)
inner = st.floats(1e-6, 1 - 1e-6)
below_half = st.floats(1e-9, 0.499)
gamma = st.floats(0, 10)


def focal_loss(p: float, g: float) -> float:
    return -((1 - p) ** g) * math.log(p)


@given(p=st.floats(0.01, 0.99), g=st.floats(0, 8))
def test_proposition_1(p: float, g: float) -> None:
    """g is the ratio of the derivatives of focal loss and cross-entropy, here by central differences."""
    h = 1e-6
    focal = (focal_loss(p + h, g) - focal_loss(p - h, g)) / (2 * h)
    cross_entropy = -1 / p
    assert gradient_ratio(p, g) == pytest.approx(focal / cross_entropy, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(
    ("p", "g", "value"),
    [
        (0.19, 5, 1.028),  # the paper's text: g(0.19, 5) ≈ 1
        (0.2, 5, 0.987),
        (0.25, 3, 1.007),
        (0.0, 5, 1.0),
        (1.0, 5, 0.0),
        (1.0, 0.5, 0.0),
        (0.0, 0, 1.0),
        (1.0, 0, 1.0),
        (0.4, 0, 1.0),
    ],
)
def test_gradient_ratio_at_points(p: float, g: float, value: float) -> None:
    """To three digits: computed independently in the notes on the paper; the ends by continuity."""
    assert gradient_ratio(p, g) == pytest.approx(value, abs=5e-4)


@given(g=st.floats(0.01, 10), p=inner)
def test_gradient_ratio_is_continuous_at_the_ends(g: float, p: float) -> None:
    assert gradient_ratio(1e-300, g) == pytest.approx(gradient_ratio(0.0, g), abs=1e-12)
    assert 0 <= gradient_ratio(p, g) < 1 + g


@given(g=st.floats(0.05, 10), p=st.tuples(inner, inner))
def test_gradient_ratio_rises_then_falls(g: float, p: tuple[float, float]) -> None:
    """Appendix B: one maximum; so from the threshold on, where g = 1, it falls."""
    p0 = threshold(g)
    low, high = sorted(p0 + (1 - p0) * v for v in p)
    assert gradient_ratio(high, g) <= gradient_ratio(low, g) + 1e-12
    ratios = gradient_ratio(np.linspace(0, 1, 400), g)
    top = ratios.argmax()
    assert (np.diff(ratios[: top + 1]) >= -1e-12).all()
    assert (np.diff(ratios[top:]) <= 1e-12).all()


@given(p0=below_half)
def test_proposition_2_equality(p0: float) -> None:
    """g(p0, γ*(p0)) = 1."""
    assert gradient_ratio(p0, gamma_star(p0)) == pytest.approx(1, abs=1e-9)


@given(p0=st.floats(1e-3, 0.49), share=st.floats(0.01, 0.99))
def test_proposition_2_inequalities(p0: float, share: float) -> None:
    """g(p, γ*) > 1 below p0 and < 1 above; and g(p0, γ) < 1 for γ > γ*."""
    g = gamma_star(p0)
    assert gradient_ratio(share * p0, g) > 1
    assert gradient_ratio(p0 + share * (1 - p0), g) < 1
    assert gradient_ratio(p0, g / share) < 1


@pytest.mark.parametrize(
    ("p0", "value"),
    [(0.1, 14.92), (0.15, 8.03), (0.2, 4.85), (0.25, 3.07), (0.3, 1.96), (0.4, 0.68)],
)
def test_gamma_star_at_points(p0: float, value: float) -> None:
    """Values of the formula with SciPy's Lambert W, as published with the paper's code (get_gamma)."""
    assert gamma_star(p0) == pytest.approx(value, abs=5e-3)


@given(p0=st.floats(0.5, 1))
def test_from_one_half_on_the_lower_branch_has_no_positive_solution(p0: float) -> None:
    """g < 1 for every γ > 0, so γ* is 0."""
    assert gamma_star(p0) == 0
    assert (gradient_ratio(p0, np.array([0.01, 0.5, 1, 5, 20])) < 1 + 1e-12).all()


@given(a=below_half, b=below_half)
def test_gamma_star_falls(a: float, b: float) -> None:
    assume(a < b)
    assert gamma_star(a) >= gamma_star(b)


def test_gamma_star_at_the_ends() -> None:
    np.testing.assert_array_equal(gamma_star([0.0, 0.5, 1.0]), [math.inf, 0, 0])
    assert 0 < gamma_star(0.4999) < 1e-3
    assert math.isfinite(gamma_star(1e-300))


@given(g=st.floats(1e-3, 1e4))
def test_threshold_inverts_gamma_star(g: float) -> None:
    assert gamma_star(threshold(g)) == pytest.approx(g, rel=1e-6)


def test_threshold_at_points() -> None:
    """For γ = 1, g(p, 1) = 1 - p - p log p, which is 1 at p = 1/e; γ = 0 is the limit."""
    assert threshold(1) == pytest.approx(1 / math.e, rel=1e-12)
    assert threshold(0) == pytest.approx(0.5, rel=1e-6)


@given(p=inner, g=gamma)
def test_minimiser_minimises(p: float, g: float) -> None:
    """Equation 13 of the paper, against a bounded scalar minimiser."""

    def expected(x: float) -> float:
        return -((1 - x) ** g) * p * math.log(x) - x**g * (1 - p) * math.log(1 - x)

    found = minimize_scalar(expected, bounds=(1e-12, 1 - 1e-12), method="bounded", options={"xatol": 1e-9})
    assert expected(float(focal_minimiser(p, g))) <= found.fun + 1e-12


@given(p=probability, g=gamma)
def test_minimiser_is_less_certain_and_keeps_the_side(p: float, g: float) -> None:
    """Appendix H: focal loss prefers the more entropic solution."""
    x = focal_minimiser(p, g)
    assert abs(x - 0.5) <= abs(p - 0.5) + 1e-12
    assert (x - 0.5) * (p - 0.5) >= 0
    assert focal_minimiser(1 - p, g) == pytest.approx(1 - x, abs=1e-9)


@given(p=st.tuples(probability, probability), g=gamma)
def test_both_maps_are_increasing(p: tuple[float, float], g: float) -> None:
    low, high = sorted(p)
    assert focal_minimiser(low, g) <= focal_minimiser(high, g) + 1e-15
    assert focal_posterior(low, g) <= focal_posterior(high, g) + 1e-15


@given(p=probability, g=st.floats(0, 30))
def test_round_trip(p: float, g: float) -> None:
    assert focal_posterior(focal_minimiser(p, g), g) == pytest.approx(p, rel=1e-9, abs=1e-12)


@given(q=st.floats(0.01, 0.99), g=st.floats(0, 5))
def test_round_trip_from_the_prediction(q: float, g: float) -> None:
    assert focal_minimiser(focal_posterior(q, g), g) == pytest.approx(q, rel=1e-6)


@given(p=probability)
def test_gamma_zero_changes_nothing(p: float) -> None:
    assert focal_minimiser(p, 0) == p
    assert focal_posterior(p, 0) == p


@pytest.mark.parametrize("g", [0, 0.3, 1, 5, 30])
def test_certainty_stays(g: float) -> None:
    np.testing.assert_array_equal(focal_minimiser([0.0, 0.5, 1.0], g), [0, 0.5, 1])
    np.testing.assert_array_equal(focal_posterior([0.0, 0.5, 1.0], g), [0, 0.5, 1])
    rows = [[1.0, 0, 0], [0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]]
    np.testing.assert_allclose(focal_minimiser(rows, g, multiclass=True), rows, atol=1e-12)
    np.testing.assert_allclose(focal_posterior(rows, g, multiclass=True), rows, atol=1e-12)


def simplex(values: list[float]) -> np.ndarray:
    row = np.asarray(values)
    return row / row.sum()


@settings(max_examples=20)
@given(values=st.lists(st.floats(0.01, 1), min_size=2, max_size=6), g=st.floats(0, 8))
def test_multiclass_round_trip_and_order(values: list[float], g: float) -> None:
    p = simplex(values)
    x = focal_minimiser(p, g, multiclass=True)
    assert x.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(focal_posterior(x, g, multiclass=True), p, rtol=1e-8)
    assert (np.diff(x[np.argsort(p, kind="stable")]) >= -1e-12).all()


def test_with_many_unlikely_classes_focal_loss_is_overconfident() -> None:
    """Four classes of 2/9 and one of 1/9: all below the threshold of γ = 0.25, where g > 1."""
    p = np.array([2, 2, 2, 2, 1]) / 9
    assert focal_minimiser(p, 0.25, multiclass=True).max() > p.max() + 1e-5
    assert p.max() < threshold(0.25)


@settings(max_examples=20)
@given(p=inner, g=gamma)
def test_two_classes_are_the_binary_case(p: float, g: float) -> None:
    for function in (focal_minimiser, focal_posterior):
        assert function([p, 1 - p], g, multiclass=True)[0] == pytest.approx(function(p, g), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("g", [0.5, 2.0, 5.0])
def test_multiclass_minimiser_minimises(g: float) -> None:
    """Against SciPy's minimiser over softmax scores."""
    p = np.array([0.6, 0.25, 0.1, 0.05])

    def expected(z: np.ndarray) -> float:
        x = np.exp(z - z.max())
        x /= x.sum()
        return float(-(p * (1 - x) ** g * np.log(x)).sum())

    found = minimize(expected, np.log(p), method="BFGS", options={"gtol": 1e-10})
    x = focal_minimiser(p, g, multiclass=True)
    assert expected(np.log(x)) <= found.fun + 1e-12


def test_shapes_broadcast() -> None:
    p, g = np.linspace(0, 1, 5)[:, None], np.array([0.0, 1, 3])
    for function in (gradient_ratio, focal_minimiser, focal_posterior):
        assert function(p, g).shape == (5, 3)
        assert np.ndim(function(0.3, 1.0)) == 0
    rows = np.full((2, 7, 3), 1 / 3)
    assert focal_posterior(rows, [1.0] * 7, multiclass=True).shape == rows.shape
    assert focal_minimiser(rows, 2, multiclass=True).shape == rows.shape


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gradient_ratio(1.5, 1), r"p must be a probability in \[0, 1\], but holds 1.5"),
        (lambda: gradient_ratio(math.nan, 1), "p must be a probability"),
        (lambda: gradient_ratio(0.5, -1), "gamma must be finite and >= 0, but holds -1"),
        (lambda: gradient_ratio(0.5, math.inf), "gamma must be finite"),
        (lambda: gamma_star(-0.1), "p0 must be a probability"),
        (lambda: threshold(-2), "gamma must be finite"),
        (lambda: focal_minimiser([0.5, 2], 1), "holds 2"),
        (lambda: focal_posterior([[0.5, 0.2]], 1, multiclass=True), "rows of q must sum to 1, but one sums to 0.7"),
        (lambda: focal_minimiser([1.0], 1, multiclass=True), r"at least two classes .* not shape \(1,\)"),
    ],
)
def test_bad_input(call: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
