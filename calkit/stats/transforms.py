"""Statistics of transformed logits, so that one pass over the rows counts what many calibrators would make of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from calkit.stats.rows import Rows
from calkit.stats.statistic import Passes, Statistic, Summary, Wrapped

__all__ = ["At", "Temperature", "Transform"]

S = TypeVar("S", bound=Summary)


class Transform(Protocol):
    """A function of rows of logits, hashable. One with an `inverse_temperature` is left to the kernels."""

    def __call__(self, logits: NDArray[np.floating[Any]], /) -> NDArray[np.floating[Any]]:
        """Return the logits of a block of rows, of shape (b, K), each made of the row's own logits alone."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Temperature:
    """Transform: logits multiplied by an inverse temperature.

    Parameters
    ----------
    inverse_temperature : float
        β = 1/T.
    """

    inverse_temperature: float

    def __call__(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Return the scaled logits, in their precision."""
        return np.asarray(logits * logits.dtype.type(self.inverse_temperature))


@dataclass(frozen=True)
class At(Wrapped[S], Generic[S]):
    """Statistic: another one, of transformed logits.

    Parameters
    ----------
    statistic : Statistic
        What to count.
    transform : Transform
        What to make of the logits first: a :class:`Temperature`, for instance, or any function of rows of logits.

    Examples
    --------
    >>> from calkit.datasets import load_digits_logits
    >>> from calkit.stats import At, RowMean, Temperature, summarize
    >>> confidence = RowMean("confidence")
    >>> at = [At(confidence, Temperature(1.0)), At(confidence, Temperature(0.1))]
    >>> [round(found.mean, 3) for found in summarize(load_digits_logits("test"), at).values()]
    [0.937, 0.358]
    """

    statistic: Statistic[S]
    transform: Transform

    @property
    def needs_distribution(self) -> bool:  # type: ignore[override]
        """Always: (confidence, correct) pairs cannot be transformed."""
        return True

    def passes(self) -> Passes:
        """Yield what to count in each pass, of the transformed logits."""
        steps = self.statistic.passes()
        step = next(steps)
        while True:
            found = yield At(step, self.transform)
            try:
                step = steps.send(found)
            except StopIteration as done:
                return done.value

    def measure(self, rows: Rows) -> Any:
        """Return the summary of one block."""
        return self.statistic.measure(rows.at(self.transform))
