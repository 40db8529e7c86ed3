"""Metrics beside the peers': proper scores, norms of the calibration error, tests. Differences are named."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax

from calkit import Predictions, evaluate
from tests.parametric_oracles import data

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def probs():
    # Nearly calibrated, so that the gaps of bins differ in sign: else an ECE is the same in whatever bins.
    z, y = data(n=3000, k=6)
    return softmax(0.62 * z, axis=1), y


def ours(probs, metric):
    p, y = probs
    return evaluate(Predictions(p, y, kind="probs"), [metric])[metric]


@pytest.mark.parametrize(("norm", "metric"), [("l1", "ece"), ("l2", "rmsce"), ("max", "mce")])
def test_norms_are_those_of_torchmetrics(peer, probs, norm, metric):
    torch = peer("torch")
    function = peer("torchmetrics.functional.classification").multiclass_calibration_error
    p, y = probs
    found = function(torch.from_numpy(p), torch.from_numpy(y), num_classes=6, n_bins=15, norm=norm)
    # Confidences of bins are float32 there.
    assert_allclose(float(found), ours(probs, metric), rtol=1e-5)


def test_proper_scores_are_those_of_scikit_learn(peer, probs):
    metrics = peer("sklearn.metrics")
    p, y = probs
    assert_allclose(ours(probs, "nll"), metrics.log_loss(y, p), rtol=1e-12)
    # Theirs is halved for two classes only.
    assert_allclose(ours(probs, "brier"), metrics.brier_score_loss(y, p, labels=range(6)), rtol=1e-12)
    assert_allclose(ours(probs, "accuracy"), metrics.accuracy_score(y, p.argmax(axis=1)), rtol=1e-12)


def test_proper_scores_are_those_of_probmetrics(peer, probs):
    torch, metrics = peer("torch"), peer("probmetrics.metrics")
    p, y = probs
    logits = torch.from_numpy(np.log(p))
    for metric, theirs in {"nll": metrics.LogLoss(), "brier": metrics.BrierLoss()}.items():
        (found,) = theirs.compute_all_from_labels_logits(torch.from_numpy(y), logits).values()
        assert_allclose(float(found), ours(probs, metric), rtol=1e-6)


def test_classwise_ece_is_mapie(peer, probs):
    p, y = probs
    score = peer("mapie.metrics.calibration").expected_calibration_error
    # Its uniform bins are one fewer than asked for: 16 edges are 15 bins.
    found = score(y, p, num_bins=16, classwise=True, class_labels=y)
    assert_allclose(found, ours(probs, "classwise_ece"), rtol=1e-9)


def test_debiased_squared_error_is_that_of_uncertainty_calibration(peer, probs):
    utils = peer("calibration.utils")
    p, y = probs
    right, confidence = (p.argmax(axis=1) == y).astype(int), p.max(axis=1)
    binned = utils.bin(list(zip(confidence, right, strict=True)), utils.get_equal_bins(confidence, num_bins=15))
    found = utils.unbiased_square_ce(binned)
    # Its noise is that of the labels of a bin, ours that of their distance from the confidences.
    assert_allclose(ours(probs, "l2-debiased:binning=quantile"), found, rtol=1e-2)


def test_kolmogorov_smirnov_and_kuiper_are_mapie(peer, probs):
    """MAPIE divides by the standard deviation of the sum, and its curve of differences does not begin at 0."""
    mapie = peer("mapie.metrics.calibration")
    p, y = probs
    right, confidence = (p.argmax(axis=1) == y).astype(int), p.max(axis=1)
    pairs = Predictions.from_confidence(confidence, right)
    scale = mapie.length_scale(confidence)
    found = evaluate(pairs, ["ks", "kuiper"])
    assert_allclose(mapie.kolmogorov_smirnov_statistic(right, confidence) * scale, found["ks"], rtol=1e-6)
    curve = mapie.cumulative_differences(right, confidence)
    assert_allclose(mapie.kuiper_statistic(right, confidence) * scale, np.ptp(curve), rtol=1e-6)
    assert_allclose(np.ptp(np.append(0, curve)), found["kuiper"], rtol=1e-6)
