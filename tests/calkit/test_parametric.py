"""Parametric calibrators against plain formulas minimised by scipy, and against scikit-learn."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax
from sklearn.linear_model import LogisticRegression

from calkit import Predictions
from calkit.calibrators import get_calibrator
from calkit.errors import CalibrationWarning, InputError, UsageError
from calkit.shards import Shards
from calkit.theory import focal_posterior
from tests.parametric_oracles import (
    binary_data,
    data,
    full_matrix,
    minimum,
    mixed,
    of_features,
    one_hot,
    per_class,
    table_ridge,
    temperature,
)

WEIGHTS = {"unweighted": None, "weighted": np.random.default_rng(5).random(400) * 3}


def plain(spec, z, y, weight):
    """The least objective of a method, by its published formula."""
    n, k = z.shape
    w = np.ones(n) if weight is None else weight
    truth, total = one_hot(y, k), w.sum()
    raw = log_softmax(z, axis=1)
    at_t = lambda: temperature(z, truth, w)  # noqa: E731
    if spec.startswith("vector"):
        logits, gradient, size = per_class(raw)
        ridge, center = np.full(size, 1e-3 if "ridge" in spec else 0.0), np.repeat([1.0, 0.0], k)
    elif spec == "svs":
        logits, gradient, size = per_class(mixed(z, at_t(), 1 / (total + 1)))
        ridge, center = np.full(size, k / total), np.repeat([1.0, 0.0], k)
    elif spec == "nbvs":
        logits, gradient, size = (lambda th: raw * th), (lambda t: (t * raw).sum(axis=0)), k
        ridge, center = np.zeros(k), np.ones(k)
    elif spec == "bcts":
        logits, size = (lambda th: raw * th[0] + th[1:]), k + 1
        gradient = lambda t: np.concatenate([[(t * raw).sum()], t.sum(axis=0)])  # noqa: E731
        ridge, center = np.zeros(size), np.eye(1, size)[0]
    elif spec == "adaptive-temperature":
        x = log_softmax(at_t() * z, axis=1)
        h = np.column_stack([np.ones(n), np.sort(x, axis=1)[:, -3:], (np.exp(x) * x).sum(axis=1)])
        logits, gradient, size = (lambda th: x * (h @ th)[:, None]), (lambda t: h.T @ (t * x).sum(axis=1)), 5
        ridge, center = np.zeros(5), np.eye(1, 5)[0]
    elif spec == "class-temperature":
        x = log_softmax(at_t() * z, axis=1)
        hot = np.eye(k)[z.argmax(axis=1)]
        logits, gradient, size = (lambda th: x * (hot @ th)[:, None]), (lambda t: hot.T @ (t * x).sum(axis=1)), k
        ridge, center = np.full(k, 1 / total), np.ones(k)
    else:
        x = mixed(z, at_t(), 1 / (total + 1)) if spec.startswith("sms") else raw
        logits, gradient, size = full_matrix(x)
        center = np.eye(k, k + 1).ravel()
        ridge = {
            "matrix": table_ridge(k, 0, 0, 0),
            "matrix:ridge=0.01": table_ridge(k, 0.01, 0.01, 0.01),
            "sms": table_ridge(k, k / total, k * (k - 1) / total, k / total),
            "sms:off_diagonal=0.1": table_ridge(k, k / total, 0.1 * k * (k - 1) / total, k / total),
            "dirichlet": table_ridge(k, 0, 0.01, 0.01),
            "dirichlet:off_diagonal=0.1,bias=0.001": table_ridge(k, 0, 0.1, 0.001),
        }[spec]
    return minimum(logits, gradient, size, ridge, center, truth, w)[0]


@pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize(
    "spec",
    [
        "vector",
        "vector:ridge=0.001",
        "svs",
        "nbvs",
        "bcts",
        "adaptive-temperature",
        "class-temperature",
        "matrix",
        "matrix:ridge=0.01",
        "sms",
        "sms:off_diagonal=0.1",
        "dirichlet",
        "dirichlet:off_diagonal=0.1,bias=0.001",
    ],
)
def test_the_optimum_is_that_of_the_plain_formula(spec, weight):
    z, y = data()
    calibrator = get_calibrator(spec).fit(z, y, weight)
    assert_allclose(calibrator.objective_, plain(spec, z, y, weight), rtol=0, atol=1e-8)
    assert calibrator.converged_
    assert calibrator.gap_bound_ <= 1e-9
    assert calibrator.ridge_ == 0


@pytest.mark.parametrize("spec", ["svs", "sms:off_diagonal=1", "sms:off_diagonal=0.01", "dirichlet", "vector"])
def test_the_optimum_by_conjugate_gradients_is_that_of_the_plain_formula(spec):
    z, y = data(n=900, k=66, seed=1, scale=1.5)
    named = {"sms:off_diagonal=1": "sms"}.get(spec, spec)
    if spec == "sms:off_diagonal=0.01":
        k, n = 66, 900
        logits, gradient, size = full_matrix(mixed(z, temperature(z, one_hot(y, k), np.ones(n)), 1 / (n + 1)))
        ridge = table_ridge(k, k / n, 0.01 * k * (k - 1) / n, k / n)
        expected = minimum(logits, gradient, size, ridge, np.eye(k, k + 1).ravel(), one_hot(y, k), np.ones(n))[0]
    else:
        expected = plain(named, z, y, None)
    calibrator = get_calibrator(spec).fit(z.astype(np.float32), y)
    assert_allclose(calibrator.objective_, expected, rtol=0, atol=2e-8)
    assert calibrator.converged_


def test_float32_logits_give_the_optimum_of_the_same_numbers_in_float64():
    z, y = data(scale=1.0)
    single = get_calibrator("sms").fit(z.astype(np.float32), y)
    double = get_calibrator("sms").fit(z.astype(np.float32).astype(np.float64), y)
    assert_allclose(single.matrix_, double.matrix_, atol=1e-9)


def test_matrix_scaling_is_scikit_learns_regression_on_log_probabilities():
    z, y = data(n=600)
    ours = get_calibrator("matrix").fit(z, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = LogisticRegression(C=np.inf, solver="newton-cg", tol=1e-8, max_iter=1000)
        theirs.fit(log_softmax(z, axis=1), y)
    losses = theirs.predict_log_proba(log_softmax(z, axis=1))[np.arange(len(y)), y]
    assert_allclose(ours.objective_, -losses.mean(), rtol=0, atol=1e-8)
    assert_allclose(ours.predict_proba(z), theirs.predict_proba(log_softmax(z, axis=1)), atol=1e-4)


@pytest.mark.parametrize(("spec", "degree"), [("affine", 1), ("quadratic", 2)])
def test_affine_and_quadratic_are_scikit_learns_regression(spec, degree):
    s, y = binary_data()
    h = np.column_stack([s**power for power in range(1, degree + 1)])
    theirs = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12).fit(h, y)
    ours = get_calibrator(spec).fit(s, y)
    assert_allclose(ours.coef_, [*theirs.intercept_, *theirs.coef_[0]], atol=1e-7)
    assert_allclose(ours.predict_proba(s), theirs.predict_proba(h), atol=1e-8)


def test_platt_is_scikit_learns_sigmoid_calibration():
    from sklearn.calibration import _SigmoidCalibration

    s, y = binary_data()
    theirs = _SigmoidCalibration().fit(s, y)
    ours = get_calibrator("platt").fit(s, y)
    # Theirs stops at L-BFGS' default tolerance.
    assert_allclose(ours.predict_proba(s)[:, 1], theirs.predict(s), atol=1e-4)
    low, high = 1 / ((y == 0).sum() + 2), ((y == 1).sum() + 1) / ((y == 1).sum() + 2)
    target = np.where(y == 1, high, low)

    def loss(th):
        p = th[0] + th[1] * s
        return (np.logaddexp(0, p) - target * p).mean()

    best = minimize(loss, [0.0, 1.0], method="BFGS", options={"gtol": 1e-10})
    assert_allclose(ours.objective_, best.fun, atol=1e-10)


@pytest.mark.parametrize("weight", [None, np.random.default_rng(3).random(500)], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("seed", range(6))
def test_beta_is_the_bounded_optimum(seed, weight):
    s, y = binary_data(seed=seed)
    if seed % 2:  # labels that fall with the logit, so that bounds bind
        y = np.where(s < 0, 1 - y, y) if seed == 1 else np.random.default_rng(seed).permutation(y)
    h = np.column_stack([np.ones(len(s)), -np.logaddexp(0, -s), np.logaddexp(0, s)])
    logits, gradient, size = of_features(h)
    w = np.ones(len(s)) if weight is None else weight
    bounds = [(None, None), (0, None), (0, None)]
    fun, theta = minimum(logits, gradient, size, np.zeros(3), np.array([0.0, 1, 1]), one_hot(y, 2), w, bounds)
    ours = get_calibrator("beta").fit(s, y, weight)
    assert_allclose(ours.objective_, fun, rtol=0, atol=1e-8)
    assert_allclose(ours.coef_, theta, atol=1e-3)
    assert (ours.coef_[1:] >= 0).all()


def test_beta_reaches_each_of_its_faces():
    held = set()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        s = 2 * rng.normal(size=60)
        y = (rng.random(60) < expit(0.1 * s)).astype(int)
        held.add(tuple(get_calibrator("beta").fit(s, y).coef_[1:] == 0))
    assert held == {(False, False), (True, False), (False, True), (True, True)}


def test_dirichletcal_convention_is_the_optimum_with_the_last_row_at_zero():
    z, y = data()
    n, k = z.shape
    x = log_softmax(z, axis=1)
    logits, gradient, _ = full_matrix(x)
    free = np.repeat(np.arange(k) < k - 1, k + 1)
    ridge = (table_ridge(k, 0, 0.01, 0.02) * free)[free]
    pad = lambda th: np.concatenate([th, np.zeros(k + 1)])  # noqa: E731
    fun, _ = minimum(
        lambda th: logits(pad(th)), lambda t: gradient(t)[free], free.sum(), ridge, np.eye(k, k + 1).ravel()[free],
        one_hot(y, k), np.ones(n),
    )  # fmt: skip
    spec = "dirichlet:off_diagonal=0.01,bias=0.02"
    ours = get_calibrator(spec + ",convention=dirichletcal").fit(z, y)
    assert_allclose(ours.objective_, fun, rtol=0, atol=1e-8)
    assert_array_equal(ours.matrix_[-1], 0)
    assert ours.bias_[-1] == 0
    assert get_calibrator(spec).fit(z, y).objective_ < fun


def test_class_temperatures_are_those_of_their_rows_alone():
    z, y = data(n=600)
    strength = 2.0
    ours = get_calibrator("class-temperature:strength=2").fit(z, y)
    x = log_softmax(ours.inverse_temperature_ * z, axis=1)
    for c in range(z.shape[1]):
        rows = z.argmax(axis=1) == c

        def loss(w, rows=rows):
            losses = -log_softmax(w * x[rows], axis=1)[np.arange(rows.sum()), y[rows]]
            return losses.sum() + strength * (w - 1) ** 2

        assert_allclose(ours.weights_[c], minimize_scalar(loss, (0.1, 2), tol=1e-12).x, rtol=1e-6)


def test_a_class_whose_predictions_are_wrong_gets_the_highest_temperature_allowed():
    rng = np.random.default_rng(0)
    z = 3 * rng.normal(size=(400, 3))
    y = np.where(z.argmax(axis=1) == 2, z.argmin(axis=1), z.argmax(axis=1))
    calibrator = get_calibrator("class-temperature").fit(z, y)
    assert calibrator.weights_[2] == 0.01
    assert (calibrator.weights_[:2] > 0.5).all()
    assert calibrator.converged_


def test_adaptive_inverse_temperatures_stay_positive():
    z, y = data()
    calibrator = get_calibrator("adaptive-temperature").fit(z, y)
    calibrator.coef_ = np.array([-5.0, 0, 0, 0, 0])
    probs = calibrator.predict_proba(z)
    assert_array_equal(probs.argmax(axis=1), z.argmax(axis=1))


@pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("objective", ["nll", "mse"])
def test_ensemble_weights_are_the_best_of_the_simplex(objective, weight):
    z, y = data()
    n, k = z.shape
    w = np.ones(n) if weight is None else weight
    ours = get_calibrator(f"ets:objective={objective}").fit(z, y, weight)

    def loss(p):
        if objective == "mse":
            return float(w @ ((p - one_hot(y, k)) ** 2).mean(axis=1) / w.sum())
        return float(-(w @ np.log(p[np.arange(n), y])) / w.sum())

    best_t = minimize_scalar(lambda t: loss(softmax(z / np.exp(t), axis=1)), (-0.5, 1.5), tol=1e-12)
    assert_allclose(ours.temperature_, np.exp(best_t.x), rtol=1e-5)
    members = [softmax(z / ours.temperature_, axis=1), softmax(z, axis=1), np.full(z.shape, 1 / k)]

    def mixture(v):
        return v[0] * members[0] + v[1] * members[1] + v[2] * members[2]

    assert_allclose(ours.predict_proba(z), mixture(ours.weights_), atol=1e-12)
    assert_allclose(ours.objective_, loss(mixture(ours.weights_)), rtol=1e-12)
    # No point of a grid on the simplex, and no point near the solution, is better.
    grid = [np.array([a, b, 20 - a - b]) / 20 for a in range(21) for b in range(21 - a)]
    near = [np.maximum(ours.weights_ + d, 0) for d in np.random.default_rng(0).normal(size=(50, 3)) * 1e-3]
    for v in grid + [v / v.sum() for v in near]:
        assert loss(mixture(v)) >= ours.objective_ - 1e-12
    assert ours.converged_


def test_ensemble_by_log_loss_mixes_in_the_uniform_distribution_where_labels_are_noise():
    z, _ = data(n=2000, k=4, scale=4.0)
    rng = np.random.default_rng(1)
    noisy = np.where(rng.random(2000) < 0.3, rng.integers(4, size=2000), (4 * z).argmax(axis=1))
    weights = get_calibrator("ets").fit(4 * z, noisy).weights_
    # Three in ten labels are drawn from the uniform distribution.
    assert_allclose(weights[2], 0.3, atol=0.04)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 3.0, 5.0])
def test_focal_map_is_the_posterior_of_the_theory_at_its_temperature(gamma):
    z, y = data(k=4)
    calibrator = get_calibrator(f"focal-map:gamma={gamma:g}").fit(z, y)

    def probs(t):
        return focal_posterior(softmax(z / t, axis=1), gamma, multiclass=True)

    assert_allclose(calibrator.predict_proba(z), probs(calibrator.temperature_), atol=1e-10)
    loss = lambda t: -np.log(probs(np.exp(t))[np.arange(len(y)), y]).mean()  # noqa: E731
    best = minimize_scalar(loss, (-1, 2), tol=1e-10)
    assert_allclose(calibrator.temperature_, np.exp(best.x), rtol=1e-5)
    assert_allclose(calibrator.objective_, best.fun, rtol=1e-10)


def test_focal_map_keeps_its_digits_for_the_certain():
    s = np.array([1e-6, 1.0, 30.0, 200.0])
    two = get_calibrator("focal-map").fit(*binary_data())
    two.temperature_ = 1.0
    assert_allclose(two.predict_proba(s)[:, 1], focal_posterior(expit(s), 3.0), rtol=1e-9)
    assert np.isfinite(two.predict_log_proba(np.array([-800.0, 800.0]))[:, 0]).all()


@pytest.mark.parametrize("spec", ["vector:ridge=0", "matrix:ridge=0", "bcts:ridge=0", "nbvs:ridge=0"])
def test_a_fit_without_a_minimum_and_without_a_ridge_says_so(spec):
    z, y = data(n=60)
    with pytest.warns(CalibrationWarning, match="do not determine"):
        calibrator = get_calibrator(spec).fit(20 * one_hot(y, 5) + z, y)
    assert not calibrator.converged_


@pytest.mark.parametrize("spec", ["vector", "matrix", "bcts", "nbvs", "dirichlet", "adaptive-temperature"])
def test_separable_data_get_a_ridge_and_a_warning(spec):
    z, y = data(n=100)
    with pytest.warns(CalibrationWarning, match=r"can be separated.*ridge of 0\.0001"):
        calibrator = get_calibrator(spec).fit(20 * one_hot(y, 5) + z, y)
    assert calibrator.ridge_ == 1e-4
    assert calibrator.converged_
    assert np.isfinite(calibrator.predict_proba(z)).all()
    assert "ridge" in calibrator.describe().notes[0]


@pytest.mark.parametrize("spec", ["vector", "matrix", "bcts", "dirichlet"])
def test_an_absent_class_gets_a_ridge_and_a_warning(spec):
    z, y = data()
    kept = y != 3
    with pytest.warns(CalibrationWarning, match=r"class 3 is not in the data.*ridge of 0\.0001"):
        calibrator = get_calibrator(spec).fit(z[kept], y[kept])
    assert calibrator.converged_
    assert calibrator.predict_proba(z)[:, 3].max() < 0.5


@pytest.mark.parametrize("spec", ["svs", "sms", "class-temperature", "platt"])
def test_methods_with_a_penalty_take_any_labels_without_a_warning(spec):
    z, y = binary_data() if spec == "platt" else data()
    kept = y != y.max()
    calibrator = get_calibrator(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calibrator.fit(z[kept], y[kept])
    assert calibrator.converged_


ALL = [
    "vector", "nbvs", "svs", "bcts", "matrix", "sms", "dirichlet", "adaptive-temperature", "class-temperature", "ets",
    "ets:objective=mse", "focal-map", "affine", "platt", "quadratic", "beta",
]  # fmt: skip
BINARY = {"affine", "platt", "quadratic", "beta"}


@pytest.mark.filterwarnings("ignore::calkit.errors.CalibrationWarning")
@pytest.mark.parametrize("spec", ALL)
@pytest.mark.parametrize("case", ["one class", "constant", "one row", "zeros", "huge", "tiny"])
def test_degenerate_data_give_probabilities(spec, case):
    k = 2 if spec in BINARY else 4
    rng = np.random.default_rng(0)
    z, y = 2 * rng.normal(size=(50, k)), rng.integers(k, size=50)
    z, y = {
        "one class": (z, np.zeros(50, int)),
        "constant": (np.full((50, k), 3.0), y),
        "one row": (z[:1], y[:1]),
        "zeros": (np.zeros((50, k)), y),
        "huge": (1e12 * z, y),
        "tiny": (1e-12 * z, y),
    }[case]
    calibrator = get_calibrator(spec).fit(z, y)
    probs = calibrator.predict_proba(z)
    assert np.isfinite(probs).all()
    assert_allclose(probs.sum(axis=1), 1, atol=1e-9)


@pytest.mark.filterwarnings("ignore::calkit.errors.CalibrationWarning")
@pytest.mark.parametrize("spec", ["vector", "svs", "bcts", "sms:off_diagonal=1", "adaptive-temperature", "ets"])
def test_more_classes_than_rows(spec):
    z, y = data(n=500, k=1000)
    calibrator = get_calibrator(spec).fit(z.astype(np.float32), y)
    assert calibrator.converged_
    assert np.isfinite(calibrator.predict_proba(z)).all()


@pytest.mark.parametrize("spec", ["svs", "sms", "adaptive-temperature", "class-temperature"])
def test_the_scale_of_the_logits_does_not_matter_after_a_temperature(spec):
    z, y = data()
    base = get_calibrator(spec).fit(z, y).predict_proba(z)
    for factor in (3.0, 0.02, 50.0):
        assert_allclose(get_calibrator(spec).fit(factor * z, y).predict_proba(factor * z), base, atol=1e-7)


def test_a_matrix_of_many_classes_needs_a_ridge():
    z, y = data(k=21)
    with pytest.raises(UsageError, match="needs a ridge, 1e-4 for instance"):
        get_calibrator("matrix:ridge=0").fit(z, y)
    assert get_calibrator("matrix").fit(z, y).converged_


@pytest.mark.parametrize("spec", sorted(BINARY))
def test_methods_of_two_classes_refuse_more(spec):
    with pytest.raises(InputError, match="two classes"):
        get_calibrator(spec).fit(*data())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("vector:ridge=-1", "ridge must be a finite number, at least 0, but is -1"),
        ("svs:strength=inf", "strength must be a finite number"),
        ("sms:off_diagonal=loo", "off_diagonal must be a number, 'cv' or None"),
        ("dirichlet:convention=netcal", "convention must be 'dirichletcal'"),
        ("ets:objective=ece", "objective must be 'nll' or 'mse'"),
        ("focal-map:gamma=-1", "gamma must be a finite number, at least 0"),
        ("class-temperature:strength=0", "strength must be a finite number, above 0"),
        ("svs:tol=0", "tol must be a finite number, above 0"),
    ],
)
def test_impossible_parameters_are_refused(spec, message):
    with pytest.raises(UsageError, match=message):
        get_calibrator(spec).fit(*data())


def test_the_bound_on_the_gap_is_rigorous_under_a_ridge():
    z, y = data(n=900, k=66, seed=1)
    exact = get_calibrator("svs:tol=1e-13").fit(z, y)
    for tol in (1e-3, 1e-5, 1e-7):
        loose = get_calibrator(f"svs:tol={tol}").fit(z, y)
        assert -1e-14 <= loose.objective_ - exact.objective_ <= loose.gap_bound_ <= tol


def test_cross_validation_weakens_the_penalty_where_the_matrix_matters():
    rng = np.random.default_rng(0)
    k, n = 50, 3000
    z = 2 * rng.normal(size=(n, k))
    mixing = np.eye(k) + np.roll(np.eye(k), 1, axis=1)
    y = (z @ mixing + rng.gumbel(size=(n, k))).argmax(axis=1)
    calibrator = get_calibrator("sms").fit(z[:2000], y[:2000])
    assert calibrator.off_diagonal_ < 1
    published = get_calibrator("sms:off_diagonal=1").fit(z[:2000], y[:2000])
    losses = [-np.log(c.predict_proba(z[2000:])[np.arange(1000), y[2000:]]).mean() for c in (calibrator, published)]
    assert losses[0] < losses[1] - 0.05
    # Folds go by content: neither the order of the rows nor weights in place of copies matter.
    order = rng.permutation(2000)
    assert get_calibrator("sms").fit(z[order], y[order]).off_diagonal_ == calibrator.off_diagonal_


def test_probabilities_are_calibrated_by_their_logarithms():
    z, y = data()
    p = softmax(z, axis=1)
    by_probs = get_calibrator("sms").fit_predictions(Predictions(p, y, kind="probs"))
    assert_allclose(by_probs.matrix_, get_calibrator("sms").fit(np.log(p), y).matrix_, atol=1e-12)


def test_platt_on_probabilities_is_platt_on_their_logits():
    s, y = binary_data()
    by_probs = get_calibrator("platt").fit_predictions(Predictions(expit(s), y, kind="probs"))
    assert_allclose(by_probs.coef_, get_calibrator("platt").fit(s, y).coef_, atol=1e-9)
    assert_allclose(logit(expit(s)), s, atol=1e-9)


@pytest.mark.parametrize(
    "spec", ["svs", "sms", "vector:ridge=0.001", "dirichlet", "adaptive-temperature", "ets", "platt"]
)
def test_a_masked_class_keeps_probability_zero(spec):
    k = 2 if spec == "platt" else 5
    z, y = data(k=k)
    masked = z.copy()
    rows = np.arange(0, len(z), 4)
    masked[rows, (y[rows] + 1) % k] = -np.inf
    calibrator = get_calibrator(spec).fit(masked, y)
    probs = calibrator.predict_proba(masked)
    assert_array_equal(probs[np.isneginf(masked)], 0)
    assert_array_equal(calibrator.predict_log_proba(masked)[np.isneginf(masked)], -np.inf)
    assert calibrator.converged_
    losses = -np.log(probs[np.arange(len(y)), y])
    assert np.isfinite(losses).all()
    # Nearly impossible is nearly the same, where a class sees only its own logit.
    if spec == "svs":
        nearly = np.where(np.isneginf(masked), -60.0, masked)
        assert_allclose(get_calibrator(spec).fit(nearly, y).predict_proba(nearly), probs, atol=2e-3)


@pytest.mark.parametrize("spec", ["svs", "vector", "ets", "focal-map", "temperature"])
def test_a_true_class_of_probability_zero_is_refused(spec):
    z, y = data()
    z[7, y[7]] = -np.inf
    with pytest.raises(InputError, match=r"row 7 .*-inf"):
        get_calibrator(spec).fit(z, y)


@pytest.mark.parametrize(
    "spec", ["svs", "sms", "vector", "bcts", "adaptive-temperature", "ets", "ets:objective=mse", "focal-map", "platt"]
)
def test_shares_of_classes_are_weighted_copies_of_the_row(spec):
    k = 2 if spec == "platt" else 4
    z, y = data(k=k)
    votes = np.random.default_rng(0).dirichlet(np.full(k, 0.5), len(z)) * 0.3 + 0.7 * one_hot(y, k)
    shared = get_calibrator(spec).fit_predictions(Predictions(z, votes, kind="logits"))
    copies = get_calibrator(spec).fit(np.repeat(z, k, axis=0), np.tile(np.arange(k), len(z)), votes.ravel())
    assert_allclose(shared.predict_proba(z), copies.predict_proba(z), atol=1e-6)
    assert_allclose(shared.objective_, copies.objective_, rtol=1e-9)


@pytest.mark.parametrize("spec", ["svs", "vector:ridge=1e-5", "sms:off_diagonal=0.01", "matrix:ridge=1e-4"])
@pytest.mark.parametrize("tol", [1e-5, 1e-7])
def test_the_gap_bound_is_a_bound(spec, tol):
    # Where conjugate gradients end early, half the decrement is less than what is left to gain: here by 50 times,
    # before what they leave was counted. The least value is that of a fit a million times as exact.
    rng = np.random.default_rng(0)
    z = 2 * rng.normal(size=(600, 70))
    y = (z * (0.5 + 0.2 * rng.random(70)) + rng.gumbel(size=z.shape)).argmax(axis=1)
    joined = "," if ":" in spec else ":"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        found, exact = (get_calibrator(f"{spec}{joined}tol={t}").fit(z, y) for t in (tol, 1e-12))
    assert found.gap_bound_ <= tol
    assert found.objective_ - exact.objective_ <= found.gap_bound_ + 1e-13


def test_few_rows_of_many_classes_by_way_of_stronger_ridges():
    # 100 rows of 40 classes can be separated: 277 passes, and 697 straight from the identity.
    rng = np.random.default_rng(0)
    z = 2 * rng.normal(size=(100, 40))
    fitted = get_calibrator("matrix").fit(z, (0.6 * z + rng.gumbel(size=z.shape)).argmax(axis=1))
    assert fitted.converged_
    assert fitted.n_passes_ < 500


@pytest.mark.parametrize("spec", ["vector", "bcts", "nbvs", "affine", "quadratic", "class-temperature", "svs"])
def test_probabilities_do_not_depend_on_how_rows_are_read(spec, tmp_path):
    """Files and arrays begin in other places, with features of other precision, and end at the same parameters."""
    rng = np.random.default_rng(1)
    z = 2 * rng.normal(size=(300, 2))
    y = (0.6 * z + rng.gumbel(size=z.shape)).argmax(axis=1)
    paths = [tmp_path / f"{i}.npz" for i in range(3)]
    for path, rows in zip(paths, np.array_split(np.arange(300), 3), strict=True):
        np.savez(path, logits=z[rows], labels=y[rows])
    in_files = get_calibrator(spec).fit_predictions(Shards(paths)).predict_proba(z)
    assert_allclose(in_files, get_calibrator(spec).fit(z, y).predict_proba(z), rtol=0, atol=1e-10)


@pytest.mark.parametrize("spec", ["ets", "focal-map", "class-temperature", "adaptive-temperature", "svs"])
def test_logits_too_near_for_float32_give_probabilities(spec):
    rng = np.random.default_rng(0)
    z = 2 * rng.normal(size=(100, 3))
    y = (0.6 * z + rng.gumbel(size=z.shape)).argmax(axis=1)
    fitted = get_calibrator(spec).fit(1e-300 * z, y)
    found = fitted.predict_proba((1e-300 * z).astype(np.float32))
    # All of them are 0 there.
    assert_allclose(found, fitted.predict_proba(np.zeros_like(z)), rtol=1e-6)


@pytest.mark.filterwarnings("ignore::calkit.errors.CalibrationWarning")
def test_a_row_of_adaptive_temperatures_does_not_depend_on_the_others():
    rng = np.random.default_rng(1)
    z = 2 * rng.normal(size=(120, 4)).astype(np.float32)
    fitted = get_calibrator("adaptive-temperature").fit(z, np.ones(120, int))
    one_by_one = np.concatenate([fitted.predict_proba(row[None]) for row in z])
    assert_allclose(fitted.predict_proba(z), one_by_one, rtol=0, atol=1e-5)
