"""Means over the rows that are right, and over those that are wrong: what histories of training show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from calkit.stats.folds import FoldSums
from calkit.stats.rows import Rows
from calkit.stats.statistic import Statistic

__all__ = ["OutcomePart", "OutcomeTotal", "OutcomeTotals"]


@dataclass(frozen=True, eq=False)
class OutcomeTotals:
    """Weighted sums of a quantity over the correct rows (first) and over the misclassified ones (second).

    Attributes
    ----------
    count : ndarray of int64, shape (2,)
        Rows.
    weight : ndarray of float64, shape (2,)
        Sum of the weights.
    total : ndarray of float64, shape (2,)
        Weighted sum of the quantity.
    """

    count: NDArray[np.int64]
    weight: NDArray[np.float64]
    total: NDArray[np.float64]

    def __add__(self, other: OutcomeTotals) -> OutcomeTotals:
        return OutcomeTotals(self.count + other.count, self.weight + other.weight, self.total + other.total)

    @property
    def mean(self) -> float:
        """Weighted mean over all rows."""
        return float(self.total.sum() / self.weight.sum())

    @property
    def correct_mean(self) -> float:
        """Weighted mean over the correct rows; NaN if there are none."""
        return self._mean_of(0)

    @property
    def misclassified_mean(self) -> float:
        """Weighted mean over the misclassified rows; NaN if there are none."""
        return self._mean_of(1)

    def _mean_of(self, outcome: int) -> float:
        return float(self.total[outcome] / self.weight[outcome]) if self.weight[outcome] else float("nan")


@dataclass(frozen=True)
class OutcomeTotal(Statistic[OutcomeTotals]):
    """Statistic: the weighted total of one quantity of :class:`~calkit.stats.Rows`, by whether the row is right.

    With soft labels each vote counts as a row of its own, weighted by its share.

    Parameters
    ----------
    quantity : {"nll", "entropy", "confidence", "p_true"}
        Which one.
    """

    quantity: Literal["nll", "entropy", "confidence", "p_true"]
    is_sum: ClassVar[bool] = True

    @property
    def needs_distribution(self) -> bool:  # type: ignore[override]
        """Whether the scores of all classes are needed."""
        return self.quantity != "confidence"

    def measure(self, rows: Rows) -> OutcomeTotals:
        """Return the :class:`OutcomeTotals` of one block."""
        weight, total = self.parts(rows)
        count = int(rows.correct.sum())
        return OutcomeTotals(np.array([count, len(rows) - count]), weight.sum(axis=1), total.sum(axis=1))

    def parts(self, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weight and weighted quantity of each row, times its share that is right and wrong: (2, b) each."""
        right = rows.hit.astype(np.float64)
        share = np.stack([right, 1 - right])
        values = getattr(rows, self.quantity)
        if rows.votes is not None and self.quantity in _IF_RIGHT:
            # The quantity is a mean over the votes: those for the predicted class are taken out of it.
            of_right = right * _IF_RIGHT[self.quantity](rows)
            total = np.stack([of_right, values - of_right])
        else:
            # A product with 0 would spoil the sums where a value is infinite.
            total = np.where(share > 0, share * np.where(share > 0, values, 0), 0)
        return (share, total) if rows.weight is None else (share * rows.weight, total * rows.weight)


def _nll_if_right(rows: Rows) -> NDArray[np.float64]:
    if rows.kind == "logits":
        return np.log1p(rows.rest)
    return -rows.log_probabilities[np.arange(len(rows)), rows.predicted]


# Quantities that depend on the label: what they are if the predicted class is the true one.
_IF_RIGHT: dict[str, Callable[[Rows], NDArray[np.float64]]] = {
    "nll": _nll_if_right,
    "p_true": lambda rows: rows.confidence,
}


@dataclass(frozen=True)
class OutcomePart(Statistic[Any]):
    """Statistic, for folds only: weight and total of a quantity over the rows that are right, or wrong, or all.

    Parameters
    ----------
    total : OutcomeTotal
    part : int or None
        0 for the correct rows, 1 for the misclassified ones, None for all.
    """

    total: OutcomeTotal
    part: int | None
    is_sum: ClassVar[bool] = True
    groupable: ClassVar[bool] = True

    @property
    def needs_distribution(self) -> bool:  # type: ignore[override]
        """Whether the scores of all classes are needed."""
        return self.total.needs_distribution

    def measure(self, rows: Rows) -> Any:
        """Not defined: the sums are those of :class:`OutcomeTotal`."""
        raise NotImplementedError("parts of outcomes are counted for folds only")

    def measure_folds(self, rows: Rows, fold: NDArray[np.intp], n_folds: int) -> FoldSums:
        """Return the sums over the rows of each fold."""
        weight, total = (part.sum(axis=0) if self.part is None else part[self.part] for part in self.total.parts(rows))
        sums = [np.bincount(fold, values, n_folds).astype(np.float64) for values in (weight, total)]
        return FoldSums(sums[0], sums[1].reshape(n_folds, 1))
