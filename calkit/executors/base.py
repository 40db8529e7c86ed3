"""What an executor is, and the order in which all of them add."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from calkit.registry import Registry

__all__ = ["EXECUTORS", "Executor", "P", "PairwiseSum", "S"]

P = TypeVar("P")
S = TypeVar("S")


class Executor(Protocol):
    """Adds up what a function returns for each of many pieces.

    Attributes
    ----------
    is_remote : bool
        Whether pieces leave this process: then they, the function and the sums are pickled.
    """

    is_remote: bool

    def sum(self, function: Callable[[P], S], pieces: Iterable[P]) -> S | None:
        """Return the sum of ``function(piece)``, added as :class:`PairwiseSum` adds; None if there are no pieces.

        An error in one piece ends the work and is raised as it was.
        """

    def close(self) -> None:
        """Give back what the executor has opened."""


#: Executor classes by name; what follows the name in a spec (``"threads:4"``) is passed to them.
EXECUTORS: Registry[Callable[..., Executor]] = Registry("executor")


class PairwiseSum(Generic[S]):
    """Adds summaries pairwise, as a binary counter does: exact to rounding that grows with log n, in order.

    Examples
    --------
    >>> from calkit.executors import PairwiseSum
    >>> total = PairwiseSum()
    >>> for number in range(100):
    ...     total.add(number)
    >>> total.result()
    4950
    """

    def __init__(self) -> None:
        self._levels: list[S | None] = []

    def add(self, item: S) -> None:
        """Take in the next summary."""
        sum_: Any = item
        for level, held in enumerate(self._levels):
            if held is None:
                self._levels[level] = sum_
                return
            sum_ = held + sum_
            self._levels[level] = None
        self._levels.append(sum_)

    def result(self) -> S | None:
        """Return the sum of all summaries taken in so far; None if there were none."""
        total: Any = None
        for held in self._levels:
            if held is not None:
                total = held if total is None else held + total
        return total
