"""Intervals of measures that are the largest of many gains: by isotonic recalibration, or by a constant forecast.

Both are suprema over a set of functions f of the mean of f over the rows. So the value exceeds the true one by no more
than the largest error of any of these means, and falls below it by no more than the error of one of them, the best in
the population: limits that hold whatever the miscalibration is, up to the normal law, and are conservative.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.estimators.corp import corp_decomposition, isotonic_curve
from calkit.estimators.cumulative import null_sd
from calkit.estimators.kernels import laplace_pairs
from calkit.estimators.ranked import Ranked
from calkit.inference.binned import judge_bins
from calkit.inference.counts import cells_of_pairs
from calkit.inference.few_events import noise_step
from calkit.inference.flips import lightest_share, one_change_limit
from calkit.inference.floors import NullLaw
from calkit.inference.judgement import Limits
from calkit.inference.mean_gap import least_mean_gap_of_pairs
from calkit.inference.means import skewed_limits
from calkit.inference.resampling import Resampling
from calkit.inference.whole import Bounds, residual_sd
from calkit.stats import ConfidencePairs

__all__ = [
    "CURVE_BOUNDS",
    "RECALIBRATION_BOUNDS",
    "REGRET_BOUNDS",
    "block_bounds",
    "brier_miscalibration",
    "regrets",
    "variance_share",
]

FloatArray = NDArray[np.float64]

_CELLS = 512
# Bins of equal mass whose ECE is a lower bound of the error without bins.
_BINS = 15
# For 0 <= p, g <= 1: the largest (p - g)² + 4 g (1 - g).
_MOST_VARIANCE = 4 / 3


def brier_miscalibration(forecasts: Ranked) -> float:
    """Return CORP's miscalibration of the Brier score."""
    return corp_decomposition(forecasts, "brier").miscalibration


def recalibration_limits(
    value: float, pairs: ConfidencePairs, forecasts: Ranked, law: NullLaw, resampling: Resampling
) -> Limits:
    """Return limits of CORP's miscalibration M of the Brier score.

    M is the largest mean of ``(p - y)² - (g(p) - y)²`` over isotonic g. As these are a convex set, its root obeys the
    triangle inequality: that of the value is at most the root of M and that of the miscalibration of the noise. And at
    the g of the population, the variance of a row is at most ``c M``, see :func:`variance_share`.
    """
    tail = (1 - resampling.level) / 2
    expected, low = null_sd(forecasts), 0.0
    if law.p_value(value) <= tail:
        ratio = max(residual_sd(pairs) / expected, 1.0) if expected > 0 else 1.0
        root = math.sqrt(value) - ratio * math.sqrt(max(law.critical(tail), 0.0))
        # Isotonic functions that are the forecast plus a constant show that M is at least the mean residual squared.
        least = one_change_limit(law.p_value(value), lightest_share(pairs), tail)
        low = max(root, least_mean_gap_of_pairs(pairs, resampling.level), least) ** 2
    rows = forecasts.total**2 / float(forecasts.squared_weight.sum())
    z = -float(special.ndtri(tail))
    step = z * math.sqrt(variance_share(forecasts, z) / 4 / rows)
    return low, (step + math.sqrt(step**2 + value)) ** 2


def variance_share(forecasts: Ranked, z: float) -> float:
    """Return the variance of ``(p - y)² - (g - y)²`` in units of the mean of ``(p - g)²``, at most 4 / 3.

    It is the mean of ``(p - g)² + 4 g (1 - g)``, weighted with ``(p - g)²``. g is the isotonic curve, each step of it
    with the rate in the middle of its score interval (Wilson), or with p if that varies more: a few rows that
    all came out alike do not show that there is no noise.
    """
    p, curve, weight = forecasts.probability, isotonic_curve(forecasts), forecasts.weight
    step = np.cumsum(np.diff(curve, prepend=curve[0]) > 0)
    rows = (np.bincount(step, weight) ** 2 / np.bincount(step, forecasts.squared_weight))[step]
    middle = (rows * curve + z**2 / 2) / (rows + z**2)
    square = (p - curve) ** 2
    spread = np.maximum(p * (1 - p), middle * (1 - middle))
    total = float(weight @ square)
    share = float(weight @ (square * (square + 4 * spread))) / total if total > 0 else _MOST_VARIANCE
    return min(share, _MOST_VARIANCE)


def regret_limits(
    value: float, pairs: ConfidencePairs, forecasts: Ranked, law: NullLaw, resampling: Resampling
) -> Limits:
    """Return limits of the largest regret over V-shaped losses.

    It is the largest mean of ``2 (y - v) 1(p <= v)`` or of ``2 (v - y) 1(p > v)`` over v in [0, 1], or 0.
    """
    tail, low = (1 - resampling.level) / 2, 0.0
    mean, noise = regrets(pairs, resampling)
    if law.p_value(value) <= tail:
        low = max(value - float(np.quantile(noise.max(axis=1), 1 - tail)), 0.0)
    # The loss of the population's regret is one of them. Where few rows lie, one outcome more counts as in a score
    # interval of a Poisson rate.
    z, row = -float(special.ndtri(tail)), 2 * float(forecasts.squared_weight.sum()) / forecasts.total**2
    high = mean + z**2 / 2 * row + z * np.sqrt(noise.var(axis=0) + (z / 2 * row) ** 2)
    return low, max(float(high.max()), 0.0)


def regrets(pairs: ConfidencePairs, resampling: Resampling) -> tuple[FloatArray, FloatArray]:
    """Return both means at the ends of m cells, (2 m,), and draws of their errors, (n_draws, 2 m).

    In each draw every row is given a normal factor.
    """
    pairs = pairs.in_own_order
    p, y = pairs.confidence, pairs.correct.astype(np.float64)
    w = np.ones(len(p)) if pairs.weight is None else pairs.weight
    starts = np.unique(np.linspace(0, len(p), min(len(p), _CELLS), endpoint=False).astype(np.intp))
    v, total = p[np.append(starts[1:], len(p)) - 1], float(w.sum())

    def means(positive: FloatArray, mass: FloatArray) -> FloatArray:
        """Return both means of rows whose sums over cells, (..., m), are given."""
        below = positive.cumsum(axis=-1) - v * mass.cumsum(axis=-1)
        above = below - (positive.sum(axis=-1, keepdims=True) - v * mass.sum(axis=-1, keepdims=True))
        return np.asarray(2 / total * np.concatenate([below, above], axis=-1))

    mean = means(*(np.add.reduceat(part, starts) for part in (w * y, w)))
    ones, zeros = (np.sqrt(np.add.reduceat(w**2 * part, starts)) for part in (y, 1 - y))
    random, shape = resampling.random, (resampling.n_resamples, len(starts))
    positive = random.standard_normal(shape) * ones
    mass = positive + random.standard_normal(shape) * zeros
    return mean, means(positive, mass) - mass.sum(axis=1, keepdims=True) / total * mean


def curve_limits(
    value: float, pairs: ConfidencePairs, forecasts: Ranked, law: NullLaw, resampling: Resampling
) -> Limits:
    """Return limits of the mean of |true frequency - p|, without bins, if the frequency rises with p.

    Gaps within bins can only cancel, so the lower limit is that of the ECE over bins of equal mass, or of a single bin.
    The mean is at most the root of the mean square, which is CORP's miscalibration where the frequency rises.
    """
    tail, low = (1 - resampling.level) / 2, 0.0
    if law.p_value(value) <= tail:
        binned = judge_bins(cells_of_pairs(pairs, _BINS), "l1", resampling).interval
        low = max(
            0.0 if binned is None else binned[0],
            least_mean_gap_of_pairs(pairs, resampling.level),
            one_change_limit(law.p_value(value), lightest_share(pairs), tail),
        )
    square = brier_miscalibration(forecasts)
    # Its lower limit is not asked for.
    nothing = NullLaw(0.0, lambda _: 1.0, lambda _: 0.0)
    return low, math.sqrt(recalibration_limits(square, pairs, forecasts, nothing, resampling)[1])


def block_bounds(blocks: Callable[[ConfidencePairs], FloatArray], width: float) -> Bounds:
    """Return the way to find limits of a mean of independent blocks of pairs, which is 0 if the model is calibrated.

    Products of residuals are of either sign, and the few that are large decide their mean: of some hundred blocks no
    standard error tells how large the next one is. But all pairs have the same mean, and the root of that of all pairs,
    each row with itself included, obeys the triangle inequality: the upper limit is theirs, the lower one Student's t.

    Parameters
    ----------
    blocks : callable
    width : float
        Of the kernel ``exp(-|p - q| / width)``.
    """

    def limits(value: float, pairs: ConfidencePairs, forecasts: Ranked, law: NullLaw, resampling: Resampling) -> Limits:
        own = blocks(pairs)
        found = skewed_limits(value, (own - value) / len(own), resampling.level, skewness=0.0)
        # A single block tells nothing.
        low = -1.0 if found is None else found[0]
        tail, n = (1 - resampling.level) / 2, len(pairs)
        square = laplace_pairs(forecasts.probability, forecasts.residual, width) / n**2
        sd = max(residual_sd(pairs), null_sd(forecasts))
        high = (math.sqrt(max(square, 0.0)) + noise_step(sd**2, 1 / n, tail)) ** 2
        least = one_change_limit(law.p_value(value), lightest_share(pairs), tail) ** 2
        return max(low, least) if law.p_value(value) <= tail else min(low, 0.0), min(high, 1.0)

    return Bounds("Student's t of the blocks from below; from above by the triangle inequality, of all pairs", limits)


_SAID = "by the largest error of any of the means that it is the largest of; conservative, 0 inside unless p is small"
RECALIBRATION_BOUNDS = Bounds(_SAID + "; of the Brier score", recalibration_limits)
REGRET_BOUNDS = Bounds(_SAID, regret_limits)
CURVE_BOUNDS = Bounds(
    "from below by adaece, from above by corp-mcb if the true frequency rises with p; of norm l1", curve_limits
)
