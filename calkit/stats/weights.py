"""Statistics of rows with other weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from calkit.stats.rows import Rows
from calkit.stats.statistic import Statistic, Wrapped

__all__ = ["SquaredWeights"]


@dataclass(frozen=True)
class SquaredWeights(Wrapped[Any]):
    """Statistic: another one, with the weights squared; (Σw)² / Σw² rows of equal weight would tell as much.

    Parameters
    ----------
    statistic : Statistic
    """

    statistic: Statistic[Any]

    def measure(self, rows: Rows) -> Any:
        """Return the summary of one block."""
        return self.statistic.measure(rows if rows.weight is None else rows.reweighted(rows.weight**2))
