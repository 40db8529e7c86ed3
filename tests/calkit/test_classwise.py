"""Classwise ECE: sums of every class against loops, in both kernels, for all kinds and precisions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import calkit
from calkit.calibrators import temperature_curve
from calkit.errors import InputError
from calkit.metrics import get_metric
from calkit.stats import summarize
from calkit.stats.classwise import ClasswiseBins
from calkit.stats.folds import Folds
from calkit.stats.kernel_table import general_path
from tests import reference as ref
from tests.summaries import assert_equal_summaries

numba_installed = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("numba") is None, reason="numba is not installed"
)


@pytest.fixture(params=["numpy", pytest.param("numba", marks=numba_installed)])
def kernels(request, monkeypatch):
    monkeypatch.setenv("CALKIT_KERNELS", request.param)


def example(n, k, dtype=np.float64, scale=3.0, seed=0):
    rng = np.random.default_rng([seed, k])
    logits = (scale * rng.standard_normal((n, k))).astype(dtype)
    logits[::9, 0] = logits[::9, -1] = logits.max()  # ties of the largest
    return logits, rng.integers(0, k, n), rng.integers(0, 4, n) * 0.5


def table(probs, y, n_bins, weights=None):
    """(count, weight, confidence, correct) of each class and bin, a number at a time."""
    k = len(probs[0])
    sums = np.zeros((4, k, n_bins))
    for i, row in enumerate(probs):
        w = 1.0 if weights is None else weights[i]
        if w == 0:
            continue
        for j, p in enumerate(row):
            sums[:, j, ref.uniform_bin(float(p), n_bins)] += (1, w, w * float(p), w * (y[i] == j))
    return sums


def sums_of(scores, y, kind, n_bins=15, weights=None):
    statistic = ClasswiseBins(n_bins)
    predictions = calkit.Predictions(scores, y, kind=kind, sample_weight=weights)
    found = summarize(predictions, [statistic])[statistic]
    assert found.count.dtype == np.int64
    return found


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "k", "n_bins"), [(150, 2, 15), (90, 10, 15), (60, 40, 7), (30, 150, 300), (20, 300, 1)])
def test_sums_equal_loops(n, k, n_bins, weighted):
    logits, y, weights = example(n, k)
    weights = weights if weighted else None
    probs = np.array([ref.softmax(row) for row in logits])
    expected = table(probs, y, n_bins, weights)
    for scores, kind in ((logits, "logits"), (probs, "probs"), (np.asfortranarray(logits), "logits")):
        found = sums_of(scores, y, kind, n_bins, weights)
        np.testing.assert_array_equal(found.count, expected[0])
        np.testing.assert_allclose(found.weight, expected[1], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.confidence, expected[2], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.correct, expected[3], rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("k", [2, 3])
def test_weights_far_apart_are_summed_row_by_row(k):
    # A difference of sums would leave rounding in a lowest bin without rows, which ace and mce would take for a bin.
    rng = np.random.default_rng(k)
    probs, y = rng.dirichlet(np.full(k, 4.0), 60), rng.integers(0, k, 60)
    weights = 10.0 ** rng.uniform(-9, 9, 60)
    expected = table(probs, y, 15, weights)
    for scores, kind in ((np.log(probs), "logits"), (probs, "probs")):
        found = sums_of(scores, y, kind, weights=weights)
        assert (found.weight[found.count == 0] == 0).all()
        np.testing.assert_allclose(found.weight, expected[1], rtol=1e-12)
    gaps = np.divide(
        np.abs(expected[2] - expected[3]), expected[1], where=expected[1] > 0, out=np.full((k, 15), np.nan)
    )
    mean = np.nanmean(gaps, axis=1).mean()
    assert calkit.metrics.ace(y, probs, sample_weight=weights, target="classwise") == pytest.approx(mean, rel=1e-12)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_counts_of_single_precision_logits_are_those_of_float64(dtype):
    # log-odds of k/15 and its neighbours: probabilities of both classes within a few roundings of every edge.
    edges = np.arange(1, 15) / 15
    centre = np.log(edges / (1 - edges)).astype(dtype)
    steps = np.arange(-40, 41, dtype=dtype)
    z = (centre[:, None] + steps * np.spacing(np.abs(centre))[:, None]).ravel()
    logits = np.stack([np.zeros_like(z), z], axis=1)
    y = np.arange(len(z)) % 2
    single, double = (sums_of(a, y, "logits") for a in (logits, logits.astype(np.float64)))
    np.testing.assert_array_equal(single.count, double.count)
    np.testing.assert_array_equal(single.correct, double.correct)
    np.testing.assert_allclose(single.confidence, double.confidence, rtol=1e-6)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("n_bins", [10, 15, 300])
def test_edges_of_stored_probabilities_are_compared_in_their_precision(dtype, n_bins):
    p = (np.arange(n_bins + 1) / n_bins).astype(dtype)
    found = sums_of(p, np.ones(len(p), int), "probs", n_bins)
    # The edge k/n_bins ends bin k - 1; 0 goes to the first.
    assert found.count[1].tolist() == [2] + [1] * (n_bins - 1)


@pytest.mark.usefixtures("kernels")
def test_equal_logits():
    # Probabilities of exactly 1/3, which is the edge 5/15: all classes end bin 4.
    found = sums_of(np.zeros((6, 3)), [0, 1, 2, 0, 1, 2], "logits")
    assert found.count[:, 4].tolist() == [6, 6, 6]
    assert calkit.classwise_ece([0, 1, 2, 0, 1, 2], np.zeros((6, 3)), from_logits=True) == pytest.approx(0, abs=1e-15)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("k", "n_bins"), [(5, 15), (70, 9)])
def test_soft_labels_equal_the_general_path(k, n_bins, weighted, dtype):
    """Counts to the last row; sums to float32 where the logits are, though as many rows are one-hot as not."""
    logits, y, weights = example(200, k, dtype)
    votes = np.random.default_rng(1).dirichlet(np.full(k, 0.3), 200)
    votes[::2] = np.eye(k)[y[::2]]
    w = weights if weighted else None
    fast = sums_of(logits, votes, "logits", n_bins, w)
    with general_path():
        slow = sums_of(logits, votes, "logits", n_bins, w)
    np.testing.assert_array_equal(fast.count, slow.count)
    np.testing.assert_allclose(fast.confidence, slow.confidence, rtol=1e-6 if dtype == np.float32 else 1e-12)
    for name in ("weight", "correct"):
        np.testing.assert_allclose(getattr(fast, name), getattr(slow, name), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("weighted", [False, True])
def test_gaps_of_folds_with_soft_labels_equal_the_general_path(weighted):
    logits, y, weights = example(200, 5)
    votes = np.random.default_rng(1).dirichlet(np.full(5, 0.3), 200)
    votes[::2] = np.eye(5)[y[::2]]
    data = calkit.Predictions(logits, votes, kind="logits", sample_weight=weights if weighted else None)
    folded = ClasswiseBins(7).folded(Folds(0, 64))
    fast = summarize(data, [folded])[folded]
    with general_path():
        slow = summarize(data, [folded])[folded]
    np.testing.assert_allclose(fast.total.reshape(64, -1), slow.total.reshape(64, -1), rtol=1e-11, atol=1e-12)


@pytest.mark.usefixtures("kernels")
def test_any_temperature():
    logits, y, _ = example(100, 6)
    curve = temperature_curve(calkit.Predictions(logits, y, kind="logits"), ["classwise_ece"], grid=[0.3, 1.0, 5.0])
    for t, value in zip(curve["temperature"], curve["classwise_ece"], strict=True):
        probs = [ref.softmax(row, t) for row in logits]
        assert value == pytest.approx(ref.classwise_ece(probs, y), rel=1e-12)


def test_temperature_is_fitted_on_it():
    logits, y, _ = example(300, 4)
    y = np.where(np.arange(300) % 5 < 3, logits.argmax(1), y)
    model = calkit.TemperatureScaling("classwise_ece:n_bins=10", grid=[0.5, 2.0, 3.0, 5.0])
    model.fit(logits, y)
    values = [ref.classwise_ece([ref.softmax(row, t) for row in logits], y, 10) for t in model.grid]
    assert model.temperature_ == model.grid[int(np.argmin(values))]
    assert model.objective_value_ == pytest.approx(min(values), rel=1e-12)


@numba_installed
def test_kernels_agree(monkeypatch):
    for k in (3, 70):
        logits, y, weights = example(1500, k)
        found = {}
        for kernels in ("numpy", "numba"):
            monkeypatch.setenv("CALKIT_KERNELS", kernels)
            found[kernels] = {k: sums_of(logits, y, "logits", weights=weights)}
        assert_equal_summaries(found["numpy"], found["numba"])


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_and_threads_change_nothing(dtype):
    logits, y, weights = example(900, 50, dtype)
    predictions = calkit.Predictions(logits, y, kind="logits", sample_weight=weights)
    statistic = ClasswiseBins()
    whole = summarize(predictions, [statistic])
    for options in ({"block_rows": 1}, {"block_rows": 37, "n_jobs": 2}, {"block_rows": 450}):
        assert_equal_summaries(summarize(predictions, [statistic], **options), whole)


@given(data=st.integers(1, 30).flatmap(lambda n: hnp.arrays(np.float64, (n, 4), elements=st.floats(-40, 40, width=16))))
def test_any_logits_equal_loops(data):
    y = np.arange(len(data)) % 4
    probs = np.array([ref.softmax(row) for row in data])
    value = calkit.classwise_ece(y, data, from_logits=True)
    assert value == pytest.approx(ref.classwise_ece(probs, y), rel=1e-12, abs=1e-12)
    assert value <= 2 / 4 + 1e-12


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("k", [5, 80])
def test_scores_that_are_not_finite_are_named(value, k):
    for dtype in (np.float32, np.float64):
        logits, y, _ = example(100, k, dtype)
        logits[63, k // 2] = value
        with pytest.raises(InputError, match="row 63 holds"):
            calkit.classwise_ece(y, logits, from_logits=True)


@pytest.mark.usefixtures("kernels")
def test_huge_logits():
    value = calkit.classwise_ece([0, 1], [[1e308, -1e308], [-1e308, 1e308]], from_logits=True)
    assert value == pytest.approx(0, abs=1e-300)


def test_two_classes_are_the_mean_of_both():
    rng = np.random.default_rng(0)
    p, y = rng.random(200), rng.integers(0, 2, 200)
    one, other = (ref.ece_of_pairs(list(zip(q, t, strict=True))) for q, t in ((p, y), (1 - p, 1 - y)))
    assert calkit.classwise_ece(y, p) == pytest.approx((one + other) / 2, rel=1e-12)


def test_an_absent_class_counts_with_what_it_was_given():
    # The third class is never true and gets 0.2 each time: |0.2| / 3 is its share. The others: 0.1 and 0.1, by hand.
    probs = [[0.5, 0.3, 0.2], [0.3, 0.5, 0.2]]
    assert calkit.classwise_ece([0, 1], probs) == pytest.approx((0.4 + 0.4 + 0.2) / 3, abs=1e-12)
    probs = [[0.5, 0.3, 0.2]] * 2
    assert calkit.classwise_ece([0, 1], probs) == pytest.approx((0.0 + 0.2 + 0.2) / 3, abs=1e-12)


def test_names():
    assert get_metric("sce").spec == get_metric("static_calibration_error").spec == "classwise_ece"
    assert get_metric("classwise_ece:n_bins=10").spec == "classwise_ece:n_bins=10"
    assert "static calibration error" in get_metric("sce").heading
    with pytest.raises(InputError, match="classwise_ece needs the scores of all classes"):
        calkit.evaluate(calkit.Predictions.from_confidence([0.5], [1]), ["classwise_ece"])
    with pytest.raises(InputError, match="n_bins must be"):
        calkit.classwise_ece([0], [[0.5, 0.5]], n_bins=0)


@pytest.mark.parametrize("norm", ["over", "under"])
def test_one_sided_errors_of_two_classes_are_half_of_both(norm):
    rng = np.random.default_rng(0)
    p = rng.random(300)
    y = rng.random(300) < np.clip(p + 0.1, 0, 1)
    rows = calkit.Predictions(np.stack([1 - p, p], axis=1), y.astype(int), kind="probs")
    spec, whole = f"{norm}-confidence:target=classwise", "ece:target=classwise"
    found = calkit.evaluate(rows, [spec, whole], confidence_level=0.95)
    own, both = found.judgement(spec), found.judgement(whole)
    assert found[spec] == pytest.approx(found[whole] / 2)
    assert own.interval == pytest.approx([limit / 2 for limit in both.interval])
    assert own.floor.p95 == pytest.approx(both.floor.p95 / 2)
    assert own.p_value == both.p_value
