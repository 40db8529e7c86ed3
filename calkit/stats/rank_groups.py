"""Bins of equal mass, kept for each group of rows."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from calkit.stats.bins import KnownBins
from calkit.stats.groups import Grouped, Groups, GroupSums, sum_groups
from calkit.stats.pairs import ConfidencePairs, Pairs, equal_mass_bins
from calkit.stats.ranks import MAX_ROWS, EqualMass

__all__ = ["EqualMassGroups"]


@dataclass(frozen=True)
class EqualMassGroups(Pairs):
    """Statistic: the gaps in bins of equal mass, for each group of rows; the bins are those of all rows together.

    Measured in one pass it is :class:`Pairs`. In :func:`summarize` it asks for what :class:`EqualMass` asks for, which
    then is counted once for both; where rows are too many to be kept, it takes one pass more.

    Parameters
    ----------
    n_bins : int
    groups : Groups
    max_rows : int
        How many rows are kept.
    """

    n_bins: int
    groups: Groups
    max_rows: int = MAX_ROWS

    def passes(self) -> Generator[Any, Any, ConfidencePairs | GroupSums]:
        """Yield what to count in each pass; return the pairs, or the sums over groups and bins."""
        found = yield from EqualMass(self.n_bins, self.max_rows).passes()
        if isinstance(found, ConfidencePairs):
            return found
        sums: GroupSums = yield Grouped(KnownBins(tuple(found.edges[1][found.count > 0].tolist())), self.groups)
        return sums

    def to_groups(self, summary: ConfidencePairs | GroupSums) -> GroupSums:
        """Return the sums over groups and bins; pairs are taken to be in the order of the rows."""
        if isinstance(summary, GroupSums):
            return summary
        bins = equal_mass_bins(summary, self.n_bins)
        upper = bins.edges[1][bins.count > 0]
        index = np.searchsorted(upper, summary.confidence)
        gap = summary.confidence - summary.correct
        group = self.groups.of(np.arange(len(summary)))
        return sum_groups(group, self.groups.n_groups, summary.weight, gap, index, len(upper))
