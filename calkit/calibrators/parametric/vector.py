"""Vector scaling: a scale for each class, with a bias or without."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.parametric.base import Parametric, Ridged
from calkit.calibrators.parametric.inverse import LinearInverse
from calkit.calibrators.parametric.maps import LinearMap, PerClassMap
from calkit.calibrators.registration import register_calibrator

__all__ = ["NoBiasVectorScaling", "VectorScaling"]


@register_calibrator("vector")
class VectorScaling(LinearInverse, Ridged):
    r"""Vector scaling: multiply each log-probability by a number of its class, and add another.

    .. math:: u_k = w_k \log p_k + b_k

    Parameters
    ----------
    ridge : float, optional
        Weight of the penalty :math:`\sum_k (w_k - 1)^2 + b_k^2` beside the mean log-loss. By default 0; where a class
        is absent or the data can be separated, so that there is no minimum, 1e-4, with a warning.
    tol : float, default=1e-9
        Largest distance from the least objective, in nats a row, that counts as converged.

    Attributes
    ----------
    weights_ : ndarray of shape (K,)
    bias_ : ndarray of shape (K,)
    objective_, gap_bound_, gradient_norm_ : float
        The least objective found, a bound on what it lacks, and the largest entry of the gradient.
    n_iter_, n_passes_ : int
        Newton steps, and passes over the rows.
    converged_ : bool
    ridge_ : float
        The ridge that was added by default; 0 if none.

    Notes
    -----
    Log-probabilities are used, not the logits as they come: a constant added to the logits of a row then changes
    nothing.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.

    Examples
    --------
    >>> from calkit.calibrators import VectorScaling
    >>> from calkit.datasets import load_digits_logits
    >>> calibrator = VectorScaling(ridge=1e-3).fit_predictions(load_digits_logits("validation"))
    >>> calibrator.weights_.shape, calibrator.converged_
    ((10,), True)
    """

    _title: ClassVar[str] = "vector scaling"
    _parameters: ClassVar[tuple[str, ...]] = ("weights_", "bias_")
    _state: ClassVar[tuple[str, ...]] = (*_parameters, *Parametric._certificate)

    weights_: NDArray[np.float64]
    bias_: NDArray[np.float64]

    def _map(self, n_classes: int) -> LinearMap:
        return PerClassMap(n_classes)


@register_calibrator("nbvs")
class NoBiasVectorScaling(VectorScaling):
    r"""No-bias vector scaling: multiply each log-probability by a number of its class.

    .. math:: u_k = w_k \log p_k

    Parameters
    ----------
    ridge : float, optional
        Weight of the penalty :math:`\sum_k (w_k - 1)^2` beside the mean log-loss. By default 0; where a class is
        absent or the data can be separated, so that there is no minimum, 1e-4, with a warning.
    tol : float, default=1e-9
        Largest distance from the least objective, in nats a row, that counts as converged.

    Attributes
    ----------
    weights_ : ndarray of shape (K,)
    objective_, gap_bound_, gradient_norm_, n_iter_, n_passes_, converged_, ridge_
        As for :class:`VectorScaling`.

    References
    ----------
    Alexandari, Kundaje & Shrikumar, "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label Shift
    Adaptation", ICML 2020.

    Examples
    --------
    >>> from calkit.calibrators import NoBiasVectorScaling
    >>> from calkit.datasets import load_digits_logits
    >>> NoBiasVectorScaling(ridge=1e-3).fit_predictions(load_digits_logits("validation")).weights_.shape
    (10,)
    """

    _title: ClassVar[str] = "no-bias vector scaling"
    _parameters: ClassVar[tuple[str, ...]] = ("weights_",)
    _state: ClassVar[tuple[str, ...]] = (*_parameters, *Parametric._certificate)

    def _map(self, n_classes: int) -> LinearMap:
        return PerClassMap(n_classes, bias=False)
