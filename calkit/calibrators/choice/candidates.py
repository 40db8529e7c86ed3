"""What ``auto`` pools: small maps, shrunk to the identity, that are linear in one design."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit

from calkit.calibrators.choice.fold_fits import (
    FoldRows,
    fold_inverse_temperatures,
    fold_parameters,
    fold_parameters_one_by_one,
)
from calkit.calibrators.parametric.features import Block, Kept
from calkit.calibrators.parametric.maps import BinaryMap, LinearMap, PerClassMap
from calkit.calibrators.parametric.matrix_map import MatrixMap
from calkit.calibrators.parametric.objective import Model, can_be_kept
from calkit.calibrators.parametric.problem import Penalty, Problem
from calkit.calibrators.parametric.totals import DataTotals
from calkit.calibrators.prior_root import inverse_temperature_with_prior
from calkit.predictions import Predictions
from calkit.shards import Shards

__all__ = ["Candidates", "binary_design", "cross_fitted", "design", "fit_candidates", "names_of"]

Floats = NDArray[np.floating[Any]]

# Standard deviation of log T under its prior.
_SIGMA = 0.5

# The most classes for which rows lie in memory class by class.
_FEW_CLASSES = 128

# The most classes for which matrices are fitted.
_MATRIX_CLASSES = 200

# Fits are pooled, so they need not be exact.
_TOL = 1e-7

# Held-out logits of more numbers than this are computed in float32.
_MOST_DOUBLES = 1 << 21

# Columns of the binary design that a candidate uses.
_BINARY = {"temperature": (1,), "affine": (0, 1), "beta": (0, 3, 4), "quadratic": (0, 1, 2)}

# The strength of the penalty of a candidate of many classes, and whether it has a matrix.
_MULTI = {"bias": (1.0, False), "svs": (1.0, False), "sms": (1.0, True), "sms4": (4.0, True)}


@dataclass(frozen=True)
class Candidates:
    """Fitted candidates, the identity first.

    Attributes
    ----------
    beta : float
        Inverse temperature that comes before the design.
    coef : ndarray of shape (M, d, K)
        Candidate m has the logits ``design(z, beta) @ coef[m]``.
    thetas : tuple of ndarray
        Parameters, from which a fit to similar rows may start.
    """

    beta: float
    coef: NDArray[np.float64]
    thetas: tuple[NDArray[np.float64], ...]


def names_of(n_classes: int) -> tuple[str, ...]:
    """Return the names of the candidates."""
    if n_classes == 2:
        return ("identity", *_BINARY)
    multi = [name for name, (_, has_matrix) in _MULTI.items() if not (has_matrix and n_classes > _MATRIX_CLASSES)]
    return ("identity", "temperature", *multi)


def binary_design(u: Floats) -> Floats:
    """Return 1, u, u |u| / (1 + |u|), log s(u) and -log s(-u) of a logit u, with s the logistic function."""
    return np.stack([np.ones_like(u), u, u * np.abs(u) / (1 + np.abs(u)), log_expit(u), -log_expit(-u)], axis=1)


def design(logits: Floats, beta: float) -> Floats:
    """Return what all candidates are linear in: (n, 5) for two classes, else (n, K + 1)."""
    if logits.shape[1] == 2:
        return binary_design(beta * (logits[:, 1] - logits[:, 0]))
    centred = beta * (logits - logits.mean(axis=1, keepdims=True))
    return np.concatenate([centred, np.ones((len(logits), 1), centred.dtype)], axis=1)


def fit_candidates(data: Predictions | Shards, weight: float) -> Candidates:
    """Fit all candidates.

    Parameters
    ----------
    data : Predictions or Shards
        Of kind "logits", finite.
    weight : float
        Of all rows.

    Returns
    -------
    Candidates
    """
    beta, _, _ = inverse_temperature_with_prior(data, _SIGMA)
    fit = _Fit(data, beta, weight)
    coef, thetas = fit.binary() if data.n_classes == 2 else fit.multiclass()
    return Candidates(beta, np.stack(coef), tuple(thetas))


def cross_fitted(
    logits: Floats, y: NDArray[np.intp], weight: NDArray[np.float64], folds: NDArray[np.intp], final: Candidates
) -> Floats:
    """Return the logits that candidates give rows of a fold when they are fitted to the other folds.

    Parameters
    ----------
    logits : ndarray of shape (n, K)
        Log-probabilities, finite.
    y, folds : ndarray of intp, shape (n,)
    weight : ndarray of shape (n,)
    final : Candidates
        Fitted to all rows, from which the fits begin.

    Returns
    -------
    ndarray of shape (M, n, K)
    """
    k = logits.shape[1]
    names = names_of(k)
    dtype = np.float32 if len(names) * logits.size > _MOST_DOUBLES else np.float64
    order: Literal["F", "C"] = "F" if k <= _FEW_CLASSES else "C"
    x: Floats = np.array(logits - logits.mean(axis=1, keepdims=True), dtype=dtype, order=order)
    rows = FoldRows(x, y, weight, folds)
    betas = fold_inverse_temperatures(rows, final.beta, _SIGMA)
    found: Floats = np.empty((len(names), *x.shape), dtype)
    mapping: LinearMap
    found[0], found[1] = x, x * betas[folds, None].astype(dtype)
    for i, (name, theta) in enumerate(zip(names[2:], final.thetas, strict=True), start=2):
        if k == 2:
            mapping, units = (binary := _DesignMap(_BINARY[name])), betas
            thetas = fold_parameters_one_by_one(binary, rows, betas, theta, binary.penalty)
        else:
            mapping, units = _map_and_penalty(name, k, 1.0)[0], np.ones_like(betas)
            # Scales of log-probabilities before, not after, the temperature: those of all folds are comparable.
            is_scale = _scales(k, len(theta))
            penalty_of = partial(_unscaled_penalty, name, k, betas)
            thetas = fold_parameters(mapping, rows, np.where(is_scale, final.beta * theta, theta), penalty_of)
        for fold, unit in enumerate(units.tolist()):
            own = folds == fold
            found[i, own] = mapping.push(thetas[fold].astype(dtype), rows.block(own, mapping, unit))
    return found


def _scales(k: int, size: int) -> NDArray[np.bool_]:
    """Return which parameters multiply log-probabilities."""
    if size == 2 * k:
        return np.arange(size) < k
    return np.arange(size) % (k + 1) < k


def _unscaled_penalty(name: str, k: int, betas: NDArray[np.float64], fold: int, weight: float) -> Penalty:
    """Return the penalty of a map that takes log-probabilities before the temperature of a fold."""
    penalty = _map_and_penalty(name, k, weight)[1]
    unit = np.where(_scales(k, len(penalty.ridge)), betas[fold], 1.0)
    return Penalty(penalty.ridge / unit**2, penalty.center * unit, penalty.free)


Vectors = list[NDArray[np.float64]]


class _Fit:
    """Rows at one inverse temperature."""

    def __init__(self, data: Predictions | Shards, beta: float, weight: float) -> None:
        self._data, self._beta, self._weight = data, beta, weight

    def binary(self) -> tuple[Vectors, Vectors]:
        """Return coefficients and parameters of the candidates of two classes."""
        coef, thetas = [_pair(np.array([0, 1 / self._beta, 0, 0, 0])), _pair(np.array([0, 1.0, 0, 0, 0]))], []
        for columns in list(_BINARY.values())[1:]:
            mapping = _DesignMap(columns)
            theta = self._solved(mapping, mapping.penalty(self._weight), mapping.identity(), self._kept())
            full = np.zeros(5)
            full[list(columns)] = theta
            coef.append(_pair(full))
            thetas.append(theta)
        return coef, thetas

    def multiclass(self) -> tuple[Vectors, Vectors]:
        """Return coefficients and parameters of the candidates of more classes."""
        k = self._data.n_classes or 0
        unit = np.vstack([np.eye(k), np.zeros(k)])
        coef, thetas, kept = [unit / self._beta, unit], list[NDArray[np.float64]](), self._kept()
        for name in names_of(k)[2:]:
            mapping, penalty = _map_and_penalty(name, k, self._weight)
            # The weaker penalty's solution is a good start for the stronger one's.
            theta = self._solved(mapping, penalty, thetas[-1] if name == "sms4" else mapping.identity(), kept)
            kept.probabilities.clear()
            kept.factors.clear()
            has_matrix = len(theta) > 2 * k
            coef.append(theta.reshape(k, k + 1).T if has_matrix else np.vstack([np.diag(theta[:k]), theta[k:]]))
            thetas.append(theta)
        return coef, thetas

    def _kept(self) -> Kept:
        return Kept(active=can_be_kept(self._data))

    def _solved(
        self, mapping: LinearMap, penalty: Penalty, start: NDArray[np.float64], kept: Kept
    ) -> NDArray[np.float64]:
        totals = DataTotals(np.array([self._weight]), 1.0, None)
        problem = Problem(self._data, Model(mapping, self._beta, kept=kept), totals, _TOL, start)
        return problem.minimise(penalty).theta


def _pair(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return coefficients (5, 2) of two classes whose difference is the logit."""
    return np.stack([-coefficients / 2, coefficients / 2], axis=1)


def _map_and_penalty(name: str, k: int, weight: float) -> tuple[LinearMap, Penalty]:
    strength, has_matrix = _MULTI[name]
    ridge = strength * k / weight
    if has_matrix:
        table = np.full((k, k + 1), ridge * (k - 1))
        table[:, -1] = table[np.arange(k), np.arange(k)] = ridge
        return (mapping := _CentredMatrix(k)), Penalty(table.ravel(), mapping.identity())
    if name == "svs":
        return (classes := _CentredClasses(k)), Penalty.towards_identity(classes, ridge)
    biases = _Biases(k)
    return biases, Penalty(np.full(2 * k, ridge), biases.identity(), np.repeat([False, True], k))


class _DesignMap(BinaryMap):
    """Some columns of the binary design."""

    def __init__(self, columns: tuple[int, ...]) -> None:
        super().__init__(2)
        self.columns = columns

    def identity(self) -> NDArray[np.float64]:
        return np.isin(self.columns, (1, 3, 4)).astype(float)

    def penalty(self, weight: float) -> Penalty:
        """Return the penalty for rows of some weight."""
        return Penalty.towards_identity(self, 2 / weight)

    def basis(self, block: Block) -> Floats:
        return np.ascontiguousarray(binary_design(block.x[:, 1] - block.x[:, 0])[:, list(self.columns)])


class _Centred(LinearMap):
    """Log-probabilities less the mean of their row: nearer to the logits where there are few rows."""

    def basis(self, block: Block) -> Floats:
        return block.x - block.x.mean(axis=1)[:, None]

    def push(self, theta: Floats, block: Block) -> Floats:
        return super().push(theta, _of_basis(block))  # type: ignore[safe-super]

    def pull(self, t: Floats, block: Block) -> Floats:
        return super().pull(t, _of_basis(block))  # type: ignore[safe-super]

    def hessian(self, p: Floats, block: Block) -> Floats:
        return super().hessian(p, _of_basis(block))  # type: ignore[safe-super]

    def factors(self, p: Floats, block: Block) -> Any:
        return super().factors(p, _of_basis(block))

    def curvature(self, p: Floats, block: Block, ridge: NDArray[np.float64]) -> Any:
        return super().curvature(p, _of_basis(block), ridge)


def _of_basis(block: Block) -> Block:
    """Return a block whose features are the centred ones, unless they have been replaced by other ones."""
    return block if block.basis is None else replace(block, x=block.basis)


class _CentredMatrix(_Centred, MatrixMap):
    """A full matrix of them."""


class _CentredClasses(_Centred, PerClassMap):
    """A scale and a bias for each class."""


class _Biases(_CentredClasses):
    """The same, of which only the biases are fitted."""

    def hessian(self, p: Floats, block: Block) -> Floats:
        """Return the part of the biases, and 0 elsewhere."""
        k = self.n_classes
        weighted = p if block.weight is None else p * block.weight.astype(p.dtype)[:, None]
        h = np.zeros((2 * k, 2 * k), p.dtype)
        h[k:, k:] = np.diag(weighted.sum(axis=0)) - weighted.T @ p
        return h
