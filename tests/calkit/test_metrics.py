"""Metrics against plain-loop oracles, scikit-learn, hand-made vectors and laws."""

import math

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

import calkit
from calkit.datasets import load_digits_logits
from calkit.errors import InputError, UsageError
from calkit.metrics import METRICS, available_metrics, get_metric, s99, s99_accuracy
from tests import reference as ref
from tests.calkit.test_measures import ORACLES as MORE_ORACLES
from tests.calkit.test_measures import OTHERS


def example(n=300, k=5, seed=0, scale=2.0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    logits = (scale * rng.standard_normal((n, k))).astype(dtype)
    y = np.where(rng.random(n) < 0.6, logits.argmax(1), rng.integers(0, k, n))
    weights = rng.integers(0, 4, n).astype(float)
    return logits, y, weights


def probabilities(logits):
    return np.array([ref.softmax(row) for row in logits])


# name, function of (probs or logits) pairs and weights; each entry of available_metrics() must be here.
ORACLES = {
    "ece": lambda z, p, y, w: ref.ece_of_pairs(ref.pairs(p, y), weights=w),
    "adaece": lambda z, p, y, w: ref.adaece_of_pairs(ref.pairs(p, y), weights=w),
    "mce": lambda z, p, y, w: ref.mce_of_pairs(ref.pairs(p, y), weights=w),
    "accuracy": lambda z, p, y, w: ref.mean([a for _, a in ref.pairs(p, y)], w),
    "error": lambda z, p, y, w: ref.mean([1 - a for _, a in ref.pairs(p, y)], w),
    "nll": lambda z, p, y, w: ref.mean(ref.nll_rows_from_logits(z, y), w),
    "brier": lambda z, p, y, w: ref.mean(ref.brier_rows(p, y), w),
    "classwise_ece": lambda z, p, y, w: ref.classwise_ece(p, y, weights=w),
    "smece": lambda z, p, y, w: ref.smooth_ece(ref.pairs(p, y), weights=w),
    "s99": lambda z, p, y, w: ref.tail(ref.pairs(p, y), weights=w)[0],
    "s99_accuracy": lambda z, p, y, w: ref.tail(ref.pairs(p, y), weights=w)[1],
}
# Smooth ECE sums residuals on a grid, and its oracle integrates on another; see test_smooth.py for the bound.
TOLERANCE = {"smece": 1e-6}
FUNCTIONS = {name: getattr(calkit.metrics, METRICS[name].declared.__name__) for name in ORACLES}


def test_every_metric_has_an_oracle_and_a_function():
    assert set(ORACLES) | set(MORE_ORACLES) | OTHERS == set(available_metrics())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "k", "scale"), [(300, 5, 2.0), (7, 3, 1.0), (500, 2, 4.0), (120, 40, 3.0)])
@pytest.mark.parametrize("name", sorted(ORACLES))
def test_equals_oracle_from_logits_and_from_probabilities(name, n, k, scale, weighted):
    logits, y, weights = example(n, k, seed=n + k, scale=scale)
    w = weights if weighted else None
    probs = probabilities(logits)
    expected = ORACLES[name](logits, probs, y, w)
    from_logits = FUNCTIONS[name](y, logits, from_logits=True, sample_weight=w)
    from_probs = FUNCTIONS[name](y, probs, sample_weight=w)
    tolerance = TOLERANCE.get(name, 1e-12)
    assert from_logits == pytest.approx(expected, rel=tolerance, abs=tolerance, nan_ok=True)
    assert from_probs == pytest.approx(expected, rel=tolerance, abs=tolerance, nan_ok=True)


@pytest.mark.parametrize("name", sorted(ORACLES))
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_single_precision_logits_are_right_to_single_precision(name, dtype):
    logits, y, _ = example(400, 6, dtype=dtype)
    wide = FUNCTIONS[name](y, logits.astype(np.float64), from_logits=True)
    assert FUNCTIONS[name](y, logits, from_logits=True) == pytest.approx(wide, abs=1e-7)


@pytest.mark.parametrize("kernels", ["numpy", "numba"])
def test_counts_of_float32_logits_are_those_of_float64(kernels, monkeypatch):
    if kernels == "numba":
        pytest.importorskip("numba")
    monkeypatch.setenv("CALKIT_KERNELS", kernels)
    # log-odds of k/15 and its neighbours in float32: confidences within a few roundings of every edge.
    edges = np.arange(8, 15) / 15
    centre = np.log(edges / (1 - edges)).astype(np.float32)
    steps = np.arange(-40, 41, dtype=np.float32)
    z = (centre[:, None] + steps * np.spacing(centre)[:, None]).ravel()
    logits = np.stack([np.zeros_like(z), z], axis=1)
    y = np.ones(len(z), int)
    statistics = [calkit.stats.UniformBins(15), calkit.stats.Tail(8 / 15), calkit.stats.Tail(float(edges[3]))]
    single, double = (
        calkit.stats.summarize(calkit.Predictions(a, y, kind="logits"), statistics)
        for a in (logits, logits.astype(float))
    )
    assert single[statistics[0]].count.tolist() == double[statistics[0]].count.tolist()
    assert [single[s].count for s in statistics[1:]] == [double[s].count for s in statistics[1:]]
    # In float32 alone, some of these rows are in the wrong bin: the test would notice.
    naive = 1 / (1 + np.exp(-z))
    assert naive.dtype == np.float32
    counts = np.bincount(np.clip(np.ceil(naive.astype(float) * 15).astype(int) - 1, 0, 14), minlength=15)
    assert counts.tolist() != double[statistics[0]].count.tolist()


@pytest.mark.parametrize("n_bins", [1, 2, 10, 25, 300])
def test_number_of_bins(n_bins):
    logits, y, _ = example(150, 4)
    pairs = ref.pairs(probabilities(logits), y)
    arguments = {"n_bins": n_bins, "from_logits": True}
    assert calkit.ece(y, logits, **arguments) == pytest.approx(ref.ece_of_pairs(pairs, n_bins), abs=1e-12)
    assert calkit.mce(y, logits, **arguments) == pytest.approx(ref.mce_of_pairs(pairs, n_bins), abs=1e-12)
    assert calkit.adaece(y, logits, **arguments) == pytest.approx(ref.adaece_of_pairs(pairs, n_bins), abs=1e-12)


def test_focal_calibration_convention_equals_its_formula():
    logits, y, weights = example(400, 5)
    pairs = ref.pairs(probabilities(logits), y)
    value = calkit.adaece(y, logits, from_logits=True, convention="focal-calibration")
    assert value == pytest.approx(ref.adaece_focal_calibration(pairs), abs=1e-12)
    assert value != calkit.adaece(y, logits, from_logits=True)
    with pytest.raises(InputError, match="does not know sample_weight"):
        calkit.adaece(y, logits, from_logits=True, convention="focal-calibration", sample_weight=weights)


def test_focal_calibration_convention_loses_tied_confidences():
    # All confidences tie, so that code's open first bin holds nothing: 0, where the truth is |0.8 - 0.5|.
    probs = np.tile([0.8, 0.2], (4, 1))
    assert calkit.adaece([0, 0, 1, 1], probs, convention="focal-calibration") == 0
    assert calkit.adaece([0, 0, 1, 1], probs) == pytest.approx(0.3, abs=1e-12)


def test_binning_quantile_is_adaece():
    logits, y, _ = example()
    assert calkit.ece(y, logits, from_logits=True, binning="quantile") == calkit.adaece(y, logits, from_logits=True)


@pytest.mark.parametrize("weighted", [False, True])
def test_equals_scikit_learn(weighted):
    logits, y, weights = example(400, 4)
    w = weights if weighted else None
    probs = probabilities(logits)
    assert calkit.accuracy(y, probs, sample_weight=w) == pytest.approx(
        sk.accuracy_score(y, probs.argmax(1), sample_weight=w), abs=1e-14
    )
    assert calkit.nll(y, probs, sample_weight=w) == pytest.approx(
        sk.log_loss(y, probs, sample_weight=w, labels=range(4)), rel=1e-12
    )
    one_hot = np.eye(4)[y]
    weights_or_ones = np.ones(len(y)) if w is None else w
    expected = np.average(((probs - one_hot) ** 2).sum(1), weights=weights_or_ones)
    assert calkit.brier(y, probs, sample_weight=w) == pytest.approx(expected, rel=1e-12)


def test_brier_of_one_column_is_scikit_learns_and_half_of_that_of_two():
    rng = np.random.default_rng(3)
    p, y = rng.random(200), rng.integers(0, 2, 200)
    expected = sk.brier_score_loss(y, p)
    assert calkit.brier(y, p) == pytest.approx(expected, rel=1e-12)
    assert calkit.brier(y, np.stack([1 - p, p], axis=1)) == pytest.approx(2 * expected, rel=1e-12)


# confidences, correct, bins, the right ECE: hand-computed, bins (k/M, (k+1)/M] with 0 in the first.
VECTORS = [
    ([0.5, 0.5, 0.6, 0.6], [0, 0, 1, 1], 2, 0.45),
    ([0.95, 1.0], [1, 0], 10, 0.475),
    ([0.0, 0.0, 0.05], [1, 1, 0], 10, 0.65),
    ([k / 10 for k in range(1, 11)], [0, 1] * 5, 10, 0.45),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("confidence", "correct", "n_bins", "expected"), VECTORS)
def test_hand_made_vectors(confidence, correct, n_bins, expected, dtype):
    pairs = calkit.Predictions.from_confidence(np.array(confidence, dtype=dtype), correct)
    found = calkit.evaluate(pairs, [f"ece:n_bins={n_bins}"])
    tolerance = 1e-12 if dtype == np.float64 else 1e-7
    assert list(found.values()) == [pytest.approx(expected, abs=tolerance)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("n_bins", [3, 7, 10, 15, 25, 100])
def test_a_confidence_on_an_edge_belongs_to_the_bin_that_ends_there(n_bins, dtype):
    # k/M rounded to its own precision is k/M; just above it begins the next bin.
    edges = (np.arange(1, n_bins + 1) / n_bins).astype(dtype)
    pairs = calkit.Predictions.from_confidence(edges, np.ones(n_bins))
    counts = calkit.stats.summarize(pairs, [calkit.stats.UniformBins(n_bins)])
    assert next(iter(counts.values())).count.tolist() == [1] * n_bins
    above = np.nextafter(edges[:-1], dtype(1), dtype=dtype)
    pairs = calkit.Predictions.from_confidence(above, np.ones(n_bins - 1))
    counts = calkit.stats.summarize(pairs, [calkit.stats.UniformBins(n_bins)])
    assert next(iter(counts.values())).count.tolist() == [0] + [1] * (n_bins - 1)


@given(
    confidence=hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 1)),
    n_bins=st.sampled_from([1, 2, 5, 10, 15, 100, 300, 1000]),
)
def test_bins_equal_the_comparison_with_each_edge(confidence, n_bins):
    found = calkit.stats.bin_index(confidence, calkit.stats.uniform_edges(n_bins))
    assert found.tolist() == [ref.uniform_bin(c, n_bins) for c in confidence.tolist()]


logits_and_labels = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.float64, (n, 3), elements=st.floats(-30, 30, width=16)),
        hnp.arrays(np.int64, n, elements=st.integers(0, 2)),
        hnp.arrays(np.float64, n, elements=st.integers(0, 3)),
    )
)
# Of those that compare pairs of different rows, or count rows, a row given twice tells more than one of weight 2.
OF_PAIRS = {"l2-debiased", "l1-debiased", "skce", "kde-ece", "aurc", "e-aurc"}
SPECS = [
    *(name for name in available_metrics() if name not in OF_PAIRS),
    "ece:n_bins=7,binning=quantile",
    "mce:binning=quantile",
    "s99:threshold=0.5",
]


def values(logits, y, weights=None, block_rows=None, kind="logits"):
    predictions = calkit.Predictions(logits, y, kind=kind, sample_weight=weights)
    chosen = [get_metric(spec) for spec in SPECS]
    found = calkit.stats.summarize(predictions, [m.statistic for m in chosen], block_rows=block_rows)
    return np.array([m.finish(found[m.statistic]) for m in chosen])


@given(data=logits_and_labels, block_rows=st.integers(1, 41))
def test_splitting_the_rows_anywhere_changes_nothing(data, block_rows):
    logits, y, _ = data
    np.testing.assert_allclose(values(logits, y, block_rows=block_rows), values(logits, y), rtol=1e-12, atol=1e-12)


@settings(max_examples=20)
@given(data=logits_and_labels, block_rows=st.integers(1, 41), seed=st.integers(0, 1000))
def test_laws_hold_for_float32_logits_and_for_probabilities(data, block_rows, seed):
    logits, y, weights = data
    order = np.random.default_rng(seed).permutation(len(y))
    repeated = np.repeat(np.arange(len(y)), weights.astype(int))
    for scores, kind in ((logits.astype(np.float32), "logits"), (probabilities(logits), "probs")):
        whole = values(scores, y, kind=kind)
        np.testing.assert_allclose(values(scores, y, None, block_rows, kind), whole, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(values(scores[order], y[order], kind=kind), whole, rtol=1e-12, atol=1e-12)
        if len(repeated):
            weighted, spelled_out = (
                values(scores, y, weights, kind=kind),
                values(scores[repeated], y[repeated], kind=kind),
            )
            np.testing.assert_allclose(weighted, spelled_out, rtol=1e-12, atol=1e-12)


@given(data=logits_and_labels, cut=st.integers(1, 39))
def test_summaries_of_two_parts_add_to_that_of_the_whole(data, cut):
    logits, y, _ = data
    if cut >= len(y):
        return
    for spec in SPECS:
        metric = get_metric(spec)
        parts = [
            calkit.stats.summarize(calkit.Predictions(z, t, kind="logits"), [metric.statistic])[metric.statistic]
            for z, t in ((logits[:cut], y[:cut]), (logits[cut:], y[cut:]))
        ]
        whole = calkit.stats.summarize(calkit.Predictions(logits, y, kind="logits"), [metric.statistic])
        expected = metric.finish(whole[metric.statistic])
        assert metric.finish(parts[0] + parts[1]) == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True)


@given(data=logits_and_labels, seed=st.integers(0, 1000))
def test_order_does_not_matter(data, seed):
    logits, y, _ = data
    order = np.random.default_rng(seed).permutation(len(y))
    np.testing.assert_allclose(values(logits[order], y[order]), values(logits, y), rtol=1e-12, atol=1e-12)


@given(data=logits_and_labels)
def test_weights_are_repeated_rows(data):
    logits, y, weights = data
    if not weights.any():
        return
    repeated = np.repeat(np.arange(len(y)), weights.astype(int))
    np.testing.assert_allclose(
        values(logits, y, weights), values(logits[repeated], y[repeated]), rtol=1e-12, atol=1e-12
    )


@given(data=logits_and_labels, scale=st.sampled_from([1e-3, 0.1, 7.0, 1e6]))
def test_the_scale_of_the_weights_does_not_matter(data, scale):
    logits, y, weights = data
    if not weights.any():
        return
    np.testing.assert_allclose(values(logits, y, weights * scale), values(logits, y, weights), rtol=1e-9, atol=1e-12)


@given(data=logits_and_labels)
def test_a_row_of_weight_zero_is_absent_even_if_it_holds_nonsense(data):
    logits, y, weights = data
    if not weights.any():
        return
    poisoned = np.where(weights[:, None] == 0, np.nan, logits)
    present = weights > 0
    np.testing.assert_array_equal(values(poisoned, y, weights), values(logits[present], y[present], weights[present]))


@given(data=logits_and_labels)
def test_values_stay_within_their_bounds_and_above_the_gap(data):
    logits, y, _ = data
    predictions = calkit.Predictions(logits, y, kind="logits")
    probs = probabilities(logits)
    gap = abs(ref.mean([c - a for c, a in ref.pairs(probs, y)]))
    for spec in SPECS:
        metric = get_metric(spec)
        value = calkit.evaluate(predictions, [spec])[metric.spec]
        low, high = metric.bounds
        assert math.isnan(value) or low - 1e-12 <= value <= high + 1e-12
        if metric.bounded_by_gap:
            assert value >= gap - 1e-12


def test_order_of_magnitude_of_sums_a_million_rows():
    # float32 running sums err in the third digit here (torchmetrics reports .0024 and more for such data).
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 1_000_000).astype(np.float32)
    correct = rng.random(1_000_000) < confidence
    pairs = calkit.Predictions.from_confidence(confidence, correct)
    wide = confidence.astype(np.float64)
    exact = 0.0
    edges = (np.arange(16) / 15).astype(np.float32)
    for k in range(15):
        rows = (confidence > edges[k]) & (confidence <= edges[k + 1])
        exact += abs(math.fsum(wide[rows]) - int(correct[rows].sum())) / 1_000_000
    assert calkit.evaluate(pairs, ["ece"])["ece"] == pytest.approx(exact, rel=1e-10)


class TestInputs:
    def test_binary_scores_in_one_column(self):
        p = np.array([0.9, 0.2, 0.6])
        both = np.stack([1 - p, p], axis=1)
        for name, function in FUNCTIONS.items():
            # One column is the forecast of class 1; of shape (n, 1), as a sigmoid gives it, it is the same.
            target = None if name == "classwise_ece" else "positive"
            expected = pytest.approx(function([1, 0, 0], both, target=target), abs=1e-15, nan_ok=True)
            assert function([1, 0, 0], p) == expected, name
            assert function([1, 0, 0], p[:, None], sample_weight=np.ones((3, 1))) == expected, name
        z = np.log(p / (1 - p))
        zero = np.stack([np.zeros(3), z], axis=1)
        assert calkit.nll([1, 0, 0], z, from_logits=True) == calkit.nll([1, 0, 0], zero, from_logits=True)

    def test_labels_as_integers_strings_one_hot_and_floats(self):
        logits, y, _ = example(60, 3)
        names = ["ant", "bee", "cow"]
        expected = calkit.nll(y, logits, from_logits=True)
        assert calkit.nll(np.eye(3)[y], logits, from_logits=True) == expected
        assert calkit.nll(y.astype(float), logits, from_logits=True) == expected
        assert calkit.nll(y.astype(np.uint8), logits, from_logits=True) == expected
        with pytest.raises(InputError, match="'ant' in row .*Pass class_names"):
            calkit.nll(np.array(names)[np.sort(y)], logits, from_logits=True)
        assert calkit.nll([names[i] for i in y], logits, from_logits=True, class_names=names) == expected
        shuffled = [2, 0, 1]
        assert calkit.nll(
            np.array(names)[y], logits[:, shuffled], from_logits=True, class_names=[names[i] for i in shuffled]
        ) == pytest.approx(expected, rel=1e-15)

    def test_inputs_are_not_changed_and_lists_serve(self):
        logits, y, weights = example(30, 3)
        copies = logits.copy(), y.copy(), weights.copy()
        calkit.ece(y, logits, from_logits=True, sample_weight=weights)
        for array, copy in zip((logits, y, weights), copies, strict=True):
            np.testing.assert_array_equal(array, copy)
        assert calkit.ece(y.tolist(), logits.tolist(), from_logits=True) == calkit.ece(y, logits, from_logits=True)

    def test_ties_go_to_the_first_class(self):
        assert calkit.accuracy([0, 1], [[0.5, 0.5], [0.5, 0.5]]) == 0.5

    def test_absent_classes_change_nothing(self):
        logits, y, _ = example(50, 3)
        wider = np.hstack([logits, np.full((50, 4), -1e4)])
        for name, function in FUNCTIONS.items():
            a, b = (function(y, z, from_logits=True) for z in (logits, wider))
            # The mean over classes goes over four more, each of which is never true and never probable.
            a *= 3 / 7 if name == "classwise_ece" else 1
            assert a == pytest.approx(b, rel=1e-12, nan_ok=True), name

    def test_probability_zero_of_the_true_class_stays_finite(self):
        assert calkit.nll([0], [[0.0, 1.0]]) == pytest.approx(-math.log(np.finfo(np.float64).smallest_subnormal))
        single = np.array([[0.0, 1.0]], dtype=np.float32)
        assert calkit.nll([0], single) == pytest.approx(-math.log(float(np.finfo(np.float32).smallest_subnormal)))

    def test_huge_logits_are_no_trouble(self):
        assert calkit.nll([0, 1], [[1e308, -1e308], [-1e308, 1e308]], from_logits=True) == pytest.approx(0, abs=1e-300)
        assert calkit.ece([0, 1], [[1e308, -1e308], [-1e308, 1e308]], from_logits=True) == pytest.approx(0, abs=1e-300)

    @pytest.mark.parametrize(
        ("y", "scores", "options", "message"),
        [
            ([0], [[2.0, 1.27]], {}, r"row 0 sums to 3\.27.*from_logits=True"),
            ([0, 1], [[0.5, 0.5], [1.5, -0.5]], {}, r"row 1 holds 1\.5"),
            ([0], [[np.nan, 1.0]], {"from_logits": True}, "row 0 holds nan"),
            ([0, 0], [[0.0, 1.0], [np.inf, 1.0]], {"from_logits": True}, "row 1 holds inf"),
            ([0], [[-np.inf, -np.inf]], {"from_logits": True}, "row 0 holds -inf only"),
            ([2], [[0.5, 0.5]], {}, r"0\.\.1.*row 0 is 2"),
            ([-1], [[0.5, 0.5]], {}, "row 0 is -1"),
            ([0.5], [[0.5, 0.5]], {}, "row 0 is 0.5, which is no whole number"),
            ([0, 1], [[0.5, 0.5]], {}, "y_true has 2 rows, but the scores have 1"),
            ([], np.empty((0, 2)), {}, "no rows"),
            ([0], np.empty((1, 0)), {}, r"shape \(n, K\)"),
            ([0], np.ma.masked_greater([[0.2, 0.8]], 0.5), {}, "scores: masked values"),
            (np.ma.masked_equal([0, 1], 0), [[0.2, 0.8]] * 2, {}, "y_true: masked values"),
            ([0], scipy.sparse.csr_matrix([[0.2, 0.8]]), {}, r"scores: a sparse matrix.*toarray"),
            ([0], None, {}, "real numbers"),
            ([1e300], [[0.5, 0.5]], {}, r"row 0 is 1e\+300"),
            ([b"\xff"], [[0.5, 0.5]], {}, "not UTF-8"),
            ([0], np.zeros((1, 2, 2)), {}, "class_axis"),
            ([0], [["a", "b"]], {}, "real numbers"),
            ([0], [[0.5, 0.5], [0.5]], {}, "rectangular"),
            (["x"], [[0.5, 0.5]], {}, "'x' in row 0.*class_names"),
            (["x", "z"], [[0.5, 0.5]] * 2, {"class_names": ["x", "y"]}, "'z' in row 1, which is not one of"),
            ([[1, 1]], [[0.5, 0.5]], {}, "single 1"),
            ([[1, 0, 0]], [[0.5, 0.5]], {}, "3 columns"),
            ([0], [[0.5, 0.5]], {"sample_weight": [-1.0]}, "not negative, but row 0"),
            ([0], [[0.5, 0.5]], {"sample_weight": [np.nan]}, "row 0 is nan"),
            ([0], [[0.5, 0.5]], {"sample_weight": [0.0]}, "zero in every row"),
            ([0], [[0.5, 0.5]], {"sample_weight": [np.inf]}, "row 0 is inf"),
            ([0], [[0.5, 0.5]], {"sample_weight": ["a"]}, "one real number per row"),
            ([0], [[0.5, 0.5]], {"sample_weight": [1j]}, "one real number per row"),
            ([0, 1], [[0.5, 0.5]] * 2, {"sample_weight": [[1.0], [1.0, 2.0]]}, "one real number per row"),
            ([0], [[0.5, 0.5]], {"sample_weight": [1.0, 2.0]}, r"shape \(1,\)"),
            ([0], [[0.5, 0.5]], {"class_names": ["a"]}, "1 entries"),
            ([0], [[0.5, 0.5]], {"class_names": ["a", "a"]}, "more than once"),
            ([None], [[0.5, 0.5]], {}, "row 0 is missing"),
            ([0], [[1 + 2j, 0]], {}, "real numbers"),
        ],
    )
    def test_one_clear_error(self, y, scores, options, message):
        with pytest.raises(InputError, match=f"(?s){message}"):
            calkit.ece(y, scores, **options)

    @pytest.mark.parametrize("n_bins", [0, -1, 2.5, True, "15"])
    def test_bad_number_of_bins(self, n_bins):
        with pytest.raises(InputError, match="n_bins must be a positive whole number"):
            calkit.ece([0], [[0.5, 0.5]], n_bins=n_bins)

    def test_unknown_choices_name_the_known_ones(self):
        with pytest.raises(UsageError, match="Did you mean 'uniform'"):
            calkit.ece([0], [[0.5, 0.5]], binning="unifrom")
        with pytest.raises(UsageError, match="Known: exact, focal-calibration"):
            calkit.adaece([0], [[0.5, 0.5]], convention="paper")
        with pytest.raises(UsageError, match="Did you mean 'ece'"):
            get_metric("eec")
        with pytest.raises(UsageError, match="Parameters: n_bins=15"):
            get_metric("ece:bins=3")

    @pytest.mark.parametrize("threshold", [-0.1, 1.5, math.nan, "0.99", True])
    def test_bad_threshold(self, threshold):
        with pytest.raises(InputError, match="threshold"):
            calkit.high_confidence([0], [[0.5, 0.5]], threshold=threshold)


@pytest.mark.parametrize("threshold", [0.4, 0.8, 0.99])
def test_high_confidence_equals_oracle(threshold):
    logits, y, weights = example()
    found = calkit.high_confidence(y, logits, from_logits=True, threshold=threshold, sample_weight=weights)
    pairs = ref.pairs(probabilities(logits), y)
    assert found[:2] == pytest.approx(ref.tail(pairs, threshold, weights), abs=1e-12)
    assert found.n_samples == sum(c >= threshold and w > 0 for (c, _), w in zip(pairs, weights, strict=True))


def test_high_confidence_counts_the_threshold_itself():
    probs = np.array([[0.99, 0.01], [0.9899, 0.0101], [0.995, 0.005]])
    for dtype in (np.float64, np.float32):
        found = calkit.high_confidence([0, 0, 1], probs.astype(dtype))
        assert found == (2 / 3, 0.5, 2)
        assert (s99([0, 0, 1], probs.astype(dtype)), s99_accuracy([0, 0, 1], probs.astype(dtype))) == found[:2]
    nothing = calkit.high_confidence([0], [[0.6, 0.4]])
    assert nothing.share == 0
    assert math.isnan(nothing.accuracy)


def test_evaluate_is_one_pass():
    class Counted:
        """Scores that count how often each row is read."""

        def __init__(self, array):
            self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, 2
            self.reads = np.zeros(len(array), int)

        def __getitem__(self, rows):
            self.reads[rows] += 1
            return self.array[rows]

    logits, y, _ = example(5000, 10)
    scores = Counted(logits)
    metrics = available_metrics()
    evaluation = calkit.evaluate(calkit.Predictions(scores, y, kind="logits"), metrics, confidence_level=0.9)
    assert set(scores.reads.tolist()) == {1}
    for name, function in FUNCTIONS.items():
        assert evaluation[name] == pytest.approx(function(y, logits, from_logits=True), rel=1e-12)


def test_evaluate_pairs():
    pairs = calkit.Predictions.from_confidence([0.3, 0.995], [0, 1])
    evaluation = calkit.evaluate(pairs)
    assert set(evaluation) == {"accuracy", "error", "ece", "adaece", "mce", "s99", "s99_accuracy"}
    # A confidence below one half stays what it is; it is not turned into that of "the other class".
    assert evaluation["ece"] == pytest.approx((0.3 + 0.005) / 2)
    with pytest.raises(InputError, match="nll needs the scores of all classes"):
        calkit.evaluate(pairs, ["nll"])
    for wrong, message in (([0, 2], "row 1 is 2"), ([[0, 1]], "shape"), (["yes", "maybe"], "row 1 is 'maybe'")):
        with pytest.raises(InputError, match=message):
            calkit.Predictions.from_confidence([0.3, 0.9], wrong)
    with pytest.raises(InputError, match=r"\[0, 1\], but row 1 holds 97"):
        calkit.evaluate(calkit.Predictions.from_confidence([0.5, 97.0], [0, 1]))


def test_evaluation_is_a_mapping_that_prints():
    logits, y, _ = example(50, 3)
    evaluation = calkit.evaluate(calkit.Predictions(logits, y, kind="logits"), ["ece", "ece:n_bins=25", "nll", "ece"])
    assert list(evaluation) == ["ece", "ece:n_bins=25", "nll"]
    assert "ECE (n_bins=25) %" in str(evaluation)
    assert evaluation.to_dict()["metrics"]["ece"] == evaluation["ece"]
    with pytest.raises(UsageError, match="unknown metric 'mce' of this evaluation"):
        evaluation["mce"]
    for wrong, remedy in ((logits, r"calkit\.Predictions\("), ("run.npz", r"load_predictions\('run\.npz'\)")):
        with pytest.raises(InputError, match=f"predictions must be a Predictions, but have type .*{remedy}"):
            calkit.evaluate(wrong)
    with pytest.raises(UsageError, match="a specification is a string, .* but got 5"):
        calkit.evaluate(calkit.Predictions(logits, y, kind="logits"), [5])
    with pytest.raises(InputError, match="metrics is empty"):
        calkit.evaluate(calkit.Predictions(logits, y, kind="logits"), [])


def test_specs_print_back():
    for spec in SPECS:
        assert get_metric(get_metric(spec).spec).spec == get_metric(spec).spec
    assert set(METRICS) == set(available_metrics())


def test_predictions_in_place_of_arrays_are_told_where_to_go():
    with pytest.raises(InputError, match=r"y_proba is missing.*calkit\.evaluate\(predictions, \['ece'\]\)"):
        calkit.ece(load_digits_logits("test"))
