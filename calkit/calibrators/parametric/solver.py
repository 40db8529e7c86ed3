"""Newton's method for convex sums over rows: the whole Hessian for few parameters, conjugate gradients for many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv

__all__ = ["Problem", "Solution", "minimise"]

Vector = NDArray[np.float64]

#: The most free parameters for which the whole Hessian is computed.
DENSE_PARAMETERS = 130

# How well values are known, relative to themselves.
_NOISE = {np.float32: 3e-7, np.float64: 1e-14}

# Newton steps of the dense method end where a step would gain less than this, in nats a row.
_EXACT = 1e-16

# What float32 leaves for float64 to gain, in units of its noise.
_LEFT = 30

_MAX_STEPS = 100
_MAX_SINGLE_STEPS = 30
_MAX_PRODUCTS = 250

# Conjugate gradients end where the squared residual is less than this share of its first value.
_FORCING = 1e-2
_SMALLEST_STEP = 1e-12

# What a step of conjugate gradients leaves is less than the goal by this factor.
_PROOF = 5

# A step that leaves more than this share of what was to gain shows that the Hessian is not that of the point.
_SLOW = 1e-2

# A last step by which parameters still move by this share of themselves shows that the data do not determine them.
_MOVES = 1e-2
# Parameters that have grown by this factor without coming to an end are followed no further: noise led them.
_FAR = 1e9

Outcome = Literal["converged", "undetermined", "stopped"]


class Problem(Protocol):
    """A convex function of parameters."""

    ridge: Vector
    n_passes: int

    def slope(self, theta: Vector, dtype: Any) -> tuple[float, Vector]:
        """Return value and gradient, computed in a precision."""

    def newton(self, theta: Vector, dtype: Any) -> tuple[float, Vector, Vector]:
        """Return value, gradient and Hessian."""

    def product(self, theta: Vector, v: Vector) -> Vector:
        """Return the Hessian times a vector."""

    def preconditioner(self, theta: Vector) -> Callable[[Vector], Vector]:
        """Return an approximate inverse of the Hessian."""


@dataclass(frozen=True)
class Solution:
    """Where :func:`minimise` ended.

    Attributes
    ----------
    theta : ndarray of shape (P,)
    value : float
        In float64.
    gradient : ndarray of shape (P,)
    gap : float
        Bound on the value less the least value. If all free parameters have a ridge, ``|g|² / (4 min ridge)`` or half
        the decrement ``gᵀ v`` of a Newton step v plus ``|g + H v|² / (4 min ridge)``, whichever is less; else half the
        decrement.
    n_iter : int
        Newton steps.
    outcome : {"converged", "undetermined", "stopped"}
        "undetermined" if the parameters run off to infinity, as they do for separable data.
    """

    theta: Vector
    value: float
    gradient: Vector
    gap: float
    n_iter: int
    outcome: Outcome


def minimise(
    problem: Problem,
    start: Vector,
    *,
    tol: float,
    free: NDArray[np.bool_] | None = None,
    null_space: Vector | None = None,
    least: float = -np.inf,
) -> Solution:
    """Find the minimum, in float32 as far as that leads and then in float64.

    Parameters
    ----------
    problem : Problem
    start : ndarray of shape (P,)
    tol : float
        Largest gap.
    free : ndarray of bool, shape (P,), optional
        Which parameters may move.
    null_space : ndarray of shape (P, P), optional
        Positive on directions in which nothing changes.
    least : float, default=-inf
        A value below this shows that the data do not determine the parameters.

    Returns
    -------
    Solution
    """
    free = np.ones(len(start), bool) if free is None else free
    dense = int(free.sum()) <= DENSE_PARAMETERS
    steps = _DenseSteps(problem, free, null_space) if dense else _ProductSteps(problem, free, tol)
    return _Descent(problem, steps, free, tol, least).run(start.astype(np.float64))


class _DenseSteps:
    """Newton steps by a Cholesky factor of the Hessian.

    In float32 the Hessian comes with each slope, and is damped by its noise. In float64 the last one serves as long as
    steps gain fast; where no ridge bounds the gap, it is computed in float64 at least once.
    """

    goal, rest = _EXACT, 0.0

    def __init__(self, problem: Problem, free: NDArray[np.bool_], null_space: Vector | None) -> None:
        self._problem, self._free = problem, free
        self._null_space = None if null_space is None or problem.ridge.any() else null_space[np.ix_(free, free)]
        self._hessian = self._next = np.empty((0, 0))
        self._is_exact, self._exact_wanted = False, not problem.ridge[free].all()
        self._before = np.inf

    def slope(self, theta: Vector, dtype: Any) -> tuple[float, Vector]:
        self._next_is_exact = dtype is np.float64
        if self._next_is_exact and (self._is_exact or not self._exact_wanted):
            self._next_is_exact = self._is_exact
            return self._problem.slope(theta, dtype)
        value, gradient, self._next = self._problem.newton(theta, dtype)
        return value, gradient

    def accept(self, theta: Vector) -> None:
        self._theta = theta
        self._hessian, self._is_exact = self._next, self._next_is_exact

    def step(self, gradient: Vector, dtype: Any) -> Vector:
        v = self._solve(gradient)
        left = -float(gradient @ v)
        if dtype is np.float64 and left > max(_SLOW * self._before, 2 * self.goal):
            # The Hessian of another point, or of float32, does not do.
            _, _, self._next = self._problem.newton(self._theta, dtype)
            self._hessian, self._is_exact = self._next, True
            v = self._solve(gradient)
            left = -float(gradient @ v)
        self._before = left
        return v

    def last_step(self, gradient: Vector) -> Vector:
        """Return the step that is taken at the end: it gains too little to be seen, but parameters keep more digits."""
        return self._solve(gradient)

    def _solve(self, gradient: Vector) -> Vector:
        h = self._hessian[np.ix_(self._free, self._free)]
        # Of float32, a diagonal that should be tiny may be below 0.
        scale = max(float(h.diagonal().max()), 0.0) or 1.0
        if self._null_space is not None:
            h = h + scale * self._null_space
        # Parameters may differ in their units; damping is relative to each.
        root = np.sqrt(np.maximum(h.diagonal(), 1e-30 * scale))
        with np.errstate(invalid="ignore"):
            h = h / root / root[:, None]
        v = np.zeros_like(gradient)
        for damping in 10.0 ** np.arange(-14 if self._is_exact else -8, 3, 2):
            _, found, failed = dposv(h + damping * np.eye(len(h)), gradient[self._free] / root)
            # Where parameters run off, h is not positive, or not finite.
            if not failed and np.isfinite(found).all():
                v[self._free] = -found / root
                return v
        # Of a curvature that tells nothing, a step so long that nobody takes this place for the minimum.
        v[self._free] = -gradient[self._free] / root**2
        return v


class _ProductSteps:
    """Newton steps by conjugate gradients on products with the Hessian."""

    def __init__(self, problem: Problem, free: NDArray[np.bool_], tol: float) -> None:
        self._problem, self._free, self._count = problem, free, 0
        self.goal, self.rest = tol, 0.0
        self._least_ridge = float(problem.ridge[free].min()) if free.any() else 0.0

    def slope(self, theta: Vector, dtype: Any) -> tuple[float, Vector]:
        return self._problem.slope(theta, dtype)

    def accept(self, theta: Vector) -> None:
        self._theta = theta

    def last_step(self, gradient: Vector) -> Vector:
        """Return no step: another one would have its cost."""
        return np.zeros_like(gradient)

    def step(self, gradient: Vector, dtype: Any) -> Vector:
        theta = self._theta
        if self._count in (0, 2, 5) or self._count % 8 == 0:
            inverse = self._problem.preconditioner(theta)
            self._solve = lambda g: np.where(self._free, inverse(g), 0.0)
        self._count += 1
        # In float64 the step is to prove how far the value is from the least: what it leaves counts as well.
        bounded = dtype is np.float64 and self._least_ridge > 0
        v, r = conjugate_gradients(
            lambda v: np.where(self._free, self._problem.product(theta, v), 0.0),
            gradient,
            self._solve,
            goal=self.goal / _PROOF,
            largest_rest=4 * self._least_ridge * self.goal / _PROOF if bounded else np.inf,
        )
        self.rest = float(r @ r) / (4 * self._least_ridge) if bounded else 0.0
        return v


def conjugate_gradients(
    product: Callable[[Vector], Vector],
    g: Vector,
    solve: Callable[[Vector], Vector],
    goal: float,
    largest_rest: float = np.inf,
) -> tuple[Vector, Vector]:
    """Solve H v = -g, to a tenth and then superlinearly, or until what is left to gain is less than the goal.

    Returns
    -------
    v : ndarray
    r : ndarray
        ``-g - H v``, with a square of no more than `largest_rest` where v gains less than the goal.
    """
    v, r = np.zeros_like(g), -g
    m = solve(r)
    left, p = float(r @ m), m.copy()
    aim = max(goal, min(_FORCING, float(left) ** 0.5) * left) if left > 0 else 0.0
    for _ in range(_MAX_PRODUCTS):
        if not left > 0:
            break
        hp = product(p)
        curve = p @ hp
        if not curve > 0:
            break
        a = left / curve
        v += a * p
        r -= a * hp
        m = solve(r)
        left, before = float(r @ m), left
        # A step that gains more than the goal is taken, and proves nothing.
        if left <= aim and (float(r @ r) <= largest_rest or -float(g @ v) / 2 > _PROOF * goal):
            break
        p = m + (left / before) * p
    return v, r


class _Descent:
    """Newton steps with a line search."""

    def __init__(self, problem: Problem, steps: Any, free: NDArray[np.bool_], tol: float, least: float) -> None:
        self._problem, self._steps, self._free, self._tol, self._least = problem, steps, free, tol, least
        ridge = problem.ridge[free]
        self._strong = 4 * float(ridge.min()) if len(ridge) else 0.0

    def run(self, theta: Vector) -> Solution:
        self._size = max(1.0, float(abs(theta).max()))
        dtype: Any = np.float32
        value, gradient = self._slope(theta, dtype)
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            dtype = np.float64
            value, gradient = self._slope(theta, dtype)
        self._steps.accept(theta)
        gap, v = np.inf, np.zeros_like(theta)
        for n_iter in range(1, _MAX_STEPS + 1):
            if dtype is np.float64 and self._strong > 0:
                gap = float(gradient @ gradient) / self._strong
                if gap <= self._steps.goal:
                    return self._end(theta, value, gradient, gap, n_iter - 1, v)
            v = self._steps.step(gradient, dtype)
            decrement = max(0.0, -float(gradient @ v) / 2)
            if dtype is np.float64:
                gap = min(decrement + self._steps.rest, gap) if self._strong > 0 else decrement
                if gap <= self._steps.goal or value < self._least:
                    return self._end(theta, value, gradient, gap, n_iter, v)
            taken = self._search(theta, value, gradient, v, dtype, decrement)
            if taken is None and dtype is np.float64:
                return self._end(theta, value, gradient, gap, n_iter, v)
            if taken is None:
                dtype = np.float64
                taken = (theta, *self._slope(theta, dtype))
            elif dtype is np.float32 and decrement <= _LEFT * _NOISE[dtype] * abs(value):
                dtype = np.float64
            theta, value, gradient = taken
            if dtype is np.float32 and (value < self._least or n_iter >= _MAX_SINGLE_STEPS):
                dtype = np.float64
                value, gradient = self._slope(theta, dtype)
            self._steps.accept(theta)
        return self._end(theta, value, gradient, gap, _MAX_STEPS, v)

    def _search(
        self, theta: Vector, value: float, gradient: Vector, v: Vector, dtype: Any, decrement: float
    ) -> tuple[Vector, float, Vector] | None:
        """Return the point that a step leads to; None if no step of some size lowers the value."""
        noise = _NOISE[dtype] * abs(value)
        fall = float(gradient @ v)
        if dtype is np.float32 and decrement <= _LEFT * noise:  # the rest is for float64 to tell
            return (theta + v, *self._slope(theta + v, np.float64))
        t = 1.0
        while t >= _SMALLEST_STEP:
            found, slope = self._slope(theta + t * v, dtype)
            if found <= value + 1e-4 * t * fall + noise:
                return theta + t * v, found, slope
            rise = found - value - t * fall
            t = max(0.1 * t, min(0.5 * t, -t * t * fall / (2 * rise))) if np.isfinite(rise) else 0.1 * t
        return None

    def _slope(self, theta: Vector, dtype: Any) -> tuple[float, Vector]:
        value, gradient = self._steps.slope(theta, dtype)
        return value, np.where(self._free, gradient, 0.0)

    def _end(self, theta: Vector, value: float, gradient: Vector, gap: float, n_iter: int, v: Vector) -> Solution:
        outcome: Outcome = "converged" if gap <= self._tol else "stopped"
        runs_off = self._strong == 0 and float(abs(v).max()) > _MOVES * max(1.0, float(abs(theta).max()))
        has_run = self._strong == 0 and gap > self._tol and float(abs(theta).max()) > _FAR * self._size
        if value < self._least or runs_off or has_run:
            outcome = "undetermined"
        if outcome == "converged":
            theta = theta + self._steps.last_step(gradient)
        return Solution(theta, value, gradient, gap, n_iter, outcome)
