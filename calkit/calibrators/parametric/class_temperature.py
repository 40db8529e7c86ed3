"""Class-wise temperature scaling: a temperature for each predicted class."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.description import Description
from calkit.calibrators.parametric.base import Parametric, as_strength
from calkit.calibrators.parametric.maps import LinearMap, PerPredictionMap
from calkit.calibrators.parametric.problem import Penalty, Problem
from calkit.calibrators.parametric.solver import Solution
from calkit.calibrators.parametric.totals import DataTotals
from calkit.calibrators.registration import register_calibrator

__all__ = ["ClassTemperatureScaling"]

_LEAST = 0.01

# The most classes whose temperatures are listed.
_SHOWN = 10


@register_calibrator("class-temperature")
class ClassTemperatureScaling(Parametric):
    r"""Class-wise temperature scaling: rows predicted to be of class c are divided by its temperature.

    .. math:: u_i = w_c x_i, \qquad c = \arg\max_k x_{ik}

    with :math:`x_i` the log-probabilities at the one temperature of least log-loss. The penalty
    :math:`\frac{s}{n} \sum_c (w_c - 1)^2` beside the mean log-loss shrinks the temperatures to that one, those of
    classes that are hardly predicted most. The order of the classes of a row stays.

    Parameters
    ----------
    strength : float, default=1.0
        s, the strength of the penalty in rows; positive.
    tol : float, default=1e-9
        Largest distance from the least objective, in nats a row, that counts as converged.

    Attributes
    ----------
    inverse_temperature_ : float
        The inverse temperature that comes first.
    weights_ : ndarray of shape (K,)
        w, at least 0.01: where w would be lower, rows of that prediction tell nothing of the truth.
    objective_, gap_bound_, gradient_norm_, n_iter_, n_passes_, converged_
        As for :class:`VectorScaling`.

    References
    ----------
    Frenkel & Goldberger, "Network Calibration by Class-based Temperature Scaling", EUSIPCO 2021 (there by grid search
    on ECE, and without a penalty).

    Examples
    --------
    >>> from calkit.calibrators import ClassTemperatureScaling
    >>> from calkit.datasets import load_digits_logits
    >>> ClassTemperatureScaling().fit_predictions(load_digits_logits("validation")).weights_.shape
    (10,)
    """

    keeps_order: ClassVar[bool] = True
    _title: ClassVar[str] = "class-wise temperature scaling"
    _parameters: ClassVar[tuple[str, ...]] = ("weights_",)
    _state: ClassVar[tuple[str, ...]] = (*_parameters, *Parametric._certificate)
    _temperature_first: ClassVar[bool] = True

    weights_: NDArray[np.float64]

    def __init__(self, strength: float = 1.0, tol: float = 1e-9) -> None:
        self.strength = strength
        self.tol = tol

    def _map(self, n_classes: int) -> LinearMap:
        return PerPredictionMap(n_classes)

    def _penalty(self, totals: DataTotals) -> Penalty:
        ridge = as_strength("strength", self.strength, positive=True) / totals.weight
        return Penalty.towards_identity(self._map(totals.n_classes), ridge)

    def _minimise(self, problem: Problem, penalty: Penalty, least: float) -> Solution:
        solution = super()._minimise(problem, penalty, least)
        low = solution.theta < _LEAST
        if not low.any():
            return solution
        # Each parameter has rows of its own, so those at the bound leave the others where they are.
        bounded = np.where(low, _LEAST, solution.theta)
        return problem.minimise(replace(penalty, free=~low), bounded, least=least)

    def describe(self) -> Description:
        """Return the temperature of all, and those of predicted classes: of few each, of many the range."""
        found = super().describe()
        each = 1 / (self.inverse_temperature_ * self.weights_)
        if len(each) <= _SHOWN:
            listed = ", ".join(f"T({name}) = {t:.4g}" for name, t in zip(self.classes_, each, strict=True))
        else:
            listed = f"T from {each.min():.4g} to {each.max():.4g}, median {np.median(each):.4g}"
        return replace(found, equation=f"p = softmax(z / T(c)), c the predicted class, {listed}")
