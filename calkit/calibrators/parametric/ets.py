"""Ensemble temperature scaling."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.base import ProbabilityCalibrator
from calkit.calibrators.description import Description, FittedValue, terms
from calkit.calibrators.formula import Formula, with_bias
from calkit.calibrators.inputs import by_pieces
from calkit.calibrators.nll_root import nll_root
from calkit.calibrators.parametric.base import truth_is_possible
from calkit.calibrators.parametric.features import labelled_pieces, probabilities
from calkit.calibrators.parametric.objective import RowSums
from calkit.calibrators.parametric.scale import best_scale
from calkit.calibrators.registration import register_calibrator
from calkit.errors import CalibrationWarning, UsageError
from calkit.predictions import Predictions
from calkit.shards import Shards
from calkit.stats import Statistic, summarize
from calkit.stats.rows import Rows

__all__ = ["EnsembleTemperatureScaling"]

Floats = NDArray[np.floating[Any]]

_MAX_STEPS = 100

# Weights are known where a step would gain less than this, relative to the loss.
_EXACT = 1e-15


@register_calibrator("ets")
class EnsembleTemperatureScaling(ProbabilityCalibrator):
    r"""Ensemble temperature scaling: a mixture of scaled, uncalibrated and uniform probabilities.

    .. math:: p = w_1 \text{softmax}(z / T) + w_2 \text{softmax}(z) + w_3 / K

    with weights that are not negative and sum to 1. T is fitted first, then the weights.

    Parameters
    ----------
    objective : {"nll", "mse"}, default="nll"
        The loss that both T and the weights minimise: log-loss, or squared error. The squared error, the default of
        the authors' code, can choose a uniform part that costs log-loss.
    tol : float, default=1e-9
        Largest distance of the weights' loss from its minimum that counts as converged.

    Attributes
    ----------
    temperature_ : float
    weights_ : ndarray of shape (3,)
    objective_ : float
        The loss at the solution: mean log-loss in nats, or squared error, the mean over rows and classes.
    gap_bound_ : float
        Bound on `objective_` less the least value over the weights.
    n_passes_ : int
    converged_ : bool

    Raises
    ------
    UsageError
        For an unknown objective.

    Notes
    -----
    A class whose logit is -inf has no part in the uniform distribution of its row either.

    References
    ----------
    Zhang, Kailkhura & Han, "Mix-n-Match: Ensemble and Compositional Methods for Uncertainty Calibration in Deep
    Learning", ICML 2020.

    Examples
    --------
    >>> from calkit.calibrators import EnsembleTemperatureScaling
    >>> from calkit.datasets import load_digits_logits
    >>> calibrator = EnsembleTemperatureScaling().fit_predictions(load_digits_logits("validation"))
    >>> round(float(calibrator.weights_.sum()), 12)
    1.0
    """

    supports: ClassVar[frozenset[str]] = frozenset({"weights", "shards", "soft"})
    keeps_order: ClassVar[bool] = True
    _state: ClassVar[tuple[str, ...]] = (
        "temperature_",
        "weights_",
        "objective_",
        "gap_bound_",
        "n_passes_",
        "converged_",
    )

    temperature_: float
    weights_: NDArray[np.float64]
    objective_: float
    gap_bound_: float
    n_passes_: int
    converged_: bool

    def __init__(self, objective: Literal["nll", "mse"] = "nll", tol: float = 1e-9) -> None:
        self.objective = objective
        self.tol = tol

    def _fit(self, data: Predictions | Shards) -> None:
        if self.objective not in ("nll", "mse"):
            raise UsageError(f"objective must be 'nll' or 'mse', but is {self.objective!r:.60}.")
        truth_is_possible(data)
        root = nll_root(data)
        self.temperature_, self.n_passes_ = root.temperature, root.n_passes

        def sums(statistic: Any) -> RowSums:
            self.n_passes_ += 1
            found: RowSums = summarize(data, [statistic], check=False)[statistic]
            return found

        if self.objective == "mse" and root.outcome == "converged":
            beta, _ = best_scale(lambda beta: float(sums(_SquaredErrorSlope(beta)).arrays[0]), 1 / root.temperature)
            self.temperature_ = 1 / beta
        self.weights_, self.objective_, self.gap_bound_ = self._least(sums, int(data.n_classes or 0))
        self.converged_ = self.gap_bound_ <= self.tol
        if not self.converged_:
            warnings.warn(
                f"the weights of ensemble temperature scaling ended {self.gap_bound_:.2g} from the minimum, more than "
                f"tol={self.tol:g}.",
                CalibrationWarning,
                stacklevel=4,
            )

    def _least(self, sums: Any, n_classes: int) -> tuple[NDArray[np.float64], float, float]:
        """Return the weights of least loss, that loss, and a bound on what it lacks."""
        beta = 1 / self.temperature_
        if self.objective == "mse":
            found = sums(_SquaredErrors(beta))
            gram = found.arrays[0] / (found.total * n_classes)
            weights = _least_on_simplex(2 * gram, np.zeros(3))
            return weights, float(weights @ gram @ weights), 0.0
        weights = np.full(3, 1 / 3)
        gap = np.inf
        for _ in range(_MAX_STEPS):
            found = sums(_LogLosses(beta, weights))
            value, gradient, hessian = (array / found.total for array in found.arrays)
            step = _least_on_simplex(hessian, gradient - hessian @ weights) - weights
            # No point of the simplex lies lower by more than the first, by convexity, or the second, near the minimum.
            gap = min(float(gradient @ weights - gradient.min()), max(0.0, -float(gradient @ step)))
            if gap <= _EXACT * max(1.0, abs(value)):
                break
            weights = self._search(sums, beta, weights, step, float(value), float(gradient @ step))
        return weights, float(value), gap

    def _search(
        self, sums: Any, beta: float, weights: NDArray[np.float64], step: NDArray[np.float64], value: float, fall: float
    ) -> NDArray[np.float64]:
        t = 1.0
        while t > 1e-10:
            found = sums(_LogLosses(beta, weights + t * step))
            if found.arrays[0] / found.total <= value + 1e-4 * t * fall + 1e-15 * abs(value):
                break
            t /= 2
        return weights + t * step

    def _proba(self, logits: Floats) -> Floats:
        weights = self.weights_.astype(logits.dtype)

        def mixed(piece: Floats) -> Floats:
            scaled, plain, uniform = _members(piece, 1 / self.temperature_, piece.dtype)
            scaled *= weights[0]
            plain *= weights[1]
            scaled += plain
            scaled += weights[2] * uniform
            return scaled

        return by_pieces(mixed, logits)

    def _check_state(self) -> None:
        if not self.temperature_ > 0 or not (self.weights_ >= 0).all() or abs(self.weights_.sum() - 1) > 1e-9:
            raise ValueError("temperature_ must be positive, and weights_ a distribution")

    def formula(self) -> Formula:
        """Return the map as a formula."""
        _, own, share = self.weights_.tolist()
        matrix = with_bias(np.eye(self.n_features_in_))
        return Formula(matrix, inverse_temperature=1 / self.temperature_, share=share, own=own)

    def describe(self) -> Description:
        """Return the temperature and the weights."""
        values = [FittedValue("temperature", self.temperature_, "T")]
        values += [
            FittedValue(f"weight_{name}", float(w), f"w({name})")
            for name, w in zip(_MEMBERS, self.weights_, strict=True)
        ]
        scaled, own, share = self.weights_.tolist()
        members = (f"softmax(z / {self.temperature_:.4g})", "softmax(z)", f"/ {self.n_features_in_}")
        equation = f"p = {terms((scaled, own, share), members)}"
        return Description("ensemble temperature scaling", tuple(values), equation=equation)


_MEMBERS = ("scaled", "uncalibrated", "uniform")


def _members(scores: Floats, beta: float, dtype: Any) -> tuple[Floats, Floats, Floats]:
    """Return the three members of the mixture; the uniform one as one number if no class is impossible."""
    scaled, plain = probabilities(scores, beta, dtype), probabilities(scores, 1.0, dtype)
    impossible = np.isneginf(scores)
    if not impossible.any():
        return scaled, plain, np.full((1, 1), 1 / scores.shape[1], dtype)
    return scaled, plain, (~impossible / (~impossible).sum(axis=1, keepdims=True)).astype(dtype)


def _pieces(rows: Rows, beta: float) -> Iterator[tuple[Floats, Floats, Any]]:
    """Yield the members (3, m, K), the shares of the classes (m, K), and the weights or 1."""
    for scores, truth, weight in labelled_pieces(rows):
        yield np.stack(np.broadcast_arrays(*_members(scores, beta, np.float64))), truth, weight


@dataclass(frozen=True)
class _SquaredErrors(Statistic[RowSums]):
    """Statistic: products of the errors of the three members, (3, 3)."""

    beta: float
    is_sum: ClassVar[bool] = True
    needs_distribution = True

    def measure(self, rows: Rows) -> RowSums:
        gram = np.zeros((3, 3))
        for members, truth, weight in _pieces(rows, self.beta):
            errors = members - truth
            per_row = weight * np.ones(len(truth))
            gram += np.einsum("amk,bmk,m->ab", errors, errors, per_row, optimize=True)
            # Shares of classes have a squared error of their own: the mean over votes.
            gram += per_row @ (1 - (truth * truth).sum(axis=1))
        return RowSums(rows.total_weight, (gram,))


@dataclass(frozen=True)
class _SquaredErrorSlope(Statistic[RowSums]):
    """Statistic: the slope of the squared error of the scaled probabilities in log β."""

    beta: float
    is_sum: ClassVar[bool] = True
    needs_distribution = True

    def measure(self, rows: Rows) -> RowSums:
        slope = 0.0
        for members, truth, weight in _pieces(rows, self.beta):
            p = members[0]
            with np.errstate(divide="ignore", invalid="ignore"):
                plogp = np.where(p > 0, p * np.log(p), 0)
            # dp/dlog β = p (x - mean of x), with x the log-probabilities.
            change = plogp - p * plogp.sum(axis=1)[:, None]
            slope += float((((p - truth) * change).sum(axis=1) * weight).sum())
        return RowSums(rows.total_weight, (np.float64(slope),))


@dataclass(frozen=True, eq=False)
class _LogLosses(Statistic[RowSums]):
    """Statistic: the log-loss of the mixture, with gradient and Hessian in the weights."""

    beta: float
    weights: NDArray[np.float64]
    is_sum: ClassVar[bool] = True
    needs_distribution = True

    def measure(self, rows: Rows) -> RowSums:
        value, gradient, hessian = 0.0, np.zeros(3), np.zeros((3, 3))
        for members, truth, weight in _pieces(rows, self.beta):
            row, k = np.nonzero(truth)
            share = truth[row, k] * (weight * np.ones(len(truth)))[row]
            chosen = members[:, row, k]
            p = np.maximum(self.weights @ chosen, np.finfo(np.float64).tiny)
            ratio = chosen / p
            value -= float(share @ np.log(p))
            gradient -= ratio @ share
            hessian += (ratio * share) @ ratio.T
        return RowSums(rows.total_weight, (np.float64(value), gradient, hessian))


def _least_on_simplex(hessian: NDArray[np.float64], gradient: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the w on the simplex with the least ``g · w + w · H · w / 2``, the best of its seven faces."""
    best, least = np.full(3, 1 / 3), np.inf
    for face in range(1, 8):
        on = [k for k in range(3) if face >> k & 1]
        one = np.ones((len(on), 1))
        system = np.block([[hessian[np.ix_(on, on)], one], [one.T, np.zeros((1, 1))]])
        solved = np.linalg.lstsq(system, np.append(-gradient[on], 1.0), rcond=None)[0][:-1]
        if (solved < -1e-12).any() or abs(solved.sum() - 1) > 1e-9:
            continue
        w = np.zeros(3)
        w[on] = np.maximum(solved, 0) / np.maximum(solved, 0).sum()
        value = float(gradient @ w + w @ hessian @ w / 2)
        if value < least:
            best, least = w, value
    return best
