"""The logarithmic pool of several calibrators, a share of the uniform distribution, and the test of the gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_softmax

__all__ = ["Gain", "gain_of", "log_pool", "pooled", "uniform_share"]

Floats = NDArray[np.floating[Any]]

_MAX_STEPS = 30
# Steps end where one would gain less than this, in nats a row.
_TOLERANCE = 1e-9
_SMALLEST_STEP = 1e-4

# Those of a step inside, whose gap falls by the second factor each time.
_MAX_INNER_STEPS = 60
_CENTRING = 0.02
_INNER_TOLERANCE = 1e-13


def log_pool(
    logits: Floats,
    y: NDArray[np.intp],
    weight: NDArray[np.float64],
    prior: float,
    start: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return weights on the simplex of least log-loss of the pool ``softmax(Σ w_m L_m)``, with a prior on the first.

    Newton's method: each step minimises the second-order model of the log-loss, with the prior as it stands, on the
    simplex.

    Parameters
    ----------
    logits : ndarray of shape (M, n, K)
        Of M calibrators; the first is the identity.
    y : ndarray of intp, shape (n,)
    weight : ndarray of shape (n,)
    prior : float
        As many observations' worth in favour of the identity: ``-prior / n log w_0`` is added to the mean log-loss.
    start : ndarray of shape (M,), optional
        Weights to start from.

    Returns
    -------
    ndarray of shape (M,)
    """
    loss = _PoolLoss(logits, y, weight)
    strength = prior / weight.sum()
    w = np.full(len(logits), 1 / len(logits)) if start is None else start
    value, gradient, hessian = loss.model(w)
    for _ in range(_MAX_STEPS):
        step = _on_simplex(w, gradient, hessian, strength) - w
        before = value - strength * np.log(w[0])
        fall = gradient @ step - strength * step[0] / w[0]
        if fall >= -_TOLERANCE:
            break
        t = 1.0
        while t > _SMALLEST_STEP:
            value, gradient, hessian = loss.model(w + t * step)
            if value - strength * np.log(w[0] + t * step[0]) <= before + 1e-4 * t * fall:
                break
            t /= 2
        w = w + t * step
    return np.asarray(w / w.sum())


class _PoolLoss:
    """Mean log-loss of the pool with its derivatives in the weights."""

    def __init__(self, logits: Floats, y: NDArray[np.intp], weight: NDArray[np.float64]) -> None:
        self._shape = logits.shape
        self._flat = np.ascontiguousarray(logits).reshape(len(logits), -1)
        self._share = weight / weight.sum()
        self._hit = logits[:, np.arange(len(y)), y] @ self._share

    def model(self, w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """Return value, gradient and Hessian."""
        m, n, k = self._shape
        p = (w @ self._flat).reshape(n, k)
        top = p.max(axis=1, keepdims=True)
        np.exp(np.subtract(p, top, out=p), out=p)
        sums = p.sum(axis=1, keepdims=True)
        p /= sums
        value = (np.log(sums) + top)[:, 0] @ self._share - w @ self._hit
        weighted = self._flat * p.ravel()
        means = weighted.reshape(m, n, k).sum(axis=2)
        weighted.reshape(m, n, k)[...] *= self._share[:, None]
        hessian = weighted @ self._flat.T - (means * self._share) @ means.T
        return float(value), means @ self._share - self._hit, hessian


def _on_simplex(
    w: NDArray[np.float64], gradient: NDArray[np.float64], hessian: NDArray[np.float64], strength: float
) -> NDArray[np.float64]:
    """Minimise a second-order model around w, less ``strength log w_0``, on the simplex, by an interior-point method.

    v are the weights and z the multipliers of their signs, v z going to 0; sums of v stay 1.
    """
    m = len(w)
    v, level = 0.9 * w + 0.1 / m, 0.0
    z = np.full(m, float(abs(gradient).max()) + strength)
    system, right = np.ones((m + 1, m + 1)), np.zeros(m + 1)
    system[m, m] = 0
    for _ in range(_MAX_INNER_STEPS):
        slope = gradient + hessian @ (v - w)
        slope[0] -= strength / v[0]
        gap = float(v @ z) / m
        if gap <= _INNER_TOLERANCE and abs(slope - z + level).max() <= 1e-3 * _TOLERANCE:
            break
        target = _CENTRING * gap
        system[:m, :m] = hessian
        system[np.arange(m), np.arange(m)] += z / v
        system[0, 0] += strength / v[0] ** 2
        right[:m] = target / v - slope - level
        step = np.linalg.solve(system, right)
        dv = step[:m]
        dz = (target - z * dv) / v - z
        t = _inside(z, dz)
        v, level, z = v + _inside(v, dv) * dv, level + t * step[m], z + t * dz
    return np.asarray(v / v.sum())


def _inside(v: Floats, step: Floats) -> float:
    """Return how much of a step keeps all numbers positive."""
    return 0.99 / max(0.99, float((-step / v).max()))


def uniform_share(log_p: Floats, n_classes: int, weight: NDArray[np.float64], prior: float, least: float) -> float:
    """Return the share e of the uniform distribution of most likelihood in ``(1 - e) p + e / K``.

    Parameters
    ----------
    log_p : ndarray of shape (n,)
        Log-probabilities of the true classes.
    n_classes : int
    weight : ndarray of shape (n,)
    prior : float
        Observations in favour of no share.
    least : float
        The share is at least this number of observations' worth.

    Returns
    -------
    float
    """
    p, total = np.exp(log_p), float(weight.sum())

    def slope(e: float) -> float:
        return float(weight @ ((1 / n_classes - p) / ((1 - e) * p + e / n_classes))) - prior / (1 - e)

    top = 1 - 1e-9
    floor = min(least / total, 0.5)
    if slope(floor) <= 0:
        return floor
    return float(brentq(slope, floor, top, xtol=1e-12)) if slope(top) < 0 else top


def pooled(logits: Floats, share: float) -> Floats:
    """Return log-probabilities of a pool with its share of the uniform distribution."""
    n_classes = logits.shape[1]
    return np.asarray(np.logaddexp(np.log1p(-share) + log_softmax(logits, axis=1), np.log(share / n_classes)))


@dataclass(frozen=True)
class Gain:
    """How much log-loss held-out rows gain.

    Attributes
    ----------
    mean : float
        Nats a row; positive if the calibrator is better than none.
    error : float
        The larger of two standard errors: of the gains seen, and of those to be expected if the probabilities were
        right before, which knows of errors that few rows have not shown.
    """

    mean: float
    error: float


def gain_of(before: Floats, after: Floats, y: NDArray[np.intp], weight: NDArray[np.float64]) -> Gain:
    """Compare log-probabilities of shape (n, K) of the same rows."""
    total, rows = weight.sum(), np.arange(len(y))
    difference, p = after - before, np.exp(before)
    gains = difference[rows, y]
    mean = float(gains @ weight / total)
    seen = float((gains - mean) ** 2 @ weight / total)
    expected = (p * difference).sum(axis=1)
    unseen = float(((p * difference * difference).sum(axis=1) - expected**2) @ weight / total)
    return Gain(mean, float(np.sqrt(max(seen, unseen, 0.0) / total)))
