"""The error of each key (class) by itself: many are looked at, so the far tail of its noise must be right."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.inference.cells import CellSums
from calkit.inference.few_events import expected_of_cells
from calkit.inference.floors import NullLaw, gamma_law, gamma_shape, third_moments
from calkit.inference.gaps import gap_limits
from calkit.inference.judgement import Limits
from calkit.inference.paired import holm

__all__ = ["ErrorsByKey"]

FloatArray = NDArray[np.float64]

_TINY = 1e-300
# p-values above it are not looked at again.
_LARGE = 0.2


@dataclass(frozen=True, eq=False)
class ErrorsByKey:
    """ECE of each key of a view, and how likely noise alone is to give as much.

    The law of Σ |gap| over the bins of a key is a gamma law that is moved and scaled to its mean and variance, and at
    least as skewed: the third moment of a gap is that of a normal or of a Poisson variable, whichever is larger. So
    p-values of the far tail, which a correction for many keys needs, are too large rather than too small; those of the
    normal law would be too small by orders of magnitude. Where fewer than five events are expected of a key, no such
    law holds: then their number is bounded as well, and the larger p-value is taken.

    Parameters
    ----------
    sums : CellSums
        In the order of keys and bins.
    n_keys : int

    Examples
    --------
    >>> import numpy as np
    >>> p, y = np.array([0.2, 0.8, 0.1, 0.1]), np.array([0, 1, 1, 1])
    >>> found = ErrorsByKey(CellSums.of(np.array([0, 1, 2, 2]), 4, p, y), 2)
    >>> found.value.round(12).tolist(), found.p_adjusted.round(2).tolist()
    ([0.2, 0.9], [1.0, 0.1])
    """

    sums: CellSums
    n_keys: int

    def _by_key(self, values: FloatArray) -> FloatArray:
        return np.asarray(values.reshape(self.n_keys, -1).sum(axis=1))

    @cached_property
    def total(self) -> FloatArray:
        """Sum of the weights, the same for all keys of a view of classes."""
        return self._by_key(self.sums.weight)

    @property
    def frequency(self) -> FloatArray:
        """Share of the rows whose event came about."""
        return self._by_key(self.sums.outcome) / self.total

    @property
    def probability(self) -> FloatArray:
        """Mean probability."""
        return self._by_key(self.sums.probability) / self.total

    @property
    def value(self) -> FloatArray:
        """ECE."""
        return self._by_key(np.abs(self.sums.gap)) / self.total

    @property
    def floor(self) -> FloatArray:
        """What a perfectly calibrated model with these predictions would show in the mean."""
        return self._moments[0] / self.total

    @cached_property
    def _moments(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mean, variance and third central moment of Σ |gap|, by key."""
        mean, _ = self.sums.null_moments
        variance = np.maximum(self.sums.variance - mean**2, 0)
        return self._by_key(mean), self._by_key(variance), self._by_key(third_moments(self.sums))

    @property
    def p_value(self) -> FloatArray:
        """Probability that a perfectly calibrated model would show as much."""
        mean, variance, third = self._moments
        shape, sd = gamma_shape(variance, third), np.sqrt(variance)
        z = (self.value * self.total - mean) / np.maximum(sd, _TINY)
        # As in gamma_law: laws of a skewness above 2 have less beyond two standard deviations.
        tail = np.maximum(
            *(special.gammaincc(own, np.maximum(z * np.sqrt(own) + own, 0)) for own in (shape, np.maximum(shape, 1)))
        )
        found = np.where(sd > 0, tail, self.value * self.total <= mean)
        for key in np.flatnonzero((found < _LARGE) & (sd > 0)).tolist():
            few = self._few_events_law(key)
            if few is not None:
                found[key] = max(found[key], few.p_value(float(self.value[key] * self.total[key])))
        return found

    @cached_property
    def p_adjusted(self) -> FloatArray:
        """The same, corrected for the number of keys by Holm's method."""
        return np.array(holm(self.p_value.tolist()))

    def law(self, key: int) -> NullLaw:
        """Return the law of Σ |gap| of a key."""
        law, few = gamma_law(*(float(moment[key]) for moment in self._moments)), self._few_events_law(key)
        return law if few is None else law.not_below(few)

    @cached_property
    def _cells(self) -> list[CellSums]:
        return [part.filled for part in self.sums.split(self.n_keys)]

    def _few_events_law(self, key: int) -> NullLaw | None:
        """Return a law of Σ |gap| of a key of which few events are expected; None of others."""
        own = self._cells[key]
        expected = expected_of_cells(own)
        if expected.has_tail or not expected.events:
            return None
        total = float(self.total[key])
        return NullLaw(
            float(self._moments[0][key]),
            lambda value: expected.bound(value / total),
            lambda tail: expected.critical(tail) * total,
        )

    def limits(self, key: int, level: float) -> Limits:
        """Return limits of the ECE of a key, which hold for all keys at once (Bonferroni)."""
        own = self._cells[key]
        found = gap_limits(own, self.law(key), level=1 - (1 - level) / self.n_keys)
        total, value = float(self.total[key]), float(self.value[key])
        return max(0.0, min(found.low / total, value)), min(1.0, max(found.high / total, value))
