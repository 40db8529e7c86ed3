"""Ratios under weights of twenty decades, held to exact fractions and to fifty digits."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

import calkit


def rows(decades, seed, n=40, k=3):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(k), n)
    y = np.minimum((rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1), k - 1)
    w = 10 ** (decades * (rng.random(n) - 0.5))
    # One heavy class: the shares of the others are tiny.
    w[y != y[np.argmax(w)]] *= 10.0 ** (-decades / 2)
    return p, y, w


def shares(y, w, classes):
    total = sum(map(Fraction, w))
    return [sum(Fraction(b) for a, b in zip(y.tolist(), w.tolist(), strict=True) if a == c) / total for c in classes]


def brier_skill(p, y, w):
    total = sum(map(Fraction, w))
    score = sum(
        Fraction(weight) * sum((Fraction(q) - (c == label)) ** 2 for c, q in enumerate(row))
        for row, label, weight in zip(p.tolist(), y.tolist(), w.tolist(), strict=True)
    )
    return float(1 - score / total / (1 - sum(s**2 for s in shares(y, w, range(p.shape[1])))))


def nll_skill(p, y, w):
    with localcontext() as context:
        context.prec = 60
        score = sum(
            -Decimal(weight) * Decimal(row[label]).ln()
            for row, label, weight in zip(p.tolist(), y.tolist(), w.tolist(), strict=True)
        )
        total = sum(map(Decimal, w.tolist()))
        rates = [Decimal(s.numerator) / s.denominator for s in shares(y, w, range(p.shape[1])) if s]
        return float(1 - score / total / -sum(s * s.ln() for s in rates))


@pytest.mark.parametrize("decades", [0, 4, 12, 20])
@pytest.mark.parametrize("seed", [0, 1])
def test_skill_scores_of_classes_and_of_events(decades, seed):
    p, y, w = rows(decades, seed)
    assert calkit.metrics.d2_brier(y, p, sample_weight=w) == pytest.approx(brier_skill(p, y, w), rel=1e-12)
    assert calkit.metrics.d2_nll(y, p, sample_weight=w) == pytest.approx(nll_skill(p, y, w), rel=1e-12)
    for k in range(3):
        both, event = np.column_stack([1 - p[:, k], p[:, k]]), (y == k).astype(int)
        found = calkit.metrics.d2_brier(event, p[:, k], sample_weight=w)
        # Two classes; of 1 - p only the rounding of the forecasts is seen.
        assert found == pytest.approx(brier_skill(both, event, w), rel=1e-9)
        assert calkit.metrics.d2_nll(event, p[:, k], sample_weight=w) == pytest.approx(
            nll_skill(both, event, w), rel=1e-9
        )


def test_one_class_alone_has_no_skill_and_a_rare_one_has():
    p = np.array([0.4, 0.7, 0.6])
    assert math.isnan(calkit.metrics.d2_brier([1, 1, 1], p, sample_weight=[1e20, 1, 3]))
    assert math.isnan(calkit.metrics.d2_nll([0, 1], p[:2], sample_weight=[1e20, 0]))
    # Fair forecasts: 1 - (1/4) / (p (1 - p)), p (1 - p) = 1e-20.
    assert calkit.metrics.d2_brier([1, 0], [0.5, 0.5], sample_weight=[1, 1e20]) == pytest.approx(1 - 0.25e20, rel=1e-12)
