"""Interval of a sum of absolute gaps (ECE, AdaECE, class-wise ECE), inverted from the floor.

Noise makes every absolute gap larger, the more so the smaller the true gap is, so the value T exceeds the true error E
by a bias that depends on how the true gaps are spread over the cells. In sparse cells no data tell that spread.

- The lower limit follows a path of worlds, from the calibrated one (the floor itself) through multiples of the spread
  that the data suggest, to the E at which T is at the upper tail. So it is above 0 only where the floor's p-value is
  below the tail: value, p-value and interval do not contradict each other.
- The upper limit takes the least bias there is for a given E: all gaps the same number of standard errors from 0, since
  the bias is a convex function of the gap (Jensen). It needs no assumption.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.inference.cells import CellSums, mean_absolute
from calkit.inference.few_events import FEW, noise_step
from calkit.inference.floors import NullLaw

__all__ = ["GapLimits", "gap_limits", "keyed_limits", "neighbours"]

FloatArray = NDArray[np.float64]

# Mean variance of the gap of a cell below which the spread of the true gaps cannot be estimated.
_SPARSE_CELLS = 8.0
# How far along the path of worlds: 0 is the calibrated one, 1 what the data suggest.
_STEPS = np.array([0, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3])
_SUGGESTED = list(_STEPS).index(1)
# Unknown gaps about a centre: places and masses of mean 0 and variance 1; the spiky ones give the most bias.
_EVEN = (np.array([-1.0, 1.0]), np.array([0.5, 0.5]))
_SPIKY = (np.array([-(3**0.5), 0, 3**0.5]), np.array([1, 4, 1]) / 6)

# Numbers that are held at a time on the way along the path.
_PATH_NUMBERS = 1 << 18


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


def neighbours(n_cells: int, n_bins: int, least: int = 10) -> NDArray[np.intp]:
    """Return the group of each cell: neighbouring bins over all classes, with a minimum of cells each."""
    per_group = max(1, -(-least // (n_cells // n_bins)))
    return np.tile(np.arange(n_bins) // per_group, n_cells // n_bins)


def _posterior(sums: CellSums, group: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of the true gap of each cell, by empirical Bayes within its group.

    The gap is uV with u of mean μ and variance τ² in the group, to first order a shift of the logits; the moments are
    ``E gap = μV`` and ``Var gap = V + τ²V²``.
    """
    variance, gap, n = np.maximum(sums.variance, 1e-12), sums.gap, int(group.max()) + 1
    tau2, mu = np.zeros(n), np.zeros(len(gap))
    for _ in range(4):
        precision = 1 / (1 + tau2[group] * variance)
        total = np.bincount(group, precision * variance, n)
        mu = (np.bincount(group, precision * gap, n) / total)[group]
        excess = np.bincount(group, precision * ((gap - mu * variance) ** 2 / variance - 1), n) + 1
        tau2 = np.maximum(excess / total, 0)
    t = tau2[group]
    share = t * variance / (1 + t * variance)
    return (mu + share * (gap / variance - mu)) * variance, np.sqrt(t / (1 + t * variance)) * variance


class _Worlds:
    """What |gap| and the true gap add up to, over all cells, if the true gaps are given."""

    def __init__(self, sums: CellSums) -> None:
        self._scale = sums.scale
        self._rows = sums.weight / self._scale
        self._mean = sums.probability / self._scale
        self._n, _ = sums.binomial

    def absolute(self, gap: FloatArray, *, centred: bool = False) -> FloatArray:
        """Return the mean of |gap| in each cell; if centred, of its noise alone."""
        positives = np.clip(self._mean - gap / self._scale, 0, self._rows)
        raised = np.minimum(self._rows, np.maximum(self._n, positives))
        n = np.where(positives <= self._mean, self._n, raised)
        q = np.clip(np.divide(positives, n, out=np.zeros_like(n), where=n > 0), 0, 1)
        return mean_absolute(n, q, positives if centred else self._mean) * self._scale

    def sums(self, gap: FloatArray) -> FloatArray:
        """Return the mean of Σ|gap| and the Σ|true gap| within reach, of gaps (..., m): shape (..., 2)."""
        return np.stack([self.absolute(gap).sum(axis=-1), self._true(gap)], axis=-1)

    def _true(self, gap: FloatArray) -> FloatArray:
        positives = np.clip(self._mean - gap / self._scale, 0, self._rows)
        return np.asarray((np.abs(self._mean - positives) * self._scale).sum(axis=-1))

    def error(self, nodes: tuple[FloatArray, FloatArray], centre: FloatArray, spread: FloatArray) -> float:
        """Return the Σ|true gap| of the world that the data suggest, averaged over the nodes."""
        places, masses = nodes
        return float(masses @ self._true(centre + spread * places[:, None]))

    def path(
        self, nodes: tuple[FloatArray, FloatArray], centre: FloatArray, spread: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return the same of the worlds c · (centre + spread x), averaged over the nodes x, for each step c."""
        places, masses = nodes
        gap = centre + spread * places[:, None]
        step = max(1, _PATH_NUMBERS // gap.size)
        worlds = [self.sums(_STEPS[i : i + step, None, None] * gap) for i in range(0, len(_STEPS), step)]
        mean, error = np.tensordot(np.concatenate(worlds), masses, (1, 0)).T
        return mean, error


def _crossing(curve: FloatArray, error: FloatArray, value: float) -> float:
    """Return the error at which a rising curve meets a value: 0 below its start; beyond its end the slope is 1."""
    curve, error = np.maximum.accumulate(curve), np.maximum.accumulate(error)
    if value <= curve[0]:
        return 0.0
    return float(error[-1] + value - curve[-1] if value >= curve[-1] else np.interp(value, curve, error))


@dataclass(frozen=True)
class _Noise:
    """Half-width of Σ sign·gap, and of Σ|gap| in the calibrated world."""

    wide: float
    null: float


def _half_widths(
    sums: CellSums, centre: FloatArray, spread: FloatArray, folds: FloatArray | None, level: float
) -> float:
    """Return the half-width of Σ|gap| about its mean in the world the data suggest."""
    gap, total = sums.gap, sums.variance
    sign = 1 - 2 * special.ndtr(-centre / np.maximum(spread, 1e-3 * np.sqrt(total) + 1e-12))
    rest = np.maximum(total - sums.null_moments[0] ** 2, 0)
    nonlinear = float(((1 - sign**2) * rest).sum())
    tail = (1 - level) / 2
    if folds is None:
        # The rows' own variance includes that between cells.
        share = sums.squared_weight.sum() / sums.weight.sum() ** 2
        variance = (sign**2 * sums.residual).sum() - (sign * gap).sum() ** 2 * share + nonlinear
        return float(np.sqrt(max(variance, 0.0)) * -special.ndtri(tail))
    n = len(folds)
    signed = folds @ np.stack([sign, np.sign(gap)]).T
    linear = ((signed - signed.mean(axis=0)) ** 2).sum(axis=0) * n / (n - 1)
    return float(np.sqrt(max(linear[0] + nonlinear, linear[1])) * -special.stdtrit(n - 1, tail))


def gap_limits(
    sums: CellSums,
    group: NDArray[np.intp],
    law: NullLaw,
    folds: FloatArray | None = None,
    level: float = 0.95,
    changed_keys: int = 1,
) -> GapLimits:
    """Return estimate and limits of Σ |true gap| over cells.

    Parameters
    ----------
    sums : CellSums
        Of m cells.
    group : ndarray of intp, shape (m,)
        Cells whose gaps are thought alike.
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
        ``low`` is above 0 only if the p-value of `law` is below ``(1 - level) / 2``.
    """
    keep = sums.weight > 0
    if not keep.all():
        sums, group = sums[keep], np.unique(group[keep], return_inverse=True)[1]
        folds = None if folds is None else folds[:, keep]
    value, floor = float(np.abs(sums.gap).sum()), float(sums.null_moments[0].sum())
    centre, spread = _posterior(sums, group)
    wide = _half_widths(sums, centre, spread, folds, level)
    tail = (1 - level) / 2
    change = changed_keys * float((sums.squared_weight / sums.weight).max())
    seen = changed_keys * float(sums.residual.sum())
    few = seen < FEW * change**2
    wide = max(wide, noise_step(seen, change, tail)) if few else wide
    critical = law.critical(tail)
    # With few draws, or a small tail, nothing is significant.
    null = (critical if np.isfinite(critical) else value) - law.mean
    worlds, low = _Worlds(sums), 0.0
    if law.p_value(value) <= tail:
        mean, error = worlds.path(_SPIKY, centre, spread)
        estimate = float(error[_SUGGESTED])
        noise = null + np.minimum(_STEPS, 1) * (wide - null)
        low = min(_crossing(mean - mean[0] + law.mean + noise, error, value), estimate - wide)
    else:
        estimate = worlds.error(_SPIKY, centre, spread)
    if sums.variance.sum() < _SPARSE_CELLS * (sums.scale**2).sum():
        # No data tell the spread: take the most noise there is.
        low = min(low, value - float(worlds.absolute(centre, centred=True).sum()) - wide)
    wide, root = max(wide, null), np.sqrt(sums.variance)
    mean, error = worlds.path(_EVEN, np.zeros_like(root), root * value / max(float(root.sum()), 1e-12))
    high = value + wide
    if not few:
        high = min(high, _crossing(mean - mean[0] + law.mean - wide, error, max(value, floor)))
    return GapLimits(estimate, max(low, 0.0), high)


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
    has noise, gives the lower limit; each of the two bounds then has half the tail.

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
    n_bins = len(sums.weight) // n_keys
    found = gap_limits(sums, neighbours(len(sums.weight), n_bins), law, folds, level, changed_keys)
    filled = sums.filled
    if pooled is None or filled.variance.sum() >= _SPARSE_CELLS * (filled.scale**2).sum():
        return found
    pooled_folds = folds.reshape(len(folds), -1, n_bins).sum(axis=1)
    same = np.zeros(n_bins, dtype=np.intp)
    least = gap_limits(pooled[0], same, pooled[1], pooled_folds, (1 + level) / 2, changed_keys)
    return GapLimits(max(found.estimate, least.estimate), max(found.low, least.low), found.high)
