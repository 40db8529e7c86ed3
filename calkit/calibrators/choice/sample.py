"""Log-probabilities with a floor, and a bounded sample of rows: the same rows however the data are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from calkit.calibrators.base import Floats
from calkit.calibrators.choice.folds import row_hashes
from calkit.calibrators.inputs import as_logits
from calkit.lazy import Converted
from calkit.predictions import Predictions
from calkit.shards import Shards
from calkit.stats import Rows, Statistic, summarize

__all__ = ["FLOOR", "Sample", "at_least_floor", "floored", "in_memory", "sample_of", "with_floor"]

#: Probabilities count as no less than this: trees and neighbours say 0 of what they have not seen.
FLOOR = 1e-7


def floored(logits: Floats) -> Floats:
    """Return log-probabilities of at least the floor, normalised again."""
    return at_least_floor(log_softmax(logits, axis=1))


def at_least_floor(log_proba: Floats) -> Floats:
    """The same of log-probabilities."""
    return np.asarray(log_softmax(np.maximum(log_proba, np.log(FLOOR)), axis=1))


def in_memory(data: Predictions) -> tuple[Floats, NDArray[np.intp]]:
    """Return the scores and the labels of all rows, checked."""
    blocks = list(data.blocks())
    for block in blocks:
        block.check()
    return np.concatenate([b.scores for b in blocks]), np.concatenate([b.require_labels() for b in blocks])


def with_floor(data: Predictions | Shards) -> Predictions | Shards:
    """Return data of kind "logits" with :func:`floored` ones: at once in memory, else as they are read."""
    if isinstance(data, Shards):
        return data.map(with_floor)  # type: ignore[arg-type]
    if type(data.scores) is np.ndarray:
        return data.replace(scores=_in_double(data.scores), class_names=None)
    shape = (data.n_samples, int(data.n_classes or 0))
    return data.replace(scores=Converted(data.scores, _in_double, shape, np.float64), class_names=None)


def _in_double(scores: Any) -> Floats:
    return floored(as_logits(np.asarray(scores, dtype=np.float64)))


@dataclass(frozen=True, eq=False)
class Sample:
    """The rows of the smallest hashes, with totals of all; ``+`` merges.

    Attributes
    ----------
    logits : ndarray of float64, shape (m, K)
        Floored.
    y : ndarray of intp, shape (m,)
    weight : ndarray of float64, shape (m,)
        Positive.
    hashes : ndarray of uint64, shape (m,)
    by_class : ndarray of shape (K,)
        Weight of all rows of each class.
    most : int
        How many different hashes there may be.
    """

    logits: Floats
    y: NDArray[np.intp]
    weight: NDArray[np.float64]
    hashes: NDArray[np.uint64]
    by_class: NDArray[np.float64]
    most: int

    def __add__(self, other: Sample) -> Sample:
        return Sample(
            np.concatenate([self.logits, other.logits]),
            np.concatenate([self.y, other.y]),
            np.concatenate([self.weight, other.weight]),
            np.concatenate([self.hashes, other.hashes]),
            self.by_class + other.by_class,
            self.most,
        ).trimmed()

    def trimmed(self) -> Sample:
        """Return the rows of the smallest hashes."""
        chosen = self.smallest(self.most)
        if chosen.all():
            return self
        rows = (self.logits[chosen], self.y[chosen], self.weight[chosen], self.hashes[chosen])
        return Sample(*rows, self.by_class, self.most)

    def smallest(self, most: int) -> NDArray[np.bool_]:
        """Return which rows have one of the `most` smallest hashes."""
        distinct = np.unique(self.hashes)
        return self.hashes <= distinct[most - 1] if len(distinct) > most else np.ones(len(self.y), bool)

    @property
    def total(self) -> float:
        """Weight of all rows."""
        return float(self.by_class.sum())


@dataclass(frozen=True)
class _Sampled(Statistic[Sample]):
    """Statistic: a sample of the rows."""

    most: int
    needs_distribution = True

    def measure(self, rows: Rows) -> Sample:
        """Return the :class:`Sample` of one block."""
        rows.check()
        weight = np.ones(len(rows)) if rows.weight is None else rows.weight
        counts = weight > 0
        y = rows.y_true[counts].astype(np.intp)
        logits = _in_double(rows.scores[counts])
        # Distances from the top are the same for all logits that mean the same, but for rounding.
        hashes = row_hashes(logits.astype(np.float32).round(4))
        by_class = np.bincount(y, weight[counts], rows.scores.shape[1]).astype(np.float64)
        return Sample(logits, y, weight[counts].copy(), hashes, by_class, self.most).trimmed()


def sample_of(data: Predictions | Shards, most: int) -> Sample:
    """Return a sample of data of kind "logits", after a check of all rows.

    Parameters
    ----------
    data : Predictions or Shards
    most : int
        How many different rows it may hold.
    """
    found: Sample = summarize(data, [_Sampled(most)])[_Sampled(most)]
    return found
