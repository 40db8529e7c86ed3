"""Views of events that several classes make up: their probabilities are sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.errors import UsageError
from calkit.parameters import is_whole
from calkit.stats.forecasts import Forecasts
from calkit.stats.logs import Logs
from calkit.stats.views import VIEWS, View

if TYPE_CHECKING:
    from calkit.stats.rows import Rows

__all__ = ["LEAST_EXCESS", "SUM_BITS", "Ordinal", "TopK"]

#: Bits that are kept of a sum of probabilities.
SUM_BITS = 46

#: How far such a sum may be above what it stands for at least.
LEAST_EXCESS = 1e-13


def _sums(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sums of probabilities to 46 bits, so that 0.1 + 0.2 ties with 0.3; rounding may put them above 1."""
    fraction, exponent = np.frexp(p)
    return np.minimum(np.ldexp(np.rint(np.ldexp(fraction, SUM_BITS)), exponent - SUM_BITS), 1)


def _excess_of_sums(rows: Rows) -> float:
    """Return how far a sum of probabilities may lie above the sum of what was stored, rounded."""
    return max(LEAST_EXCESS, float(np.finfo(rows.precision).epsneg) / 2)


@VIEWS.register("top-k", aliases=("topk",))
@dataclass(frozen=True)
class TopK(View):
    """The k most probable classes together: their probability, and whether the true class is among them.

    Of equally probable classes those of the lowest columns count first.

    Parameters
    ----------
    k : int, default=5
    """

    k: int = 5
    name: ClassVar[str] = "top-k"

    def __post_init__(self) -> None:
        if not is_whole(self.k, 1):
            raise UsageError(f"target 'top-k' needs a positive whole number k, but got {self.k!r}.")
        object.__setattr__(self, "k", int(self.k))

    @property
    def spec(self) -> str:
        """The string that stands for the view."""
        return f"top-{self.k}"

    def of(self, rows: Rows) -> Forecasts:
        """Return the forecasts of the k classes."""
        best = _largest(rows.scores, self.k)
        # From the most probable on, so that the sum depends on the row alone.
        p = _sums(np.take_along_axis(rows.probabilities, best, axis=1).sum(axis=1))

        def logs() -> Logs:
            ranked = np.take_along_axis(rows.log_probabilities, np.argsort(-rows.scores, axis=1, kind="stable"), axis=1)
            yes, no = ranked[:, : self.k], ranked[:, self.k :]
            return np.logaddexp.reduce(yes, axis=1), np.logaddexp.reduce(no, axis=1, initial=-np.inf)

        precision, excess = np.dtype(np.float64), _excess_of_sums(rows)
        return Forecasts(p, self.hit(rows), rows.weight, precision, decided=True, logs=logs, excess=excess)

    def hit(self, rows: Rows) -> NDArray[Any]:
        """Return whether the true class is among the k (with soft labels, the share of votes for them)."""
        rows.check()
        if rows.votes is not None:
            return np.asarray(np.take_along_axis(rows.votes, _largest(rows.scores, self.k), axis=1).sum(axis=1))
        scores, y = rows.scores, rows.y_true[:, None]
        true = np.take_along_axis(scores, y, axis=1)
        before = (scores > true) | ((scores == true) & (np.arange(scores.shape[1]) < y))
        return np.asarray(before.sum(axis=1) < self.k)


def _largest(scores: NDArray[Any], k: int) -> NDArray[np.intp]:
    """Return the columns of each row's k largest scores, from the largest on; of equal ones the lowest come first."""
    n, size = scores.shape
    if k >= size:
        return np.argsort(-scores, axis=1, kind="stable")
    least = np.partition(scores, size - k, axis=1)[:, [size - k]]
    chosen = scores >= least
    # Where several have the k-th largest score, only the first of them have a place.
    crowded = np.flatnonzero(chosen.sum(axis=1) != k)
    several = np.argsort(-scores[crowded], axis=1, kind="stable")[:, :k]
    chosen[crowded] = False
    chosen[crowded[:, None], several] = True
    columns = np.nonzero(chosen)[1].reshape(n, k)
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


@VIEWS.register("ordinal", aliases=("cumulative",))
@dataclass(frozen=True)
class Ordinal(View):
    """Classes in an order: the K - 1 events that the true class is no higher than each of them but the last."""

    name: ClassVar[str] = "ordinal"
    keyed: ClassVar[bool] = True

    def of(self, rows: Rows) -> Forecasts:
        """Return the forecasts of the events, a column each."""
        p = _sums(np.cumsum(rows.probabilities, axis=1)[:, :-1])
        if rows.votes is None:
            outcome: NDArray[Any] = rows.y_true[:, None] <= np.arange(p.shape[1])
        else:
            outcome = np.cumsum(rows.votes, axis=1)[:, :-1]

        def logs() -> Logs:
            each = rows.log_probabilities
            yes = np.logaddexp.accumulate(each, axis=1)[:, :-1]
            return yes, np.logaddexp.accumulate(each[:, ::-1], axis=1)[:, ::-1][:, 1:]

        precision, excess = np.dtype(np.float64), _excess_of_sums(rows)
        return Forecasts(p, outcome, rows.weight, precision, logs=logs, excess=excess)
