"""TACE: against plain loops, for weights, targets, groups, streams, any split, and what it makes of odd input."""

import math

import numpy as np
import pytest

import calkit
from calkit.errors import CalkitError
from calkit.metrics import tace
from tests import reference as ref


def example(n=150, k=5, seed=0):
    rng = np.random.default_rng(seed)
    logits = 3 * rng.standard_normal((n, k))
    y = np.where(rng.random(n) < 0.6, logits.argmax(1), rng.integers(0, k, n))
    return np.array([ref.softmax(row) for row in logits]), y, rng.integers(1, 4, n).astype(float)


def of_class(p, y, w, n_bins, threshold):
    """The gaps of one class: rows sorted, each in the bin of the share of weight below it."""
    rows = sorted((p_, y_, w_) for p_, y_, w_ in zip(p, y, w, strict=True) if p_ > threshold)
    total = math.fsum(w_ for _, _, w_ in rows)
    bins = {}
    for p_, y_, w_ in rows:
        below = math.fsum(v for q, _, v in rows if q < p_)
        bins.setdefault(int(n_bins * below / total + 1e-9), []).append((p_, y_, w_))
    gaps = [abs(math.fsum(w_ * (p_ - y_) for p_, y_, w_ in b)) / math.fsum(w_ for _, _, w_ in b) for b in bins.values()]
    return math.fsum(gaps) / len(gaps) if gaps else None


def oracle(probs, y, w=None, n_bins=15, threshold=1e-3):
    w = [1.0] * len(y) if w is None else w
    classes = range(probs.shape[1])
    found = [of_class(probs[:, k].tolist(), [int(a == k) for a in y], w, n_bins, threshold) for k in classes]
    known = [value for value in found if value is not None]
    return math.fsum(known) / len(known)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n_bins", "threshold"), [(15, 1e-3), (15, 0.01), (4, 0.2), (10, 0.0), (300, 0.5)])
def test_equals_the_loop(n_bins, threshold, weighted):
    probs, y, weights = example()
    w = weights if weighted else None
    found = tace(y, probs, n_bins=n_bins, threshold=threshold, sample_weight=w)
    assert found == pytest.approx(oracle(probs, y, w, n_bins, threshold), abs=1e-12)


def test_groups_and_specs_and_files(tmp_path):
    probs, y, weights = example()
    group = np.where(np.arange(len(y)) % 3 == 0, "a", "b")
    value = tace(y, probs, by=group, threshold=0.01)
    for label in "ab":
        assert value.groups[label] == pytest.approx(oracle(probs[group == label], y[group == label], None, 15, 0.01))
    whole = calkit.Predictions(probs, y, kind="probs", sample_weight=weights)
    for i, (a, b) in enumerate([(0, 1), (1, 100), (100, 150)]):
        calkit.save_predictions(whole.take(slice(a, b)), tmp_path / f"part-{i}.npz")
    found = calkit.evaluate(calkit.Shards(str(tmp_path / "part-*.npz")), ["tace:threshold=0.01"])
    assert found["tace:threshold=0.01"] == pytest.approx(oracle(probs, y, weights, 15, 0.01), abs=1e-12)


def test_labels_that_may_all_be_there_and_none_above_the_threshold():
    probs, _, _ = example(60, 3)
    y = (np.random.default_rng(1).random(probs.shape) < probs).astype(int)
    each = [of_class(probs[:, k].tolist(), y[:, k].tolist(), [1.0] * 60, 15, 1e-3) for k in range(3)]
    assert tace(y, probs, target="multilabel") == pytest.approx(math.fsum(each) / 3, abs=1e-12)
    assert math.isnan(tace([0, 1], [[0.5, 0.5], [0.5, 0.5]], threshold=0.5))
    # Class 2 has no probability above the threshold, and counts for nothing.
    assert tace([0, 1], [[0.6, 0.4, 0.0], [0.4, 0.6, 0.0]], n_bins=1) == pytest.approx(0.0, abs=1e-15)


def test_the_floor_is_what_calibrated_outcomes_show():
    probs, _, _ = example(2000, 3)
    rng = np.random.default_rng(5)
    drawn = [tace((probs.cumsum(1) > rng.random((len(probs), 1))).argmax(1), probs) for _ in range(60)]
    y = (probs.cumsum(1) > rng.random((len(probs), 1))).argmax(1)
    found = calkit.evaluate(calkit.Predictions(probs, y, kind="probs"), ["tace"]).judgement("tace")
    assert found.floor.mean == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / math.sqrt(60) + 1e-4)
    assert found.p_value > 0.01


@pytest.mark.parametrize("options", [{"threshold": 1}, {"threshold": -0.1}, {"threshold": "a"}, {"n_bins": 0}])
def test_impossible_parameters_have_one_clear_error(options):
    with pytest.raises(CalkitError, match=next(iter(options))):
        tace([0, 1], [[0.3, 0.7], [0.6, 0.4]], **options)


def test_needs_several_classes():
    with pytest.raises(CalkitError, match="tace"):
        calkit.evaluate(calkit.Predictions.from_confidence([0.5, 0.6], [0, 1]), ["tace"])
    with pytest.raises(CalkitError, match="tace is defined for target classwise or multilabel"):
        tace([0, 1], [[0.3, 0.7], [0.6, 0.4]], target="top")
