"""What confidences become at inverse temperatures nearby, bounded from what is known at one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.stats.rows import Rows
from calkit.stats.statistic import Statistic

__all__ = ["RescaledConfidence", "RescaledTotals"]

# Sums below this may have lost their digits in float32, or be what exponentials end at.
_SMALL = 1e-30

# A logarithm of nothing.
_NOTHING = -1e6


@dataclass(frozen=True)
class RescaledTotals:
    """Weighted sums of bounds on confidences.

    Attributes
    ----------
    weight : float
        Sum of the weights.
    totals : ndarray of float64, shape (m,)
        One for each factor.
    """

    weight: float
    totals: NDArray[np.float64]

    def __add__(self, other: RescaledTotals) -> RescaledTotals:
        return RescaledTotals(self.weight + other.weight, self.totals + other.totals)

    @property
    def means(self) -> NDArray[np.float64]:
        """Weighted mean of the bounds, for each factor."""
        return self.totals / self.weight


@dataclass(frozen=True)
class RescaledConfidence(Statistic[RescaledTotals]):
    """Statistic: the confidences if β were multiplied by r, at most (for r < 1) or at least (for 1 < r <= 2).

    With e_j = exp(β (z_j - z_top)), P(r) = Σ e_j^r over all but the predicted class is log-convex in r, and known at 1
    and 2. So ``P(1) (P(2) / P(1))^(r - 1)`` is above P(r) between the two and below it elsewhere.

    Parameters
    ----------
    factors : tuple of float
        The r, in (0, 2].
    """

    factors: tuple[float, ...]
    is_sum: ClassVar[bool] = True
    needs_distribution = True
    needs_squares = True

    def measure(self, rows: Rows) -> RescaledTotals:
        """Return the sums of one block."""
        rest, squares = rows.rest, rows.squares
        known = rest > _SMALL
        # Where nothing is left but the predicted class, its confidence is 1 at any factor, or at most.
        start = np.where(known, np.log(np.where(known, rest, 1)), _NOTHING)
        # (P(1))² is above P(2) too, if less closely.
        some = squares > _SMALL
        growth = np.where(some, np.log(np.where(some, squares, 1)), 2 * start) - start
        totals = [rows.sum(1 / (1 + np.exp(start + (factor - 1) * growth))) for factor in self.factors]
        return RescaledTotals(rows.total_weight, np.array(totals))
