"""Debiased squared errors of weights over many decades, held to sums of pairs in exact fractions."""

from fractions import Fraction

import numpy as np
import pytest

import calkit
from calkit.inference.cells import CellSums
from calkit.metrics import l2_debiased
from calkit.stats.binning import bin_index, uniform_edges
from calkit.streaming import StreamingEvaluation


def exact(index, p, y, w):
    """Σ_b W_b Σ_{i≠j} w_i w_j r_i r_j / Σ_{i≠j} w_i w_j / Σw, of bins of two rows or more."""
    found = Fraction(0)
    for b in np.unique(index):
        rows = np.flatnonzero((index == b) & (w > 0))
        weights = [Fraction(w[i]) for i in rows]
        gaps = [Fraction(w[i]) * (Fraction(p[i]) - int(y[i])) for i in rows]
        both = sum(weights) ** 2 - sum(each**2 for each in weights)
        if both:
            found += sum(weights) * (sum(gaps) ** 2 - sum(each**2 for each in gaps)) / both
    return float(found / sum(map(Fraction, w)))


def forecasts(decades, seed=0, n=60):
    rng = np.random.default_rng(seed)
    p = rng.random(n)
    return p, (rng.random(n) < p).astype(int), 10 ** (decades * rng.random(n))


@pytest.mark.parametrize("decades", [0, 4, 8, 12, 30])
def test_light_rows_keep_their_digits(decades):
    p, y, w = forecasts(decades)
    index = bin_index(p, uniform_edges(15))
    assert l2_debiased(y, p, sample_weight=w, target="positive") == pytest.approx(exact(index, p, y, w), rel=1e-12)
    found = l2_debiased(y, p, sample_weight=w, target="positive", binning="quantile", n_bins=5)
    # Bins of equal mass have equal weights.
    before = np.array([w[p < each].sum() for each in p])
    assert found == pytest.approx(exact((before * 5 / w.sum()).astype(int), p, y, w), rel=1e-12)


def test_both_classes_of_two():
    p, y, w = forecasts(12)
    both = np.stack([1 - p, p], axis=1)
    index = [bin_index(column, uniform_edges(15)) for column in both.T]
    expected = (exact(index[0], both[:, 0], 1 - y, w) + exact(index[1], p, y, w)) / 2
    assert l2_debiased(y, both, sample_weight=w, target="classwise") == pytest.approx(expected, rel=1e-12)


def test_of_parts_of_the_rows_together():
    p, y, w = forecasts(12)
    cell = np.arange(60) % 4
    parts = [CellSums.of(cell[i::3], 4, p[i::3], y[i::3] > 0, w[i::3], pairs=True) for i in range(3)]
    together = parts[0] + parts[1] + parts[2]
    np.testing.assert_allclose(together.pairs, CellSums.of(cell, 4, p, y > 0, w, pairs=True).pairs, rtol=1e-12)


def test_blocks_of_a_stream():
    p, y, w = forecasts(12)
    whole = calkit.Predictions(p, y, kind="probs", sample_weight=w)
    stream = StreamingEvaluation(["l2-debiased"], kind="probs", target="positive")
    for rows in np.split(np.arange(60), range(7, 60, 7)):
        stream.update(p[rows], y[rows], w[rows])
    expected = calkit.evaluate(whole, ["l2-debiased"], target="positive")
    assert dict(stream.result()) == pytest.approx(dict(expected), rel=1e-12)
