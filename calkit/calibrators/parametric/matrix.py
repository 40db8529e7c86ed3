"""Matrix scaling: a full linear map of the log-probabilities."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.parametric.base import DEFAULT_RIDGE, Parametric, Ridged, as_strength
from calkit.calibrators.parametric.inverse import LinearInverse
from calkit.calibrators.parametric.maps import LinearMap
from calkit.calibrators.parametric.matrix_map import MatrixMap
from calkit.calibrators.parametric.problem import Penalty, Problem
from calkit.calibrators.parametric.solver import Solution
from calkit.calibrators.parametric.totals import DataTotals
from calkit.calibrators.registration import register_calibrator
from calkit.errors import UsageError

__all__ = ["MatrixBased", "MatrixScaling"]

# With more classes, data that leave a full matrix determined are not to be had.
_MOST_CLASSES = 20

# With fewer rows for each class the fit goes by way of these ridges, found roughly.
_MANY_ROWS, _RIDGES, _ROUGH = 10, (0.1, 0.01, 0.001), 1e-3


class MatrixBased(LinearInverse, Parametric):
    """Base of calibrators by a full matrix W and a bias b."""

    _state: ClassVar[tuple[str, ...]] = ("matrix_", "bias_", *Parametric._certificate)

    matrix_: NDArray[np.float64]
    bias_: NDArray[np.float64]

    def _map(self, n_classes: int) -> LinearMap:
        return MatrixMap(n_classes)

    def _unpack(self, theta: NDArray[np.float64]) -> None:
        n_classes = math.isqrt(len(theta))
        table = theta.reshape(n_classes, n_classes + 1)
        self.matrix_, self.bias_ = table[:, :-1].copy(), table[:, -1].copy()

    def _pack(self) -> NDArray[np.float64]:
        return np.hstack([self.matrix_, self.bias_[:, None]]).ravel()


@register_calibrator("matrix")
class MatrixScaling(MatrixBased, Ridged):
    r"""Matrix scaling: a full matrix and a bias.

    .. math:: u = W \log p + b

    Parameters
    ----------
    ridge : float, optional
        Weight of the penalty :math:`\lVert W - I \rVert^2 + \lVert b \rVert^2` beside the mean log-loss. By default 0
        for up to 20 classes, and 1e-4 for more, where data are next to separable; 1e-4, with a warning, also where a
        class is absent or the data can be separated, so that there is no minimum.
    tol : float, default=1e-9
        Largest distance from the least objective, in nats a row, that counts as converged.

    Attributes
    ----------
    matrix_ : ndarray of shape (K, K)
        W.
    bias_ : ndarray of shape (K,)
        b.
    objective_, gap_bound_, gradient_norm_, n_iter_, n_passes_, converged_, ridge_
        As for :class:`VectorScaling`.

    Raises
    ------
    UsageError
        For ``ridge=0`` with more than 20 classes.

    See Also
    --------
    StructuredMatrixScaling : shrunk to a temperature, the better choice for many classes.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.

    Examples
    --------
    >>> from calkit.calibrators import MatrixScaling
    >>> from calkit.datasets import load_digits_logits
    >>> MatrixScaling(ridge=1e-3).fit_predictions(load_digits_logits("validation")).matrix_.shape
    (10, 10)
    """

    _title: ClassVar[str] = "matrix scaling"

    def _minimise(self, problem: Problem, penalty: Penalty, least: float) -> Solution:
        if problem.totals.weight >= _MANY_ROWS * problem.totals.n_classes:
            return super()._minimise(problem, penalty, least)
        # Where rows can nearly be separated, Newton steps from far away are short: stronger penalties lead there.
        rough, start = replace(problem, tol=_ROUGH), problem.start
        for ridge in _RIDGES:
            if ridge > penalty.ridge.max() > 0:
                start = rough.minimise(replace(penalty, ridge=np.full_like(penalty.ridge, ridge)), start).theta
        problem.n_passes = rough.n_passes
        return problem.minimise(penalty, start, least=least)

    def _penalty(self, totals: DataTotals) -> Penalty:
        if totals.n_classes <= _MOST_CLASSES:
            return super()._penalty(totals)
        ridge = DEFAULT_RIDGE if self.ridge is None else as_strength("ridge", self.ridge)
        if not ridge:
            raise UsageError(
                f"matrix scaling of {totals.n_classes} classes needs a ridge, 1e-4 for instance (up to {_MOST_CLASSES} "
                "classes go without); or take structured matrix scaling, 'sms'."
            )
        return Penalty.towards_identity(self._map(totals.n_classes), ridge)
