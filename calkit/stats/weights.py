"""Statistics of rows with other weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from calkit.stats.rows import Rows
from calkit.stats.statistic import Statistic

__all__ = ["SquaredWeights"]


@dataclass(frozen=True)
class SquaredWeights(Statistic[Any]):
    """Statistic: another one, with the weights squared; (Σw)² / Σw² rows of equal weight would tell as much.

    Parameters
    ----------
    statistic : Statistic
    """

    statistic: Statistic[Any]

    @property
    def is_sum(self) -> bool:  # type: ignore[override]
        """Whether the summary has a fixed size."""
        return self.statistic.is_sum

    @property
    def needs_distribution(self) -> bool:  # type: ignore[override]
        """Whether the scores of all classes are needed."""
        return self.statistic.needs_distribution

    def measure(self, rows: Rows) -> Any:
        """Return the summary of one block."""
        return self.statistic.measure(rows if rows.weight is None else rows.reweighted(rows.weight**2))
