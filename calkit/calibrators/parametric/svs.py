"""Structured vector scaling: vector scaling shrunk to a temperature."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.parametric.base import Parametric, as_strength
from calkit.calibrators.parametric.inverse import LinearInverse
from calkit.calibrators.parametric.maps import LinearMap, PerClassMap
from calkit.calibrators.parametric.problem import Penalty
from calkit.calibrators.parametric.totals import DataTotals
from calkit.calibrators.registration import register_calibrator

__all__ = ["StructuredVectorScaling"]


@register_calibrator("svs")
class StructuredVectorScaling(LinearInverse, Parametric):
    r"""Structured vector scaling: a temperature, and what the data say beyond it for each class.

    .. math:: u_k = w_k x_k + b_k, \qquad x = \log\frac{n p_T + 1 / K}{n + 1}

    with :math:`p_T` the probabilities at the temperature of least log-loss. The penalty
    :math:`\frac{K}{n} \sum_k (w_k - 1)^2 + b_k^2` is added to the mean log-loss.

    Parameters
    ----------
    strength : float, default=1.0
        Multiplies the penalty.
    tol : float, default=1e-9
        Largest distance from the least objective, in nats a row, that counts as converged.

    Attributes
    ----------
    inverse_temperature_ : float
        1 / T.
    mix_ : float
        1 / (n + 1), the share of the uniform distribution.
    weights_ : ndarray of shape (K,)
    bias_ : ndarray of shape (K,)
    objective_, gap_bound_, gradient_norm_, n_iter_, n_passes_, converged_
        As for :class:`VectorScaling`.

    Notes
    -----
    It is defined for any data: absent classes, separable ones, a single row. With weights, n is their sum.

    References
    ----------
    Berta, Holzmüller, Jordan & Bach, "Structured Matrix Scaling for Multi-Class Calibration", 2025; penalties as
    published in their library probmetrics.

    Examples
    --------
    >>> from calkit.calibrators import StructuredVectorScaling
    >>> from calkit.datasets import load_digits_logits
    >>> calibrator = StructuredVectorScaling().fit_predictions(load_digits_logits("validation"))
    >>> calibrator.gap_bound_ < 1e-9
    True
    """

    _title: ClassVar[str] = "structured vector scaling"
    _parameters: ClassVar[tuple[str, ...]] = ("weights_", "bias_")
    _state: ClassVar[tuple[str, ...]] = (*_parameters, *Parametric._certificate)
    _temperature_first: ClassVar[bool] = True
    _mixes: ClassVar[bool] = True

    weights_: NDArray[np.float64]
    bias_: NDArray[np.float64]

    def __init__(self, strength: float = 1.0, tol: float = 1e-9) -> None:
        self.strength = strength
        self.tol = tol

    def _map(self, n_classes: int) -> LinearMap:
        return PerClassMap(n_classes)

    def _penalty(self, totals: DataTotals) -> Penalty:
        ridge = as_strength("strength", self.strength) * totals.n_classes / totals.weight
        return Penalty.towards_identity(self._map(totals.n_classes), ridge)
