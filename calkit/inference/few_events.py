"""Forecasts that are almost sure: of the few events that are expected, no law of many holds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.estimators.ranked import Ranked
from calkit.inference.cells import CellSums

__all__ = [
    "FEW",
    "Expected",
    "at_least",
    "expected_of_cells",
    "expected_of_forecasts",
    "expected_of_rows",
    "most_likely",
    "noise_step",
    "uneven_p_value",
    "uneven_p_value_of_rows",
]

FloatArray = NDArray[np.float64]

#: Events below which their number is far from normal; and expected ones below which draws tell nothing of a tail.
FEW, _FEWEST = 20.0, 5.0


@dataclass(frozen=True)
class Expected:
    """How many events, or failures to come, are expected of a calibrated model.

    Attributes
    ----------
    events : float
        Σ p (1 - p), of rows of the one weight that gives the same mean and variance.
    rows : float
        Number of rows, if all have the same weight; 0 if not.
    mean, variance : float
        Those of Σ w |y - p|, the latter at most.
    total : float
        Sum of the weights; 0 for a measure that may be larger than the mean absolute residual.
    """

    events: float
    rows: float
    mean: float = 0.0
    variance: float = 0.0
    total: float = 0.0

    @property
    def few(self) -> bool:
        """Whether their number is far from normal."""
        return 0 < self.events < FEW

    @property
    def has_tail(self) -> bool:
        """Whether draws of a measure tell how its law goes on beyond them."""
        return self.events >= _FEWEST

    @property
    def uneven(self) -> bool:
        """Whether rows differ in weight and so few events are expected that no law of rows of one weight holds."""
        return self.total > 0 and not self.rows and 0 < self.events < _FEWEST

    @property
    def change(self) -> float:
        """What the outcome of a row changes of the mean residual; infinite if rows differ in weight."""
        return 1 / self.rows if self.rows else math.inf

    @property
    def unbounded(self) -> Expected:
        """The same for a measure that may be larger than the mean absolute residual."""
        return replace(self, rows=0.0, total=0.0)

    def of_one_label(self, n_keys: int) -> Expected:
        """How many labels other than the likeliest come, if these are the forecasts of all classes of the rows.

        Σ p (1 - p) over the classes is 1 - Σ p², about twice the probability of another label. The absolute residuals
        of a row sum to 2 (1 - p) of its label, half of which has a variance of at most (1 - Σ p²) / 2.
        """
        half = Expected(self.events / 2, self.rows, self.mean / 2, self.variance / 2, self.total)
        return replace(half, rows=self.rows / n_keys, total=self.total / n_keys)

    def of_keys(self, n_keys: int) -> Expected:
        """The same where the forecasts of a row, one of each key, may depend on each other in any way."""
        return replace(self, variance=self.variance * n_keys)

    def bound(self, value: float) -> float:
        """Return a bound on the probability that the mean absolute residual is at least as large as a value.

        A row that went as expected adds its min(p, 1 - p), at most 2 p (1 - p); of the others there must be the more.
        Of rows that differ in weight, mean and variance of the sum give a bound (Markov, Cantelli).

        Examples
        --------
        >>> Expected(0.1, 100).bound(0.05) < 1e-5
        True
        """
        if not self.rows:
            return self._uneven_bound(value * self.total)
        return at_least(value * self.rows - 2 * self.events, 2 * self.events)

    def critical(self, probability: float) -> float:
        """Return the largest mean absolute residual whose bound is above a probability.

        Examples
        --------
        >>> expected = Expected(0.1, 100)
        >>> largest = expected.critical(0.01)
        >>> expected.bound(largest) > 0.01 >= expected.bound(largest + 1e-6)
        True
        """
        if not self.rows:
            return self._uneven_critical(probability)
        return (most_likely(2 * self.events, probability) + 2 * self.events) / self.rows

    def _uneven_bound(self, residual: float) -> float:
        """Return a bound on the probability of a Σ w |y - p| that is at least as large."""
        beyond = residual * (1 + 1e-9) - self.mean
        if not self.total or beyond <= 0:
            return 1.0
        return min(self.mean / residual, self.variance / (self.variance + beyond**2))

    def _uneven_critical(self, probability: float) -> float:
        if not self.total or probability <= 0:
            return math.inf
        cantelli = self.mean + math.sqrt(self.variance * (1 - probability) / probability)
        return min(self.mean / probability, cantelli) / self.total


def at_least(number: float, mean: float) -> float:
    """Return the probability that a Poisson variable of a given mean is at least a number.

    Examples
    --------
    >>> round(at_least(1.5, 0.1), 6), at_least(0, 0.1)
    (0.004679, 1.0)
    """
    number = math.ceil(number - 1e-9)
    return float(special.gammainc(number, mean)) if number > 0 else 1.0


def most_likely(mean: float, probability: float) -> float:
    """Return the largest number that a Poisson variable reaches with more than a probability; infinite for 0.

    Examples
    --------
    >>> most_likely(0.1, 0.01), most_likely(0.1, 0.001)
    (1, 2)
    """
    if probability <= 0:
        return math.inf
    number = 0
    while at_least(number + 1, mean) > probability:
        number += 1
    return number


def noise_step(variance: float, change: float, tail: float) -> float:
    """Return by how much a sum of residuals may be above what was seen; of few outcomes, as in a score interval.

    Parameters
    ----------
    variance : float
        Of the sum, as the outcomes show it.
    change : float
        What one outcome adds.
    tail : float

    Examples
    --------
    Of events of which none came, 3.84 are too many; of a hundred, a normal law tells.

    >>> round(noise_step(0.0, 1.0, 0.025), 2), round(noise_step(100.0, 1.0, 0.025), 1)
    (3.84, 19.6)
    """
    z = -float(special.ndtri(tail))
    if variance >= FEW * change**2:
        return z * math.sqrt(variance)
    return z**2 / 2 * change + z * math.sqrt(variance + (z / 2 * change) ** 2)


def expected_of_cells(sums: CellSums) -> Expected:
    """Return what is expected of the rows of all cells."""
    # The weights of the rows of a cell may differ beside a mean that does not.
    even = bool((sums.weight**2 >= (1 - 1e-9) * sums.count * sums.squared_weight).all())
    return _expected(sums.variance, sums.scale, float(sums.weight.sum()), even)


def expected_of_forecasts(forecasts: Ranked) -> Expected:
    """Return what is expected of forecasts."""
    return _expected(forecasts.variance, forecasts.squared_weight / forecasts.weight, forecasts.total)


def uneven_p_value(sums: CellSums, expected: Expected) -> float:
    """Return a bound on the p-value of any measure of forecasts that differ in weight; 0 if many events are expected.

    No measure says more than how unexpected the outcomes were.

    Parameters
    ----------
    sums : CellSums
    expected : Expected
        Of these cells.
    """
    return expected.bound(float(np.abs(sums.gap).sum()) / expected.total) if expected.uneven else 0.0


def uneven_p_value_of_rows(probability: FloatArray, outcome: NDArray[Any], weight: FloatArray | None) -> float:
    """Return the same of rows, in any order."""
    expected = expected_of_rows(probability, weight)
    if weight is None or not expected.uneven:
        return 0.0
    return expected.bound(float(weight @ np.abs(outcome - probability)) / expected.total)


def expected_of_rows(probability: FloatArray, weight: FloatArray | None) -> Expected:
    """Return what is expected of rows, in any order."""
    w = np.ones(len(probability)) if weight is None else weight
    if weight is not None and not weight.all():
        probability, w = probability[weight > 0], weight[weight > 0]
    return _expected(w**2 * probability * (1 - probability), w, float(w.sum()))


def _expected(variance: FloatArray, scale: FloatArray, total: float, even: bool = True) -> Expected:
    squares = float(variance @ scale**2)
    even = even and len(scale) > 0 and bool(np.ptp(scale) <= 1e-9 * scale[0])
    every = float(variance.sum())
    return Expected(
        every**2 / squares if squares > 0 else 0.0,
        total / scale[0] if even else 0.0,
        2 * float((variance / np.where(scale > 0, scale, 1)).sum()),
        every,
        total,
    )
