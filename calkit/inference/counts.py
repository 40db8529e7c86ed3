"""Statistics that count what floors and intervals need: sums over cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.inference.cells import CellSums
from calkit.inference.class_cells import class_cells
from calkit.inference.label_bins import LabelBins, LabelSums
from calkit.stats import Statistic
from calkit.stats.bins import OfFixedBins
from calkit.stats.forecasts import Forecasts
from calkit.stats.kernel_table import KERNELS, Kernel, kernel_of
from calkit.stats.pairs import ConfidencePairs, equal_mass_starts, equal_mass_upper
from calkit.stats.parts import Parts
from calkit.stats.ranks import MAX_ROWS, OfEqualMass
from calkit.stats.rows import Rows
from calkit.stats.statistic import ForecastStatistic
from calkit.stats.views import TOP, Classwise, View

__all__ = ["Cells", "EqualMassCells", "KnownCells", "cells_of_pairs"]


@dataclass(frozen=True)
class Cells(OfFixedBins[CellSums]):
    """Statistic: :class:`CellSums` over fixed bins; of a view with keys, in the order of keys and bins.

    Parameters
    ----------
    bins : UniformBins
    pairs : bool
        Whether products of pairs of weighted rows are summed as well.
    """

    pairs: bool = False
    counts_keys: ClassVar[bool] = True

    @property
    def label_bins(self) -> LabelBins | None:
        """What tells how the cells of all classes, of which each row has one, depend on each other."""
        return LabelBins(self.bins) if isinstance(self.view, Classwise) else None

    def measure(self, rows: Rows) -> CellSums:
        """Return the sums of one block, by a kernel where the view has one."""
        kernel = kernel_of(self, rows)
        return kernel.sums(rows, self) if kernel else super().measure(rows)

    def count(self, forecasts: Forecasts) -> CellSums:
        """Return the sums of one block's forecasts."""
        if forecasts.probability.ndim == 1:
            return self._of_key(forecasts)
        return CellSums.joined([self._of_key(forecasts.column(key)) for key in range(forecasts.n_keys)])

    def _of_key(self, forecasts: Forecasts) -> CellSums:
        return _cells(self.bins.index(forecasts), self.bins.n_bins, forecasts, self.pairs)


def _class_cells(rows: Rows, statistic: Cells) -> CellSums:
    # Bins of other edges have no kernel.
    if kernel_of(statistic.bins, rows) is None or (statistic.pairs and rows.weight is not None):
        return ForecastStatistic.measure(statistic, rows)
    return class_cells(rows, statistic.bins)


KERNELS[Cells, Classwise] = Kernel(lambda rows: rows.plain, _class_cells)


@dataclass(frozen=True)
class KnownCells(ForecastStatistic[CellSums]):
    """Statistic: :class:`CellSums` over ranges of probability that are known already.

    Parameters
    ----------
    upper : tuple of float
        Largest probability of each range, rising.
    """

    upper: tuple[float, ...]
    view: View = TOP
    pairs: bool = False
    is_sum: ClassVar[bool] = True

    def count(self, forecasts: Forecasts) -> CellSums:
        """Return the sums of one block."""
        index = np.minimum(np.searchsorted(self.upper, forecasts.probability), len(self.upper) - 1)
        return _cells(index, len(self.upper), forecasts, self.pairs)


@dataclass(frozen=True)
class EqualMassCells(OfEqualMass):
    """Statistic: what :class:`CellSums` over bins of equal mass need.

    In :func:`~calkit.stats.summarize` it asks for what :class:`~calkit.stats.ranks.EqualMass` asks for; where rows are
    too many to be kept, for one pass more.
    """

    n_bins: int = 15
    max_rows: int = MAX_ROWS
    view: View = TOP
    pairs: bool = False

    def of_bins(self, upper: tuple[float, ...]) -> Statistic[Any]:
        """Return the sums over the cells between edges."""
        return KnownCells(upper, self.view, self.pairs)

    def to_cells(self, summary: Any) -> CellSums:
        """Return the sums over the bins; of keys, in the order of keys and bins."""
        if isinstance(summary, Parts):
            return CellSums.joined([self.to_cells(part).padded(self.n_bins) for part in summary.summaries.values()])
        return cells_of_pairs(summary, self.n_bins, self.pairs) if isinstance(summary, ConfidencePairs) else summary

    def label_sums(self, summary: Any) -> LabelSums | None:
        """Return what tells how the bins of all classes depend on each other; None without the rows of all classes."""
        if not isinstance(self.view, Classwise) or not isinstance(summary, Parts):
            return None
        parts = [part for part in summary.summaries.values() if isinstance(part, ConfidencePairs)]
        if len(parts) < len(summary.summaries):
            return None
        q, rows = np.zeros((len(parts[0]), self.n_bins)), np.arange(len(parts[0]))
        for pairs in parts:
            upper = equal_mass_upper(pairs, self.n_bins)
            q[rows, np.searchsorted(upper, pairs.confidence)] += pairs.confidence
        return LabelSums.of(q, parts[0].weight)


def cells_of_pairs(forecasts: ConfidencePairs, n_bins: int, pairs: bool = False) -> CellSums:
    """Sum over the bins of equal mass that hold any."""
    ranked, start = forecasts.ranked, np.unique(equal_mass_starts(forecasts.ranked, n_bins))
    rows = ranked.confidence, ranked.correct, ranked.weight
    return CellSums.of_runs(start[start < len(ranked)], *rows, pairs=pairs)


def _cells(index: NDArray[np.intp], n_bins: int, forecasts: Forecasts, pairs: bool) -> CellSums:
    return CellSums.of(index, n_bins, forecasts.probability, forecasts.outcome, forecasts.weight, pairs=pairs)
