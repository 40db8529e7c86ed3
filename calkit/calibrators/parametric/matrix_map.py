"""The map by a full matrix, with preconditioners for many classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.parametric.features import Block
from calkit.calibrators.parametric.maps import Features, LinearMap, Preconditioner, Sums

__all__ = ["MatrixMap"]

Floats = NDArray[np.floating[Any]]

# From this ridge on a diagonal plus rank one for each class is near enough to its block of the Hessian.
_HEAVY_RIDGE = 0.02

# The most classes for which blocks of the Hessian are stored, one for each class.
_BLOCK_CLASSES = 250

# A row counts by itself in the block of a class if p (1 - p) is more than this; the others are pooled.
_COUNTS = 1e-2


class MatrixMap(LinearMap):
    """``u = W x + b``; θ is (W, b) as an array (K, K + 1), flattened."""

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of (W, b)."""
        return self.n_classes, self.n_classes + 1

    def identity(self) -> NDArray[np.float64]:
        """Return the identity matrix and biases of 0."""
        return np.eye(*self.shape).ravel()

    def push(self, theta: Floats, block: Block) -> Floats:
        """Return W x + b."""
        matrix = theta.reshape(self.shape)
        # The layout of the features, which is that of the result.
        if block.x.flags.f_contiguous:
            u: Floats = (np.ascontiguousarray(matrix[:, :-1]) @ block.x.T).T
        else:
            u = block.x @ np.ascontiguousarray(matrix[:, :-1].T)
        u += matrix[:, -1]
        return u

    def pull(self, t: Floats, block: Block) -> Floats:
        """Return Σ t xᵀ and Σ t."""
        return np.hstack([t.T @ block.x, (np.ones(len(t), t.dtype) @ t)[:, None]]).ravel()

    def hessian(self, p: Floats, block: Block) -> Floats:
        """Return the Hessian, by one product of the pairs of p with the pairs of (x, 1)."""
        n_classes, (first, second) = self.n_classes, np.triu_indices(self.n_classes)
        left, right = np.triu_indices(n_classes + 1)
        x1 = np.concatenate([block.x, np.ones((len(p), 1), p.dtype)], axis=1)
        pairs = np.concatenate([-p[:, first] * p[:, second], p], axis=1)
        if block.weight is not None:
            pairs *= block.weight.astype(p.dtype)[:, None]
        moments = pairs.T @ (x1[:, left] * x1[:, right])
        full = np.empty((len(moments), n_classes + 1, n_classes + 1), p.dtype)
        full[:, left, right] = full[:, right, left] = moments
        h = np.empty((n_classes, n_classes + 1, n_classes, n_classes + 1), p.dtype)
        h[first, :, second, :] = h[second, :, first, :] = full[: len(first)]
        k = np.arange(n_classes)
        h[k, :, k, :] += full[len(first) :]
        return h.reshape(n_classes * (n_classes + 1), -1)

    def curvature(self, p: Floats, block: Block, ridge: NDArray[np.float64]) -> Sums:
        """Return moments of (x, 1) under q = p (1 - p): of each class's block, or of its diagonal."""
        q = p - p * p
        q = q if block.weight is None else q * block.weight.astype(q.dtype)[:, None]
        if np.median(ridge) > _HEAVY_RIDGE or self.n_classes > _BLOCK_CLASSES:
            return self.pull(q, block), self.pull(q, _squared(block))
        x1 = np.hstack([block.x, np.ones((len(q), 1), q.dtype)])
        moments = np.empty((*self.shape, self.n_classes + 1), q.dtype)
        few = q > _COUNTS
        for k in range(self.n_classes):
            xk = x1[few[:, k]]
            moments[k] = xk.T @ (xk * q[few[:, k], k, None])
        return moments, q.sum(axis=0) - np.where(few, q, 0).sum(axis=0), x1.T @ x1, np.array([float(len(q))])

    def preconditioner(self, sums: Sums, total: float, ridge: NDArray[np.float64]) -> Preconditioner:
        """Return the inverse of each class's block, or of a diagonal plus rank one in its place."""
        lam = ridge.reshape(self.shape)
        if len(sums) == 2:
            return _diagonal_plus_rank_one(sums[0].reshape(lam.shape) / total, sums[1].reshape(lam.shape) / total, lam)
        moments, rest, pool, n = sums
        h = (moments + (rest / n)[:, None, None] * pool) / total
        i = np.arange(self.n_classes + 1)
        h[:, i, i] = (h[:, i, i] + 2 * lam) * (1 + 1e-5) + 1e-12
        inverse = np.linalg.inv(h.astype(np.float32))
        return lambda g: np.matmul(inverse, g.astype(np.float32).reshape(*lam.shape, 1)).ravel().astype(np.float64)

    def as_matrix(self, theta: NDArray[np.float64]) -> tuple[NDArray[np.float64], Features]:
        """Return the matrix with its bias."""
        return theta.reshape(self.shape).T.copy(), "linear"

    def null_space(self) -> NDArray[np.float64]:
        """Return the directions in which all rows of W, and all biases, move together."""
        return np.kron(np.full((self.n_classes,) * 2, 1 / self.n_classes), np.eye(self.n_classes + 1))


def _squared(block: Block) -> Block:
    return Block(block.x * block.x, block.y)


def _diagonal_plus_rank_one(first: Floats, second: Floats, lam: NDArray[np.float64]) -> Preconditioner:
    """Invert, for each class, the diagonal of its block less its rank-one part."""
    q = first[:, -1]
    mean = first / (first[:, -1:] + 1e-30)
    d = second - first * mean + 2 * lam
    d += 1e-6 * d.max()
    scaled = mean / d
    c = q / (1 + q * (mean * scaled).sum(axis=1))

    def solve(g: NDArray[np.float64]) -> NDArray[np.float64]:
        table = g.reshape(lam.shape)
        return (table / d - (c * (table * scaled).sum(axis=1))[:, None] * scaled).ravel()

    return solve
