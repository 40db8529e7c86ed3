"""Synthetic predictions have the calibration they say."""

import numpy as np
import pytest

import calkit
from calkit.datasets import make_binary, make_multiclass
from calkit.errors import InputError


def test_a_calibrated_event_and_an_over_confident_one():
    assert calkit.calibration_tests(make_binary(20_000).predictions, "cox")["cox"].p_value > 0.01
    made = make_binary(50_000, slope=0.5)
    found = calkit.ece(made.predictions.y_true, made.predictions.scores)
    # Bins can hide a little, and noise adds a little: less than a tenth of the error together.
    assert found == pytest.approx(made.true_error, rel=0.1)
    assert "too extreme" in calkit.calibration_tests(made.predictions, "cox")["cox"].finding


def test_the_right_temperature_of_classes_is_found():
    made = make_multiclass(20_000, 5, temperature=2.0)
    logits = calkit.Predictions(np.log(made.predictions.scores), made.predictions.y_true, kind="logits")
    assert calkit.TemperatureScaling().fit(logits.scores, logits.y_true).temperature_ == pytest.approx(2, rel=0.05)
    assert made.truth.sum(axis=1) == pytest.approx(np.ones(20_000))
    assert make_multiclass(500, 4).true_error < 1e-12


@pytest.mark.parametrize(("maker", "options"), [(make_binary, {"n_samples": 0}), (make_multiclass, {"n_classes": 1})])
def test_impossible_sizes(maker, options):
    with pytest.raises(InputError, match=next(iter(options))):
        maker(**options)
