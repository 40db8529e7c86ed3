"""Appendix G: a logistic regression with two weights, trained by cross-entropy and by focal loss with gamma = 1.

Each class has two clusters, at the corners of a square, which a line through the origin separates; a tenth of the
labels is flipped. The paper says neither the number of points, nor their spread, nor the step: those here are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from calkit.theory import gradient_ratio

Floats = NDArray[np.float64]

N, SPREAD, FLIPPED, STEP, ITERATIONS = 1000, 0.25, 0.1, 0.1, 50_000
SEED, TEST_SEED = 0, 1
RECORDED = np.unique(np.geomspace(1, ITERATIONS, 200).astype(int))


def sample(seed: int, n: int = N) -> tuple[Floats, Floats]:
    """Return points (n, 2) and labels (n,) of -1 and 1."""
    rng = np.random.default_rng(seed)
    y = rng.choice([-1.0, 1.0], n)
    corners = np.column_stack([y, rng.choice([-1.0, 1.0], n)])
    x = corners + rng.normal(0, SPREAD, (n, 2))
    return x, np.where(rng.random(n) < FLIPPED, -y, y)


@dataclass(frozen=True)
class Run:
    """What gradient descent leaves, and its course."""

    weights: Floats
    iterations: NDArray[np.int64]
    logit_norms: Floats
    weight_norms: Floats

    def confidence(self, x: Floats, y: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Return confidence and correctness of points."""
        z = x @ self.weights
        return 1 / (1 + np.exp(-np.abs(z))), np.sign(z) == y


def descend(gamma: float) -> Run:
    """Minimise the mean focal loss by gradient descent; gamma = 0 is cross-entropy."""
    x, y = sample(SEED)
    w, norms = np.zeros(2), []
    for i in range(1, ITERATIONS + 1):
        p = 1 / (1 + np.exp(-y * (x @ w)))
        # Proposition 1: the gradient of cross-entropy, times g(p, gamma).
        ratio = gradient_ratio(p, gamma) if gamma else 1.0
        w += STEP * ((ratio * (1 - p) * y) @ x) / len(x)
        if i in RECORDED:
            norms.append((np.abs(x @ w).mean(), np.linalg.norm(w)))
    return Run(w, RECORDED, *np.array(norms).T)


@cache
def runs() -> dict[str, Run]:
    """Return the two runs of the paper."""
    return {"CE": descend(0), "FL-1": descend(1)}
