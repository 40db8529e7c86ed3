"""The focal calibration map with a temperature."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.base import Calibrator
from calkit.calibrators.description import Description, FittedValue
from calkit.calibrators.inputs import by_pieces
from calkit.calibrators.nll_root import nll_root
from calkit.calibrators.parametric.base import as_strength, truth_is_possible
from calkit.calibrators.parametric.features import (
    FEW_CLASSES_BY_ROW,
    labelled_pieces,
    log_probabilities,
    softmax_in_place,
)
from calkit.calibrators.parametric.objective import RowSums
from calkit.calibrators.parametric.scale import best_scale
from calkit.calibrators.registration import register_calibrator
from calkit.errors import CalibrationWarning
from calkit.predictions import Predictions
from calkit.shards import Shards
from calkit.stats import Statistic, summarize
from calkit.stats.rows import Rows

__all__ = ["FocalMap"]

Floats = NDArray[np.floating[Any]]

# Where 1 - q is less than this, quotients of differences are replaced by their series.
_NEAR_ONE = 1e-4

# Whole exponents below this are products.
_MULTIPLIED = 9


@register_calibrator("focal-map", aliases=("focal-temperature",))
class FocalMap(Calibrator):
    r"""Focal calibration map with a temperature, for networks trained with focal loss.

    .. math:: p_k \propto \frac{q_k}{g(q_k, γ)}, \qquad q = \text{softmax}(z / T), \qquad
              g(q, γ) = (1 - q)^γ - γ q (1 - q)^{γ - 1} \log q

    For T = 1 it turns the minimiser of focal loss into the posterior of the classes
    (:func:`calkit.theory.focal_posterior`). T is that of least log-loss after the map. The order of the classes of a
    row stays.

    Parameters
    ----------
    gamma : float, default=3.0
        γ of the focal loss that the network was trained with; 0 is temperature scaling.

    Attributes
    ----------
    temperature_ : float
    objective_ : float
        Mean log-loss at `temperature_`, in nats.
    n_passes_ : int
    converged_ : bool
        Whether a root of the slope was found.

    Raises
    ------
    UsageError
        If γ is negative.

    Warns
    -----
    CalibrationWarning
        If the log-loss has no minimum in T, as for separable data.

    References
    ----------
    Komisarenko & Kull, "Improving Calibration by Relating Focal Loss, Temperature Scaling, and Properness", ECAI 2024.
    Charoenphakdee, Vongkulbhisal, Chairatanakul & Sugiyama, "On Focal Loss for Class-Posterior Probability Estimation:
    A Theoretical Perspective", CVPR 2021.

    Examples
    --------
    >>> from calkit.calibrators import get_calibrator
    >>> from calkit.datasets import load_digits_logits
    >>> calibrator = get_calibrator("focal-map:gamma=3").fit_predictions(load_digits_logits("validation"))
    >>> calibrator.temperature_ > 0
    True
    """

    supports: ClassVar[frozenset[str]] = frozenset({"weights", "shards", "soft", "pairs"})
    keeps_order: ClassVar[bool] = True
    _state: ClassVar[tuple[str, ...]] = ("temperature_", "objective_", "n_passes_", "converged_")

    temperature_: float
    objective_: float
    n_passes_: int
    converged_: bool

    def __init__(self, gamma: float = 3.0) -> None:
        self.gamma = gamma

    def _fit(self, data: Predictions | Shards) -> None:
        gamma = as_strength("gamma", self.gamma)
        truth_is_possible(data)
        root = nll_root(data)
        self.n_passes_ = root.n_passes

        def sums(beta: float) -> RowSums:
            self.n_passes_ += 1
            statistic = _Slope(beta, gamma)
            found: RowSums = summarize(data, [statistic], check=False)[statistic]
            return found

        beta, found = 1 / root.temperature, False
        if root.outcome == "converged":
            beta, found = best_scale(lambda beta: float(sums(beta).arrays[1]), beta)
        if not found:
            warnings.warn(
                "the log-loss has no least value in the temperature (the data can be separated, tell less than chance, "
                f"or are constant); temperature_ is held at {1 / beta:.6g}.",
                CalibrationWarning,
                stacklevel=4,
            )
        least = sums(beta)
        self.temperature_, self.objective_, self.converged_ = 1 / beta, float(least.arrays[0] / least.total), found

    def _log_proba(self, logits: Floats) -> Floats:
        def mapped(piece: Floats) -> Floats:
            u = _log_mapped(_terms(piece, 1 / self.temperature_, piece.dtype), self.gamma)
            u -= u.max(axis=1)[:, None]
            u -= np.log(np.exp(u).sum(axis=1))[:, None]
            return u

        return by_pieces(mapped, logits)

    def _proba(self, logits: Floats) -> Floats:
        def mapped(piece: Floats) -> Floats:
            terms = _terms(piece, 1 / self.temperature_, piece.dtype)
            # (1 - q)^-γ relative to that of the largest q, so that nothing overflows.
            p = _power(terms.rest[terms.top][:, None] / terms.rest, self.gamma)
            p *= terms.q
            divisor = self.gamma * terms.shrinkage
            divisor += 1
            p /= divisor
            p /= (p @ np.ones(p.shape[1], p.dtype))[:, None]
            return p

        return by_pieces(mapped, logits)

    def _check_state(self) -> None:
        if not self.temperature_ > 0:
            raise ValueError(f"temperature_ is {self.temperature_!r:.40}, but must be a positive number")

    def describe(self) -> Description:
        """Return γ and the temperature."""
        values = (FittedValue("gamma", float(self.gamma), "γ"), FittedValue("temperature", self.temperature_, "T"))
        g, t = f"{self.gamma:.4g}", f"{self.temperature_:.4g}"
        equation = f"p ∝ q / ((1 - q)^{g} - {g} q (1 - q)^{self.gamma - 1:.4g} log q), q = softmax(z / {t})"
        return Description("focal calibration map", values, equation=equation)


def _power(x: Floats, exponent: float) -> Floats:
    """Return powers of numbers in (0, 1], by multiplication where that is faster."""
    if exponent not in range(1, _MULTIPLIED):
        return np.asarray(np.exp(exponent * np.log(x)))
    found = x.copy()
    for _ in range(int(exponent) - 1):
        found *= x
    return found


@dataclass(frozen=True, eq=False)
class _Terms:
    """What the map is made of, of some rows.

    Attributes
    ----------
    x, q : ndarray of shape (m, K)
        log q and q, the probabilities at the temperature; 0 both where q is 0.
    masked : ndarray of bool, shape (m, K), or None
        Where it is.
    rest : ndarray of shape (m, K)
        1 - q, with all its digits.
    shrinkage : ndarray of shape (m, K)
        -q log q / (1 - q).
    top : tuple of ndarray of intp
        Where the largest q of each row is.
    """

    x: Floats
    q: Floats
    masked: NDArray[np.bool_] | None
    rest: Floats
    shrinkage: Floats
    top: tuple[NDArray[np.intp], NDArray[np.intp]]


def _terms(scores: Floats, beta: float, dtype: Any) -> _Terms:
    x, masked = log_probabilities(scores, beta, 0.0, dtype, FEW_CLASSES_BY_ROW)
    q = np.exp(x)
    if masked is not None:
        q[masked] = 0
    # 1 - q keeps its digits as the sum of the others, where one class has nearly everything.
    top = (np.arange(len(q)), q.argmax(axis=1))
    largest, rest = q[top], 1 - q
    q[top] = 0
    others = np.maximum(q @ np.ones(q.shape[1], q.dtype), np.finfo(dtype).tiny)
    q[top] = largest
    # Up to one half 1 - q has them anyhow, and classes that are equal stay so.
    rest[top] = np.where(largest > 0.5, others, rest[top])
    shrinkage = q * x
    shrinkage /= rest
    np.negative(shrinkage, out=shrinkage)
    near = rest[top] <= _NEAR_ONE
    shrinkage[top] = np.where(near, largest * (1 + rest[top] / 2), shrinkage[top])
    return _Terms(x, q, masked, rest, shrinkage, top)


def _log_mapped(terms: _Terms, gamma: float) -> Floats:
    """Return log(q / g(q)) up to a constant per row."""
    u = terms.x - gamma * np.log(terms.rest)
    u -= np.log1p(gamma * terms.shrinkage)
    if terms.masked is not None:
        u[terms.masked] = -np.inf
    return u


def _stretch(terms: _Terms, gamma: float) -> Floats:
    """Return the derivative of log(q / g(q)) in log q."""
    q, rest = terms.q, terms.rest
    # d shrinkage / d log q, which is q (q - 1 - log q) / (1 - q)²; near q = 1 that is a half.
    away = np.maximum(rest, _NEAR_ONE)
    bend = q * np.where(rest <= _NEAR_ONE, 0.5 + rest / 3, (-rest - terms.x) / (away * away))
    return 1 + gamma * q / rest - gamma * bend / (1 + gamma * terms.shrinkage)


@dataclass(frozen=True)
class _Slope(Statistic[RowSums]):
    """Statistic: the log-loss after the map, and its slope in log β."""

    beta: float
    gamma: float
    is_sum: ClassVar[bool] = True
    needs_distribution = True

    def measure(self, rows: Rows) -> RowSums:
        value = slope = 0.0
        for scores, truth, weight in labelled_pieces(rows):
            terms = _terms(scores, self.beta, np.float64)
            u, x = _log_mapped(terms, self.gamma), terms.x
            right = np.where(truth > 0, truth * np.where(truth > 0, u, 0), 0).sum(axis=1)
            top = u.max(axis=1)
            p = u - top[:, None]
            value += float(((softmax_in_place(p) + top - right) * weight).sum())
            q = np.where(np.isneginf(u), 0, np.exp(x))
            # d log q / d log β = x - mean of x under q.
            change = _stretch(terms, self.gamma) * (x - (q * x).sum(axis=1)[:, None])
            slope += float((((p - truth) * change).sum(axis=1) * weight).sum())
        return RowSums(rows.total_weight, (np.float64(value), np.float64(slope)))
