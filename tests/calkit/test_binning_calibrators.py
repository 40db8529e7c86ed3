"""Monotone and binning calibrators against plain loops, scikit-learn, and refits."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression, lsq_linear
from scipy.special import betaln, expit, softmax
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

import calkit
from calkit import Predictions
from calkit.calibrators import get_calibrator, load_calibrator
from calkit.calibrators.binning import merge_intervals
from calkit.calibrators.binning.isotonic import Isotonic
from calkit.calibrators.binning.lookup import Tables, rank
from calkit.calibrators.binning.near_isotonic import near_isotonic_path
from calkit.calibrators.binning.rows import Groups, group_scores
from calkit.calibrators.binning.scaling_binning import fit_sigmoid
from calkit.calibrators.binning.venn_abers import venn_abers_values
from calkit.datasets import load_digits_logits
from calkit.errors import FileFormatError, InputError


def data(n=400, k=4, seed=0, decimals=None):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)) * 2
    if decimals is not None:
        logits = logits.round(decimals)
    y = (logits / 1.5 + rng.gumbel(size=(n, k))).argmax(axis=1)
    return logits, y


def one_versus_rest(logits, y, fit):
    """Rows divided by their sum, of maps that `fit` returns for (x, outcome) of each class."""
    p = softmax(logits, axis=1)
    q = np.stack([fit(p[:, c], y == c)(p[:, c]) for c in range(p.shape[1])], axis=1)
    empty = q.sum(axis=1) == 0
    q[empty] = 1
    return q / q.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("logarithmic", [False, True])
@given(st.integers(0, 10_000))
def test_rank_is_a_binary_search(logarithmic, seed):
    rng = np.random.default_rng(seed)
    m = int(rng.integers(1, 300))
    keys = np.sort(rng.random(m) ** rng.integers(1, 40)).round(int(rng.integers(2, 17)))
    x = np.concatenate([keys, rng.random(100), [0.0, 1.0], np.nextafter(keys, 2), np.nextafter(keys, -1).clip(0)])
    np.testing.assert_array_equal(rank(keys, x, logarithmic=logarithmic), np.searchsorted(keys, x, "right"))


def test_tables_by_hand():
    linear = Tables.of([(np.array([0.2, 0.4]), np.array([0.1, 0.5])), (np.empty(0), np.empty(0))], is_step=False)
    np.testing.assert_allclose(linear.look_up(0, np.array([0.0, 0.2, 0.3, 0.4, 1.0])), [0.1, 0.1, 0.3, 0.5, 0.5])
    np.testing.assert_array_equal(linear.look_up(1, np.array([0.3])), [0.3])
    step = Tables.of([(np.array([0.5, 1.0]), np.array([0.1, 0.9]))], is_step=True)
    np.testing.assert_array_equal(step.look_up(0, np.array([0.0, 0.5, 0.51, 1.0])), [0.1, 0.1, 0.9, 0.9])


def sklearn_isotonic(x, outcome):
    return IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(x, outcome).predict


@pytest.mark.parametrize("decimals", [None, 1])
def test_isotonic_is_scikit_learns(decimals):
    logits, y = data(decimals=decimals)
    found = get_calibrator("isotonic:mix=none").fit(logits, y).predict_proba(logits)
    np.testing.assert_allclose(found, one_versus_rest(logits, y, sklearn_isotonic), atol=1e-12)


def test_isotonic_of_two_classes_is_one_map():
    logits, y = data(k=2)
    p = softmax(logits, axis=1)[:, 1]
    found = get_calibrator("isotonic:mix=none").fit(logits, y).predict_proba(logits)
    np.testing.assert_allclose(found[:, 1], sklearn_isotonic(p, y)(p), atol=1e-12)


def test_scores_that_differ_are_not_merged():
    # scikit-learn merges float32 scores closer than 1e-6, and gives .5 throughout.
    x = np.linspace(1e-7, 1e-6, 10)
    y = (np.arange(10) >= 5).astype(int)
    logits = np.stack([np.zeros(10), np.log(x / (1 - x))], axis=1).astype(np.float32)
    found = get_calibrator("isotonic:mix=none").fit(logits, y).predict_proba(logits)[:, 1]
    np.testing.assert_array_equal(found, y)


@given(st.integers(0, 10_000))
def test_the_fast_way_is_the_plain_way(seed):
    rng = np.random.default_rng(seed)
    logits, y = data(int(rng.integers(1, 80)), int(rng.integers(3, 6)), seed, decimals=int(rng.integers(0, 4)))
    fast = Isotonic(mix=None).fit(logits, y)
    plain = Isotonic(mix=None).fit(logits, y, np.ones(len(y)))
    np.testing.assert_allclose(fast.predict_proba(logits), plain.predict_proba(logits), atol=1e-12)
    grid = np.linspace(0, 1, 301)
    for column in range(logits.shape[1]):
        np.testing.assert_allclose(fast._map_class(column, grid), plain._map_class(column, grid), atol=1e-12)


def test_centred_isotonic_by_hand():
    # Scores .1 .2 .3 .6 .7 .9, outcomes 0 1 0 1 1 1: blocks {.1} = 0, {.2, .3} = 1/2, {.6, .7, .9} = 1. The middle
    # block has its knot at .25; those of value 0 and 1 stay flat.
    x = np.array([0.1, 0.2, 0.3, 0.6, 0.7, 0.9])
    logits = np.stack([np.zeros(6), np.log(x / (1 - x))], axis=1)
    calibrator = get_calibrator("centred-isotonic:mix=none").fit(logits, [0, 1, 0, 1, 1, 1])
    grid = np.array([0.0, 0.1, 0.175, 0.25, 0.425, 0.6, 0.8, 1.0])
    np.testing.assert_allclose(calibrator._map_class(0, grid), [0, 0, 0.25, 0.5, 0.75, 1, 1, 1], atol=1e-12)


def plain_histogram(n_bins):
    def fit(x, outcome):
        edges = np.arange(n_bins + 1) / n_bins

        def bin_of(value):
            return next(b for b in range(n_bins) if value <= edges[b + 1])

        where = np.array([bin_of(v) for v in x])
        values = [outcome[where == b].mean() if (where == b).any() else (b + 0.5) / n_bins for b in range(n_bins)]
        return lambda z: np.array([values[bin_of(v)] for v in z])

    return fit


def test_histogram_is_a_plain_loop():
    logits, y = data()
    found = get_calibrator("histogram:n_bins=7,mix=none").fit(logits, y).predict_proba(logits)
    np.testing.assert_allclose(found, one_versus_rest(logits, y, plain_histogram(7)), atol=1e-12)


def test_equal_mass_bins_hold_equal_masses_and_ties_stay_together():
    x = np.array([0.1, 0.2, 0.2, 0.2, 0.5, 0.6, 0.7, 0.8])
    y = np.array([0, 0, 1, 1, 0, 1, 1, 1])
    logits = np.stack([np.zeros(8), np.log(x / (1 - x))], axis=1)
    calibrator = get_calibrator("histogram:n_bins=4,binning=quantile,mix=none").fit(logits, y)
    # Quarters end after 2, 4, 6 rows: the first falls among the ties, which end after row 4.
    np.testing.assert_allclose(calibrator.keys_, [0.35, 0.65, 1.0], atol=1e-12)
    np.testing.assert_allclose(calibrator.values_, [2 / 4, 1 / 2, 1])


def test_empty_bins_say_what_is_asked():
    logits = [[0.0, 3.0], [0.0, 4.0], [0.0, 5.0]]
    for empty, value in (("midpoint", 0.25), ("base-rate", 2 / 3)):
        calibrator = get_calibrator(f"histogram:n_bins=2,mix=none,empty={empty}").fit(logits, [1, 1, 0])
        assert calibrator.predict_proba([[0.0, -1.0]])[0, 1] == pytest.approx(value)


def test_laplace_mixes_by_their_formulas():
    logits, y = data(n=50)
    plain = get_calibrator("isotonic:mix=none").fit(logits, y).predict_proba(logits)
    n, k = logits.shape
    laplace = get_calibrator("isotonic").fit(logits, y).predict_proba(logits)
    np.testing.assert_allclose(laplace, (n * plain + 1) / (n + k), atol=1e-12)
    other = get_calibrator("isotonic:mix=probmetrics").fit(logits, y).predict_proba(logits)
    np.testing.assert_allclose(other, (n * plain + 1 / k) / (n + 1), atol=1e-12)
    with pytest.raises(InputError, match="mix must be"):
        get_calibrator("isotonic:mix=some").fit(logits, y)


def test_impossible_classes_stay_impossible():
    logits, y = data()
    masked = logits.copy()
    masked[::3, 2] = -np.inf
    y = np.where((y == 2) & (np.arange(len(y)) % 3 == 0), 0, y)
    for name in ("isotonic", "histogram", "bbq", "venn-abers", "spline", "top-label-histogram"):
        probs = get_calibrator(name).fit(masked, y).predict_proba(masked)
        assert (probs[::3, 2] == 0).all()
        np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-12)


def plain_bbq(x, outcome):
    """BBQ by loops, with the prior of two rows a bin."""
    order = np.argsort(x)
    x, outcome = x[order], outcome[order].astype(float)
    n = len(x)
    root = n ** (1 / 3)
    most = max(1, min(int(np.ceil(n / 5)), int(np.ceil(10 * root))))
    models, scores = [], []
    for bins in range(min(most, max(1, int(root / 10))), most + 1):
        last = sorted({min(int(np.ceil(n * j / bins - 1e-9)), n) - 1 for j in range(1, bins)} - {n - 1})
        edges = [0.0, *[(x[i] + x[i + 1]) / 2 for i in last], 1.0]
        score, values = 0.0, []
        for low, high in itertools.pairwise(edges):
            inside = (x > low) & (x <= high)
            s, m, middle = outcome[inside].sum(), inside.sum(), (low + high) / 2
            a, b = 2 * middle, 2 * (1 - middle)
            score += betaln(s + a, m - s + b) - betaln(a, b)
            values.append((s + a) / (m + 2))
        models.append((edges, values))
        scores.append(score)
    shares = softmax(scores)

    def apply(z):
        return np.array(
            [
                sum(
                    w * v[int(np.clip(np.searchsorted(e, q, "left") - 1, 0, len(v) - 1))]
                    for (e, v), w in zip(models, shares, strict=True)
                )
                for q in z
            ]
        )

    return apply


def test_bbq_is_a_plain_loop():
    logits, y = data(n=120, k=2)
    p = softmax(logits, axis=1)[:, 1]
    found = get_calibrator("bbq:mix=none").fit(logits, y).predict_proba(logits)[:, 1]
    np.testing.assert_allclose(found, plain_bbq(p, y)(p), atol=1e-10)


def refit(groups, place_score, outcome):
    x = np.append(groups.score, place_score)
    s = np.append(groups.positive, outcome)
    merged = group_scores(np.repeat(x, 1), s / np.append(groups.weight, 1.0), np.append(groups.weight, 1.0))
    fit = isotonic_regression(merged.positive / merged.weight, weights=merged.weight).x
    return fit[np.searchsorted(merged.score, place_score)]


@given(st.integers(0, 10_000))
def test_venn_abers_is_a_refit_with_the_new_row(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    x = rng.random(n).round(1)
    outcome = [rng.random(n) < x, np.zeros(n), np.ones(n), rng.random(n) < 1 - x][int(rng.integers(4))].astype(float)
    groups = group_scores(x, outcome, rng.integers(1, 4, n).astype(float) if seed % 2 else None)
    p0, p1 = venn_abers_values(groups)
    edges = np.concatenate([[-1.0], groups.score, [2.0]])
    for place, score in enumerate((edges[:-1] + edges[1:]) / 2):
        assert p0[place] == pytest.approx(refit(groups, score, 0.0), abs=1e-12)
        assert p1[place] == pytest.approx(refit(groups, score, 1.0), abs=1e-12)


def test_venn_abers_ties_and_both_classes():
    logits, y = data(n=60, k=2, decimals=0)
    calibrator = get_calibrator("venn-abers").fit(logits, y)
    p = softmax(logits, axis=1)[:, 1]
    groups = group_scores(p, (y == 1).astype(float))
    both = calibrator.predict_interval(logits)
    for row in range(len(p)):
        pair = [refit(groups, p[row], outcome) for outcome in (0.0, 1.0)]
        np.testing.assert_allclose(both[row, 1], pair, atol=1e-12)
        np.testing.assert_allclose(both[row, 0], [1 - pair[1], 1 - pair[0]], atol=1e-12)
    merged = both[:, 1, 1] / (1 - both[:, 1, 0] + both[:, 1, 1])
    np.testing.assert_allclose(calibrator.predict_proba(logits)[:, 1], merged, atol=1e-12)


def test_merged_intervals_of_one_fold_are_those_of_the_predictor():
    p0, p1 = np.array([[0.2, 0.0]]), np.array([[0.4, 1.0]])
    np.testing.assert_allclose(merge_intervals(p0, p1), [0.4 / 1.2, 0.5])
    # Two folds, by the formula of Vovk et al.: geometric means.
    p0, p1 = np.array([0.1, 0.3]), np.array([0.3, 0.5])
    hit, miss = np.sqrt(0.3 * 0.5), np.sqrt(0.9 * 0.7)
    assert merge_intervals(p0, p1) == pytest.approx(hit / (hit + miss))


def near_isotonic(v, w, lam):
    """The fused problem by its dual: b = v - D' u / w, 0 <= u <= lam, D the falls b_i - b_{i+1}."""
    m = len(v)
    D = np.eye(m)[:-1] - np.eye(m)[1:]
    root = np.sqrt(w)
    u = lsq_linear((D / root).T, v * root, bounds=(0, lam), tol=1e-14, max_iter=2000).x
    return v - D.T @ u / w


@pytest.mark.parametrize("seed", range(8))
def test_near_isotonic_path_solves_its_problem(seed):
    rng = np.random.default_rng(seed)
    m = 9
    v, w = rng.random(m).round(1), rng.integers(1, 4, m).astype(float)
    found = list(near_isotonic_path(v, w))
    np.testing.assert_allclose(found[-1][1], isotonic_regression(v, weights=w).x, atol=1e-12)

    def cost(levels, lam):
        return 0.5 * (w * (v - levels) ** 2).sum() + lam * np.maximum(-np.diff(levels), 0).sum()

    # The penalty at which each is the solution follows from its own optimality: search it on a grid.
    lams = np.linspace(0, 3, 61)
    least = np.array([cost(near_isotonic(v, w, max(lam, 1e-9)), lam) for lam in lams])
    for n_blocks, levels in found:
        assert len(np.unique(levels.round(10))) <= n_blocks
        if n_blocks == m:
            continue
        excess = np.array([cost(levels, lam) for lam in lams]) - least
        assert excess.min() >= -1e-6
        # Somewhere along the grid it is the solution up to the grid's step.
        assert excess.min() < 0.02


def test_near_isotonic_averages_by_bic():
    # A clean rise: every model of weight is the isotonic one, or nearly so.
    x = np.repeat([0.1, 0.3, 0.6, 0.9], 100)
    y = np.concatenate([np.arange(100) < k for k in (5, 30, 60, 95)]).astype(int)
    logits = np.stack([np.zeros(400), np.log(x / (1 - x))], axis=1)
    found = get_calibrator("near-isotonic:mix=none").fit(logits, y).predict_proba(logits[::100])[:, 1]
    np.testing.assert_allclose(found, [0.05, 0.3, 0.6, 0.95], atol=1e-9)


def test_the_sigmoid_is_logistic_regression():
    logits, y = data(n=500, k=2)
    z = logits[:, 1] - logits[:, 0]
    slope, intercept = fit_sigmoid(group_scores(expit(z), y.astype(float)))
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(z[:, None], y)
    # The ridge of a thousandth of a row moves it in the sixth digit.
    assert slope == pytest.approx(model.coef_[0, 0], rel=1e-4)
    assert intercept == pytest.approx(model.intercept_[0], abs=1e-4)


def test_scaling_binning_says_the_mean_of_the_sigmoid_in_each_bin():
    logits, y = data(n=300, k=2)
    calibrator = get_calibrator("scaling-binning:n_bins=5,mix=none").fit(logits, y)
    z = logits[:, 1] - logits[:, 0]
    scaled = expit(calibrator.slope_[0] * z + calibrator.intercept_[0])
    order = np.argsort(scaled)
    wanted = np.empty(300)
    for part in range(5):
        inside = order[part * 60 : (part + 1) * 60]
        wanted[inside] = scaled[inside].mean()
    np.testing.assert_allclose(calibrator.predict_proba(logits)[:, 1], wanted, atol=1e-9)


def test_top_label_by_loops():
    logits, y = data(n=600)
    calibrator = get_calibrator("top-label-histogram:rows_per_bin=60,smoothing=0").fit(logits, y)
    p = softmax(logits, axis=1)
    predicted, confidence = p.argmax(axis=1), p.max(axis=1)
    found = calibrator.predict_proba(logits)
    for c in range(4):
        own = np.flatnonzero(predicted == c)
        own = own[np.argsort(confidence[own])]
        n_bins = len(own) // 60
        ends = [int(np.ceil(len(own) * j / n_bins - 1e-9)) for j in range(n_bins + 1)]
        for start, stop in itertools.pairwise(ends):
            inside = own[start:stop]
            np.testing.assert_allclose(found[inside, c], (y[inside] == c).mean(), atol=1e-12)
    # The other classes keep their proportions.
    row, others = 0, [c for c in range(4) if c != predicted[0]]
    np.testing.assert_allclose(found[row, others] / found[row, others].sum(), p[row, others] / p[row, others].sum())


def test_a_class_never_predicted_keeps_its_confidence():
    logits, y = data(n=200, k=3)
    logits[:, 2] = -20
    calibrator = get_calibrator("top-label-histogram").fit(logits, y)
    sure = np.array([[0.0, 0.0, 1.5]])
    assert calibrator.predict_proba(sure)[0, 2] == pytest.approx(softmax(sure[0])[2])


@pytest.mark.parametrize("name", ["spline", "cdf-spline", "centred-isotonic", "isotonic", "bbq", "near-isotonic"])
def test_a_known_curve_is_found(name):
    # True probability x^2; the root mean squared error over the rows, of 5,000, is what the prototypes reached or less.
    rng = np.random.default_rng(0)
    x = rng.random(5000)
    y = (rng.random(5000) < x**2).astype(int)
    logits = np.stack([np.zeros(5000), np.log(x / (1 - x))], axis=1)
    found = get_calibrator(name).fit(logits, y).predict_proba(logits)[:, 1]
    limit = {"spline": 0.015, "cdf-spline": 0.025}.get(name, 0.035)
    assert np.sqrt(np.mean((found - x**2) ** 2)) < limit


def test_the_spline_never_falls():
    rng = np.random.default_rng(1)
    x = rng.random(300)
    y = (rng.random(300) < 0.5 + 0.4 * np.sin(9 * x)).astype(int)
    calibrator = get_calibrator("spline").fit(np.log(x / (1 - x)), y)
    assert (np.diff(calibrator._map_class(0, np.linspace(0, 1, 1001))) >= 0).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("histogram:n_bins=0", "n_bins must be a positive whole number"),
        ("histogram:binning=mass", "binning must be"),
        ("histogram:empty=zero", "empty must be"),
        ("cdf-spline:n_knots=2", "at least 3"),
        ("spline:smoothness=0", "smoothness must be positive"),
        ("spline:n_knots=-1", "n_knots must be"),
        ("top-label-histogram:rows_per_bin=0", "rows_per_bin must be at least 1"),
        ("top-label-histogram:smoothing=-1", "smoothing must be"),
        ("scaling-binning:n_bins=1.5", "n_bins must be"),
    ],
)
def test_impossible_parameters_are_refused(spec, message):
    logits, y = data(n=30)
    with pytest.raises(InputError, match=message):
        get_calibrator(spec).fit(logits, y)


@pytest.mark.parametrize(
    "name", ["isotonic", "centred-isotonic", "near-isotonic", "histogram", "bbq", "scaling-binning", "cdf-spline",
             "spline", "venn-abers", "top-label-histogram"]
)  # fmt: skip
def test_small_and_constant_data_are_defined(name):
    for logits, y in (([[1.0, 2.0, 0.5]], [1]), (np.zeros((6, 3)), [0, 1, 2, 0, 1, 2]), (np.zeros((4, 2)), [1] * 4)):
        probs = get_calibrator(name).fit(logits, y).predict_proba(np.vstack([logits, np.eye(len(logits[0])) * 9]))
        assert np.isfinite(probs).all()
        np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-12)
        assert (probs > 0).all() or name == "top-label-histogram"


def test_soft_labels_are_repeated_rows():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(50, 3))
    votes = rng.multinomial(8, [0.5, 0.3, 0.2], 50)
    soft = calkit.Predictions(logits, votes / 8, kind="logits")
    repeated = np.repeat(logits, 8, axis=0)
    hard = np.concatenate([np.repeat(np.arange(3), row) for row in votes])
    for name in ("isotonic:mix=none", "histogram:mix=none", "venn-abers"):
        a = get_calibrator(name).fit_predictions(soft)
        b = get_calibrator(name).fit(repeated, hard, np.full(400, 1 / 8))
        np.testing.assert_allclose(a.predict_proba(logits), b.predict_proba(logits), atol=1e-9)


def test_damaged_tables_are_refused(tmp_path):
    import json

    logits, y = data(n=50)
    path = tmp_path / "cal.json"
    get_calibrator("isotonic").fit(logits, y).save(path)
    document = json.loads(path.read_text())
    text = json.dumps(document["state"])
    assert "keys_" in text
    for name, value in (("n_rows_", -1.0), ("n_rows_", 0.0)):
        broken = json.loads(path.read_text())
        broken["state"][name] = value
        broken.pop("fingerprint", None)
        other = tmp_path / "broken.json"
        other.write_text(json.dumps(broken))
        with pytest.raises(FileFormatError):
            load_calibrator(other)


def test_on_real_logits_they_help():
    validation, test = load_digits_logits("validation"), load_digits_logits("test")
    before = calkit.nll(test.y_true, test.scores, from_logits=True)
    for name in ("centred-isotonic", "venn-abers", "spline", "scaling-binning", "isotonic"):
        probs = get_calibrator(name).fit_predictions(validation).predict_proba(test.scores)
        assert calkit.nll(test.y_true, probs) < 0.9 * before, name


def test_groups_merge():
    groups = group_scores(np.array([0.2, 0.1, 0.2]), np.array([1.0, 0.0, 0.0]))
    assert isinstance(groups, Groups)
    assert groups.score.tolist() == [0.1, 0.2]
    assert groups.weight.tolist() == [1, 2]
    assert groups.positive.tolist() == [0, 1]


def test_edges_that_enclose_no_score_make_no_bin():
    # Scores that differ in the last digits, as log-probabilities of neighbours' shares do: some edges enclose nothing.
    shares = np.repeat(np.arange(1, 9) / 15, 25)
    logits = np.log(np.stack([1 - shares, shares], axis=1)) * (1 + 1e-16 * (np.arange(200) % 7)[:, None])
    y = (np.arange(200) * 7 % 15 < 15 * shares).astype(int)
    fitted = get_calibrator("scaling-binning:n_bins=15").fit(logits, y)
    assert not np.isnan(fitted.predict_proba(logits)).any()


def test_exact_zeros_do_no_harm():
    # Votes of few trees: most probabilities are exactly 0, and some of those rows are positive all the same.
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 600)
    votes = rng.multinomial(4, np.full(5, 0.05), 600)
    votes[np.arange(600), np.where(rng.random(600) < 0.9, y, rng.integers(0, 5, 600))] += 6
    predictions = calkit.Predictions(votes / votes.sum(axis=1, keepdims=True), y, kind="probs")
    best = calkit.evaluate(get_calibrator("centred-isotonic").fit_predictions(predictions).apply(predictions), ["nll"])
    for name in ("spline", "scaling-binning", "venn-abers", "bbq"):
        found = calkit.evaluate(get_calibrator(name).fit_predictions(predictions).apply(predictions), ["nll"])
        assert found["nll"] < best["nll"] + 0.3, name


class TestTies:
    """Rows of equal score: what random forests and neighbours give."""

    TABLES = (
        "isotonic", "centred-isotonic", "near-isotonic", "histogram", "bbq", "scaling-binning", "cdf-spline", "spline",
        "venn-abers", "top-label-histogram",
    )  # fmt: skip

    @pytest.mark.parametrize("name", ["isotonic", "near-isotonic", "histogram", "cdf-spline"])
    def test_one_score_gives_how_often_it_happens(self, name):
        y = (np.arange(200) < 57).astype(int)
        probs = get_calibrator(f"{name}:mix=none").fit(np.full(200, 1.3), y).predict_proba([1.3])
        assert probs[0, 1] == pytest.approx(57 / 200, abs=1e-9)

    @pytest.mark.parametrize("name", [*TABLES, "one-vs-rest:calibrator=isotonic"])
    @pytest.mark.parametrize("share", [0.7, 0.95])
    def test_most_rows_have_one_score(self, name, share):
        # True log-odds are half of those given, plus .3; the scores that were seen are mapped to within .12 of it.
        rng = np.random.default_rng(0)
        p = np.where(rng.random(4000) < share, 1e-3, rng.integers(1, 10, 4000) / 10)
        logit = np.log(p / (1 - p))
        true = 1 / (1 + np.exp(-0.5 * logit - 0.3))
        y = (rng.random(4000) < true).astype(int)
        found = get_calibrator(name).fit(logit, y).predict_proba(logit)[:, 1]
        assert np.sqrt(np.mean((found - true) ** 2)) < 0.06

    @pytest.mark.parametrize("name", TABLES)
    def test_their_order_does_not_matter(self, name):
        rng = np.random.default_rng(0)
        logits, y = rng.integers(-2, 3, (300, 3)).astype(float), rng.integers(0, 3, 300)
        order = rng.permutation(300)
        first = get_calibrator(name).fit(logits, y).predict_proba(logits)
        second = get_calibrator(name).fit(logits[order], y[order]).predict_proba(logits)
        np.testing.assert_allclose(first, second, atol=1e-10)


def test_cdf_spline_with_ties_is_the_mean_over_their_orders():
    # Least squares is linear in the curve, so the mean of fits without ties, over orders of the tied rows, tends to it.
    from scipy.interpolate import CubicSpline

    rng = np.random.default_rng(0)
    x = rng.choice([0.1, 0.3, 0.6, 0.9], 400, p=[0.5, 0.2, 0.2, 0.1])
    y = (rng.random(400) < x**1.5).astype(int)
    basis = CubicSpline(np.linspace(0, 1, 6), np.eye(6), bc_type="natural")
    curves = []
    for _ in range(200):
        order = np.lexsort((rng.random(400), x))
        gap = np.cumsum(y[order] - x[order]) / 400
        curves.append(np.linalg.lstsq(basis(np.arange(1, 401) / 400), gap, rcond=None)[0])
    edges = np.searchsorted(np.sort(x), [0.1, 0.3, 0.6, 0.9, 1.0]) / 400
    slopes = np.diff(basis(edges) @ np.mean(curves, axis=0)) / np.diff(edges)
    logit = np.log(x / (1 - x))
    found = get_calibrator("cdf-spline:mix=none").fit(logit, y).predict_proba(np.log([1 / 9, 3 / 7, 3 / 2, 9]))[:, 1]
    np.testing.assert_allclose(found, np.add(slopes, [0.1, 0.3, 0.6, 0.9]), atol=0.005)


@pytest.mark.parametrize("name", TestTies.TABLES)
def test_many_classes_and_impossible_ones_are_defined(name):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40, 120))
    logits[::2, :60] = -np.inf
    probs = get_calibrator(name).fit(logits, rng.integers(60, 120, 40)).predict_proba(logits)
    assert np.isfinite(probs).all()
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-12)
    assert (probs[::2, :60] == 0).all()


class TestVennAbersOfManyClasses:
    def test_pairs_by_hand(self):
        # Each pair by the two-class predictor on the rows of both, coupled as in the formula.
        rng = np.random.default_rng(0)
        logits, y = rng.normal(size=(90, 3)), rng.integers(0, 3, 90)
        new = rng.normal(size=(7, 3))
        inverse = np.full((7, 3), -1.0)
        for i, j in ((0, 1), (0, 2), (1, 2)):
            rows = np.isin(y, (i, j))
            pair = get_calibrator("venn-abers").fit(logits[rows][:, [i, j]], (y[rows] == j).astype(int))
            found = pair.predict_proba(new[:, [i, j]])
            inverse[:, i] += 1 / found[:, 0]
            inverse[:, j] += 1 / found[:, 1]
        expected = 1 / inverse / (1 / inverse).sum(axis=1, keepdims=True)
        found = get_calibrator("venn-abers-one-vs-one").fit(logits, y).predict_proba(new)
        np.testing.assert_allclose(found, expected, rtol=1e-12)

    def test_pairs_of_two_classes_are_the_rest(self):
        logits, y = data(n=80, k=2)
        both = [get_calibrator(name).fit(logits, y).predict_proba(logits) for name in
                ("venn-abers", "venn-abers-one-vs-one")]  # fmt: skip
        np.testing.assert_allclose(*both, atol=1e-12)

    def test_a_pair_without_rows_is_undecided(self):
        logits = np.random.default_rng(0).normal(size=(40, 4))
        calibrator = get_calibrator("venn-abers-one-vs-one").fit(logits, np.arange(40) % 2)
        probs = calibrator.predict_proba(logits)
        assert np.diff(calibrator.splits_).tolist() == [40, 20, 20, 20, 20, 0]
        np.testing.assert_array_equal(calibrator._map_class(5, np.array([-1.0, 1.0])), [0.5, 0.5])
        assert np.isfinite(probs).all()
        np.testing.assert_allclose(probs.sum(axis=1), 1)
        assert calibrator.describe().fitted["n_pairs"] == 6

    def test_cross_venn_abers_by_hand(self):
        # Vovk et al. 2015: geometric means of p1 and of 1 - p0 over the folds.
        from calkit.calibrators import VennAbers

        rng = np.random.default_rng(0)
        logits, y = rng.normal(size=(90, 2)), rng.integers(0, 2, 90)
        members = [VennAbers().fit(logits[fold::3], y[fold::3]) for fold in range(3)]
        new = [rng.normal(size=(5, 2)) for _ in range(3)]
        p0, p1 = np.stack([m.predict_interval(z)[:, 1] for m, z in zip(members, new, strict=True)]).transpose(2, 0, 1)
        hit, miss = p1.prod(axis=0) ** (1 / 3), (1 - p0).prod(axis=0) ** (1 / 3)
        found = VennAbers.merged_proba(members, new)
        np.testing.assert_allclose(found[:, 1], hit / (hit + miss), rtol=1e-12)
        np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("name", [
    "histogram:n_bins=12", "histogram:binning=quantile", "isotonic", "centred-isotonic", "near-isotonic", "bbq",
    "cdf-spline", "venn-abers", "scaling-binning",
])  # fmt: skip
def test_equal_probabilities_stay_equal_whatever_the_other_classes_have(name):
    """Votes of 20 trees have 21 values; softmax gives each several, which differ by rounding."""
    rng = np.random.default_rng(0)
    votes = (rng.multinomial(20, rng.dirichlet(np.ones(4), size=200)) + 1) / 24
    y = (rng.random(200)[:, None] > votes.cumsum(axis=1)).sum(axis=1)
    logits, turned = np.log(votes), np.log(votes[:, [2, 0, 3, 1]])
    calibrator, other = (
        get_calibrator(name).fit_predictions(Predictions(z, labels, kind="logits"))
        for z, labels in ((logits, y), (turned, np.array([1, 3, 0, 2])[y]))
    )
    found = other.predict_proba(turned)[:, [1, 3, 0, 2]]
    np.testing.assert_allclose(found, calibrator.predict_proba(logits), atol=1e-12)
    np.testing.assert_allclose(calibrator.predict_proba(logits[:1]), calibrator.predict_proba(logits)[:1], atol=1e-15)


def test_scores_apart_by_rounding_are_one_and_others_are_not():
    x = np.array([1e-300, 2e-300, 0.3, np.nextafter(0.3, 1), 0.3 * (1 + 1e-15), 0.3 * (1 + 2e-12), 1.0])
    groups = group_scores(x, np.array([0.0, 1, 1, 1, 0, 0, 1]))
    assert groups.score.tolist() == [1e-300, 2e-300, 0.3, x[5], 1.0]
    assert groups.weight.tolist() == [1, 1, 3, 1, 1]
    assert groups.positive.tolist() == [0, 1, 2, 0, 1]


def test_cdf_spline_of_a_light_row_is_the_slope_at_its_rank():
    # A row of next to no weight changes no curve, and is missing what the spline of the others misses at its rank.
    from scipy.interpolate import CubicSpline

    x = np.linspace(0.05, 0.95, 40)
    y = np.random.default_rng(0).random(40) < x**1.5
    basis = CubicSpline(np.linspace(0, 1, 6), np.eye(6), bc_type="natural")
    curve = np.linalg.lstsq(basis(np.arange(1, 41) / 40), np.cumsum(y - x) / 40, rcond=None)[0]
    for place, weight in ((10, 1e-20), (30, 1e-12)):
        light = (x[place - 1] + x[place]) / 2
        scores = np.insert(x, place, light)
        logit = np.log(scores / (1 - scores))
        weights = np.insert(np.ones(40), place, weight)
        fitted = get_calibrator("cdf-spline:mix=none").fit(logit, np.insert(y, place, True).astype(int), weights)
        found = fitted.predict_proba(logit)[place, 1]
        assert found == pytest.approx(light + basis(place / 40, 1) @ curve, abs=1e-9)
