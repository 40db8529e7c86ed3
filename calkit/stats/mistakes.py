"""The most confident mistakes: the wrong rows whose predicted class had the largest probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.stats.rows import Rows
from calkit.stats.statistic import Statistic

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
    predicted, true : ndarray of intp, shape (m,)
        Columns; 0 where only (confidence, correct) pairs are known.
    """

    most: int
    row: NDArray[np.intp]
    confidence: NDArray[np.float64]
    predicted: NDArray[np.intp]
    true: NDArray[np.intp]

    def __add__(self, other: MistakeRows) -> MistakeRows:
        joined = [
            np.concatenate([getattr(self, name), getattr(other, name)])
            for name in ("row", "confidence", "predicted", "true")
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
    """

    most: int = 10
    is_sum: ClassVar[bool] = True
    needs_places = True

    def measure(self, rows: Rows) -> MistakeRows:
        """Return the :class:`MistakeRows` of one block."""
        wrong = np.flatnonzero(~rows.correct)
        pairs = rows.kind == "confidence"
        nothing = np.zeros(len(wrong), np.intp)
        return _first(
            self.most,
            np.asarray(rows.numbers)[wrong],
            rows.confidence[wrong],
            nothing if pairs else rows.predicted[wrong],
            nothing if pairs else np.asarray(rows.y_true)[wrong].astype(np.intp),
        )


def _first(
    most: int,
    row: NDArray[np.intp],
    confidence: NDArray[np.float64],
    predicted: NDArray[np.intp],
    true: NDArray[np.intp],
) -> MistakeRows:
    order = np.lexsort((row, -confidence))[:most]
    return MistakeRows(most, row[order], confidence[order], predicted[order], true[order])
