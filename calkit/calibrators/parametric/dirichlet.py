"""Dirichlet calibration with off-diagonal and intercept regularisation (ODIR)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from calkit.calibrators.parametric.base import as_strength
from calkit.calibrators.parametric.matrix import MatrixBased
from calkit.calibrators.parametric.problem import Penalty
from calkit.calibrators.parametric.totals import DataTotals
from calkit.calibrators.registration import register_calibrator
from calkit.errors import UsageError

__all__ = ["DirichletCalibration"]


@register_calibrator("dirichlet")
class DirichletCalibration(MatrixBased):
    r"""Dirichlet calibration: a matrix on log-probabilities, with off-diagonal and intercept regularisation (ODIR).

    .. math:: u = W \log p + b, \qquad
              F = \text{mean log-loss} + λ \sum_{j \ne k} W_{jk}^2 + μ \sum_k b_k^2

    Parameters
    ----------
    off_diagonal : float, default=0.01
        λ, the weight of the penalty on what is off the diagonal of W.
    bias : float, default=0.01
        μ, the weight of the penalty on b.
    convention : {"dirichletcal"}, optional
        ``"dirichletcal"`` holds the last row of W and b at 0 before the rest is penalised, as the authors' library
        does; the result then depends on which class is last.
    tol : float, default=1e-9
        Largest distance from the least objective, in nats a row, that counts as converged.

    Attributes
    ----------
    matrix_ : ndarray of shape (K, K)
        W.
    bias_ : ndarray of shape (K,)
        b.
    objective_, gap_bound_, gradient_norm_, n_iter_, n_passes_, converged_
        As for :class:`VectorScaling`.
    ridge_ : float
        A ridge of 1e-4 on the diagonal (and on what has no penalty), added with a warning where a class is absent or
        the data can be separated, so that the diagonal has no bounds; else 0.

    Raises
    ------
    UsageError
        For an unknown convention.

    References
    ----------
    Kull, Perelló-Nieto, Kängsepp, Silva Filho, Song & Flach, "Beyond temperature scaling: Obtaining well-calibrated
    multiclass probabilities with Dirichlet calibration", NeurIPS 2019.

    Examples
    --------
    >>> from calkit.calibrators import DirichletCalibration
    >>> from calkit.datasets import load_digits_logits
    >>> DirichletCalibration().fit_predictions(load_digits_logits("validation")).matrix_.shape
    (10, 10)
    """

    _title: ClassVar[str] = "Dirichlet calibration"

    def __init__(
        self,
        off_diagonal: float = 1e-2,
        bias: float = 1e-2,
        convention: Literal["dirichletcal"] | None = None,
        tol: float = 1e-9,
    ) -> None:
        self.off_diagonal = off_diagonal
        self.bias = bias
        self.convention = convention
        self.tol = tol

    def _penalty(self, totals: DataTotals) -> Penalty:
        if self.convention not in (None, "dirichletcal"):
            raise UsageError(f"convention must be 'dirichletcal' or None, but is {self.convention!r:.60}.")
        k = np.arange(totals.n_classes)
        ridge = np.full((len(k), len(k) + 1), as_strength("off_diagonal", self.off_diagonal))
        ridge[:, -1] = as_strength("bias", self.bias)
        ridge[k, k] = 0
        center = self._map(totals.n_classes).identity().reshape(ridge.shape)
        if self.convention is None:
            return Penalty(ridge.ravel(), center.ravel())
        free = np.broadcast_to((k < len(k) - 1)[:, None], ridge.shape)
        return Penalty((ridge * free).ravel(), (center * free).ravel(), free.ravel())
