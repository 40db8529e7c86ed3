"""Bias-corrected temperature scaling."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.description import Description, FittedValue
from calkit.calibrators.parametric.base import Parametric, Ridged
from calkit.calibrators.parametric.inverse import LinearInverse
from calkit.calibrators.parametric.maps import LinearMap, PerClassMap
from calkit.calibrators.registration import register_calibrator

__all__ = ["BiasCorrectedTemperatureScaling"]


@register_calibrator("bcts")
class BiasCorrectedTemperatureScaling(LinearInverse, Ridged):
    r"""Bias-corrected temperature scaling: one temperature, and a bias for each class.

    .. math:: u_k = \log p_k / T + b_k

    Parameters
    ----------
    ridge : float, optional
        Weight of the penalty :math:`(1/T - 1)^2 + \sum_k b_k^2` beside the mean log-loss. By default 0; where a class
        is absent or the data can be separated, so that there is no minimum, 1e-4, with a warning.
    tol : float, default=1e-9
        Largest distance from the least objective, in nats a row, that counts as converged.

    Attributes
    ----------
    scale_ : float
        1 / T.
    bias_ : ndarray of shape (K,)
    objective_, gap_bound_, gradient_norm_, n_iter_, n_passes_, converged_, ridge_
        As for :class:`VectorScaling`.

    References
    ----------
    Alexandari, Kundaje & Shrikumar, "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label Shift
    Adaptation", ICML 2020.

    Examples
    --------
    >>> from calkit.calibrators import BiasCorrectedTemperatureScaling
    >>> from calkit.datasets import load_digits_logits
    >>> calibrator = BiasCorrectedTemperatureScaling().fit_predictions(load_digits_logits("validation"))
    >>> calibrator.scale_ < 1, calibrator.bias_.shape
    (True, (10,))
    """

    _title: ClassVar[str] = "bias-corrected temperature scaling"
    _parameters: ClassVar[tuple[str, ...]] = ("scale_", "bias_")
    _state: ClassVar[tuple[str, ...]] = (*_parameters, *Parametric._certificate)

    scale_: float
    bias_: NDArray[np.float64]

    def _map(self, n_classes: int) -> LinearMap:
        return PerClassMap(n_classes, tied=True)

    def _unpack(self, theta: NDArray[np.float64]) -> None:
        self.scale_, self.bias_ = float(theta[0]), theta[1:]

    def describe(self) -> Description:
        """Return the inverse temperature, and how many biases there are."""
        values = (
            FittedValue("scale", self.scale_, "1/T"),
            FittedValue("n_parameters", len(self.bias_) + 1, "parameters"),
        )
        equation = f"p = softmax({self.scale_:.4g} z + b)"
        return Description(self._title, values, notes=self._notes(), equation=equation)
