"""Bounds on confidences at other temperatures, which let grid searches skip most of the grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import softmax

import calkit
from calkit.calibrators import TemperatureScaling, temperature_curve
from calkit.stats import At, RescaledConfidence, Temperature, summarize


@given(
    z=hnp.arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(2, 7)), elements=st.floats(-800, 800)),
    beta=st.floats(0.05, 5),
    weighted=st.booleans(),
)
def test_bounds_are_on_the_right_side_of_plain_softmax(z, beta, weighted):
    weight = np.arange(1.0, len(z) + 1) if weighted else None
    predictions = calkit.Predictions(z, np.zeros(len(z), int), kind="logits", sample_weight=weight)
    factors = (0.1, 0.5, 0.9, 1.0, 1.1, 1.5, 2.0)
    statistic = At(RescaledConfidence(factors), Temperature(beta))
    bounds = summarize(predictions, [statistic])[statistic].means
    for factor, bound in zip(factors, bounds.tolist(), strict=True):
        true = np.average(softmax(beta * factor * z, axis=1).max(axis=1), weights=weight)
        assert bound == pytest.approx(true, abs=1e-12) or (bound > true) == (factor < 1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("objective", ["ece", "adaece", "mce", "ece:binning=quantile"])
def test_a_pruned_search_of_float32_logits_finds_what_the_whole_curve_shows(seed, objective):
    # 5000 rows are enough for a subsample; with seed 3 few logits differ, and values hardly do.
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((5000, 6)).astype(np.float32) * 4
    if seed == 3:
        logits = np.sign(logits).astype(np.float32) * 8
    y = np.where(rng.random(5000) < 0.5, logits.argmax(axis=1), rng.integers(0, 6, 5000))
    predictions = calkit.Predictions(logits, y, kind="logits")
    curve = temperature_curve(predictions, [objective])
    values = curve[next(name for name in curve if name != "temperature")]
    found = TemperatureScaling(objective).fit_predictions(predictions)
    assert found.temperature_ == curve["temperature"][int(np.argmin(values))]
    # The largest gap of a bin is far above that of all rows, which then excludes little.
    assert found.n_evaluations_ < (30 if seed < 3 and objective != "mce" else 101)
