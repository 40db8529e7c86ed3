"""What a parametric map computes: logits that are linear in the parameters, ``u = J(x) θ``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.formula import with_bias
from calkit.calibrators.parametric.features import Block

__all__ = ["BinaryMap", "LinearMap", "PerClassMap", "PerPredictionMap", "PerRowMap", "Preconditioner", "Sums"]

Floats = NDArray[np.floating[Any]]
Features = Literal["linear", "binary"]
Sums = tuple[NDArray[Any], ...]
Preconditioner = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class LinearMap(ABC):
    """Logits ``u = J(x) θ`` of a block, whose features x are log-probabilities; without state, and small to send.

    With p = softmax(u), S = diag(p) - p pᵀ and the rows' weights w, the NLL has the gradient ``Σ w Jᵀ (p - e_y)`` and
    the Hessian ``Σ w Jᵀ S J``.

    Parameters
    ----------
    n_classes : int
    """

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes

    @property
    def ignores_constants(self) -> bool:
        """Whether adding a number to all x of a row changes no probability."""
        return False

    @abstractmethod
    def identity(self) -> NDArray[np.float64]:
        """Return the parameters that change no probability, of shape (P,)."""

    @property
    def size(self) -> int:
        """Number of parameters, P."""
        return len(self.identity())

    def basis(self, block: Block) -> Any:
        """Return what is computed of the features once; kept in the block."""
        return block.x

    @abstractmethod
    def push(self, theta: Floats, block: Block) -> Floats:
        """Return J(x) θ, of shape (m, K), in an array of its own."""

    @abstractmethod
    def pull(self, t: Floats, block: Block) -> Floats:
        """Return Σ J(x)ᵀ t over the rows, of shape (P,)."""

    @abstractmethod
    def hessian(self, p: Floats, block: Block) -> Floats:
        """Return the Hessian of the NLL, of shape (P, P)."""

    def factors(self, p: Floats, block: Block) -> Any:  # noqa: ARG002 - some compute more of a block once
        """Return what all products at these probabilities need."""
        return p

    def product(self, factors: Any, v: Floats, block: Block) -> Floats:
        """Return the Hessian of the NLL times a vector, of shape (P,)."""
        p = factors
        t = self.push(v, block)
        t *= p
        t -= p * (t @ np.ones(t.shape[1], t.dtype))[:, None]
        if block.weight is not None:
            t *= block.weight.astype(t.dtype)[:, None]
        return self.pull(t, block)

    def curvature(self, p: Floats, block: Block, ridge: NDArray[np.float64]) -> Sums:
        """Return sums over the rows of which :meth:`preconditioner` is made."""
        raise NotImplementedError(f"{type(self).__name__} has few parameters, for which the whole Hessian is used")

    def preconditioner(self, sums: Sums, total: float, ridge: NDArray[np.float64]) -> Preconditioner:
        """Return an approximate inverse of the Hessian of the mean NLL plus ``Σ ridge θ²``."""
        raise NotImplementedError(f"{type(self).__name__} has few parameters, for which the whole Hessian is used")

    def apply(self, theta: Floats, block: Block) -> Floats:
        """Return the mapped logits of a prediction."""
        return self.push(theta, block)

    def as_matrix(self, theta: NDArray[np.float64]) -> tuple[NDArray[np.float64], Features] | None:  # noqa: ARG002
        """Return the matrix of a formula and the features it multiplies; None if the map has no such matrix."""
        return None

    def null_space(self) -> NDArray[np.float64] | None:
        """Return a matrix (P, P) that is positive on directions which change no probability; None if there are none."""
        return None


class PerClassMap(LinearMap):
    """``u_k = a_k x_k + b_k``.

    Parameters
    ----------
    tied : bool
        Whether all a_k are one number.
    bias : bool
        Whether there are b_k.
    """

    def __init__(self, n_classes: int, *, tied: bool = False, bias: bool = True) -> None:
        super().__init__(n_classes)
        self.tied, self.bias = tied, bias
        self.n_scales = 1 if tied else n_classes

    @property
    def ignores_constants(self) -> bool:
        """Whether there is one scale."""
        return self.tied

    def identity(self) -> NDArray[np.float64]:
        """Return scales of 1 and biases of 0."""
        return np.concatenate([np.ones(self.n_scales), np.zeros(self.n_classes if self.bias else 0)])

    def push(self, theta: Floats, block: Block) -> Floats:
        """Return a x + b."""
        u = block.x * theta[: self.n_scales]
        if self.bias:
            u += theta[self.n_scales :]
        return u

    def pull(self, t: Floats, block: Block) -> Floats:
        """Return Σ t x and Σ t."""
        return self._fold(np.concatenate([np.einsum("mk,mk->k", t, block.x), np.ones(len(t), t.dtype) @ t]))

    def hessian(self, p: Floats, block: Block) -> Floats:
        """Return the Hessian, by products of (p x, p) with itself."""
        x, n_classes = block.x, self.n_classes
        px = p * x
        root = None if block.weight is None else np.sqrt(block.weight).astype(p.dtype)[:, None]
        a, b = (px, p) if root is None else (px * root, p * root)
        ab = a.T @ b
        h = -np.block([[a.T @ a, ab], [ab.T, b.T @ b]])
        pw, pwx = (p, px) if root is None else (b * root, a * root)
        k = np.arange(n_classes)
        first = pwx.sum(axis=0)
        h[k, k] += np.einsum("mk,mk->k", pwx, x)
        h[k, k + n_classes] += first
        h[k + n_classes, k] += first
        h[k + n_classes, k + n_classes] += pw.sum(axis=0)
        return self._fold(self._fold(h).T)

    def factors(self, p: Floats, block: Block) -> Any:
        """Return p, p x, and their sums over the rows: of p x², p x and p."""
        px = p * block.x
        pw, pxw = (p, px) if block.weight is None else (block.over_rows(p.T).T, block.over_rows(px.T).T)
        return p, px, np.einsum("mk,mk->k", pxw, block.x), pxw.sum(axis=0), pw.sum(axis=0)

    def product(self, factors: Any, v: Floats, block: Block) -> Floats:
        """Return the Hessian times a vector: of each class by itself, less what the classes share in each row."""
        p, px, second, first, zeroth = factors
        scale = np.broadcast_to(v[: self.n_scales], self.n_classes)
        bias = v[self.n_scales :] if self.bias else np.zeros_like(scale)
        mean = block.over_rows(px @ scale + p @ bias)
        own = np.concatenate([second * scale + first * bias, first * scale + zeroth * bias])
        return self._fold(own - np.concatenate([mean @ px, mean @ p]))

    def curvature(self, p: Floats, block: Block, ridge: NDArray[np.float64]) -> Sums:  # noqa: ARG002
        """Return sums of q x², q x and q, with q = p (1 - p)."""
        q = p - p * p
        q = q if block.weight is None else q * block.weight.astype(q.dtype)[:, None]
        qx = q * block.x
        return (np.stack([np.einsum("mk,mk->k", qx, block.x), qx.sum(axis=0), q.sum(axis=0)]).astype(np.float64),)

    def preconditioner(self, sums: Sums, total: float, ridge: NDArray[np.float64]) -> Preconditioner:
        """Return the inverse of the two-by-two block of each class; of the diagonal, if there are no such blocks."""
        second, first, zeroth = sums[0] / total
        if self.tied or not self.bias:
            diagonal = self._fold(np.concatenate([second, zeroth])) + 2 * ridge
            diagonal = diagonal + 1e-9 * diagonal.max()
            return lambda g: g / diagonal
        n_classes = self.n_classes
        a, c = second + 2 * ridge[:n_classes], zeroth + 2 * ridge[n_classes:]
        tiny = 1e-9 * max(a.max(), c.max())
        a, c = a + tiny, c + tiny
        det = np.maximum(a * c - first**2, 1e-12 * a * c)

        def solve(g: NDArray[np.float64]) -> NDArray[np.float64]:
            scale, bias = g[:n_classes], g[n_classes:]
            return np.concatenate([(c * scale - first * bias) / det, (a * bias - first * scale) / det])

        return solve

    def as_matrix(self, theta: NDArray[np.float64]) -> tuple[NDArray[np.float64], Features]:
        """Return a diagonal matrix with a bias."""
        scales = np.broadcast_to(theta[: self.n_scales], self.n_classes)
        return with_bias(np.diag(scales), theta[self.n_scales :] if self.bias else None), "linear"

    def null_space(self) -> NDArray[np.float64] | None:
        """Return the direction in which all biases move together."""
        shape = (self.n_classes, self.n_classes)
        return np.pad(np.full(shape, 1 / self.n_classes), (self.n_scales, 0)) if self.bias else None

    def _fold(self, a: Floats) -> Floats:
        """Return sums for all scales and biases as sums for the parameters there are, along the first axis."""
        scales = a[: self.n_classes]
        scales = scales.sum(axis=0)[None] if self.tied else scales
        return np.concatenate([scales, a[self.n_classes :]]) if self.bias else scales


class PerRowMap(LinearMap):
    """``u = (h(x) · θ) x``: an inverse temperature for each row, linear in features h that name no class."""

    def push(self, theta: Floats, block: Block) -> Floats:
        """Return x times the inverse temperatures."""
        return block.x * (block.basis @ theta)[:, None]

    def pull(self, t: Floats, block: Block) -> Floats:
        """Return Σ h (t · x)."""
        return np.einsum("mk,mk->m", t, block.x) @ block.basis

    def hessian(self, p: Floats, block: Block) -> Floats:
        """Return Σ h hᵀ times the variance of x under p."""
        px = p * block.x
        mean = px.sum(axis=1)
        variance = np.einsum("mk,mk->m", px, block.x) - mean * mean
        return (block.basis * block.over_rows(variance)[:, None]).T @ block.basis


class PerPredictionMap(LinearMap):
    """``u = θ_c x`` with c the most probable class: an inverse temperature for each predicted class."""

    ignores_constants = True

    def identity(self) -> NDArray[np.float64]:
        """Return inverse temperatures of 1."""
        return np.ones(self.n_classes)

    def basis(self, block: Block) -> NDArray[np.intp]:
        """Return the predicted classes."""
        x = block.x if block.masked is None else np.where(block.masked, -np.inf, block.x)
        return np.asarray(x.argmax(axis=1))

    def push(self, theta: Floats, block: Block) -> Floats:
        """Return x times the inverse temperatures."""
        return block.x * theta[block.basis][:, None]

    def pull(self, t: Floats, block: Block) -> Floats:
        """Return, for each predicted class, Σ t · x."""
        sums = np.bincount(block.basis, np.einsum("mk,mk->m", t, block.x), self.n_classes)
        return sums.astype(np.float64)

    def hessian(self, p: Floats, block: Block) -> Floats:
        """Return a diagonal matrix."""
        return np.diag(self._variances(p, block))

    def curvature(self, p: Floats, block: Block, ridge: NDArray[np.float64]) -> Sums:  # noqa: ARG002
        """Return the diagonal of the Hessian."""
        return (self._variances(p, block),)

    def preconditioner(self, sums: Sums, total: float, ridge: NDArray[np.float64]) -> Preconditioner:
        """Return the inverse of the Hessian, which is diagonal."""
        diagonal = sums[0] / total + 2 * ridge
        diagonal = np.maximum(diagonal, 1e-12 * diagonal.max())
        return lambda g: g / diagonal

    def _variances(self, p: Floats, block: Block) -> NDArray[np.float64]:
        px = p * block.x
        mean = px.sum(axis=1)
        variance = np.einsum("mk,mk->m", px, block.x) - mean * mean
        return np.bincount(block.basis, block.over_rows(variance), self.n_classes).astype(np.float64)


class BinaryMap(LinearMap):
    """Two classes: the logit of class 1 is ``h(x) · θ``."""

    def push(self, theta: Floats, block: Block) -> Floats:
        """Return logits of which the first is 0."""
        u = np.zeros_like(block.x)
        u[:, 1] = block.basis @ theta
        return u

    def pull(self, t: Floats, block: Block) -> Floats:
        """Return Σ h t₁."""
        return t[:, 1] @ block.basis

    def hessian(self, p: Floats, block: Block) -> Floats:
        """Return Σ h hᵀ p₀ p₁."""
        return (block.basis * block.over_rows(p[:, 0] * p[:, 1])[:, None]).T @ block.basis
