"""Every metric of events against its definition, for every target, kind and precision, with weights and soft labels."""

import math

import numpy as np
import pytest

import calkit
from calkit import Predictions, evaluate
from tests import reference
from tests.definitions import DEFINITIONS, ROW_DEFINITIONS, largest_gap

# What linear programs and sums of squares that cancel allow.
TOLERANCE = {"smcal": 1e-8, "kde-ece": 1e-9, "mmce": 1e-9}
TARGETS = ["top", "positive:class=1", "classwise", "ordinal", "top-2"]


def events(target, probs, votes, weights):
    """Rows (p, y, w) of each key of a target; those of weight 0 are left out."""
    k = len(probs[0])
    best = [sorted(range(k), key=lambda j, p=p: (-p[j], j)) for p in probs]
    sets = {
        "top": [[order[:1] for order in best]],
        "positive:class=1": [[[1]] * len(probs)],
        "classwise": [[[j]] * len(probs) for j in range(k)],
        "ordinal": [[range(j + 1)] * len(probs) for j in range(k - 1)],
        "top-2": [[order[:2] for order in best]],
    }[target]
    rows = list(zip(probs, votes, weights, strict=True))

    def total(values, chosen):
        # A sum of several to 13 decimals, so that rounding decides no tie.
        return values[chosen[0]] if len(chosen) == 1 else min(round(math.fsum(values[j] for j in chosen), 13), 1.0)

    return [
        [(total(p, chosen), total(v, chosen), w) for (p, v, w), chosen in zip(rows, key, strict=True) if w > 0]
        for key in sets
    ]


def example(seed):
    """Scores with their probabilities, labels with their shares, and weights: of a kind that the seed decides."""
    rng = np.random.default_rng(seed)
    n, k = ((24, 3), (17, 2), (1, 4), (20, 5), (2, 3), (24, 3))[seed]
    logits, y = rng.normal(size=(n, k)) * 3, rng.integers(0, k, n)
    votes = np.eye(k)[y]
    if seed == 3:
        votes = votes / 2 + np.eye(k)[rng.integers(0, k, n)] / 2
    if seed == 5:
        logits[np.arange(n), (y + 1) % k] = -np.inf
    weights = rng.choice([0, 0.5, 1, 1.7], n) if seed in (1, 3) else np.ones(n)
    probs = [reference.softmax(row) for row in logits]
    if seed == 1:
        scores = np.array(probs, np.float32)
        probs = scores.astype(float).tolist()
    else:
        scores = logits if seed % 2 else np.array(probs)
    labels = votes if seed == 3 else y
    predictions = Predictions(scores, labels, kind="logits" if seed in (3, 5) else "probs", sample_weight=weights)
    return predictions, probs, votes.tolist(), weights.tolist()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("seed", range(6))
def test_metrics_are_their_definitions(seed, target):
    predictions, probs, votes, weights = example(seed)
    keys = events(target, probs, votes, weights)
    specs = [spec for spec in DEFINITIONS if seed not in (1, 3) or "aurc" not in spec]
    found = evaluate(predictions, specs, target=target, floors=False)
    for spec in specs:
        values = [value for rows in keys if not math.isnan(value := DEFINITIONS[spec](rows))]
        expected = math.fsum(values) / len(values) if values else math.nan
        tolerance = TOLERANCE.get(spec, 1e-11)
        assert found[spec] == pytest.approx(expected, rel=tolerance, abs=tolerance, nan_ok=True), spec
    assert evaluate(predictions, ["mce"], target=target)["mce"] == pytest.approx(max(map(largest_gap, keys)), rel=1e-11)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_metrics_of_rows_are_their_definitions(seed, weighted):
    rng = np.random.default_rng(seed)
    n, k = ((3, 2), (20, 3), (40, 5), (12, 4))[seed]
    # With ties, and zeros for classes that are not the true one.
    y = rng.integers(0, k, n)
    y[:2] = 0, 1
    parts = rng.integers(0, 5, (n, k)) + np.eye(k, dtype=int)[y]
    probs = parts / parts.sum(axis=1, keepdims=True)
    weights = rng.choice([0.5, 1, 1.7], n) if weighted else np.ones(n)
    rows = list(zip(probs.tolist(), y.tolist(), weights.tolist(), strict=True))
    predictions = Predictions(probs, y, kind="probs", sample_weight=weights if weighted else None)
    found = evaluate(predictions, list(ROW_DEFINITIONS), floors=False)
    for spec, definition in ROW_DEFINITIONS.items():
        assert found[spec] == pytest.approx(definition(rows), rel=1e-12, abs=1e-12, nan_ok=True), spec


class TestRounding:
    """Edges and ties that only the rounding of a difference or a sum would decide."""

    def test_what_one_column_leaves_is_in_the_bin_of_its_decimals(self):
        # 1 - 0.7 is 0.30000000000000004. By hand: of class 0 |0 - .3| and |1 - .35|, in bins of their own; of class 1
        # |1/2 - .675| of both rows together.
        p = np.array([0.7, 0.65])
        for dtype in (np.float64, np.float32):
            for target, expected in (("positive:class=0", 0.475), ("classwise", (0.475 + 0.175) / 2)):
                one = calkit.ece([1, 0], p.astype(dtype), n_bins=10, target=target)
                assert one == pytest.approx(expected, abs=1e-7)
                assert one == pytest.approx(calkit.ece([1, 0], np.c_[1 - p, p].round(9), n_bins=10, target=target))
        assert calkit.metrics.s99([0, 0], [0.7, 0.69], threshold=0.3, target="positive:class=0") == 1.0

    @pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
    def test_a_probability_on_the_threshold_acts(self, dtype):
        # fp / (fp + fn) is .7, which float32 and float16 round; .1 + .2 is .3. Acting is right in every row.
        p = np.array([[0.3, 0.7], [0.3, 0.7]], dtype)
        assert calkit.metrics.decision_loss([1, 1], p, fp=7, fn=3, target="positive:class=1") == 0
        p = np.array([[0.1, 0.2, 0.7], [0.2, 0.1, 0.7]], dtype)
        # "Class 0" has .1 and .2: not acting costs 7 in row 0. "No higher than 1" has .3 in both, and acting is right.
        assert calkit.metrics.decision_loss([0, 1], p, fp=3, fn=7, target="ordinal") == (7 / 2 + 0) / 2

    def test_every_tenth(self):
        p = np.arange(11) / 10
        for dtype in (np.float64, np.float32, np.float16):
            # Each row is in the bin that ends with its probability of class 0, as the decimals say.
            for n_bins in (10, 20):
                found = calkit.mce(np.zeros(11, int), p.astype(dtype), n_bins=n_bins, target="positive:class=0")
                two = np.c_[np.array([f"{1 - q:.1f}" for q in p]).astype(dtype), p.astype(dtype)]
                same = calkit.mce(np.zeros(11, int), two, n_bins=n_bins, target="positive:class=0")
                assert found == pytest.approx(same, abs=1e-3)

    def test_sums_are_in_the_bin_of_their_decimals_and_tie(self):
        # 0.1 + 0.2 is 0.30000000000000004; of the first event both rows have .3, of the second .9.
        probs = [[0.1, 0.2, 0.7], [0.2, 0.1, 0.7], [0.3, 0.0, 0.7]]
        for dtype in (np.float64, np.float32):
            bins = [
                calkit.mce([0, 2, 2], np.array(probs, dtype), n_bins=n_bins, target="ordinal") for n_bins in (10, 1000)
            ]
            # P(no higher than 1) is .3 in all three rows, which one in three was; P(0) = .1 and it was 0: .9.
            assert bins == pytest.approx([0.9, 0.9], abs=1e-6)
        # Isotonic regression makes one forecast of equal ones: nothing is discriminated.
        same = [[0.1, 0.2, 0.7], [0.3, 0.0, 0.7]]
        assert calkit.metrics.corp_dsc([0, 2], same, target="ordinal") == pytest.approx(0, abs=1e-12)

    def test_half_precision_of_one_column(self):
        # 1 - 0.0001 has no number in half precision. By hand, from the numbers that are stored.
        p = np.array([1e-4, 0.3, 0.05], np.float16)
        exact = [1 - float(q) for q in p]
        assert calkit.nll([0, 0, 0], p) == pytest.approx(-np.mean(np.log(exact)), rel=1e-12)
        assert calkit.metrics.confidence([0, 0, 0], p) == pytest.approx(np.mean(exact), rel=1e-12)
        assert calkit.brier([0, 0, 0], p) == pytest.approx(np.mean([float(q) ** 2 for q in p]), rel=1e-12)
        # A stored probability of 1 leaves 0, which counts as the smallest number of half precision.
        assert calkit.nll([0], np.array([1.0], np.float16)) == pytest.approx(-math.log(2.0**-24))
