"""The most confident mistakes: the rows whose forecasts were surest of what did not happen."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.stats.rows import Rows
from calkit.stats.statistic import Statistic
from calkit.stats.views import TOP, View

__all__ = ["MistakeRows", "Mistakes"]


@dataclass(frozen=True, eq=False)
class MistakeRows:
    """Wrong rows, the most confident first, of equally confident ones those that come first.

    Attributes
    ----------
    most : int
        Rows that are kept at most.
    row : ndarray of intp, shape (m,)
        Their places among all rows, from 0.
    confidence : ndarray of float64, shape (m,)
        Probability of what did not happen.
    came : ndarray of bool, shape (m,)
        Whether the event came; of the top label it never did.
    predicted, true : ndarray of intp, shape (m,)
        Columns; 0 where only (confidence, correct) pairs are known.
    """

    most: int
    row: NDArray[np.intp]
    confidence: NDArray[np.float64]
    came: NDArray[np.bool_]
    predicted: NDArray[np.intp]
    true: NDArray[np.intp]

    def __add__(self, other: MistakeRows) -> MistakeRows:
        joined: list[Any] = [
            np.concatenate([getattr(self, field.name), getattr(other, field.name)]) for field in fields(self)[1:]
        ]
        return _first(self.most, *joined)

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True)
class Mistakes(Statistic[MistakeRows]):
    """Statistic: the most confident mistakes.

    Parameters
    ----------
    most : int, default=10
        How many are kept.
    view : View, default=TOP
        Of what. A forecast of an event is a mistake if it gave more than 1/2 to what did not happen; the top label's,
        if it is not the true class. Of several events (classes), those of the top label.
    """

    most: int = 10
    view: View = TOP
    is_sum: ClassVar[bool] = True
    needs_places = True

    def measure(self, rows: Rows) -> MistakeRows:
        """Return the :class:`MistakeRows` of one block."""
        if self.view == TOP or self.view.keyed:
            confidence, wrong = rows.confidence, np.flatnonzero(~rows.correct)
            came = np.zeros(len(confidence), np.bool_)
        else:
            forecasts = self.view.of(rows)
            confidence = np.abs(forecasts.probability - forecasts.outcome)
            wrong, came = np.flatnonzero(confidence > 0.5), np.asarray(forecasts.outcome) >= 0.5
        pairs = rows.kind == "confidence"
        nothing = np.zeros(len(wrong), np.intp)
        return _first(
            self.most,
            np.asarray(rows.numbers)[wrong],
            confidence[wrong],
            came[wrong],
            nothing if pairs else rows.predicted[wrong],
            nothing if pairs else np.asarray(rows.y_true)[wrong].astype(np.intp),
        )


def _first(
    most: int,
    row: NDArray[np.intp],
    confidence: NDArray[np.float64],
    came: NDArray[np.bool_],
    predicted: NDArray[np.intp],
    true: NDArray[np.intp],
) -> MistakeRows:
    order = np.lexsort((row, -confidence))[:most]
    return MistakeRows(most, row[order], confidence[order], came[order], predicted[order], true[order])
