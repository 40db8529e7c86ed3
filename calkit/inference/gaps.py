"""Interval of a sum of absolute gaps (ECE, AdaECE, class-wise ECE), from what noise can add to it.

Noise makes every absolute gap larger, the more so the smaller the true gap is, so the value T exceeds the true error E
by a bias that depends on how the true gaps are spread over the cells. No data tell that spread where gaps are about as
large as their noise, so both limits hold for every spread.

- The lower limit takes away the most bias. That of a normal gap of standard deviation s is at most ``m exp(-θ² / 4s²)``
  at the true gap θ, if ``m = s √(2 / π)`` is the mean of the absolute noise, and this is the mean of
  ``√2 m exp(-gap² / 2s²)``: a function of what was seen. It is 0 for gaps far beyond their noise.
- The upper limit takes the least bias there is for a given E: all gaps the same number of standard errors from 0, since
  the bias is a convex function of the gap (Jensen).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.inference.cells import CellSums, mean_absolute
from calkit.inference.few_events import FEW, noise_step
from calkit.inference.floors import NullLaw

__all__ = ["GapLimits", "gap_limits", "keyed_limits"]

FloatArray = NDArray[np.float64]

# Variance of the gap of a cell, in rows, below which it is far from normal: all of its noise counts as bias.
_NOT_NORMAL = 3.0
# Mean variance of the gap of a cell below which cells say little, and the keys pooled may say more.
_SPARSE_CELLS = 8.0
# The even worlds: gaps as multiples of those that add up to the value.
_STEPS = np.array([0, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3])
# Numbers that are held at a time on the way through them.
_NUMBERS = 1 << 18


@dataclass(frozen=True)
class GapLimits:
    """Estimate of a sum of absolute gaps without its noise, and limits.

    Attributes
    ----------
    estimate, low, high : float
    """

    estimate: float
    low: float
    high: float

    def divided(self, total: float) -> GapLimits:
        """Return the same per row."""
        return GapLimits(self.estimate / total, self.low / total, self.high / total)


def _most_bias(sums: CellSums) -> float:
    """Return what is at least, in the mean, what noise adds to Σ |gap|, whatever the true gaps are."""
    noise, variance = sums.null_moments[0], sums.variance
    normal = variance >= _NOT_NORMAL * sums.scale**2
    bound = noise.copy()
    bound[normal] *= math.sqrt(2) * np.exp(-(sums.gap[normal] ** 2) / (2 * variance[normal]))
    return float(bound.sum())


def _half_width(sums: CellSums, folds: FloatArray | None, level: float) -> float:
    """Return the half-width of Σ|gap| about its mean where noise does not change the signs of the gaps, the most."""
    tail = (1 - level) / 2
    if folds is None:
        # The rows' own variance includes that between cells.
        share = sums.squared_weight.sum() / sums.weight.sum() ** 2
        variance = float(sums.residual.sum() - np.abs(sums.gap).sum() ** 2 * share)
        return math.sqrt(max(variance, 0.0)) * -float(special.ndtri(tail))
    n, signed = len(folds), folds @ np.sign(sums.gap)
    variance = float(((signed - signed.mean()) ** 2).sum()) * n / (n - 1)
    return math.sqrt(variance) * -float(special.stdtrit(n - 1, tail))


def _even_worlds(sums: CellSums, value: float) -> tuple[FloatArray, FloatArray]:
    """Return the mean of Σ|gap|, and the Σ|true gap| within reach, where all gaps are as many standard errors from 0.

    Means over both signs, at multiples of the gaps that add up to the value.
    """
    root, scale = np.sqrt(sums.variance), sums.scale
    rows, mean, (trials, _) = sums.weight / scale, sums.probability / scale, sums.binomial
    unit = root / scale * (value / max(float(root.sum()), 1e-12))
    seen, error = [], []
    at_once = max(1, _NUMBERS // (2 * len(unit)))
    for first in range(0, len(_STEPS), at_once):
        gap = _STEPS[first : first + at_once, None] * unit
        positives = np.clip(mean - np.stack([gap, -gap]), 0, rows)
        n = np.where(positives <= mean, trials, np.minimum(rows, np.maximum(trials, positives)))
        q = np.clip(np.divide(positives, n, out=np.zeros_like(n), where=n > 0), 0, 1)
        seen.append((mean_absolute(n, q, mean) * scale).sum(axis=-1).mean(axis=0))
        error.append((np.abs(mean - positives) * scale).sum(axis=-1).mean(axis=0))
    return np.maximum.accumulate(np.concatenate(seen)), np.maximum.accumulate(np.concatenate(error))


def _crossing(curve: FloatArray, error: FloatArray, value: float) -> float:
    """Return the error at which a rising curve meets a value: 0 below its start; beyond its end the slope is 1."""
    if value <= curve[0]:
        return 0.0
    return float(error[-1] + value - curve[-1] if value >= curve[-1] else np.interp(value, curve, error))


def gap_limits(
    sums: CellSums, law: NullLaw, folds: FloatArray | None = None, level: float = 0.95, changed_keys: int = 1
) -> GapLimits:
    """Return estimate and limits of Σ |true gap| over cells.

    Parameters
    ----------
    sums : CellSums
        Of m cells.
    law : NullLaw
        Of Σ|gap|, not divided, if the model is calibrated.
    folds : ndarray of float64, shape (g, m), optional
        Gaps of folds of the rows, where a row falls into several cells (the classes), so that cells are correlated.
    level : float
        How often the limits shall hold the truth.
    changed_keys : int
        Forecasts of a row whose outcome may change at a time.

    Returns
    -------
    GapLimits
        ``low`` is above 0 only if the p-value of `law` is at most ``(1 - level) / 2``. The estimate takes away
        ``m exp(-gap² / 2s²)`` of each gap, between the most and the least bias.
    """
    keep = sums.weight > 0
    if not keep.all():
        sums, folds = sums[keep], None if folds is None else folds[:, keep]
    value, floor, tail = float(np.abs(sums.gap).sum()), float(sums.null_moments[0].sum()), (1 - level) / 2
    bias, wide = _most_bias(sums), _half_width(sums, folds, level)
    estimate = max(value - bias / math.sqrt(2), 0.0)
    change, seen = changed_keys * sums.heaviest, changed_keys * float(sums.residual.sum())
    few = seen < FEW * change**2
    if few:
        wide = max(wide, noise_step(seen, change, tail))
    low = max(value - bias - wide, 0.0) if law.p_value(value) <= tail else 0.0
    critical = law.critical(tail)
    # With few draws, or a small tail, nothing is significant.
    wide = max(wide, (critical if np.isfinite(critical) else value) - law.mean)
    if few:
        # Noise of so few outcomes may well be none.
        return GapLimits(estimate, low, value + wide)
    mean, error = _even_worlds(sums, value)
    high = min(value + wide, _crossing(mean - mean[0] + law.mean - wide, error, max(value, floor)))
    return GapLimits(estimate, low, high)


def keyed_limits(
    sums: CellSums,
    folds: FloatArray,
    n_keys: int,
    law: NullLaw,
    pooled: tuple[CellSums, NullLaw] | None = None,
    level: float = 0.95,
    changed_keys: int = 1,
) -> GapLimits:
    """Return estimate and limits of Σ |true gap| over keys (classes) and bins.

    In sparse cells the error of all classes pooled, bin by bin, which is a lower bound of the class-wise one and hardly
    has noise, gives the lower limit where it is the larger one, with half the tail.

    Parameters
    ----------
    sums : CellSums
        Cells in the order of keys and bins.
    folds : ndarray of float64, shape (g, m)
    n_keys : int
    law : NullLaw
        Of Σ|gap| over all cells.
    pooled : tuple of CellSums and NullLaw, optional
        Bins of all classes pooled, and the law of Σ|gap| over them.
    level : float
    changed_keys : int
    """
    found = gap_limits(sums, law, folds, level, changed_keys)
    filled = sums.filled
    if pooled is None or filled.variance.sum() >= _SPARSE_CELLS * (filled.scale**2).sum():
        return found
    of_bins = folds.reshape(len(folds), n_keys, -1).sum(axis=1)
    least = gap_limits(*pooled, of_bins, (1 + level) / 2, changed_keys)
    return GapLimits(max(found.estimate, least.estimate), max(found.low, least.low), found.high)
