"""Logistic maps of the logit of two classes: Platt's, and that of maximum likelihood."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from calkit.calibrators.parametric.binary import Binary, PolynomialMap
from calkit.calibrators.parametric.features import Kept
from calkit.calibrators.parametric.inverse import RisingInverse
from calkit.calibrators.parametric.maps import LinearMap
from calkit.calibrators.parametric.objective import Model
from calkit.calibrators.parametric.totals import DataTotals
from calkit.calibrators.registration import register_calibrator

__all__ = ["AffineScaling", "PlattScaling"]


@register_calibrator("affine")
class AffineScaling(RisingInverse, Binary):
    r"""Logistic regression on the logit s of class 1: :math:`a + b s`, of two classes.

    Parameters
    ----------
    ridge : float, optional
        Weight of the penalty :math:`a^2 + (b - 1)^2` beside the mean log-loss. By default 0; where a class is absent or
        the data can be separated, so that there is no minimum, 1e-4, with a warning.
    tol : float, default=1e-9
        Largest distance from the least objective, in nats a row, that counts as converged.

    Attributes
    ----------
    coef_ : ndarray of shape (2,)
        a and b.
    objective_, gap_bound_, gradient_norm_, n_iter_, n_passes_, converged_, ridge_
        As for :class:`VectorScaling`.

    Raises
    ------
    InputError
        If there are more than two classes.

    See Also
    --------
    PlattScaling : with smoothed labels, as published.

    Examples
    --------
    >>> from calkit.calibrators import AffineScaling
    >>> logits, labels = [-2.0, -1.0, 1.0, -0.5, 3.0, 0.5], [0, 0, 0, 1, 1, 1]
    >>> AffineScaling().fit(logits, labels).coef_.round(2).tolist()
    [-0.07, 0.86]
    """

    _title: ClassVar[str] = "affine scaling"
    _names: ClassVar[tuple[str, ...]] = ("a", "b")

    def _map(self, n_classes: int) -> LinearMap:
        return PolynomialMap(n_classes, 1)


@register_calibrator("platt", aliases=("sigmoid",))
class PlattScaling(AffineScaling):
    r"""Platt scaling: a logistic regression :math:`a + b s` on the logit s of class 1, to smoothed labels.

    The labels 1 and 0 stand for :math:`(n_1 + 1) / (n_1 + 2)` and :math:`1 / (n_0 + 2)`, with :math:`n_1` and
    :math:`n_0` rows of the two classes, so that it is defined for any data. A logit of -inf gives its class no share.

    Parameters
    ----------
    ridge : float, optional
        Weight of the penalty :math:`a^2 + (b - 1)^2` beside the mean log-loss; by default 0.
    tol : float, default=1e-9
        Largest distance from the least objective, in nats a row, that counts as converged.

    Attributes
    ----------
    coef_ : ndarray of shape (2,)
        a and b.
    objective_, gap_bound_, gradient_norm_, n_iter_, n_passes_, converged_
        As for :class:`VectorScaling`.

    Raises
    ------
    InputError
        If there are more than two classes.

    Notes
    -----
    It is a map of logits. Applied to probabilities as if these were logits, as is often done, it cannot be the
    identity, and calibrated input comes out uncalibrated; probabilities passed as such (kind "probs") are turned into
    logits first.

    References
    ----------
    Platt, "Probabilistic Outputs for Support Vector Machines and Comparisons to Regularized Likelihood Methods", 1999.

    Examples
    --------
    >>> from calkit.calibrators import PlattScaling
    >>> logits, labels = [-2.0, -1.0, 1.0, -0.5, 3.0, 0.5], [0, 0, 0, 1, 1, 1]
    >>> PlattScaling().fit(logits, labels).coef_.round(2).tolist()
    [-0.06, 0.42]
    """

    _title: ClassVar[str] = "Platt scaling"
    _is_per_class: ClassVar[bool] = False

    def _model(self, totals: DataTotals, kept: Kept) -> Model:
        first, second = totals.by_class
        low, high = 1 / (first + 2), (second + 1) / (second + 2)
        return replace(super()._model(totals, kept), targets=np.array([[1 - low, low], [1 - high, high]]))
