"""Bands around a calibration curve: where it lies if it rises, and where it would lie if forecasts were calibrated.

Dimitriadis, Dümbgen, Henzi, Puke & Ziegel, "Honest calibration assessment for binary outcome predictions", Biometrika
110, 2023; Dimitriadis, Gneiting & Jordan, "Stable reliability diagrams for probabilistic classifiers", PNAS 2021.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.errors import InputError
from calkit.estimators.corp import isotonic_curve
from calkit.estimators.ranked import Ranked

__all__ = ["Band", "corp_consistency_band", "simultaneous_band"]

FloatArray = NDArray[np.float64]
Places = NDArray[np.intp]

# Above this number of distinct forecasts the band is made of cells of equal mass, which makes it narrower and quicker.
_MOST_DISTINCT = 2000

# Cells of the forecasts that outcomes are drawn for, and draws.
_CELLS, _DRAWS = 500, 400


@dataclass(frozen=True, eq=False)
class Band:
    """Limits at rising forecasts.

    Attributes
    ----------
    probability, low, high : ndarray of float64, shape (m,)
    """

    probability: FloatArray
    low: FloatArray
    high: FloatArray


def simultaneous_band(forecasts: Ranked, confidence_level: float = 0.95) -> Band:
    """Return a band that holds the whole curve P(y = 1 | p) with at least the given probability, if it rises in p.

    A calibrated model's curve is the diagonal: where the diagonal leaves the band anywhere, the model is not
    calibrated, at the level 1 - `confidence_level`.

    Parameters
    ----------
    forecasts : Ranked
        Without weights, of outcomes 0 and 1: the guarantee is one for counts.
    confidence_level : float, default=0.95

    Returns
    -------
    Band
        Between two forecasts the upper limit is that of the next, the lower limit that of the one before.

    Raises
    ------
    InputError
        If the forecasts have weights, or outcomes are shares.

    Examples
    --------
    >>> import numpy as np
    >>> from calkit.estimators.ranked import ranked
    >>> band = simultaneous_band(ranked(np.full(50, 0.5), np.ones(50, bool)))
    >>> band.low.round(3).tolist(), band.high.tolist()
    ([0.929], [1.0])
    """
    if not np.array_equal(forecasts.weight, forecasts.squared_weight) or (forecasts.positive % 1).any():
        raise InputError(
            "a simultaneous band is one of counts: leave weights and soft labels out, or take a band that is not "
            "simultaneous."
        )
    alpha = 1 - confidence_level
    count, positive, at_low, at_high = _cells(forecasts)
    high = _Intervals(count, positive, alpha).least()
    low = 1 - _Intervals(count[::-1], (count - positive)[::-1], alpha).least()[::-1]
    if len(count) == len(forecasts.probability):
        return Band(forecasts.probability, low, high)
    # Of a cell, the lower limit holds from its largest forecast on, the upper limit up to its smallest.
    place = forecasts.probability
    below = np.searchsorted(at_high, place, side="right") - 1
    above = np.searchsorted(at_low, place, side="left")
    return Band(
        place,
        np.where(below >= 0, low[np.maximum(below, 0)], 0.0),
        np.where(above < len(high), high[np.minimum(above, len(high) - 1)], 1.0),
    )


def corp_consistency_band(forecasts: Ranked, confidence_level: float = 0.95, *, random_state: int = 0) -> Band:
    """Return where the CORP curve of perfectly calibrated forecasts lies, point by point.

    Outcomes are drawn from the forecasts, pooled in at most 500 cells of about equal mass, and the curve is fitted to
    them; the limits are quantiles of 400 such curves.

    Parameters
    ----------
    forecasts : Ranked
    confidence_level : float, default=0.95
    random_state : int, default=0

    Returns
    -------
    Band

    Examples
    --------
    >>> import numpy as np
    >>> from calkit.estimators.ranked import ranked
    >>> band = corp_consistency_band(ranked(np.full(100, 0.5), np.arange(100) % 2 == 0))
    >>> bool(band.low[0] < 0.5 < band.high[0])
    True
    """
    starts = _starts(forecasts.weight, _CELLS)
    weight = np.add.reduceat(forecasts.weight, starts)
    place = np.clip(np.add.reduceat(forecasts.weight * forecasts.probability, starts) / weight, 0, 1)
    # With weights, the number of equally weighted rows that tell as much.
    rows = np.maximum(1, np.rint(weight**2 / np.add.reduceat(forecasts.squared_weight, starts))).astype(np.int64)
    share = np.random.default_rng(random_state).binomial(rows, place, size=(_DRAWS, len(rows))) / rows
    curves = np.stack([isotonic_curve(Ranked(place, weight, weight * drawn, weight)) for drawn in share])
    tail = (1 - confidence_level) / 2
    low, high = np.quantile(curves, [tail, 1 - tail], axis=0)
    return Band(place, low, high)


def _starts(weight: FloatArray, n_cells: int) -> Places:
    """Return where cells of about equal mass begin."""
    if len(weight) <= n_cells:
        return np.arange(len(weight))
    mass = np.cumsum(weight)
    wanted = np.arange(n_cells) / n_cells * mass[-1]
    return np.unique(np.searchsorted(mass, wanted, side="right"))


def _cells(forecasts: Ranked) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return counts and positives of cells, with their smallest and largest forecast."""
    probability, count, positive = forecasts.probability, forecasts.weight, forecasts.positive
    if len(probability) <= _MOST_DISTINCT:
        return count, positive, probability, probability
    starts = _starts(count, int(np.ceil(np.sqrt(forecasts.total))))
    ends = np.append(starts[1:], len(probability)) - 1
    return np.add.reduceat(count, starts), np.add.reduceat(positive, starts), probability[starts], probability[ends]


class _Intervals:
    """Clopper-Pearson upper limits of runs j..k of N groups, at level alpha / (N (N + 1)).

    The limit is quasi-concave in (count, positive), so for a given j its minimum is at a vertex of the greatest convex
    minorant of the sums from j on: those are looked at instead of all N²/2 intervals.
    """

    def __init__(self, count: FloatArray, positive: FloatArray, alpha: float) -> None:
        self.n = len(count)
        self.mass, self.hits = (np.append(0.0, np.cumsum(values)) for values in (count, positive))
        self.level = alpha / (self.n * (self.n + 1.0))
        self.following = _next_vertices(self.mass, self.hits)

    def least(self) -> FloatArray:
        """Return for each group the least limit of all runs that begin at it or after it."""
        upper = self._wilson()
        while True:
            upper = np.minimum.accumulate(upper[::-1])[::-1]
            j, k = self._lower_than(upper)
            limit = self._limit(j, k)
            if not (limit < upper[j] * (1 - 1e-13)).any():
                return upper
            np.minimum.at(upper, j, limit)

    def _limit(self, j: Places, k: Places) -> FloatArray:
        hits = self.hits[k] - self.hits[j]
        misses = self.mass[k] - self.mass[j] - hits
        limit = special.betainccinv(hits + 1, np.maximum(misses, 0.5), self.level)
        return np.where(misses > 0, limit, 1.0)

    def _chains(self, top: FloatArray) -> Iterator[tuple[Places, Places, FloatArray, FloatArray]]:
        """Yield runs j..k up to one vertex after the other, with mean and rows, while the mean is below top."""
        j, k = np.arange(self.n), self.following[:-1]
        while len(j):
            mean = (self.hits[k] - self.hits[j]) / (self.mass[k] - self.mass[j])
            # Means grow along a chain: nothing better follows.
            low = mean < top[j]
            j, k = j[low], k[low]
            yield j, k, mean[low], self.mass[k] - self.mass[j]
            j, k = j[k < self.n], self.following[k[k < self.n]]

    def _wilson(self) -> FloatArray:
        """Return limits of the runs that Wilson's limit, which is quickly had, finds to be the least."""
        z2 = special.ndtri(self.level) ** 2
        guess, end = np.ones(self.n), self.following[:-1].copy()
        for j, k, mean, rows in self._chains(guess):
            root = np.sqrt(z2 * (mean * (1 - mean) / rows + z2 / (4 * rows * rows)))
            upper = (mean + z2 / (2 * rows) + root) / (1 + z2 / rows)
            better = upper < guess[j]
            guess[j[better]], end[j[better]] = upper[better], k[better]
        chosen = np.flatnonzero(guess <= np.minimum.accumulate(guess[::-1])[::-1])
        limits = np.ones(self.n)
        limits[chosen] = self._limit(chosen, end[chosen])
        return limits

    def _lower_than(self, upper: FloatArray) -> tuple[Places, Places]:
        """Return the runs whose limit may be lower: of each, the exact tail is compared with the level."""
        found = [np.zeros((2, 0), dtype=np.intp)]
        for j, k, mean, rows in self._chains(upper):
            top = upper[j]
            rest = np.maximum(1 - top, 1e-300)
            divergence = rows * (special.xlogy(mean, mean / top) + special.xlogy(1 - mean, (1 - mean) / rest))
            bound = divergence + 0.5 * np.log(np.maximum(8 * rows * mean * (1 - mean), 1))
            near = np.flatnonzero(bound >= -np.log(self.level))
            right = rows[near] * mean[near]
            tail = special.betainc(np.maximum(rows[near] - right, 1e-9), right + 1, 1 - top[near])
            found.append(np.stack([j, k])[:, near[tail < self.level]])
        j, k = np.concatenate(found, axis=1)
        return j, k


def _next_vertices(mass: FloatArray, hits: FloatArray) -> Places:
    """Return for each point the vertex after it on the greatest convex minorant of the points from there on."""
    w, s, n = mass.tolist(), hits.tolist(), len(mass) - 1
    following = [n] * (n + 1)
    for j in range(n - 1, -1, -1):
        k = j + 1
        while k < n and (s[k] - s[j]) * (w[following[k]] - w[k]) >= (s[following[k]] - s[k]) * (w[k] - w[j]):
            k = following[k]
        following[j] = k
    return np.array(following)
