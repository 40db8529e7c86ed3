"""One piece after the other, in this thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from calkit.executors.base import EXECUTORS, P, PairwiseSum, S

__all__ = ["SerialExecutor"]


@EXECUTORS.register("serial")
class SerialExecutor:
    """Adds in this thread.

    Examples
    --------
    >>> from calkit.executors import SerialExecutor
    >>> SerialExecutor().sum(abs, [-1, 2, -3])
    6
    """

    is_remote = False

    def sum(self, function: Callable[[P], S], pieces: Iterable[P]) -> S | None:
        """Return the sum of ``function(piece)`` over the pieces; None if there are none."""
        total: PairwiseSum[S] = PairwiseSum()
        for piece in pieces:
            total.add(function(piece))
        return total.result()

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""
