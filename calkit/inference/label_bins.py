"""Rows of one label as forecasts of the bin that the probability of the true class lies in: the pooled classes' law.

The gaps of all classes pooled, bin by bin, are those of a forecast with one outcome among the bins, whose probabilities
are the sums over the classes in each bin. So their covariance is known: of many classes in the lowest bin it is far
less than that of as many independent events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.inference.cells import CellSums
from calkit.inference.floors import NullLaw, drawn_law
from calkit.inference.resampling import Resampling
from calkit.stats.bins import OfFixedBins
from calkit.stats.classwise import class_rows
from calkit.stats.forecasts import Forecasts
from calkit.stats.kernel_table import KERNELS, Kernel, kernel_of
from calkit.stats.kernels.classwise import ClassRows, class_pieces
from calkit.stats.rows import Rows
from calkit.stats.views import Classwise

__all__ = ["LabelBins", "LabelSums", "label_sums_of"]

FloatArray = NDArray[np.float64]

_FOLD = float(np.sqrt(2 / np.pi))
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class LabelSums:
    """Sums over rows of q, the probabilities of the bins, with weights w.

    Attributes
    ----------
    mass, squares : ndarray of float64, shape (m,)
        Σ w² q and Σ w q².
    joint : ndarray of float64, shape (m, m)
        Σ w² q qᵀ.
    """

    mass: FloatArray
    squares: FloatArray
    joint: FloatArray

    @classmethod
    def of(cls, q: FloatArray, weight: FloatArray | None) -> LabelSums:
        """Sum over rows; q is of shape (b, m)."""
        w = np.ones(len(q)) if weight is None else weight
        return cls(w**2 @ q, w @ q**2, (q.T * w**2) @ q)

    def __add__(self, other: LabelSums) -> LabelSums:
        return LabelSums(self.mass + other.mass, self.squares + other.squares, self.joint + other.joint)

    def pooled(self, sums: CellSums) -> CellSums:
        """Return cells whose classes are pooled with the variance that rows of one label have."""
        variance, spread = self.mass - np.diag(self.joint), sums.probability - self.squares
        # Where all of a row's classes lie in one bin there is no noise, and no gap, but that of rounding.
        sure, even = variance <= _ROUNDING * self.mass, np.abs(sums.gap) <= _ROUNDING * sums.weight
        return replace(
            sums,
            outcome=np.where(even, sums.probability, sums.outcome),
            spread=np.where(sure, 0, np.maximum(spread, 0)),
            variance=np.where(sure, 0, variance),
        )

    def law(self, sums: CellSums, resampling: Resampling) -> NullLaw:
        """Return the law of Σ |gap| over the pooled cells, if the model is calibrated.

        The gaps are drawn from the normal law of their covariance; the mean is then moved to that of sums of few rows.
        """
        size, axes = np.linalg.eigh(np.diag(self.mass) - self.joint)
        size[size <= _ROUNDING * self.mass.sum()] = 0
        normal = resampling.random.standard_normal((resampling.n_resamples, len(size)))
        drawn = np.abs(normal * np.sqrt(size) @ axes.T).sum(axis=1)
        filled = sums.filled
        shift = filled.null_moments[0].sum() - _FOLD * np.sqrt(filled.variance).sum()
        return drawn_law(np.maximum(drawn + shift, 0))


@dataclass(frozen=True)
class LabelBins(OfFixedBins[LabelSums]):
    """Statistic: :class:`LabelSums` over the bins of every class's probability; of the view of all classes only."""

    counts_keys: ClassVar[bool] = True

    def measure(self, rows: Rows) -> LabelSums:
        """Return the sums of one block, by a kernel where the bins have one."""
        kernel = kernel_of(self, rows)
        return kernel.sums(rows, self) if kernel and kernel_of(self.bins, rows) else super().measure(rows)

    def count(self, forecasts: Forecasts) -> LabelSums:
        """Return the sums of one block's forecasts."""
        q, numbers = np.zeros((len(forecasts), self.bins.n_bins)), np.arange(len(forecasts))
        for one in map(forecasts.column, range(forecasts.n_keys)):
            q[numbers, self.bins.index(one)] += one.probability
        return LabelSums.of(q, forecasts.weight)


def _label_sums(rows: Rows, statistic: LabelBins) -> LabelSums:
    if statistic in rows.kept:
        found: LabelSums = rows.kept[statistic]
        return found
    given = class_rows(rows, statistic.bins.n_bins, exact=True)
    return reduce(add, (label_sums_of(piece, given) for piece in class_pieces(given, rows.workspace)))


def label_sums_of(piece: Any, given: ClassRows) -> LabelSums:
    """Return the sums over some of the rows of a kernel for all classes."""
    n, m = len(piece.total), given.n_bins
    q = np.bincount(piece.row * m + piece.bin, piece.value, n * m).astype(np.float64).reshape(n, m)
    q[:, 0] += piece.low.sum(axis=1, dtype=np.float64) / piece.total
    return LabelSums.of(q, None if given.weight is None else given.weight[piece.rows])


KERNELS[LabelBins, Classwise] = Kernel(lambda rows: rows.plain, _label_sums)
