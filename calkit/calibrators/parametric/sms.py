"""Structured matrix scaling: matrix scaling shrunk to a temperature, off the diagonal most."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from calkit.calibrators.description import Description, FittedValue
from calkit.calibrators.parametric.base import as_strength
from calkit.calibrators.parametric.cross_validation import choose_penalty
from calkit.calibrators.parametric.matrix import MatrixBased
from calkit.calibrators.parametric.problem import Penalty, Problem
from calkit.calibrators.parametric.totals import DataTotals
from calkit.calibrators.registration import register_calibrator
from calkit.errors import UsageError

__all__ = ["StructuredMatrixScaling"]

# The number of classes from which the published penalty is too strong, and the data decide.
_MANY_CLASSES = 50

# Multipliers that are tried, from strong to weak: each fit starts from the one before.
_MULTIPLIERS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)

_FOLDS = 5

# With more rows one of the folds tells enough.
_MANY_ROWS = 10_000


@register_calibrator("sms")
class StructuredMatrixScaling(MatrixBased):
    r"""Structured matrix scaling: a temperature, and what the data say beyond it in a full matrix.

    .. math:: u = W x + b, \qquad x = \log\frac{n p_T + 1 / K}{n + 1}

    with :math:`p_T` the probabilities at the temperature of least log-loss. To the mean log-loss is added

    .. math:: \frac{K}{n} \sum_k (W_{kk} - 1)^2 + b_k^2 \; + \; m \frac{K (K - 1)}{n} \sum_{j \ne k} W_{jk}^2

    Parameters
    ----------
    off_diagonal : float or "cv", optional
        m. The published penalty has m = 1. ``"cv"`` chooses it among 1, 0.3, … 0.001 by the log-loss in five-fold
        cross-validation (of more than 10,000 rows, by one of the five folds). By default 1 for fewer than 50 classes,
        else ``"cv"``: with many classes the published penalty leaves little of the matrix.
    strength : float, default=1.0
        Multiplies the whole penalty.
    tol : float, default=1e-9
        Largest distance from the least objective, in nats a row, that counts as converged.

    Attributes
    ----------
    inverse_temperature_ : float
        1 / T.
    mix_ : float
        1 / (n + 1), the share of the uniform distribution.
    matrix_ : ndarray of shape (K, K)
        W.
    bias_ : ndarray of shape (K,)
        b.
    off_diagonal_ : float
        m, as used.
    objective_, gap_bound_, gradient_norm_ : float
        The least objective found, a bound on what it lacks, and the largest entry of the gradient.
    n_iter_, n_passes_ : int
        Newton steps of the last fit, and passes over the rows of all.
    converged_ : bool

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Notes
    -----
    It is defined for any data: absent classes, separable ones, a single row. With weights, n is their sum. Folds are
    made by a hash of the largest and the smallest logit of a row: they depend on neither the order of the rows nor on a
    random state, and copies of a row share a fold.

    References
    ----------
    Berta, Holzmüller, Jordan & Bach, "Structured Matrix Scaling for Multi-Class Calibration", 2025; penalties as
    published in their library probmetrics.

    Examples
    --------
    >>> from calkit.calibrators import StructuredMatrixScaling
    >>> from calkit.datasets import load_digits_logits
    >>> calibrator = StructuredMatrixScaling().fit_predictions(load_digits_logits("validation"))
    >>> calibrator.matrix_.shape, calibrator.off_diagonal_
    ((10, 10), 1.0)
    """

    _title: ClassVar[str] = "structured matrix scaling"
    _state: ClassVar[tuple[str, ...]] = (*MatrixBased._state, "off_diagonal_")
    _temperature_first: ClassVar[bool] = True
    _mixes: ClassVar[bool] = True

    off_diagonal_: float

    def __init__(
        self, off_diagonal: float | Literal["cv"] | None = None, strength: float = 1.0, tol: float = 1e-9
    ) -> None:
        self.off_diagonal = off_diagonal
        self.strength = strength
        self.tol = tol

    def _choose(self, problem: Problem) -> Penalty:
        totals = problem.totals
        by_data = totals.n_classes >= _MANY_CLASSES if self.off_diagonal is None else self.off_diagonal == "cv"
        if by_data:
            path = {m: self._penalty_of(m, totals) for m in _MULTIPLIERS}
            n_used = _FOLDS if totals.weight <= _MANY_ROWS else 1
            self.off_diagonal_ = choose_penalty(problem, path, _FOLDS, n_used)
        elif self.off_diagonal is None:
            self.off_diagonal_ = 1.0
        elif isinstance(self.off_diagonal, str):
            raise UsageError(f"off_diagonal must be a number, 'cv' or None, but is {self.off_diagonal!r:.60}.")
        else:
            self.off_diagonal_ = as_strength("off_diagonal", self.off_diagonal)
        return self._penalty_of(self.off_diagonal_, totals)

    def _penalty(self, totals: DataTotals) -> Penalty:
        return self._penalty_of(1.0, totals)

    def _penalty_of(self, off_diagonal: float, totals: DataTotals) -> Penalty:
        n_classes, k = totals.n_classes, np.arange(totals.n_classes)
        unit = as_strength("strength", self.strength) * n_classes / totals.weight
        ridge = np.full((n_classes, n_classes + 1), unit * (n_classes - 1) * off_diagonal)
        ridge[:, -1] = ridge[k, k] = unit
        return Penalty(ridge.ravel(), self._map(n_classes).identity())

    def describe(self) -> Description:
        """Return the temperature, the multiplier and the number of parameters."""
        n_classes = len(self.bias_)
        values = (
            FittedValue("temperature", 1 / self.inverse_temperature_, "T"),
            FittedValue("off_diagonal", self.off_diagonal_, "off-diagonal penalty"),
            FittedValue("n_parameters", n_classes * (n_classes + 1), "parameters"),
        )
        return Description(self._title, values, notes=self._notes())
