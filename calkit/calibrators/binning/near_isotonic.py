"""Ensemble of near-isotonic regressions: rising functions, and some that fall a little where the data insist."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax, xlog1py, xlogy

from calkit.calibrators.binning.base import TableMaps
from calkit.calibrators.binning.isotonic import isotonic_blocks
from calkit.calibrators.binning.rows import Groups
from calkit.calibrators.registration import register_calibrator

__all__ = ["NearIsotonic", "near_isotonic_path"]

Floats = NDArray[np.float64]

# Models whose BIC is worse by this much than the isotonic one's have a weight below 1e-16.
_FAR = 2 * 37.0


@register_calibrator("near-isotonic", aliases=("enir",))
class NearIsotonic(TableMaps):
    """Ensemble of near-isotonic regressions (ENIR).

    Near-isotonic regression minimises half the squared error plus λ times the sum of all falls. Its solutions for all
    λ, from the data themselves to the isotonic fit, are averaged with weights exp(-BIC / 2), the number of blocks
    being the degrees of freedom. The result is linear between scores.

    Parameters
    ----------
    mix : {"laplace", "probmetrics", None}, default="laplace"
        As for :class:`Isotonic`.

    Attributes
    ----------
    keys_, values_, splits_, n_rows_, classes_, n_features_in_
        As for :class:`Isotonic`.

    References
    ----------
    Naeini & Cooper, "Binary classifier calibration using an ensemble of near isotonic regression models", ICDM 2016.
    Tibshirani, Hoefling & Tibshirani, "Nearly-isotonic regression", Technometrics 53, 2011.

    Examples
    --------
    >>> from calkit.calibrators import get_calibrator
    >>> from calkit.datasets import load_digits_logits
    >>> validation = load_digits_logits("validation")
    >>> get_calibrator("near-isotonic").fit(validation.scores, validation.y_true).describe().title
    'ensemble of near-isotonic regressions'
    """

    title: ClassVar[str] = "ensemble of near-isotonic regressions"

    def _fit_table(self, groups: Groups) -> tuple[Floats, Floats]:
        penalty = np.log(max(groups.total_weight, 2.0))

        def bic(values: Floats, n_blocks: int) -> float:
            likelihood = xlogy(groups.positive, values) + xlog1py(groups.weight - groups.positive, -values)
            return float(-2 * likelihood.sum() + penalty * n_blocks)

        starts, means = isotonic_blocks(groups)
        isotonic = np.repeat(means, np.diff(starts))
        last = bic(isotonic, len(means))
        # The likelihood is at most 1, so a model of more blocks than this cannot count.
        most_blocks = (last + _FAR) / penalty
        models, scores = [isotonic], [last]
        for n_blocks, values in near_isotonic_path(groups.positive / groups.weight, groups.weight, most_blocks):
            models.append(np.clip(values, 0, 1))
            scores.append(bic(models[-1], n_blocks))
        shares = softmax(-np.array(scores) / 2)
        values = sum(share * model for share, model in zip(shares, models, strict=True) if share > 0)
        new = np.append(True, np.diff(values) != 0)
        # The first and the last score of a level are its ends.
        ends = new | np.append(new[1:], True)
        return groups.score[ends], np.clip(values[ends], 0, 1)


class _Path:
    """Blocks of the near-isotonic solution as λ grows: a linked list whose neighbours merge when they touch.

    Between merges block i moves at the rate (falls before it - falls after it) / weight, so blocks that touch stay
    together.
    """

    def __init__(self, values: Floats, weight: Floats) -> None:
        m = len(values)
        self.value, self.weight, self.since = values.tolist(), weight.tolist(), [0.0] * m
        self.before, self.after = list(range(-1, m - 1)), [*range(1, m), -1]
        self.version, self.alive = [0] * m, [True] * m
        # Whether the block is higher than the next: a fall, which the penalty counts.
        self.falls = [*(values[:-1] > values[1:]).tolist(), False]
        self.now = 0.0
        self.n_blocks = m
        self.heap: list[tuple[float, int, int, int, int]] = []
        for i in range(m):
            self._expect(i)

    def rate(self, i: int) -> float:
        before = self.before[i]
        return ((self.falls[before] if before >= 0 else False) - self.falls[i]) / self.weight[i]

    def current(self, i: int) -> float:
        return float(self.value[i] + self.rate(i) * (self.now - self.since[i]))

    def _expect(self, i: int) -> None:
        """Note when a block will touch the next."""
        j = self.after[i]
        if j < 0:
            return
        closing = self.rate(i) - self.rate(j)
        gap = self.current(j) - self.current(i)
        # What rounding has put on the other side touches as well.
        touching = gap >= 0 if self.falls[i] else gap <= 0
        if touching or closing * gap > 0:
            when = self.now if touching else self.now + gap / closing
            heapq.heappush(self.heap, (when, i, j, self.version[i], self.version[j]))

    def merge(self) -> bool:
        """Go on to the next merge; return False if there is none."""
        while self.heap:
            when, i, j, version_i, version_j = heapq.heappop(self.heap)
            if self.alive[i] and self.alive[j] and self.version[i] == version_i and self.version[j] == version_j:
                self._join(max(when, self.now), i, j)
                return True
        return False

    def _join(self, when: float, i: int, j: int) -> None:
        reached = self.now = when
        for k in {self.before[i], i, j, self.after[j]} - {-1}:
            self.value[k] += self.rate(k) * (reached - self.since[k])
            self.since[k] = reached
        self.weight[i] += self.weight[j]
        self.alive[j] = False
        self.n_blocks -= 1
        self.after[i], self.falls[i] = self.after[j], self.falls[j]
        if self.after[j] >= 0:
            self.before[self.after[j]] = i
        near = {self.before[i], i, self.after[i]} - {-1}
        for k in near:
            self.version[k] += 1
        further = {self.before[k] for k in near} - {-1}
        for k in near | further:
            self._expect(k)

    def levels(self) -> Floats:
        """Return the value of every row."""
        m = len(self.value)
        starts = [i for i in range(m) if self.alive[i]]
        return np.repeat([self.current(i) for i in starts], np.diff([*starts, m]))


def near_isotonic_path(
    values: Floats, weight: Floats, most_blocks: float = float("inf")
) -> Iterator[tuple[int, Floats]]:
    """Yield the near-isotonic solution at every λ at which blocks merge, until none falls.

    Parameters
    ----------
    values, weight : ndarray of float64, shape (m,)
        In the order of the scores.
    most_blocks : float
        Solutions of more blocks are passed over.

    Yields
    ------
    n_blocks : int
    values : ndarray of float64, shape (m,)
    """
    path = _Path(values, weight)
    if path.n_blocks <= most_blocks:
        yield path.n_blocks, path.levels()
    while path.merge():
        if path.n_blocks <= most_blocks:
            yield path.n_blocks, path.levels()
