"""Candidates fitted without one fold at a time, each from the fit to all rows: few passes, none of them exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from calkit.calibrators.parametric.features import Block, softmax_in_place
from calkit.calibrators.parametric.maps import LinearMap, Preconditioner
from calkit.calibrators.parametric.problem import Penalty
from calkit.calibrators.parametric.solver import DENSE_PARAMETERS, conjugate_gradients

__all__ = ["FoldRows", "fold_inverse_temperatures", "fold_parameters", "fold_parameters_one_by_one"]

Vector = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]

# Steps end where one gains less than this, in nats a row; it is taken, and nothing is computed any more.
_TOL = 1e-5
# The same of a temperature, in its logarithm.
_STEP = 1e-3
_MAX_STEPS = 12
_MAX_HALVINGS = 8

# A step that leaves more than this share of what was to gain asks for the Hessian of its own point.
_SLOW = 0.1


@dataclass(frozen=True, eq=False)
class FoldRows:
    """Rows in memory and the fold of each.

    Attributes
    ----------
    x : ndarray of shape (n, K)
        What maps take: centred log-probabilities.
    y : ndarray of intp, shape (n,)
    weight : ndarray of shape (n,)
    folds : ndarray of intp, shape (n,)
        Numbers from 0.
    """

    x: Floats
    y: NDArray[np.intp]
    weight: Vector
    folds: NDArray[np.intp]

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return int(self.folds.max()) + 1

    def block(self, rows: NDArray[np.bool_], mapping: LinearMap | None = None, beta: float = 1.0) -> Block:
        """Return some rows as a map takes them, log-probabilities times an inverse temperature."""
        x, weight = _chosen(self.x, rows), self.weight[rows]
        x = x if beta == 1 else beta * x
        y, unequal = self.y[rows], None if (weight == 1).all() else weight
        return Block(x, y, None if mapping is None else mapping.basis(Block(x, y)), weight=unequal)


@dataclass(frozen=True, eq=False)
class _Point:
    """Sums over some rows at parameters, not yet divided by the weight, and the probabilities there."""

    value: float
    gradient: Vector
    p: Floats


def _at(mapping: LinearMap, theta: Vector, block: Block) -> _Point:
    u = mapping.push(theta.astype(block.x.dtype), block)
    rows = np.arange(len(u))
    right = u[rows, block.y]
    loss = softmax_in_place(u) - right
    t = u.copy(order="K")
    t[rows, block.y] -= 1
    if block.weight is not None:
        t *= block.weight.astype(t.dtype)[:, None]
        loss = loss * block.weight
    return _Point(float(loss.sum(dtype=np.float64)), mapping.pull(t, block).astype(np.float64), u)


def fold_parameters(
    mapping: LinearMap, rows: FoldRows, theta: Vector, penalty_of: Callable[[int, float], Penalty]
) -> list[Vector]:
    """Fit a map to the rows outside each fold in turn.

    One pass at the parameters of all rows gives the first step of every fold: its sums are those of all rows less its
    own.

    Parameters
    ----------
    mapping : LinearMap
    rows : FoldRows
    theta : ndarray of shape (P,)
        Parameters fitted to all rows.
    penalty_of : callable
        Takes a fold and the weight of the other rows, returns the penalty.

    Returns
    -------
    list of ndarray of shape (P,)
    """
    everything = rows.block(np.ones(len(rows.y), bool))
    whole = _at(mapping, theta, everything)
    penalties = [penalty_of(fold, float(rows.weight[rows.folds != fold].sum())) for fold in range(rows.n_folds)]
    free = penalties[0].free
    is_dense = (mapping.size if free is None else int(free.sum())) <= DENSE_PARAMETERS
    parts = [_Part(mapping, theta, rows, fold, is_dense=is_dense) for fold in range(rows.n_folds)]
    if is_dense:
        hessian = np.sum([part.hessian for part in parts], axis=0)
    else:
        sums = mapping.curvature(whole.p, everything, penalties[0].ridge)
        inverse = mapping.preconditioner(sums, everything.total, penalties[0].ridge)
    found = []
    for fold, (part, penalty) in enumerate(zip(parts, penalties, strict=True)):
        others = rows.folds != fold
        rest = _Rest(mapping, rows.block(others), penalty)
        start = _Point(whole.value - part.at.value, whole.gradient - part.at.gradient, _chosen(whole.p, others))
        solver: Any = _Dense(rest, hessian - part.hessian) if is_dense else _Products(rest, inverse)
        found.append(rest.fitted(theta, start, solver))
    return found


class _Part:
    """The sums of the rows of a fold."""

    def __init__(self, mapping: LinearMap, theta: Vector, rows: FoldRows, fold: int, *, is_dense: bool) -> None:
        block = rows.block(rows.folds == fold)
        self.at = _at(mapping, theta, block)
        self.hessian = mapping.hessian(self.at.p, block).astype(np.float64) if is_dense else np.empty(0)


def fold_parameters_one_by_one(
    mapping: LinearMap, rows: FoldRows, betas: Vector, theta: Vector, penalty_of: Callable[[float], Penalty]
) -> list[Vector]:
    """The same for a map of few parameters whose features depend on the inverse temperature of each fold."""
    found = []
    for fold, beta in enumerate(betas.tolist()):
        block = rows.block(rows.folds != fold, mapping, beta)
        rest = _Rest(mapping, block, penalty_of(block.total))
        found.append(rest.fitted(theta, _at(mapping, theta, block), _Dense(rest, None)))
    return found


def fold_inverse_temperatures(rows: FoldRows, beta: float, sigma: float) -> Vector:
    """Return the inverse temperature of the rows outside each fold, with a prior on its logarithm.

    Parameters
    ----------
    rows : FoldRows
    beta : float
        That of all rows.
    sigma : float
        Standard deviation of log T under the prior.

    Returns
    -------
    ndarray of shape (n_folds,)
    """
    slopes = _temperature_slopes(rows.x, rows.y, rows.weight, beta)
    total = slopes.sum(axis=0)
    found = np.empty(rows.n_folds)
    for fold in range(rows.n_folds):
        own = rows.folds == fold
        others, t, sums = ~own, np.log(beta), total - slopes[own].sum(axis=0)
        x = None
        for _ in range(_MAX_STEPS):
            weight, slope, curvature = sums
            strength = 1 / (sigma**2 * weight)
            gradient = slope / weight + strength * t
            second = max((slope + curvature) / weight, 0.0) + strength
            step = float(np.clip(-gradient / second, -1, 1))
            t += step
            if abs(step) <= _STEP:
                break
            x = _chosen(rows.x, others) if x is None else x
            sums = _temperature_slopes(x, rows.y[others], rows.weight[others], np.exp(t)).sum(axis=0)
        found[fold] = np.exp(t)
    return found


def _temperature_slopes(x: Floats, y: NDArray[np.intp], weight: Vector, beta: float) -> Vector:
    """Return, of each row, the weight, and β times the slope and β² times the curvature of its NLL in β."""
    u = x * x.dtype.type(beta)
    p = u.copy(order="K")
    softmax_in_place(p)
    mean = np.einsum("nk,nk->n", p, u)
    p *= u
    curvature = np.einsum("nk,nk->n", p, u) - mean * mean
    slope = mean - u[np.arange(len(y)), y]
    return np.stack([weight, weight * slope, weight * curvature], axis=1)


def _chosen(x: Floats, rows: NDArray[np.bool_]) -> Floats:
    """Return some rows in the same memory order."""
    return x.T[:, rows].T if x.flags.f_contiguous else x[rows]


class _Rest:
    """The rows outside a fold, and Newton's method for them."""

    def __init__(self, mapping: LinearMap, block: Block, penalty: Penalty) -> None:
        self.mapping, self.block, self.penalty, self.weight = mapping, block, penalty, block.total

    def fitted(self, theta: Vector, point: _Point, solver: Any) -> Vector:
        free = self.penalty.free
        held = None if free is None else np.where(free, 0.0, self.penalty.center - theta)
        value, gradient = self._penalised(theta, point)
        before = np.inf
        for _ in range(_MAX_STEPS):
            v, left = solver.step(point, gradient, held, before)
            if left <= _TOL:
                return theta + v
            theta, value, gradient, point = self._taken(theta, value, v, held)
            held, before = None, left
        return theta

    def _taken(
        self, theta: Vector, value: float, v: Vector, held: Vector | None
    ) -> tuple[Vector, float, Vector, _Point]:
        """Return the point a step leads to, shortened until the value does not rise."""
        for _ in range(_MAX_HALVINGS):
            point = _at(self.mapping, theta + v, self.block)
            found, gradient = self._penalised(theta + v, point)
            # Parameters that are held move at once, whatever that costs.
            if found <= value + 1e-6 * abs(value) or held is not None:
                break
            v = v / 2
        return theta + v, found, gradient, point

    def _penalised(self, theta: Vector, point: _Point) -> tuple[float, Vector]:
        d, ridge = theta - self.penalty.center, self.penalty.ridge
        return point.value / self.weight + float(ridge @ (d * d)), point.gradient / self.weight + 2 * ridge * d


class _Dense:
    """Steps by the whole Hessian, which serves as long as they gain fast."""

    def __init__(self, rest: _Rest, hessian: Vector | None) -> None:
        self._rest, self._data_hessian = rest, hessian
        self._factor: Any = None

    def step(self, point: _Point, gradient: Vector, held: Vector | None, before: float) -> tuple[Vector, float]:
        """Return a step and what it gains."""
        if self._factor is None:
            self._prepare(point)
        v, left = self._solved(gradient, held)
        if left > _SLOW * before:
            self._data_hessian = None
            self._prepare(point)
            v, left = self._solved(gradient, held)
        return v, left

    def _prepare(self, point: _Point) -> None:
        rest, penalty = self._rest, self._rest.penalty
        h = self._data_hessian
        h = rest.mapping.hessian(point.p, rest.block).astype(np.float64) if h is None else h
        h = h / rest.weight
        h[np.diag_indices_from(h)] += 2 * penalty.ridge
        self._hessian = h
        self._free = np.arange(len(h)) if penalty.free is None else np.flatnonzero(penalty.free)
        h = h if penalty.free is None else h[np.ix_(self._free, self._free)]
        try:
            self._factor = cho_factor(h, check_finite=False)
        except LinAlgError:
            self._factor = cho_factor(h + 1e-6 * h.diagonal().max() * np.eye(len(h)))

    def _solved(self, gradient: Vector, held: Vector | None) -> tuple[Vector, float]:
        g = gradient if held is None else gradient + self._hessian @ held
        v = np.zeros_like(gradient)
        v[self._free] = -cho_solve(self._factor, g[self._free], check_finite=False)
        left = -float(g[self._free] @ v[self._free]) / 2
        return (v, left) if held is None else (v + held, max(left, 2 * _TOL))


class _Products:
    """Steps by conjugate gradients, all with one preconditioner."""

    def __init__(self, rest: _Rest, inverse: Preconditioner) -> None:
        self._rest, self._inverse = rest, inverse

    def step(
        self,
        point: _Point,
        gradient: Vector,
        held: Vector | None,
        before: float,  # noqa: ARG002
    ) -> tuple[Vector, float]:
        """Return a step and what it gains."""
        rest = self._rest
        factors = rest.mapping.factors(point.p, rest.block)

        def product(v: Vector) -> Vector:
            found = rest.mapping.product(factors, v.astype(point.p.dtype), rest.block)
            return found.astype(np.float64) / rest.weight + 2 * rest.penalty.ridge * v

        moved = gradient if held is None else gradient + product(held)
        found, _ = conjugate_gradients(
            lambda d: _on(rest.penalty.free, product(d)),
            _on(rest.penalty.free, moved),
            lambda g: _on(rest.penalty.free, self._inverse(g)),
            goal=0.2 * _TOL,
        )
        v = _on(rest.penalty.free, found)
        left = -float(moved @ v) / 2
        return (v, left) if held is None else (v + held, max(left, 2 * _TOL))


def _on(free: NDArray[np.bool_] | None, v: Vector) -> Vector:
    return v if free is None else np.where(free, v, 0.0)
