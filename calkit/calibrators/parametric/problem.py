"""A parametric fit: data, a model of them, and penalties to try."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.parametric.maps import LinearMap
from calkit.calibrators.parametric.objective import Model, Objective
from calkit.calibrators.parametric.solver import DENSE_PARAMETERS, Solution, minimise
from calkit.calibrators.parametric.totals import DataTotals
from calkit.predictions import Predictions
from calkit.shards import Shards

__all__ = ["Penalty", "Problem"]


@dataclass(frozen=True, eq=False)
class Penalty:
    """``Σ ridge (θ - center)²``, added to the mean log-loss.

    Attributes
    ----------
    ridge : ndarray of shape (P,)
    center : ndarray of shape (P,)
    free : ndarray of bool, shape (P,), or None
        Parameters that are fitted; the others stay where they start.
    """

    ridge: NDArray[np.float64]
    center: NDArray[np.float64]
    free: NDArray[np.bool_] | None = None

    @classmethod
    def towards_identity(cls, mapping: LinearMap, ridge: float) -> Penalty:
        """Return one ridge on the distance from the parameters that change no probability."""
        center = mapping.identity()
        return cls(np.full(len(center), ridge), center)


@dataclass(eq=False)
class Problem:
    """Data and a model, whose log-loss is minimised with one penalty or several.

    Attributes
    ----------
    data : Predictions or Shards
    model : Model
    totals : DataTotals
    tol : float
        Largest gap that counts as converged, in nats a row.
    start : ndarray of shape (P,)
        Parameters from which a fit begins.
    n_passes : int
        Passes over the rows so far.
    """

    data: Predictions | Shards
    model: Model
    totals: DataTotals
    tol: float
    start: NDArray[np.float64]
    n_passes: int = 0

    def minimise(
        self, penalty: Penalty, start: NDArray[np.float64] | None = None, *, least: float = -np.inf
    ) -> Solution:
        """Return the minimum with a penalty; see :func:`~calkit.calibrators.parametric.solver.minimise`."""
        start = self.start if start is None else start
        objective = Objective(self.data, self.model, penalty.ridge, penalty.center)
        n_free = len(start) if penalty.free is None else int(penalty.free.sum())
        solution = minimise(
            objective,
            start,
            tol=self.tol,
            free=penalty.free,
            null_space=self.model.map.null_space() if n_free <= DENSE_PARAMETERS else None,
            least=least,
        )
        self.n_passes += objective.n_passes
        return solution

    def losses(self, theta: NDArray[np.float64]) -> tuple[float, float]:
        """Return the sum of the log-losses of the rows that the model counts, in float32, and that of their weights."""
        zero = np.zeros(len(theta))
        self.n_passes += 1
        return Objective(self.data, self.model, zero, zero).losses(theta)
