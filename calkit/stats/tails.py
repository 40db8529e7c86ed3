"""The predictions a classifier is sure of: how many they are, and how many of them are right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calkit.stats.rows import Rows

__all__ = ["Tail", "TailSums"]


@dataclass(frozen=True)
class TailSums:
    """Sums over all rows and over the confident ones.

    Attributes
    ----------
    count : int
        Confident rows.
    weight, correct : float
        Weight of the confident rows, and of those among them that are right.
    total_weight : float
        Weight of all rows.
    """

    count: int
    weight: float
    correct: float
    total_weight: float

    def __add__(self, other: TailSums) -> TailSums:
        return TailSums(
            self.count + other.count,
            self.weight + other.weight,
            self.correct + other.correct,
            self.total_weight + other.total_weight,
        )

    @property
    def share(self) -> float:
        """Share of the samples that are confident, in [0, 1]."""
        return self.weight / self.total_weight

    @property
    def accuracy(self) -> float:
        """Accuracy of the confident samples, in [0, 1]; NaN if there are none."""
        return self.correct / self.weight if self.weight else float("nan")


@dataclass(frozen=True)
class Tail:
    """Statistic: rows whose confidence is at least `threshold`.

    The threshold is rounded to the precision the confidences were stored in, as edges of bins are.
    """

    threshold: float = 0.99
    needs_distribution = False

    def measure(self, rows: Rows) -> TailSums:
        """Return the :class:`TailSums` of one block."""
        threshold = float(np.asarray(self.threshold).astype(rows.precision))
        sure = rows.confidence >= threshold
        if rows.confidence_error:
            unsure = np.flatnonzero(np.abs(rows.confidence - threshold) < rows.confidence_error)
            sure[unsure] = rows.exact_confidence(unsure) >= threshold
        right = sure & rows.correct
        return TailSums(int(sure.sum()), rows.sum(sure), rows.sum(right), rows.total_weight)
