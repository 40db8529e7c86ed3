"""Bins of equal mass without keeping every row: counts over fine ranges of confidence, made finer where a border lies.

The first pass counts rows by the leading bits of a key that keeps their order. Whichever range then holds no border
between bins lies in one bin, whole. The next pass looks into the few others; a range in which all confidences are equal
cannot be divided and need not be. So exact order statistics come out of a fixed amount of memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError
from calkit.stats.bins import BinSums
from calkit.stats.forecasts import Forecasts
from calkit.stats.pairs import ConfidencePairs
from calkit.stats.statistic import ForecastStatistic
from calkit.stats.views import TOP, View

__all__ = ["MAX_ROWS", "InnerKeys", "OddsKeys", "Ranges", "RankCounts", "RankSums"]

# The number of pairs, of 9 or 17 bytes each, that are kept before they are turned into counts.
MAX_ROWS = 1 << 22

# Shares of mass within this of a border count as on it, since sums of weights carry rounding.
_SLACK = 1e-9


class _Keys(Protocol):
    """Whole numbers, not negative, that do not fall as the confidence rises; for some confidences or for all."""

    def inside(self, confidence: NDArray[np.float64], /) -> NDArray[np.bool_] | None:
        """Return which confidences have a key; None if all have one."""

    def of(self, confidence: NDArray[np.float64], /) -> NDArray[np.int64]:
        """Return the keys of confidences that have one."""


@dataclass(frozen=True)
class OddsKeys:
    """Exponent and leading digits of the odds c / (1 - c): as fine close to 1 and to 0 as in between."""

    digits: int = 10

    def inside(self, _: NDArray[np.float64]) -> None:
        """Return None: all confidences have a key."""
        return

    def of(self, confidence: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the keys."""
        # Rounding may have put probabilities outside of [0, 1]; adding 0 turns -0 into 0.
        c = np.clip(confidence, 0, 1) + 0.0
        with np.errstate(divide="ignore"):
            # The odds of every confidence below 1 are less than 2^54.
            odds = np.minimum(c / (1 - c), 2.0**54)
        return odds.view(np.int64) >> (52 - self.digits)


@dataclass(frozen=True)
class InnerKeys:
    """Places inside some closed, rising intervals, each cut into runs of neighbouring floating-point numbers."""

    intervals: tuple[tuple[float, float], ...]
    bits: int = 20

    def inside(self, confidence: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which confidences lie in an interval."""
        slot = self._slots(confidence)
        lowest, highest = np.array(self.intervals).T
        return (confidence >= lowest[slot]) & (confidence <= highest[slot])

    def of(self, confidence: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the keys of confidences that lie in one."""
        first, last = (_ordinal(ends) for ends in np.array(self.intervals).T)
        bits = max(1, self.bits - len(first).bit_length())
        shift = np.array([max(0, int(span).bit_length() - bits) for span in last - first])
        slot = self._slots(confidence)
        return (slot << bits) | ((_ordinal(confidence) - first[slot]) >> shift[slot])

    def _slots(self, confidence: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the interval that each confidence is in, if it is in any."""
        lowest = [low for low, _ in self.intervals]
        return np.maximum(np.searchsorted(lowest, confidence, side="right") - 1, 0)


def _ordinal(numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return whole numbers in the order of floating-point numbers, one apart for neighbours."""
    pattern = (numbers + 0.0).view(np.int64)
    return np.where(pattern >= 0, pattern, np.iinfo(np.int64).min - pattern)


@dataclass(frozen=True, eq=False)
class Ranges:
    """Sums over ranges of confidence that do not overlap, in rising order; ``+`` joins those of equal keys.

    Attributes
    ----------
    key : ndarray of int64, shape (k,)
        Rising.
    lowest, highest : ndarray of float64, shape (k,)
        Smallest and largest confidence in each range.
    count : ndarray of int64, shape (k,)
        Rows.
    weight : ndarray of float64, shape (k,), or None
        Sum of the weights; None where all are 1.
    confidence, correct : ndarray of float64, shape (k,)
        Weighted sums of the confidences and of the right predictions.
    """

    key: NDArray[np.int64]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    count: NDArray[np.int64]
    weight: NDArray[np.float64] | None
    confidence: NDArray[np.float64]
    correct: NDArray[np.float64]

    @classmethod
    def from_pairs(cls, pairs: ConfidencePairs, key: NDArray[np.int64]) -> Ranges:
        """Sum rows whose key is known."""
        first = int(key.min()) if len(key) else 0
        index = key - first
        n_keys = int(index.max()) + 1 if len(key) else 0
        sums = BinSums.from_rows(index, n_keys, pairs.confidence, pairs.correct, pairs.weight)
        lowest, highest = np.full(n_keys, np.inf), np.full(n_keys, -np.inf)
        np.minimum.at(lowest, index, pairs.confidence)
        np.maximum.at(highest, index, pairs.confidence)
        filled = np.flatnonzero(sums.count)
        return cls(
            filled + first,
            lowest[filled],
            highest[filled],
            sums.count[filled],
            None if pairs.weight is None else sums.weight[filled],
            sums.confidence[filled],
            sums.correct[filled],
        )

    def __len__(self) -> int:
        return len(self.key)

    def __add__(self, other: Ranges) -> Ranges:
        key = np.union1d(self.key, other.key)
        mine, others = (np.searchsorted(key, part.key) for part in (self, other))

        def join(a: NDArray[Any], b: NDArray[Any], add: np.ufunc = np.add, start: float = 0) -> NDArray[Any]:
            out = np.full(len(key), start, a.dtype)
            out[mine] = a
            out[others] = add(out[others], b)
            return out

        weighted = self.weight is not None or other.weight is not None
        return Ranges(
            key,
            join(self.lowest, other.lowest, np.minimum, np.inf),
            join(self.highest, other.highest, np.maximum, -np.inf),
            join(self.count, other.count),
            join(self.mass, other.mass) if weighted else None,
            join(self.confidence, other.confidence),
            join(self.correct, other.correct),
        )

    @property
    def mass(self) -> NDArray[np.float64]:
        """Weight of each range: its rows, where all weights are 1."""
        return self.count.astype(np.float64) if self.weight is None else self.weight

    def borders(self, n_bins: int) -> tuple[tuple[float, float], ...]:
        """Return lowest and highest confidence of the ranges that a border between bins divides."""
        divided = self._bins(n_bins)[1]
        return tuple(zip(self.lowest[divided].tolist(), self.highest[divided].tolist(), strict=True))

    def refined(self, finer: Ranges, n_bins: int) -> Ranges:
        """Return these ranges with those that a border divides replaced by finer ones.

        Raises
        ------
        InputError
            If the finer ranges do not hold the same rows.
        """
        whole = ~self._bins(n_bins)[1]
        if finer.count.sum() != self.count[~whole].sum():
            raise InputError("the scores differ from one pass to the next; every pass must read the same rows.")
        order = np.argsort(np.concatenate([self.lowest[whole], finer.lowest]))

        def merge(coarse: NDArray[Any], fine: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate([coarse[whole], fine])[order]

        return Ranges(
            np.arange(len(order)),
            merge(self.lowest, finer.lowest),
            merge(self.highest, finer.highest),
            merge(self.count, finer.count),
            None if self.weight is None else merge(self.weight, finer.mass),
            merge(self.confidence, finer.confidence),
            merge(self.correct, finer.correct),
        )

    def to_bins(self, n_bins: int) -> BinSums:
        """Sum over the bins, each with its smallest and its largest confidence as edges (NaN for an empty bin)."""
        index, _ = self._bins(n_bins)

        def total(values: NDArray[Any]) -> NDArray[np.float64]:
            return np.bincount(index, values, n_bins).astype(np.float64)

        lower, upper = np.full(n_bins, np.nan), np.full(n_bins, np.nan)
        np.fmin.at(lower, index, self.lowest)
        np.fmax.at(upper, index, self.highest)
        sums = total(self.mass), total(self.confidence), total(self.correct)
        return BinSums(total(self.count).astype(np.int64), *sums, lower, upper)

    def _bins(self, n_bins: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Return the bin of the lowest confidence of each range, and whether a border divides the range."""
        if self.weight is None:
            upto = np.cumsum(self.count)
            # In whole numbers. The last row of a range has at the most all its others below it.
            first, last = ((below * n_bins // upto[-1]) for below in (upto - self.count, upto - 1))
        else:
            mass = np.concatenate([[0.0], np.cumsum(self.weight)])
            place = np.floor(mass * (n_bins / mass[-1]) + _SLACK).astype(np.intp)
            first, last = (np.minimum(index, n_bins - 1) for index in (place[:-1], place[1:]))
        return first, (first != last) & (self.lowest < self.highest)


@dataclass(frozen=True, eq=False)
class RankSums:
    """Confidence and correctness of rows: each by itself while they are few, then summed over ranges.

    Attributes
    ----------
    held : ConfidencePairs or Ranges
    keys : callable
        What tells the ranges apart.
    max_rows : int
        How many rows are kept before they are summed.
    """

    held: ConfidencePairs | Ranges
    keys: _Keys
    max_rows: int

    def __add__(self, other: RankSums) -> RankSums:
        a, b = self.held, other.held
        if isinstance(a, ConfidencePairs) and isinstance(b, ConfidencePairs) and len(a) + len(b) <= self.max_rows:
            return replace(self, held=a + b)
        return replace(self, held=self.ranges() + other.ranges())

    @property
    def held_rows(self) -> bool:
        """Whether each row is still held by itself."""
        return isinstance(self.held, ConfidencePairs)

    def ranges(self) -> Ranges:
        """Return the sums over the ranges that the keys tell apart."""
        if isinstance(self.held, Ranges):
            return self.held
        return Ranges.from_pairs(self.held, self.keys.of(self.held.confidence))

    def narrowest_ranges(self) -> Ranges:
        """Return sums over ranges as narrow as is known: of one confidence each, as long as the rows are held."""
        if isinstance(self.held, Ranges):
            return self.held
        return Ranges.from_pairs(self.held, np.unique(self.held.confidence, return_inverse=True)[1].astype(np.int64))


@dataclass(frozen=True)
class RankCounts(ForecastStatistic[RankSums]):
    """Statistic: confidence and correctness, of all rows or of those with some confidences, kept or counted.

    Parameters
    ----------
    keys : callable
        Which confidences, and how finely they are told apart where rows are counted.
    max_rows : int
        How many rows are kept before they are counted.
    """

    keys: _Keys = OddsKeys()
    max_rows: int = MAX_ROWS
    view: View = TOP

    def count(self, forecasts: Forecasts) -> RankSums:
        """Return the :class:`RankSums` of one block."""
        inside = self.keys.inside(forecasts.probability)
        kept = slice(None) if inside is None else inside
        weight = None if forecasts.weight is None else forecasts.weight[kept]
        pairs = ConfidencePairs(forecasts.probability[kept], forecasts.outcome[kept], weight)
        sums = RankSums(pairs, self.keys, self.max_rows)
        return sums if len(sums.held) <= self.max_rows else replace(sums, held=sums.ranges())
