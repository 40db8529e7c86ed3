"""What other libraries get wrong, met in them and tested here unless it is beside the feature it belongs to."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.calibration import calibration_curve

import calkit
from calkit.errors import InputError, UsageError
from calkit.metrics import get_metric
from calkit.stats import summarize
from tests import reference as ref


@pytest.fixture
def tied():
    """Confidences of which a third are exactly 1.0, and others tie as well, as float32 networks give them."""
    rng = np.random.default_rng(4)
    confidence = rng.choice([0.55, 0.6, 0.75, 0.9, 1.0, 1.0], 200)
    return confidence, (rng.random(200) < 0.8 * confidence).astype(int)


def value(metric, confidence, correct):
    return calkit.evaluate(calkit.Predictions.from_confidence(confidence, correct), [metric])[metric]


def test_logits_are_softmaxed_and_probabilities_are_not_whatever_their_values():
    # torchmetrics takes scores within [0, 1] for probabilities, scikit-learn rows that sum to 1.
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    y = [0, 1, 1]
    expected = calkit.ece(y, softmax(scores, axis=1))
    assert calkit.ece(y, scores, from_logits=True) == pytest.approx(expected, abs=1e-12)
    assert abs(expected - calkit.ece(y, scores)) > 0.01
    with pytest.raises(InputError, match="from_logits=True"):
        calkit.ece(y, scores / 2)
    with pytest.raises(UsageError, match="kind"):
        calkit.Predictions(scores, y, kind=None)
    with pytest.raises(TypeError, match="kind"):
        calkit.Predictions(scores, y)


def test_equal_mass_bins_of_tied_confidences(tied):
    # netcal fails where confidences tie at 1.0; others split ties by the order of the rows.
    confidence, correct = tied
    found = value("adaece", confidence, correct)
    assert found == pytest.approx(ref.adaece_of_pairs(list(zip(confidence, correct, strict=True)), 15), abs=1e-12)
    for order in (np.arange(200)[::-1], np.argsort(correct), np.argsort(-correct)):
        assert value("adaece", confidence[order], correct[order]) == pytest.approx(found, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 14])
def test_fewer_rows_than_bins(n, tied):
    # Elsewhere this is NaN. With each value in a bin of its own the error is the mean gap over equal confidences.
    confidence, correct = (column[:n] for column in tied)
    gaps = [abs((confidence - correct)[confidence == c].sum()) for c in np.unique(confidence)]
    assert value("adaece", confidence, correct) == pytest.approx(sum(gaps) / n, abs=1e-12)


def test_bins_are_those_of_the_calibration_curve(tied):
    # Of the others it alone puts k/10, 0 and 1 into the right bins.
    confidence = np.concatenate([np.arange(11) / 10, tied[0]])
    correct = np.concatenate([np.arange(11) % 2, tied[1]])
    statistic = get_metric("ece:n_bins=10").statistic
    bins = summarize(calkit.Predictions.from_confidence(confidence, correct), [statistic])[statistic]
    accuracy, mean = calibration_curve(correct, confidence, n_bins=10)
    filled = bins.count > 0
    np.testing.assert_allclose(bins.accuracy[filled], accuracy, atol=1e-14)
    np.testing.assert_allclose(bins.mean_confidence[filled], mean, atol=1e-14)


def test_what_is_kept_does_not_grow_with_the_rows():
    # torchmetrics keeps every sample.
    rng = np.random.default_rng(0)
    statistics = [get_metric(name).statistic for name in ("ece", "mce", "nll", "brier", "s99", "accuracy")]

    def kept(n):
        predictions = calkit.Predictions(rng.standard_normal((n, 3)), rng.integers(0, 3, n), kind="logits")
        found = summarize(predictions, statistics)
        return sum(np.asarray(array).nbytes for summary in found.values() for array in vars(summary).values())

    assert kept(20_000) == kept(20)
