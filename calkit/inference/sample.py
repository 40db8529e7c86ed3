"""Forecasts of events and their outcomes, as tests take them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calkit.estimators.ranked import Ranked, ranked
from calkit.inference.cells import CellSums
from calkit.inference.few_events import Expected, expected_of_rows
from calkit.inference.floors import drawn_law
from calkit.stats.binning import bin_index, uniform_edges
from calkit.stats.once import once

__all__ = ["Sample"]

FloatArray = NDArray[np.float64]

# Outcomes that are drawn in all, and held at a time, where few events are expected; and the fewest draws.
_DRAWN_NUMBERS, _HELD_NUMBERS, _FEWEST_DRAWS = 200_000_000, 1 << 22, 200


@dataclass(frozen=True, eq=False)
class Sample:
    """Forecasts of events, their outcomes, and what tests need to draw.

    Attributes
    ----------
    probability : ndarray of float64, shape (n,)
    outcome : ndarray of bool, shape (n,)
    weight : ndarray of float64, shape (n,), or None
    n_draws : int
    random : numpy.random.Generator
    """

    probability: FloatArray
    outcome: NDArray[np.bool_]
    weight: FloatArray | None
    n_draws: int
    random: np.random.Generator

    @property
    def residual(self) -> FloatArray:
        """Outcomes minus probabilities, times the weights."""
        residual = self.outcome - self.probability
        return residual if self.weight is None else residual * self.weight

    @property
    def variance(self) -> FloatArray:
        """Variance of each residual if the model is calibrated."""
        variance = self.probability * (1 - self.probability)
        return variance if self.weight is None else variance * self.weight**2

    def cells(self, n_bins: int) -> CellSums:
        """Sum over bins of equal width."""
        index = bin_index(self.probability, uniform_edges(n_bins))
        return CellSums.of(index, n_bins, self.probability, self.outcome, self.weight)

    @once
    def ranked(self) -> Ranked:
        """Forecasts in order."""
        return ranked(self.probability, self.outcome, self.weight)

    @once
    def expected(self) -> Expected:
        """How many events are expected of a calibrated model."""
        return expected_of_rows(self.probability, self.weight)

    @property
    def few(self) -> bool:
        """Whether so few events are expected that their number is far from normal."""
        return self.expected.few

    def drawn_sums(self, factors: FloatArray) -> FloatArray:
        """Return sums of residuals times factors (k, n), of outcomes drawn from the probabilities: (n_draws, k)."""
        p, n = self.probability, len(self.probability)
        weighted = factors if self.weight is None else factors * self.weight
        # In an order of their own, so that what is drawn does not depend on how the rows come.
        order = np.lexsort((*weighted, p))
        p, weighted = p[order], weighted[:, order]
        left, found = max(_FEWEST_DRAWS, min(self.n_draws, _DRAWN_NUMBERS // n)), []
        while left > 0:
            rows = min(left, max(1, _HELD_NUMBERS // n))
            found.append(((self.random.random((rows, n)) < p) - p) @ weighted.T)
            left -= rows
        # Draws that are as large as the value but for rounding count as large.
        return np.concatenate(found) * (1 + 1e-9)

    def drawn_p_value(self, draws: FloatArray, value: float) -> float:
        """Return the p-value of a statistic among draws of it."""
        return drawn_law(draws, expected=self.expected.unbounded).p_value(value)
