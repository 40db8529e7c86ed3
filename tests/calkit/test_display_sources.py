"""Displays of evaluations, summaries and curves show what those of the predictions show."""

import numpy as np
import pytest

import calkit
from calkit.calibrators import temperature_curve
from calkit.curves import HighConfidenceCurve, RiskCoverageCurve, high_confidence_curve, risk_coverage_curve
from calkit.datasets import load_digits_logits
from calkit.errors import InputError, NotFoundError
from calkit.plotting import (
    ConfidenceDisplay,
    HighConfidenceDisplay,
    ReliabilityDisplay,
    RiskCoverageDisplay,
    TemperatureDisplay,
)
from calkit.stats import Pairs, summarize


@pytest.fixture(scope="module")
def test_split():
    return load_digits_logits("test").replace(columns={"half": np.arange(899) % 2})


def assert_same(one, two):
    """Two displays show the same numbers under the same words."""
    for (name, values), (other, expected) in zip(one.columns().items(), two.columns().items(), strict=True):
        assert name == other
        np.testing.assert_allclose(values, expected, rtol=1e-12)
    assert one.x_label == two.x_label


@pytest.mark.parametrize("kind", [ReliabilityDisplay, ConfidenceDisplay])
@pytest.mark.parametrize("target", [None, "positive:class=3", "top-3"])
def test_of_an_evaluation(kind, target, test_split):
    evaluation = calkit.evaluate(test_split, ["ece:n_bins=10", "nll"], target=target)
    display = kind.from_evaluation(evaluation, metric="ece:n_bins=10", plot=False, name="digits")
    assert_same(display, kind.from_predictions(test_split, n_bins=10, target=target, plot=False))
    assert display.name == "digits"


@pytest.mark.parametrize("kind", [ReliabilityDisplay, ConfidenceDisplay])
def test_of_a_group_of_an_evaluation(kind, test_split):
    evaluation = calkit.evaluate(test_split, ["ece"], by="half")
    own = test_split.take(np.arange(899) % 2 == 1)
    display = kind.from_evaluation(evaluation.groups[1], plot=False)
    assert_same(display, kind.from_predictions(own, n_bins=15, plot=False))


@pytest.mark.parametrize("kind", [ReliabilityDisplay, ConfidenceDisplay])
def test_of_bins_of_one_event(kind, test_split, no_pyplot_windows):
    counted = kind.from_predictions(test_split, target="positive:class=3", plot=False)
    display = kind.from_bins(counted.bins, target="positive:class=3")
    assert_same(display, counted)
    assert display.ax_.get_ylabel() in ("Observed frequency", "Share %")
    assert kind.from_bins(counted.bins, plot=False).x_label == "Confidence"


@pytest.mark.parametrize("kind", [ReliabilityDisplay, ConfidenceDisplay])
def test_evaluations_without_such_bins_are_one_error(kind, test_split):
    evaluation = calkit.evaluate(test_split, ["nll", "ece"])
    with pytest.raises(InputError, match="holds no bins of 'nll', only of: ece"):
        kind.from_evaluation(evaluation, metric="nll")
    with pytest.raises(NotFoundError, match="brier"):
        kind.from_evaluation(evaluation, metric="brier")
    with pytest.raises(InputError, match="several events"):
        kind.from_evaluation(calkit.evaluate(test_split, ["ece"], target="classwise"))
    with pytest.raises(InputError, match="one row of bins"):
        kind.from_bins(calkit.evaluate(test_split, ["ece"], target="classwise").bins["ece"])


def test_bins_do_not_enter_data_or_comparisons(test_split):
    evaluation = calkit.evaluate(test_split, ["ece"])
    assert "bins" not in evaluation.to_dict()
    assert "label_errors=None)" in repr(evaluation)
    assert evaluation.bins["ece"].count.sum() == 899


@pytest.mark.parametrize("kind", [RiskCoverageDisplay, HighConfidenceDisplay])
def test_of_curves_and_pairs(kind, test_split, no_pyplot_windows):
    expected = kind.from_predictions(test_split, plot=False)
    for function in (risk_coverage_curve, high_confidence_curve):
        assert_same(kind.from_curve(function(test_split), plot=False), expected)
    parts = [test_split.take(np.arange(899) < 400), test_split.take(np.arange(899) >= 400)]
    pairs = sum((summarize(part, [Pairs()])[Pairs()] for part in parts[1:]), summarize(parts[0], [Pairs()])[Pairs()])
    for curve in (RiskCoverageCurve, HighConfidenceCurve):
        assert_same(kind.from_curve(curve.from_pairs(pairs), name="both"), expected)


def test_of_a_temperature_curve(test_split, no_pyplot_windows):
    grid = [0.5, 1.0, 2.5]
    curve = temperature_curve(test_split, ["ece", "nll"], grid=grid)
    display = TemperatureDisplay.from_curve(curve, metric="nll")
    assert_same(display, TemperatureDisplay.from_predictions(test_split, metric="nll", grid=grid, plot=False))
    assert display.best_temperature == 2.5
    with pytest.raises(NotFoundError, match="brier"):
        TemperatureDisplay.from_curve(curve, metric="brier")


@pytest.mark.parametrize(
    ("values", "said"), [([0.3, 0.2, 0.1], True), ([0.1, 0.2, 0.3], True), ([0.3, 0.1, 0.2], False)]
)
def test_a_best_temperature_at_the_end_of_its_grid_is_called_so(values, said, no_pyplot_windows):
    display = TemperatureDisplay.from_curve({"temperature": np.array([1.0, 2.0, 4.0]), "ece": np.array(values)})
    label = display.best_.get_label()
    assert ("the end of the grid" in label) is said
    assert label.startswith(f"best T = {display.best_temperature:.3g}")
