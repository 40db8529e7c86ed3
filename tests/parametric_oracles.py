"""Plain formulas of the parametric methods, minimised by scipy: no blocks, no derivatives of ours beyond the first."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax


def data(n=400, k=5, seed=0, scale=2.0):
    """Over-confident logits with a bias and a scale for each class."""
    rng = np.random.default_rng(seed)
    z = scale * rng.normal(size=(n, k))
    y = (z * (0.5 + 0.2 * rng.random(k)) + 0.5 * rng.normal(size=k) + rng.gumbel(size=(n, k))).argmax(axis=1)
    return z, y


def binary_data(n=500, seed=0):
    rng = np.random.default_rng(seed)
    s = 2 * rng.normal(size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-(0.3 + 0.6 * s)))).astype(int)
    return s, y


def one_hot(y, k):
    return np.eye(k)[y]


def temperature(z, truth, weight):
    """β of least log-loss."""

    def f(t):
        return -(weight @ (truth * log_softmax(np.exp(t[0]) * z, axis=1)).sum(axis=1)) / weight.sum()

    return float(np.exp(minimize(f, [0.0], method="Nelder-Mead", options={"xatol": 1e-12, "fatol": 1e-16}).x[0]))


def mixed(z, beta, share):
    """log((1 - share) softmax(β z) + share / K)."""
    p = np.exp(log_softmax(beta * z, axis=1))
    return np.log((1 - share) * p + share / z.shape[1])


def minimum(logits, gradient, size, ridge, center, truth, weight, bounds=None, start=None):
    """Least mean log-loss of ``logits(theta)`` plus the penalty, and where it is.

    ``gradient(t)`` takes the derivative of the loss in the logits (n, K) to that in the parameters.
    """
    total = weight.sum()

    def f(theta):
        x = log_softmax(logits(theta), axis=1)
        d = theta - center
        t = (np.exp(x) - truth) * weight[:, None] / total
        return -(weight @ (truth * x).sum(axis=1)) / total + ridge @ (d * d), gradient(t) + 2 * ridge * d

    found = minimize(
        f,
        np.array(center if start is None else start, dtype=float),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 50000, "maxfun": 50000, "ftol": 1e-16, "gtol": 1e-10, "maxcor": 50},
    )
    assert len(found.x) == size
    return float(found.fun), found.x


def per_class(x):
    """Logits and gradient of vector scaling."""
    k = x.shape[1]
    return (lambda th: x * th[:k] + th[k:]), (lambda t: np.concatenate([(t * x).sum(axis=0), t.sum(axis=0)])), 2 * k


def full_matrix(x):
    """Logits and gradient of matrix scaling, parameters (W, b) row by row."""
    k = x.shape[1]

    def logits(th):
        table = th.reshape(k, k + 1)
        return x @ table[:, :-1].T + table[:, -1]

    return logits, (lambda t: np.hstack([t.T @ x, t.sum(axis=0)[:, None]]).ravel()), k * (k + 1)


def table_ridge(k, diagonal, off_diagonal, bias):
    ridge = np.full((k, k + 1), float(off_diagonal))
    ridge[:, -1] = bias
    ridge[np.arange(k), np.arange(k)] = diagonal
    return ridge.ravel()


def of_features(h):
    """Logits and gradient of two classes, the second's being h · θ."""

    def logits(th):
        return np.stack([np.zeros(len(h)), h @ th], axis=1)

    return logits, (lambda t: h.T @ t[:, 1]), h.shape[1]
