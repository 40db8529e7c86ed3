"""Beta calibration of two classes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.parametric.binary import Binary
from calkit.calibrators.parametric.features import Block
from calkit.calibrators.parametric.inverse import RisingInverse
from calkit.calibrators.parametric.maps import BinaryMap, Features, LinearMap
from calkit.calibrators.parametric.problem import Penalty, Problem
from calkit.calibrators.parametric.solver import Solution
from calkit.calibrators.registration import register_calibrator

__all__ = ["BetaCalibration"]

Floats = NDArray[np.floating[Any]]

# Which of c, a and b are free, in the order in which they are tried.
_FACES = ((True, True, True), (True, False, True), (True, True, False), (True, False, False))


class _BetaMap(BinaryMap):
    """Features 1, log q and -log(1 - q), of the probability q of class 1."""

    def identity(self) -> NDArray[np.float64]:
        return np.array([0.0, 1.0, 1.0])

    def as_matrix(self, theta: NDArray[np.float64]) -> tuple[NDArray[np.float64], Features]:
        c, a, b = theta
        return np.stack([np.zeros(3), np.array([-b, a, c])], axis=1), "linear"

    def basis(self, block: Block) -> Floats:
        x = block.x
        return np.stack([np.ones_like(x[:, 0]), x[:, 1], -x[:, 0]], axis=1)


@register_calibrator("beta")
class BetaCalibration(RisingInverse, Binary):
    r"""Beta calibration: the map by the likelihood ratio of two beta distributions, of two classes.

    .. math:: \text{logit} = c + a \log q - b \log(1 - q), \qquad a, b \ge 0

    with q the probability of class 1. The signs make the map rise.

    Parameters
    ----------
    ridge : float, optional
        Weight of the penalty :math:`c^2 + (a - 1)^2 + (b - 1)^2` beside the mean log-loss. By default 0; where a class
        is absent or the data can be separated, so that there is no minimum, 1e-4, with a warning.
    tol : float, default=1e-9
        Largest distance from the least objective, in nats a row, that counts as converged.

    Attributes
    ----------
    coef_ : ndarray of shape (3,)
        c, a and b.
    objective_, gap_bound_, gradient_norm_ : float
        The least objective found, a bound on what it lacks, and the largest entry of the gradient, those of parameters
        held at 0 left out.
    n_iter_, n_passes_ : int
        Newton steps, and passes over the rows.
    converged_ : bool
    ridge_ : float
        The ridge that was added by default; 0 if none.

    Raises
    ------
    InputError
        If there are more than two classes.

    Notes
    -----
    The constrained minimum is exact: it is that of the faces of the quadrant a, b >= 0 with the least objective.

    References
    ----------
    Kull, Silva Filho & Flach, "Beyond sigmoids: How to obtain well-calibrated probabilities from binary classifiers
    with beta calibration", Electronic Journal of Statistics 11, 2017.

    Examples
    --------
    >>> from calkit.calibrators import BetaCalibration
    >>> logits, labels = [-2.0, -1.0, 1.0, -0.5, 3.0, 0.5], [0, 0, 0, 1, 1, 1]
    >>> bool((BetaCalibration().fit(logits, labels).coef_[1:] >= 0).all())
    True
    """

    keeps_order: ClassVar[bool] = False
    _title: ClassVar[str] = "beta calibration"
    _names: ClassVar[tuple[str, ...]] = ("c", "a", "b")
    _symbols: ClassVar[tuple[str, ...]] = ("", "log p", "log(1 / (1 - p))")

    def _map(self, n_classes: int) -> LinearMap:
        return _BetaMap(n_classes)

    def _minimise(self, problem: Problem, penalty: Penalty, least: float) -> Solution:
        found: list[Solution] = []
        for face in _FACES:
            free = np.array(face)
            solution = problem.minimise(replace(penalty, free=free), np.where(free, problem.start, 0.0), least=least)
            if (solution.theta >= 0)[1:].all():
                found.append(solution)
                if free.all():
                    break
        return min(found, key=lambda solution: solution.value)

    def _check_state(self) -> None:
        super()._check_state()
        if (self.coef_[1:] < 0).any():
            raise ValueError("a or b is negative")
