"""Top-label ECE label by label, and groups by class: against plain loops."""

import math

import numpy as np
import pytest

import calkit
from calkit.errors import CalkitError, InputError
from calkit.metrics import tl_ece
from tests import reference as ref


def example(n=300, k=4, seed=0):
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((n, k))
    y = np.where(rng.random(n) < 0.6, logits.argmax(1), rng.integers(0, k, n))
    return np.array([ref.softmax(row) for row in logits]), y, rng.integers(1, 4, n).astype(float)


def oracle(probs, y, w, error):
    """The error of the rows of each predicted class, weighted by their weight."""
    total, found = math.fsum(w), 0.0
    predicted = [ref.first_of_largest(p) for p in probs]
    for label in set(predicted):
        rows = [i for i, own in enumerate(predicted) if own == label]
        weights = [w[i] for i in rows]
        found += math.fsum(weights) / total * error(ref.pairs(probs[rows], y[rows]), weights)
    return found


@pytest.mark.parametrize("weighted", [False, True])
def test_equals_the_loop(weighted):
    probs, y, weights = example()
    w = list(weights) if weighted else [1.0] * len(y)
    given = weights if weighted else None
    expected = oracle(probs, y, w, lambda pairs, w: ref.ece_of_pairs(pairs, weights=w))
    assert tl_ece(y, probs, sample_weight=given) == pytest.approx(expected, abs=1e-12)
    expected = oracle(probs, y, w, lambda pairs, w: ref.adaece_of_pairs(pairs, 5, weights=w))
    assert tl_ece(y, probs, n_bins=5, binning="quantile", sample_weight=given) == pytest.approx(expected, abs=1e-12)


def test_is_never_below_ece_and_has_a_floor_that_agrees_with_its_p_value():
    probs, y, _ = example(2000)
    found = calkit.evaluate(calkit.Predictions(probs, y, kind="probs"), ["tl-ece", "ece"], confidence_level=0.95)
    assert found["tl-ece"] >= found["ece"]
    judged = found.judgement("tl-ece")
    assert judged.floor.mean > found.judgement("ece").floor.mean
    assert judged.interval[0] <= found["tl-ece"] <= judged.interval[1]
    rng = np.random.default_rng(3)
    drawn = [tl_ece((probs.cumsum(1) > rng.random((2000, 1))).argmax(1), probs) for _ in range(50)]
    assert judged.floor.mean == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / 50**0.5)


def test_groups_by_class_are_those_rows_under_the_names_of_the_classes(tmp_path):
    probs, y, _ = example()
    names = ["ant", "bee", "cat", "dog"]
    whole = calkit.Predictions(probs, np.array(names)[y], kind="probs", class_names=names)
    for by, classes in (("predicted class", probs.argmax(1)), ("true class", y)):
        found = calkit.evaluate(whole, ["ece", "accuracy"], by=by)
        assert set(found.groups) == set(names)
        for k, name in enumerate(names):
            rows = classes == k
            assert found.groups[name]["ece"] == pytest.approx(calkit.ece(y[rows], probs[rows]), abs=1e-12)
            assert found.groups[name].n_samples == rows.sum()
    shares = [group.n_samples / 300 for group in calkit.evaluate(whole, ["ece"], by="predicted class").groups.values()]
    each = calkit.evaluate(whole, ["ece"], by="predicted class").groups.values()
    total = math.fsum(s * g["ece"] for s, g in zip(shares, each, strict=True))
    assert total == pytest.approx(tl_ece(y, probs), abs=1e-12)


def test_pairs_and_many_labels_have_no_class():
    pairs = calkit.Predictions.from_confidence([0.5, 0.6], [0, 1])
    with pytest.raises(InputError, match="tl-ece needs the scores of all classes"):
        calkit.evaluate(pairs, ["tl-ece"])
    with pytest.raises(InputError, match="do not hold the scores of all classes"):
        calkit.evaluate(pairs, ["ece"], by="predicted class")
    labels = calkit.Predictions([[0.5, 0.6]], [[1, 1]], kind="probs", multilabel=True)
    with pytest.raises(InputError, match="predicted class only where one of several classes is true"):
        calkit.evaluate(labels, ["ece"], by="predicted class")
    with pytest.raises(CalkitError, match="tl-ece is defined for target top"):
        tl_ece([0, 1], [[0.3, 0.7], [0.6, 0.4]], target="classwise")
