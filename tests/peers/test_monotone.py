"""Monotone and binning calibrators beside the peers': equal where they are right, differences named."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, log_softmax, logit, softmax

from calkit.calibrators import get_calibrator
from tests.parametric_oracles import binary_data, data

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

# Their numbers pass through other sums, in float64.
EXACT = {"rtol": 0, "atol": 1e-12}


@pytest.fixture
def split():
    """Logits and labels to fit to, and logits to map: of five classes."""
    z, y = data(n=700, k=5)
    return z[:400], y[:400], z[400:]


@pytest.fixture
def scores():
    s, y = binary_data(n=600)
    return s[:400], y[:400], s[400:]


@pytest.mark.parametrize(("name", "kind"), [("venn-abers", "one_vs_rest"), ("venn-abers-one-vs-one", "one_vs_one")])
def test_venn_abers(peer, split, name, kind):
    z, y, new = split
    function = peer("venn_abers.venn_abers").predict_proba_prefitted_va
    theirs, _ = function(softmax(z, axis=1), y, softmax(new, axis=1), va_tpe=kind)
    assert_allclose(get_calibrator(name).fit(z, y).predict_proba(new), theirs, **EXACT)


def test_venn_abers_intervals(peer, scores):
    s, y, new = scores
    p, q = expit(s), expit(new)
    theirs = peer("venn_abers").VennAbers()
    theirs.fit(np.stack([1 - p, p], axis=1), y)
    _, bounds = theirs.predict_proba(np.stack([1 - q, q], axis=1))
    ours = get_calibrator("venn-abers").fit(s, y)
    assert_allclose(ours.predict_interval(new)[:, 1], bounds, **EXACT)


def test_venn_abers_leaves_an_absent_class_out_where_we_give_it_a_column(peer, split):
    z, y, new = split
    some = y < 4
    function = peer("venn_abers.venn_abers").predict_proba_prefitted_va
    theirs, _ = function(softmax(z[some], axis=1), y[some], softmax(new, axis=1), va_tpe="one_vs_rest")
    assert theirs.shape[1] == 4
    assert get_calibrator("venn-abers").fit(z[some], y[some]).predict_proba(new).shape[1] == 5


def test_isotonic_is_scikit_learns(peer, split):
    z, y, new = split
    regression = peer("sklearn.isotonic").IsotonicRegression
    p, q = softmax(z, axis=1), softmax(new, axis=1)
    theirs = [regression(out_of_bounds="clip").fit(p[:, k], y == k).predict(q[:, k]) for k in range(5)]
    theirs = np.stack(theirs, axis=1)
    ours = get_calibrator("isotonic:mix=none").fit(z, y).predict_proba(new)
    assert_allclose(ours, theirs / theirs.sum(axis=1, keepdims=True), **EXACT)


def test_scikit_learn_merges_float32_scores_that_we_keep_apart(peer):
    """Scores less than 1e-6 apart count as equal there (``_make_unique``); softmax tails live in that range."""
    p = np.linspace(1e-7, 1e-6, 10).astype(np.float32)
    y = np.arange(10) >= 5
    theirs = peer("sklearn.isotonic").IsotonicRegression(out_of_bounds="clip").fit(p, y).predict(p)
    ours = get_calibrator("isotonic:mix=none").fit(logit(p.astype(np.float64)), y.astype(int))
    assert np.ptp(theirs) < 1
    assert_allclose(ours.predict_proba(logit(p.astype(np.float64)))[:, 1], y)


def test_centred_isotonic_is_probmetrics(peer, scores):
    s, y, new = scores
    theirs = peer("probmetrics.calibrators").CenteredIsotonicRegressionCalibrator()
    theirs.fit(np.stack([expit(-s), expit(s)], axis=1), y)
    found = theirs.predict_proba(np.stack([expit(-new), expit(new)], axis=1))[:, 1]
    ours = get_calibrator("centred-isotonic:mix=none").fit(s, y).predict_proba(new)[:, 1]
    assert_allclose(ours, found, atol=1e-6)


def test_histograms_of_equal_width_are_netcal(peer, scores):
    s, y, new = scores
    theirs = peer("netcal.binning").HistogramBinning(15).fit(expit(s), y).transform(expit(new))
    ours = get_calibrator("histogram:mix=none").fit(s, y)
    assert_allclose(ours.predict_proba(new)[:, 1], theirs, **EXACT)


def test_histograms_of_equal_mass_are_those_of_uncertainty_calibration(peer, scores):
    s, y, new = scores
    theirs = peer("calibration").HistogramCalibrator(len(s), num_bins=10)
    theirs.train_calibration(expit(s), y)
    ours = get_calibrator("histogram:n_bins=10,binning=quantile,mix=none").fit(s, y).predict_proba(new)[:, 1]
    found = theirs.calibrate(expit(new))
    # Their edges lie half-way between scores, ours at scores: what falls between the two may be a bin apart.
    assert (abs(ours - found) > 1e-12).mean() < 0.05


def test_scaling_binning_is_near_that_of_uncertainty_calibration(peer, scores):
    """They fit by lbfgs to its default tolerance, with a weak penalty, and edges differ as above."""
    s, y, new = scores
    theirs = peer("calibration").PlattBinnerCalibrator(len(s), num_bins=10)
    theirs.train_calibration(expit(s), y)
    ours = get_calibrator("scaling-binning:n_bins=10,mix=none").fit(s, y).predict_proba(new)[:, 1]
    assert (abs(ours - theirs.calibrate(expit(new))) > 1e-3).mean() < 0.1


def test_cdf_spline_is_near_probmetrics(peer, scores):
    """Row i of n is at (i - 1) / (n - 1) there, at i / n here; their slope is that at a row, ours its mean."""
    s, y, new = scores
    theirs = peer("probmetrics.calibrators").CDFSplineCalibrator()
    theirs.fit(np.stack([expit(-s), expit(s)], axis=1), y)
    found = np.asarray(theirs.predict_proba(np.stack([expit(-new), expit(new)], axis=1)))[:, 1]
    assert_allclose(get_calibrator("cdf-spline:mix=none").fit(s, y).predict_proba(new)[:, 1], found, atol=5e-3)


def test_venn_abers_of_mapie(peer, split):
    """MAPIE holds a copy of venn-abers, which it asks for pairs of classes; through a classifier of given scores."""
    z, y, new = split
    mapie = peer("mapie.calibration").VennAbersCalibrator(estimator=_Given(5).fit(z, y), cv="prefit")
    theirs = mapie.fit(z, y).predict_proba(new)
    assert_allclose(get_calibrator("venn-abers-one-vs-one").fit(z, y).predict_proba(new), theirs, **EXACT)


def _Given(n_classes):  # noqa: N802 - makes an instance of a class that needs scikit-learn
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):
        """A classifier whose features are logits."""

        def fit(self, X, y):
            self.classes_, self.n_features_in_ = np.arange(n_classes), n_classes
            return self

        def predict_proba(self, X):
            return softmax(X, axis=1)

        def predict(self, X):
            return np.argmax(X, axis=1)

    return Given()


def test_temperature_is_scikit_learns(peer):
    """CalibratedClassifierCV(method="temperature") minimises the same loss by brentq, in float32 if the scores are."""
    calibration, frozen = peer("sklearn.calibration"), peer("sklearn.frozen")
    z, y = data(n=600, k=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = calibration.CalibratedClassifierCV(
            frozen.FrozenEstimator(_Given(5).fit(z, y)), method="temperature", ensemble=False
        ).fit(z, y)
    ours = get_calibrator("temperature").fit(z, y)
    loss = -np.log(theirs.predict_proba(z)[np.arange(600), y]).mean()
    assert_allclose(loss, ours.objective_value_, rtol=0, atol=1e-8)
    assert loss >= ours.objective_value_ - 1e-12


def test_matrix_scaling_is_a_logistic_regression(peer):
    z, y = data(n=600, k=4)
    x = log_softmax(z, axis=1)
    regression = peer("sklearn.linear_model").LogisticRegression
    theirs = regression(C=np.inf, solver="newton-cg", tol=1e-8, max_iter=1000).fit(x, y)
    loss = -theirs.predict_log_proba(x)[np.arange(600), y].mean()
    assert_allclose(loss, get_calibrator("matrix").fit(z, y).objective_, rtol=0, atol=1e-8)
