"""Statistics, summaries, and the one pass that turns the first into the second."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, Protocol, Self, TypeVar, runtime_checkable

import numpy as np

from calkit.errors import InputError
from calkit.predictions import Predictions
from calkit.stats.rows import Rows, Workspace

__all__ = ["Statistic", "Summary", "TreeSum", "summarize"]


@runtime_checkable
class Summary(Protocol):
    """What is kept of some rows. Adding the summaries of two parts gives that of the whole."""

    def __add__(self, other: Self, /) -> Self: ...


S_co = TypeVar("S_co", bound=Summary, covariant=True)
S = TypeVar("S", bound=Summary)


@runtime_checkable
class Statistic(Protocol[S_co]):
    """What to count. Statistics are hashable, and equal ones are counted once in a pass."""

    @property
    def needs_distribution(self) -> bool:
        """Whether the scores of all classes are needed, not only confidence and correctness."""

    def measure(self, rows: Rows, /) -> S_co:
        """Return the summary of one block of rows."""


class TreeSum(Generic[S]):
    """Adds summaries pairwise, as a binary counter does: exact to rounding that grows with log n, in order.

    Examples
    --------
    >>> total = TreeSum()
    >>> for number in range(100):
    ...     total.add(number)
    >>> total.result()
    4950
    """

    def __init__(self) -> None:
        self._levels: list[S | None] = []

    def add(self, item: S) -> None:
        """Take in the next summary."""
        for level, held in enumerate(self._levels):
            if held is None:
                self._levels[level] = item
                return
            item = held + item
            self._levels[level] = None
        self._levels.append(item)

    def result(self) -> S | None:
        """Return the sum of all summaries taken in so far; None if there were none."""
        total: S | None = None
        for held in self._levels:
            if held is not None:
                total = held if total is None else held + total
        return total


def summarize(
    predictions: Predictions,
    statistics: Iterable[Statistic[Any]],
    *,
    inverse_temperature: float = 1.0,
    block_rows: int | None = None,
    check: bool = True,
) -> dict[Statistic[Any], Any]:
    """Count all statistics in one pass over the rows.

    Parameters
    ----------
    predictions : Predictions
    statistics : iterable of Statistic
        What to count; repeated ones are counted once.
    inverse_temperature : float, default=1.0
        β = 1/T: logits are multiplied by it. Must be 1 for other kinds.
    block_rows : int, optional
        Rows per block; by default as many as fit a core's cache. Counts do not depend on it, and sums only by
        rounding (1e-15 relative).
    check : bool, default=True
        Check the scores. Only a second pass over the same scores may skip it.

    Returns
    -------
    dict
        The summary of each statistic.

    Raises
    ------
    InputError
        If a score is impossible, or a statistic needs the scores of all classes and only (confidence, correct)
        pairs are there.
    """
    totals: dict[Statistic[Any], TreeSum[Any]] = {statistic: TreeSum() for statistic in statistics}
    if predictions.kind != "logits" and inverse_temperature != 1:
        raise InputError(f"only logits can be scaled by a temperature, but these scores are {predictions.kind}.")
    if predictions.kind == "confidence" and any(statistic.needs_distribution for statistic in totals):
        raise InputError("(confidence, correct) pairs do not hold the scores of all classes that this needs.")
    workspace = Workspace()
    # Differences of huge logits may overflow to infinity, whose exponential is the right 0.
    with np.errstate(over="ignore", under="ignore"):
        for block in predictions.blocks(block_rows, check=check):
            rows = Rows(block, workspace, inverse_temperature)
            for statistic, total in totals.items():
                total.add(statistic.measure(rows))
    return {statistic: total.result() for statistic, total in totals.items()}
