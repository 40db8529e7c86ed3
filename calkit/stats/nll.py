"""The negative log-likelihood near one temperature: its value and four derivatives, in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.stats.rows import Rows
from calkit.stats.statistic import Statistic

__all__ = ["GapSums", "LogitGap", "NllDerivatives", "NllModel", "nll_derivatives"]


@dataclass(frozen=True, eq=False)
class NllModel:
    """Sums that describe the NLL as a function of the inverse temperature β around one β.

    Attributes
    ----------
    weight : float
        Sum of the weights.
    derivatives : ndarray of float64, shape (5,)
        Weighted sums of the NLL and its first four derivatives in β; NaN where only two were asked for.
    slope_limits : ndarray of float64, shape (2,)
        Weighted sums of the slope at β = 0 and for β to infinity, between which the slope rises.
    """

    weight: float
    derivatives: NDArray[np.float64]
    slope_limits: NDArray[np.float64]

    def __add__(self, other: NllModel) -> NllModel:
        return NllModel(
            self.weight + other.weight,
            self.derivatives + other.derivatives,
            self.slope_limits + other.slope_limits,
        )


def nll_derivatives(true: Any, m1: Any, m2: Any, m3: Any, m4: Any) -> tuple[Any, Any, Any, Any]:
    """Return the first four derivatives in β of the NLL of rows, by their moments; arrays of any library.

    Parameters
    ----------
    true : array of shape (b,)
        Distance of the true class from the top logit.
    m1, m2, m3, m4 : array of shape (b,)
        Means of the distances and of their powers, under the softmax at β.

    Returns
    -------
    tuple of four arrays of shape (b,)
    """
    return (
        true - m1,
        m2 - m1 * m1,
        -(m3 - 3 * m1 * m2 + 2 * m1**3),
        m4 - 4 * m1 * m3 - 3 * m2**2 + 12 * m1**2 * m2 - 6 * m1**4,
    )


@dataclass(frozen=True)
class NllDerivatives(Statistic[NllModel]):
    """Statistic: the NLL and its derivatives at an inverse temperature.

    With d_j = z_top - z_j and the softmax p at β, the NLL of a row is ``log Σ exp(-β d_j) + β d_y``: its derivatives
    are d_y - κ1, κ2, -κ3, κ4, the cumulants of d under p. It is convex in β (not in T = 1/β).

    Parameters
    ----------
    inverse_temperature : float
        β, in units of 2^-exponent.
    exponent : int
        Logits are multiplied by 2^-exponent first, exactly, so that none overflows.
    single : bool
        Whether exponentials are computed in float32: faster, and good to about 1e-7.
    orders : {4, 2}
        How many derivatives: two are enough for a Newton step, and faster.
    """

    inverse_temperature: float
    exponent: int = 0
    single: bool = False
    orders: int = 4
    is_sum: ClassVar[bool] = True
    needs_distribution = True

    def measure(self, rows: Rows) -> NllModel:
        """Return the :class:`NllModel` of one block."""
        precision = np.float32 if self.single else np.float64
        found = rows.nll_moments(self.inverse_temperature, self.exponent, precision, self.orders)
        true = found.true if rows.votes is None else self._mean_over_votes(rows.scores, rows.votes)
        value = np.log1p(found.rest) + self.inverse_temperature * true
        unknown = [np.nan] * (4 - self.orders)
        derivatives = [value, *nll_derivatives(true, *found.moments, *unknown)]
        return NllModel(
            rows.total_weight,
            np.array([rows.sum(values) for values in derivatives]),
            np.array([rows.sum(true - found.mean), rows.sum(true)]),
        )

    def _mean_over_votes(self, scores: NDArray[Any], votes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean distance of the classes voted for, which stands for that of the true class."""
        scaled = np.ldexp(scores.astype(np.float64), -self.exponent)
        distance = scaled.max(axis=1, keepdims=True) - scaled
        return np.multiply(votes, distance, where=votes > 0, out=np.zeros_like(distance)).sum(axis=1)


@dataclass(frozen=True)
class GapSums:
    """Weighted sum of log2 of gaps, and the sum of the weights."""

    total: float
    weight: float

    def __add__(self, other: GapSums) -> GapSums:
        return GapSums(self.total + other.total, self.weight + other.weight)


@dataclass(frozen=True)
class LogitGap(Statistic[GapSums]):
    """Statistic: the gap between the two largest logits of a row, as log2, where it is neither 0 nor infinite."""

    is_sum: ClassVar[bool] = True
    needs_distribution = True

    def measure(self, rows: Rows) -> GapSums:
        """Return the :class:`GapSums` of one block."""
        rows.check()
        second, top = np.partition(rows.scores, -2, axis=1)[:, -2:].astype(np.float64).T
        # Halves, so that differences do not overflow.
        half = top / 2 - second / 2
        usable = np.isfinite(half) & (half > 0)
        logs = np.log2(half, where=usable, out=np.zeros(len(half))) + usable
        weight = usable.astype(np.float64) if rows.weight is None else rows.weight * usable
        return GapSums(float((logs * weight).sum()), float(weight.sum()))
