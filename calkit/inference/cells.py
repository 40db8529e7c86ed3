"""Sums over cells (bins, or classes and bins), and the law of their gaps if the model is calibrated.

The gap of a cell is the sum of its probabilities minus the number of its positives. If each outcome is drawn with its
own probability, the number follows a Poisson-binomial law. The law used here is the binomial one of the same mean and
variance, the normal one where the variance is large, and the Poisson one where the probabilities are tiny. Weighted
rows count as rows of the one weight that gives the same mean and variance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.inference.pair_products import pair_products
from calkit.inference.resampling import Resampling
from calkit.stats.once import once

__all__ = ["CellSums", "draw_gaps", "in_own_order", "mean_absolute"]

FloatArray = NDArray[np.float64]

_FOLD = math.sqrt(2 / math.pi)

# Above this variance the normal law serves for means.
_NORMAL_VARIANCE = 60.0
# Below this one, draws come from a binomial or Poisson law.
_DRAWN_VARIANCE = 20.0
# Probabilities below which the Poisson law stands for the binomial: in means, in draws.
_RARE, _DRAWN_RARE = 1e-4, 0.02

_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class CellSums:
    """Sums over the rows of each cell, of probabilities p, outcomes y in [0, 1] and weights w.

    Attributes
    ----------
    count : ndarray of float64, shape (m,)
        Rows.
    weight, squared_weight : ndarray of float64, shape (m,)
        Σ w and Σ w².
    probability, outcome : ndarray of float64, shape (m,)
        Σ w p and Σ w y.
    spread, variance : ndarray of float64, shape (m,)
        Σ w p (1 - p), and Σ w² p (1 - p): the variance of the gap if the outcomes are drawn from the probabilities.
    residual : ndarray of float64, shape (m,)
        Σ w² (y - p)².
    log_none : ndarray of float64, shape (m,)
        Σ log(1 - p): the logarithm of the probability of no positive at all.
    soft : ndarray of float64, shape (m,)
        Σ w y (1 - y): 0 where the labels are not soft.
    gap_pairs, weight_pairs : ndarray of float64, shape (m,), or None
        Σ w_i w_j (p_i - y_i) (p_j - y_j) and Σ w_i w_j over pairs of rows i < j, where they were asked for: a
        difference of squares loses the digits of rows whose weights are small beside others.
    """

    count: FloatArray
    weight: FloatArray
    squared_weight: FloatArray
    probability: FloatArray
    outcome: FloatArray
    spread: FloatArray
    variance: FloatArray
    residual: FloatArray
    log_none: FloatArray
    soft: FloatArray
    gap_pairs: FloatArray | None = None
    weight_pairs: FloatArray | None = None

    @classmethod
    def of(
        cls,
        cell: NDArray[np.intp],
        n_cells: int,
        probability: FloatArray,
        outcome: NDArray[Any],
        weight: FloatArray | None = None,
        *,
        pairs: bool = False,
    ) -> CellSums:
        """Sum over the rows of each cell; where they have weights, also over pairs if that is asked for.

        Examples
        --------
        >>> import numpy as np
        >>> sums = CellSums.of(np.array([0, 0, 1]), 2, np.array([0.1, 0.2, 0.7]), np.array([0, 1, 1]))
        >>> sums.gap.round(12).tolist()
        [-0.7, -0.3]
        """

        def total(values: FloatArray | None) -> FloatArray:
            return np.bincount(cell, values, n_cells).astype(np.float64)

        found = cls._summed(total, probability, outcome, weight)
        return found._with_pairs(cell, probability - outcome, weight) if pairs and weight is not None else found

    @classmethod
    def of_runs(
        cls,
        start: NDArray[np.intp],
        probability: FloatArray,
        outcome: NDArray[Any],
        weight: FloatArray | None = None,
        *,
        pairs: bool = False,
    ) -> CellSums:
        """Return the same of cells that are runs of rows, given by where they begin.

        Examples
        --------
        >>> import numpy as np
        >>> sums = CellSums.of_runs(np.array([0, 2]), np.array([0.1, 0.2, 0.7]), np.array([0, 1, 1]))
        >>> sums.gap.round(12).tolist()
        [-0.7, -0.3]
        """
        rows = np.diff(start, append=len(probability))

        def total(values: FloatArray | None) -> FloatArray:
            return rows.astype(np.float64) if values is None else np.add.reduceat(values, start)

        found = cls._summed(total, probability, outcome, weight)
        if not pairs or weight is None:
            return found
        return found._with_pairs(np.repeat(np.arange(len(start)), rows), probability - outcome, weight)

    @classmethod
    def _summed(
        cls,
        total: Callable[[FloatArray | None], FloatArray],
        probability: FloatArray,
        outcome: NDArray[Any],
        weight: FloatArray | None,
    ) -> CellSums:
        p, y = probability, outcome.astype(np.float64)
        # Rounding may put a probability past 0 or 1.
        spread, squares = np.maximum(p * (1 - p), 0), (p - y) ** 2
        none, count = total(np.log1p(-np.minimum(p, 1 - 1e-12))), total(None)
        if outcome.dtype == bool:
            soft = np.zeros_like(count)
        else:
            soft = total(y * (1 - y) if weight is None else weight * y * (1 - y))
        if weight is None:
            noise = total(spread)
            return cls(count, count, count, total(p), total(y), noise, noise, total(squares), none, soft)
        squared = weight**2
        return cls(
            count,
            total(weight),
            total(squared),
            total(weight * p),
            total(weight * y),
            total(weight * spread),
            total(squared * spread),
            total(squared * squares),
            none,
            soft,
        )

    def _with_pairs(self, cell: NDArray[np.intp], gap: FloatArray, weight: FloatArray) -> CellSums:
        gaps, weights = (pair_products(cell, len(self.count), values) for values in (weight * gap, weight))
        return replace(self, gap_pairs=gaps, weight_pairs=weights)

    @classmethod
    def joined(cls, parts: list[CellSums]) -> CellSums:
        """Put the cells of several parts one after another."""
        return cls(*_each(parts, lambda *values: np.concatenate(values)))

    def padded(self, n_cells: int) -> CellSums:
        """Return the same with empty cells at the end."""
        more = n_cells - len(self.weight)
        return CellSums(*_each([self], lambda values: np.pad(values, (0, more))))

    def __add__(self, other: CellSums) -> CellSums:
        together = CellSums(*_each([self, other], np.add))
        if together.gap_pairs is None or together.weight_pairs is None:
            return together
        # Pairs of one row of each.
        gap, weight = together.gap_pairs + self.gap * other.gap, together.weight_pairs + self.weight * other.weight
        return replace(together, gap_pairs=gap, weight_pairs=weight)

    def __getitem__(self, cells: Any) -> CellSums:
        return CellSums(*_each([self], lambda values: values[cells]))

    def pooled(self, n_classes: int) -> CellSums:
        """Return the sums over classes, of cells in the order of classes and bins."""
        alone = replace(self, gap_pairs=None, weight_pairs=None)
        return CellSums(*_each([alone], lambda values: values.reshape(n_classes, -1).sum(axis=0)))

    def split(self, n_keys: int) -> list[CellSums]:
        """Return the cells of each key."""
        size = len(self.weight) // n_keys
        return [self[i * size : (i + 1) * size] for i in range(n_keys)]

    @once
    def filled(self) -> CellSums:
        """The cells that hold weight."""
        filled = self.weight > 0
        return self if filled.all() else self[filled]

    def null_gaps(self, resampling: Resampling) -> FloatArray:
        """Return drawn gaps, see :func:`draw_gaps`; kept, since several norms of the same gaps are asked for."""
        asked = resampling.n_resamples, resampling.seed
        if asked not in self._kept:
            self._kept[asked] = draw_gaps(self, resampling.n_resamples, resampling.random)
        return self._kept[asked]

    @once
    def _kept(self) -> dict[tuple[int, int], FloatArray]:
        return {}

    @property
    def gap(self) -> FloatArray:
        """Sum of the probabilities minus that of the outcomes (positive: over-confident)."""
        return self.probability - self.outcome

    @once
    def paired(self) -> CellSums:
        """The cells that hold two rows of some weight, or more."""
        return self[self.pairs[1] > 0]

    @property
    def heaviest(self) -> float:
        """The largest weight of a row, of each cell the mean one (rows counting by their weight)."""
        return float((self.squared_weight / self.weight).max())

    @property
    def pairs(self) -> tuple[FloatArray, FloatArray]:
        """`gap_pairs` and `weight_pairs`, from squares where they were not asked for."""
        if self.gap_pairs is not None and self.weight_pairs is not None:
            return self.gap_pairs, self.weight_pairs
        weights = np.where(self.count > 1, self.weight**2 - self.squared_weight, 0)
        return (self.gap**2 - self.residual) / 2, weights / 2

    @property
    def squared_gap(self) -> FloatArray:
        """Estimate of the weight of a cell times the square of its true gap per row, without the bias of noise."""
        gaps, weights = self.pairs
        return self.weight * gaps / weights

    @once
    def scale(self) -> FloatArray:
        """The one weight that rows would have for the same mean and variance of the gap."""
        mean = np.divide(self.weight, self.count, out=np.ones_like(self.weight), where=self.count > 0)
        return np.divide(self.variance, self.spread, out=mean, where=self.spread > 0)

    @once
    def null_moments(self) -> tuple[FloatArray, FloatArray]:
        """Mean of each absolute gap, and its covariance with the positives, if the model is calibrated.

        Where less than one positive is expected, the mean is ``2 Σp P(none)``, which is exact for equal weights. Both
        of shape (m,).
        """
        scale, (n, q) = self.scale, self.binomial
        expected = self.probability / scale
        variance = self.variance / scale**2
        covariance = _FOLD / 3 * np.sqrt(variance) * (1 - 2 * q)
        few = expected < 1
        mean = 2 * expected * np.exp(self.log_none)
        covariance[few] = variance[few] - (expected * mean)[few]
        mean[~few] = mean_absolute(n[~few], q[~few], expected[~few])
        return mean * scale, covariance * scale**2

    @once
    def binomial(self) -> tuple[FloatArray, FloatArray]:
        """N (not whole) and q of the binomial law with mean and variance of the positives, in units of scale."""
        squares = self.probability - self.spread
        q = np.divide(squares, self.probability, out=np.zeros_like(squares), where=self.probability > 0)
        mean = self.probability / self.scale
        return np.divide(mean, q, out=np.zeros_like(mean), where=q > 0), q


def _each(parts: Sequence[CellSums], function: Callable[..., Any]) -> Iterator[Any]:
    """Yield a function of each field of the parts, None where a part has none."""
    for field in fields(CellSums):
        values = [getattr(part, field.name) for part in parts]
        yield None if any(value is None for value in values) else function(*values)


def in_own_order(parts: Iterable[CellSums]) -> list[CellSums]:
    """Return the cells of several keys in an order that their sums tell: what is drawn does not depend on theirs."""
    return sorted(parts, key=lambda own: (own.weight.sum(), own.probability.sum(), own.outcome.sum()))


def mean_absolute(n: FloatArray, q: FloatArray, centre: FloatArray) -> FloatArray:
    """Return the mean of ``|centre - C|`` for C of the binomial law of n trials (not whole) of probability q.

    Exact where n is whole and the variance at most 60; beyond that the law is taken to be normal, and Poisson where q
    is tiny.

    Examples
    --------
    >>> import numpy as np
    >>> mean_absolute(np.array([2.0]), np.array([0.5]), np.array([1.0])).tolist()
    [0.5]
    """
    mean, variance = n * q, n * q * (1 - q)
    off = centre - mean
    sd = np.sqrt(np.maximum(variance, _TINY))
    # From 40 standard deviations on, the exponential is 0; squares of more could overflow.
    distance = np.clip(off / sd, -40, 40)
    normal = sd * _FOLD * np.exp(-0.5 * distance**2) + off * (1 - 2 * special.ndtr(-distance))
    out = np.where(variance > 0, normal, np.abs(off))
    few = (variance <= _NORMAL_VARIANCE) & (variance > 1e-12)
    if few.any():
        n, q, centre = np.broadcast_arrays(n, q, centre)
        n, q, centre, mean, off = n[few], q[few], centre[few], mean[few], off[few]
        rare = (q < _RARE) | (n < 1)
        above = np.empty(len(mean))
        above[rare] = _poisson_above(mean[rare], centre[rare])
        above[~rare] = _binomial_above(n[~rare], q[~rare], centre[~rare])
        out[few] = off + 2 * np.maximum(above, 0)
    return out


def _poisson_above(mean: FloatArray, t: FloatArray) -> FloatArray:
    """Return the mean of ``max(C - t, 0)`` for a Poisson C."""
    whole = np.floor(t)
    below = np.where(whole > 0, special.pdtrc(np.maximum(whole - 1, 0), mean), 1.0)
    return mean * below - t * special.pdtrc(whole, mean)


def _binomial_above(n: FloatArray, q: FloatArray, t: FloatArray) -> FloatArray:
    """Return the mean of ``max(C - t, 0)`` for a binomial C.

    It is n q P(C' >= j) - t P(C > j), j the whole part of t and C' of one trial less; the second probability is less
    than the first by a term of the binomial law.
    """
    j = np.floor(t)
    rest = n - j
    inside = (j > 0) & (rest > 0)
    tail = np.where(j <= 0, 1.0, 0.0)
    tail[inside] = special.betainc(j[inside], rest[inside], q[inside])
    term = np.zeros_like(tail)
    some = (j >= 0) & (rest > 0)
    j, rest, n_some, q_some = j[some], rest[some], n[some], q[some]
    log_choose = special.gammaln(n_some) - special.gammaln(j + 1) - special.gammaln(rest)
    term[some] = np.exp(log_choose + j * np.log(q_some) + rest * np.log1p(-q_some))
    return np.asarray((n * q - t) * tail + t * term)


def draw_gaps(sums: CellSums, n_draws: int, random: np.random.Generator) -> FloatArray:
    """Draw the gaps of all cells as they would be if the outcomes were drawn from the probabilities.

    Returns
    -------
    ndarray of float64, shape (n_draws, m)
    """
    scale = sums.scale
    variance = sums.variance / scale**2
    gaps = np.zeros((len(variance), n_draws))
    many = np.flatnonzero(variance >= _DRAWN_VARIANCE)
    gaps[many] = random.standard_normal((len(many), n_draws)) * np.sqrt(variance[many])[:, None]
    few = np.flatnonzero((variance < _DRAWN_VARIANCE) & (variance > 0))
    if len(few):
        expected, q = (sums.probability / scale)[few], sums.binomial[1][few]
        gaps[few] = expected[:, None] - _draw_counts(expected, q, variance[few], n_draws, random)
    gaps *= scale[:, None]
    return gaps.T


def _draw_counts(
    mean: FloatArray, q: FloatArray, variance: FloatArray, n: int, random: np.random.Generator
) -> FloatArray:
    """Draw numbers of positives of binomial or, if they are rare, Poisson laws: shape (m, n).

    How often each number comes among n draws is drawn first, and then their order: several times as fast as one by one.
    """
    reach = 7 * np.sqrt(variance) + 7
    count = np.maximum(np.floor(mean - reach), 0)[:, None] + np.arange(int(2 * reach.max()) + 2)
    # How much more often each number comes than the one before: of a binomial law, or a Poisson one.
    before, rare = count[:, :-1], q < _DRAWN_RARE
    trials = np.maximum(np.rint(mean / np.maximum(q, _DRAWN_RARE)), np.ceil(mean))
    odds = np.where(rare, mean, mean / np.maximum(trials - mean, 1e-9))[:, None]
    times = np.where(rare[:, None], 1.0, np.maximum(trials[:, None] - before, 0))
    with np.errstate(divide="ignore"):
        np.log(times * odds / count[:, 1:], out=times)
    chance = np.zeros_like(count)
    np.cumsum(times, axis=1, out=chance[:, 1:])
    chance = np.exp(chance - chance.max(axis=1, keepdims=True))
    often = random.multinomial(n, chance / chance.sum(axis=1, keepdims=True))
    drawn = np.repeat(count.ravel(), often.ravel()).reshape(len(mean), n)
    return random.permuted(drawn, axis=1, out=drawn)
