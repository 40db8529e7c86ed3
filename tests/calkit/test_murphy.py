"""The decomposition of the Brier score over bins, against plain loops: exact, for any bins, weights, votes, targets."""

import math

import numpy as np
import pytest

import calkit
from calkit.errors import UsageError
from calkit.metrics import METRICS
from tests import reference as ref

TERMS = ("murphy-rel", "murphy-res", "murphy-unc", "murphy-wbv", "murphy-wbc", "binned-refinement")


def example(n=200, k=4, seed=0):
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((n, k))
    y = np.where(rng.random(n) < 0.6, logits.argmax(1), rng.integers(0, k, n))
    return np.array([ref.softmax(row) for row in logits]), y, rng.integers(1, 4, n).astype(float)


def oracle(bins):
    """The terms of lists of (p, y, w), as their definitions read."""
    rows = [row for b in bins for row in b]
    total = math.fsum(w for _, _, w in rows)
    rate = math.fsum(w * y for _, y, w in rows) / total
    out = dict.fromkeys(TERMS, 0.0)
    for b in bins:
        mass = math.fsum(w for _, _, w in b)
        p_, y_ = (math.fsum(row[2] * row[i] for row in b) / mass for i in (0, 1))
        share = mass / total
        out["murphy-rel"] += share * (p_ - y_) ** 2
        out["murphy-res"] += share * (y_ - rate) ** 2
        out["murphy-wbv"] += math.fsum(w * (p - p_) ** 2 for p, _, w in b) / total
        out["murphy-wbc"] += 2 * math.fsum(w * (p - p_) * (y - y_) for p, y, w in b) / total
        out["binned-refinement"] += share * y_ * (1 - y_)
    out["murphy-unc"] = rate * (1 - rate)
    return out


def uniform(rows, n_bins=15):
    bins = {}
    for row in rows:
        bins.setdefault(ref.uniform_bin(row[0], n_bins), []).append(row)
    return list(bins.values())


def specs(parameters):
    return [f"{name}:{parameters}" if parameters else name for name in TERMS]


def total(found, suffix=""):
    rel, res, unc, wbv, wbc = (found[name + suffix] for name in TERMS[:5])
    return rel - res + unc + wbv - wbc


@pytest.mark.parametrize("weighted", [False, True])
def test_each_term_equals_the_loop(weighted):
    probs, y, weights = example()
    w = weights if weighted else None
    rows = [(c, a, v) for (c, a), v in zip(ref.pairs(probs, y), weights if weighted else [1.0] * 200, strict=True)]
    found = calkit.evaluate(calkit.Predictions(probs, y, kind="probs", sample_weight=w), TERMS)
    assert dict(found) == pytest.approx(oracle(uniform(rows)), abs=1e-12)
    one = calkit.evaluate(calkit.Predictions(probs[:, 1], (y == 1).astype(int), kind="probs", sample_weight=w), TERMS)
    event = [(p[1], int(a == 1), v) for p, a, (_, _, v) in zip(probs, y, rows, strict=True)]
    assert dict(one) == pytest.approx(oracle(uniform(event)), abs=1e-12)
    each = [
        oracle(uniform([(p[k], int(a == k), r[2]) for p, a, r in zip(probs, y, rows, strict=True)])) for k in range(4)
    ]
    by_class = calkit.evaluate(calkit.Predictions(probs, y, kind="probs", sample_weight=w), TERMS, target="classwise")
    for name in TERMS:
        assert by_class[name] == pytest.approx(math.fsum(terms[name] for terms in each) / 4, abs=1e-12)


@pytest.mark.parametrize("parameters", ["", "n_bins=3", "binning=quantile", "binning=cbrt", "binning=(0,.4,.9,1)"])
@pytest.mark.parametrize("target", ["top", "positive:class=2", "classwise", "top-2", "ordinal"])
def test_the_terms_add_up_to_the_brier_score(parameters, target):
    probs, y, weights = example()
    predictions = calkit.Predictions(probs, y, kind="probs", sample_weight=weights)
    names = specs(parameters)
    found = calkit.evaluate(predictions, [*names, f"brier:target={target}"], target=target, floors=False)
    suffix = f":{parameters}" if parameters else ""
    assert total(found, suffix) == pytest.approx(found[f"brier:target={target}"], abs=1e-12)
    left = found["murphy-unc" + suffix] - found["murphy-res" + suffix]
    assert found["binned-refinement" + suffix] == pytest.approx(left, abs=1e-12)


def test_votes_and_groups_and_files(tmp_path):
    probs, y, _ = example(120)
    votes = 3 * np.eye(4, dtype=int)[y] + np.eye(4, dtype=int)[(y + 1) % 4]
    soft = calkit.evaluate(calkit.Predictions(probs, votes, kind="probs"), [*TERMS, "brier:target=top"])
    assert total(soft) == pytest.approx(soft["brier:target=top"], abs=1e-12)
    group = np.arange(120) % 2
    whole = calkit.Predictions(probs, y, kind="probs", columns={"group": group})
    found = calkit.evaluate(whole, TERMS, by="group")
    rows = [(*pair, 1.0) for pair in ref.pairs(probs[group == 1], y[group == 1])]
    assert dict(found.groups[1]) == pytest.approx(oracle(uniform(rows)), abs=1e-12)
    for i, (a, b) in enumerate([(0, 1), (1, 50), (50, 120)]):
        calkit.save_predictions(whole.take(slice(a, b)), tmp_path / f"part-{i}.npz")
    parts = calkit.evaluate(calkit.Shards(str(tmp_path / "part-*.npz")), TERMS)
    assert dict(parts) == pytest.approx(dict(found), abs=1e-12)


def test_reliability_is_the_square_of_rmsce_with_its_floor_and_interval():
    probs, y, _ = example(1000)
    predictions = calkit.Predictions(probs, y, kind="probs")
    found = calkit.evaluate(predictions, ["murphy-rel", "rmsce"], confidence_level=0.9)
    assert found["murphy-rel"] == pytest.approx(found["rmsce"] ** 2, abs=1e-15)
    assert found.judgement("murphy-rel").p_value == pytest.approx(found.judgement("rmsce").p_value, rel=1e-9)
    assert found.intervals["murphy-rel"] == pytest.approx([x**2 for x in found.intervals["rmsce"]], abs=1e-12)


def test_bins_that_leave_rows_out_are_refused():
    with pytest.raises(UsageError, match="leaves rows out"):
        calkit.metrics.murphy_res([0, 1], [0.3, 0.6], binning="focal-calibration")


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize(("y", "p"), [([1], [0.3]), ([1, 1], [0.5, 0.5]), ([0, 1], [0.0, 1.0])])
def test_few_rows_one_class_and_ties_have_a_value_in_range(name, y, p):
    low, high = METRICS[name].bounds
    value = calkit.evaluate(calkit.Predictions(np.array(p), y, kind="probs"), [name], confidence_level=0.95)[name]
    assert low - 1e-12 <= value <= high + 1e-12
