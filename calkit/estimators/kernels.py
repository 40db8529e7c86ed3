"""Kernel calibration errors: sums over pairs of forecasts of ``r_i r_j k(p_i, p_j)``, r = y - p.

The Laplace kernel ``exp(-|p_i - p_j| / width)`` factors along sorted probabilities, so sums over all pairs are exact
in O(n log n).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.estimators.ranked import Ranked

__all__ = ["beta_kernel_error", "beta_kernel_errors", "block_pairs", "laplace_pairs", "squared_kernel_error"]

FloatArray = NDArray[np.float64]

# Probabilities whose distance is more widths than this are summed from a new origin, so that no exponential overflows.
_REACH = 300.0
# Kernel values held at a time.
_STEP_NUMBERS = 1 << 18
# Stands for the logarithm of 0.
_LEAST_LOG = -1e290


def laplace_pairs(place: FloatArray, value: FloatArray, width: float) -> float:
    """Return ``Σ_i Σ_j v_i v_j exp(-|x_i - x_j| / width)``, i = j included, for rising places x.

    Examples
    --------
    >>> import numpy as np
    >>> round(laplace_pairs(np.array([0.0, 1.0]), np.array([1.0, 1.0]), 1.0), 6)
    2.735759
    """
    x = place / width
    stretch = ((x - x[0]) // _REACH).astype(np.intp)
    total, carried, last = 0.0, 0.0, 0.0
    for first, end in zip(*_runs(stretch), strict=True):
        # Sum over i < j, by prefix sums of v_i exp(x_i) within a stretch, and what the stretches before it leave.
        origin = x[first]
        grown = value[first:end] * np.exp(x[first:end] - origin)
        before = np.concatenate([[carried * math.exp(last - origin)], grown]).cumsum()
        fallen = value[first:end] * np.exp(origin - x[first:end])
        total += float((before[:-1] * fallen).sum())
        last = x[end - 1]
        carried = float(before[-1]) * math.exp(origin - last)
    return 2 * total + float((value**2).sum())


def _runs(key: NDArray[np.intp]) -> tuple[list[int], list[int]]:
    first = np.flatnonzero(np.diff(key, prepend=key[0] - 1))
    return first.tolist(), np.append(first[1:], len(key)).tolist()


def squared_kernel_error(forecasts: Ranked, own: float, width: float, *, unbiased: bool) -> float:
    """Return the mean of ``r_i r_j k`` over all pairs, or over those of different forecasts.

    Parameters
    ----------
    forecasts : Ranked
    own : float
        Σ w² r² over the forecasts: what each has with itself.
    width : float
    unbiased : bool
        Leave out the pairs of a forecast with itself (may be below 0).
    """
    pairs = laplace_pairs(forecasts.probability, forecasts.residual, width)
    if not unbiased:
        return pairs / forecasts.total**2
    others = forecasts.total**2 - float(forecasts.squared_weight.sum())
    return (pairs - own) / others if others > 0 else math.nan


def block_pairs(probability: FloatArray, residual: FloatArray, width: float, block: int) -> FloatArray:
    """Return the mean of ``r_i r_j k`` over the pairs i < j within each block of forecasts, in their order.

    Parameters
    ----------
    probability : ndarray of float64, shape (n,)
    residual : ndarray of float64, shape (n,) or (n, r)
    width : float
    block : int
        Forecasts in a block; what is left over at the end is dropped.

    Returns
    -------
    ndarray of float64, shape (n // block,) or (n // block, r)
        Independent if the forecasts are, so that their mean has a standard error. 2 a block costs O(n).
    """
    n_blocks = len(probability) // block
    p, r = (a[: n_blocks * block].reshape(n_blocks, block, *a.shape[1:]) for a in (probability, residual))
    total = np.zeros((n_blocks, *residual.shape[1:]))
    for lag in range(1, block):
        kernel = np.exp(-np.abs(p[:, lag:] - p[:, :-lag]) / width)
        total += np.einsum("ij...,ij...,ij->i...", r[:, lag:], r[:, :-lag], kernel)
    return total / (block * (block - 1) / 2)


def beta_kernel_error(
    probability: FloatArray, outcome: FloatArray, weight: FloatArray, bandwidth: float, norm: float = 1.0
) -> float:
    """Return the error of rows, (n,), each left out of its own estimate; see :func:`beta_kernel_errors`."""
    kept = weight > 0
    p, w = probability[kept], weight[kept]
    return float(beta_kernel_errors(Ranked(p, w, w * outcome[kept], w**2), bandwidth, norm))


def beta_kernel_errors(forecasts: Ranked, bandwidth: float, norm: float = 1.0) -> FloatArray:
    """Return the calibration error by kernel regression of the outcomes with Beta kernels, each row left out.

    Parameters
    ----------
    forecasts : Ranked
        In any order; those of one probability are taken to be rows of equal weight, with outcomes 0 or 1. Of several
        sets of outcomes the kernels are the same.
    bandwidth : float
        h: the kernel of p_i is the density of a Beta(p_i / h + 1, (1 - p_i) / h + 1) law.
    norm : float
        Power of the gap that is averaged.

    Returns
    -------
    ndarray of float64, shape () or (r,)

    Notes
    -----
    Popordanoska, Sayer & Blaschko, NeurIPS 2022, Equation 9, for one probability. O(m²) time, in blocks of memory.
    """
    p, weight, positive = forecasts.probability, forecasts.weight, np.atleast_2d(forecasts.positive)
    row = forecasts.squared_weight / weight
    # Rows of the same probability, without one of them.
    others = np.where(weight > row * (1 + 1e-9), weight - row, 0.0)
    a, b = p / bandwidth, (1 - p) / bandwidth
    # Each row is left out of its own estimate, which so depends on its outcome.
    outcomes = ((1, positive), (0, weight - positive)) if others.any() else ((0, weight[None]),)
    # Finite, so that times a power of 0 they are 0.
    with np.errstate(divide="ignore"):
        logs = np.stack([*np.maximum([np.log(p), np.log1p(-p)], _LEAST_LOG), np.ones(len(p))], axis=1)
    powers, sums = np.stack([a, b, -special.betaln(a + 1, b + 1)]), np.vstack([weight, positive])
    step, total = max(1, _STEP_NUMBERS // len(p)), np.zeros(len(positive))
    for first in range(0, len(p), step):
        at = slice(first, first + step)
        kernel = logs[at] @ powers
        np.exp(kernel, out=kernel)
        places = np.arange(len(kernel)), np.arange(first, first + len(kernel))
        own = np.where(others[at] > 0, kernel[places], 0.0)
        kernel[places] = 0
        seen = sums @ kernel.T
        mass, seen = seen[0] + own * others[at], seen[1:]
        for outcome, came in outcomes:
            regression = seen + own * np.maximum(positive[:, at] - outcome * row[at], 0) if own.any() else seen
            gap = np.abs(regression / np.where(mass > 0, mass, 1) - p[at]) ** norm
            total += (gap * np.where(mass > 0, came[:, at], 0)).sum(axis=1)
    return (total / forecasts.total).reshape(forecasts.positive.shape[:-1])
