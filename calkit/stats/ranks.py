"""Bins of equal mass: what they need, of all rows and for each fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from calkit.stats.bins import BinSums, KnownBins
from calkit.stats.folds import Folds, FoldSums, sum_folds
from calkit.stats.forecasts import Forecasts
from calkit.stats.pairs import ConfidencePairs, Pairs, equal_mass_bins, equal_mass_upper
from calkit.stats.parts import Parts
from calkit.stats.rank_counts import MAX_ROWS, InnerKeys, RankCounts
from calkit.stats.split import split_passes
from calkit.stats.statistic import Folded, ForecastStatistic, Passes, Statistic
from calkit.stats.views import TOP, View

__all__ = ["MAX_ROWS", "EqualMass", "EqualMassFolds", "OfEqualMass", "RankCounts"]


class OfEqualMass(ForecastStatistic[Any]):
    """Base of statistics over bins of equal mass, which ask for the same first passes, counted once for all.

    The summary is pairs while the rows can be kept; else what :meth:`of_bins` counts in one pass more. Subclasses are
    data classes with these fields.
    """

    n_bins: int
    max_rows: int

    @property
    def streamed(self) -> Statistic[Any]:
        """Pairs, which a stream keeps."""
        return Pairs(self.view)

    def count(self, forecasts: Forecasts) -> ConfidencePairs:
        """Return the pairs of one block."""
        return Pairs(self.view).count(forecasts)

    def passes(self) -> Passes:
        """Yield what to count in each pass; return the pairs, or what was counted in bins; of keys, those of each."""
        counts = RankCounts(max_rows=self.max_rows, view=self.view)
        return (yield from (split_passes(counts, self.key) if self.view.keyed else self._passes(counts)))

    def _passes(self, counts: RankCounts) -> Passes:  # noqa: ARG002 - the same that EqualMass counts
        found = yield from EqualMass(self.n_bins, self.max_rows, self.view).passes()
        if isinstance(found, ConfidencePairs):
            return found
        return (yield self.of_bins(tuple(found.edges[1][found.count > 0].tolist())))

    def of_bins(self, upper: tuple[float, ...]) -> Statistic[Any]:
        """Return what counts the rows, by the upper edges of the bins that hold any."""
        raise NotImplementedError


@dataclass(frozen=True)
class EqualMass(OfEqualMass):
    """Statistic: what bins of equal mass need.

    Measured in one pass it is :class:`Pairs`. In :func:`summarize`, which can read the rows again, it keeps pairs only
    up to a number; beyond, the first pass counts, the second looks at the rows close to borders between bins, and the
    bins come out the same. A third is needed above about a thousand million rows. Of a view with keys, each key has
    bins of its own.

    Parameters
    ----------
    n_bins : int
    max_rows : int
        How many rows are kept.
    view : View
        Whose forecasts.
    """

    n_bins: int = 15
    max_rows: int = MAX_ROWS
    view: View = TOP
    groupable: ClassVar[bool] = True

    def folded(self, folds: Folds) -> Any:
        """Return the statistic that keeps the gaps for each fold."""
        return EqualMassFolds(self.n_bins, folds, self.max_rows, self.view)

    def _passes(self, counts: RankCounts) -> Passes:
        found = yield counts
        if found.held_rows:
            return found.held
        ranges = found.held
        while borders := ranges.borders(self.n_bins):
            found = yield RankCounts(InnerKeys(borders), self.max_rows, self.view)
            ranges = ranges.refined(found.narrowest_ranges(), self.n_bins)
        return ranges.to_bins(self.n_bins)

    def to_bins(self, summary: Any) -> BinSums:
        """Return the sums over the bins, of one key; see :func:`~calkit.stats.pairs.equal_mass_bins`."""
        return summary if isinstance(summary, BinSums) else equal_mass_bins(summary, self.n_bins)


@dataclass(frozen=True)
class EqualMassFolds(OfEqualMass):
    """Statistic: the gaps in bins of equal mass, for each fold; the bins are those of all rows together.

    Measured in one pass it is :class:`Pairs`. In :func:`summarize` it asks for what :class:`EqualMass` asks for, which
    then is counted once for both; where rows are too many to be kept, it takes one pass more.

    Parameters
    ----------
    n_bins : int
    folds : Folds
    max_rows : int
        How many rows are kept.
    view : View
        Whose forecasts.
    """

    n_bins: int
    folds: Folds
    max_rows: int = MAX_ROWS
    view: View = TOP
    needs_places = True

    def of_bins(self, upper: tuple[float, ...]) -> Statistic[Any]:
        """Return the sums over folds and bins."""
        return Folded(KnownBins(upper, self.view), self.folds)

    def to_folds(self, summary: Any) -> FoldSums:
        """Return the sums over folds and bins; pairs are taken to be in the order of the rows."""
        if isinstance(summary, FoldSums):
            return summary
        if isinstance(summary, Parts):
            found = summary.map(self.to_folds)
            # Ties leave keys with fewer bins, after which empty ones stand, as among the cells.
            padded = [np.pad(sums.total, ((0, 0), (0, self.n_bins - sums.total.shape[1]))) for sums in found]
            return FoldSums(found[0].weight, np.concatenate(padded, axis=1), len(found))
        upper = equal_mass_upper(summary, self.n_bins)
        index = np.searchsorted(upper, summary.confidence)
        gap = summary.confidence - summary.correct
        fold = self.folds.of(np.arange(len(summary)))
        return sum_folds(fold, self.folds.n_folds, summary.weight, gap, index, len(upper))
