"""A statistic of logits at a temperature of its own, so that one pass over the rows counts many temperatures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from calkit.stats.base import Statistic, Summary
from calkit.stats.rows import Rows

__all__ = ["Scaled"]

S = TypeVar("S", bound=Summary)


@dataclass(frozen=True)
class Scaled(Generic[S]):
    """Statistic: another one, of logits multiplied by an inverse temperature.

    Parameters
    ----------
    statistic : Statistic
        What to count; one that takes one pass.
    inverse_temperature : float
        β = 1/T, in place of that of the pass.

    Examples
    --------
    >>> from calkit.datasets import load_digits_logits
    >>> from calkit.stats import RowMean, Scaled, summarize
    >>> confidence = RowMean("confidence")
    >>> pass_ = summarize(load_digits_logits("test"), [Scaled(confidence, 1.0), Scaled(confidence, 0.1)])
    >>> [round(found.mean, 3) for found in pass_.values()]
    [0.937, 0.358]
    """

    statistic: Statistic[S]
    inverse_temperature: float

    @property
    def needs_distribution(self) -> bool:
        """Always: (confidence, correct) pairs cannot be scaled."""
        return True

    @property
    def needs_squares(self) -> bool:
        """Whether sums of squares are needed."""
        return bool(getattr(self.statistic, "needs_squares", False))

    def measure(self, rows: Rows) -> Any:
        """Return the summary of one block."""
        return self.statistic.measure(rows.at(self.inverse_temperature))
