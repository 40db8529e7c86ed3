"""The expected calibration error where no confidence is at an edge: the peers agree with us, and with each other."""

import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax

from calkit import ece
from tests.parametric_oracles import data

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def probs():
    # Nearly calibrated, so that the gaps of bins differ in sign: else an ECE is the same in whatever bins.
    z, y = data(n=3000, k=6)
    return softmax(0.62 * z, axis=1), y


def test_netcal(peer, probs):
    p, y = probs
    assert_allclose(peer("netcal.metrics").ECE(15).measure(p, y), ece(y, p), rtol=1e-6)


def test_mapie(peer, probs):
    p, y = probs
    score = peer("mapie.metrics.calibration").expected_calibration_error
    right = (p.argmax(axis=1) == y).astype(int)
    # Its uniform bins are one fewer than asked for: 16 edges are 15 bins.
    assert_allclose(score(right, p.max(axis=1), num_bins=16), ece(y, p), rtol=1e-6)


def test_uncertainty_calibration(peer, probs):
    p, y = probs
    utils = peer("calibration.utils")
    right, confidence = (p.argmax(axis=1) == y).astype(int), p.max(axis=1)
    binned = utils.bin(list(zip(confidence, right, strict=True)), utils.get_equal_prob_bins(confidence, num_bins=15))
    assert_allclose(utils.plugin_ce(binned, power=1), ece(y, p), rtol=1e-6)


def test_relplot_is_near(peer, probs):
    from calkit import Predictions, evaluate

    p, y = probs
    right, confidence = (p.argmax(axis=1) == y).astype(float), p.max(axis=1)
    pairs = Predictions.from_confidence(confidence, right)
    found = evaluate(pairs, ["smece"])["smece"]
    assert_allclose(found, peer("relplot").smECE(confidence, right), atol=2e-3)
