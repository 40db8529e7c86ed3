"""Probabilities and labels of all rows, gathered from arrays, files or a cluster; and one class against the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.inputs import softmax_by_class
from calkit.predictions import Predictions
from calkit.shards import Shards
from calkit.stats import Rows, Statistic, summarize

__all__ = ["NOISE", "Groups", "LabelledRows", "gather", "group_scores", "starts_of"]

Floats = NDArray[np.float64]

#: Scores that are nearer to each other, relative to themselves, are equal.
NOISE = 5e-13


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Probabilities of rows with what was true.

    Attributes
    ----------
    probs : ndarray of float64, shape (n, K)
        Class by class in memory.
    impossible : ndarray of bool, shape (n, K), or None
        Where the logit is -inf; None if nowhere.
    y_true : ndarray of intp, shape (n,)
    weight : ndarray of float64, shape (n,), or None
    votes : ndarray of float64, shape (n, K), or None
        Shares of classes, where labels are soft.
    """

    probs: Floats
    impossible: NDArray[np.bool_] | None
    y_true: NDArray[np.intp]
    weight: Floats | None
    votes: Floats | None

    @classmethod
    def joined(cls, parts: Sequence[LabelledRows]) -> LabelledRows:
        """Return the rows of several, one after the other."""
        some_impossible = any(part.impossible is not None for part in parts)
        weighted = any(part.weight is not None for part in parts)
        votes = [part.votes for part in parts if part.votes is not None]
        return cls(
            np.concatenate([part.probs for part in parts]),
            np.concatenate([part._mask() for part in parts]) if some_impossible else None,
            np.concatenate([part.y_true for part in parts]),
            np.concatenate([part._weights() for part in parts]) if weighted else None,
            np.concatenate(votes) if len(votes) == len(parts) else None,
        )

    @property
    def n_classes(self) -> int:
        """Number of columns."""
        return int(self.probs.shape[1])

    @property
    def total_weight(self) -> float:
        """Sum of the weights."""
        return float(len(self.probs) if self.weight is None else self.weight.sum())

    @property
    def mapped(self) -> range:
        """Columns that have a map of their own: of two classes the second, else all."""
        return range(1, 2) if self.n_classes == 2 else range(self.n_classes)

    def outcome(self, column: int) -> Floats:
        """Return whether the class of a column is the true one, or its share of the votes; shape (n,)."""
        if self.votes is not None:
            return self.votes[:, column]
        return (self.y_true == column).astype(np.float64)

    def against_rest(self, column: int) -> Groups:
        """Return the groups of one class against the rest; where it is impossible, nothing is learned of it."""
        x, hit, weight = self.probs[:, column], self.outcome(column), self.weight
        if self.impossible is not None:
            there = ~self.impossible[:, column]
            x, hit, weight = x[there], hit[there], None if weight is None else weight[there]
        return group_scores(x, hit, weight)

    def _mask(self) -> NDArray[np.bool_]:
        return np.zeros(self.probs.shape, bool) if self.impossible is None else self.impossible

    def _weights(self) -> Floats:
        return np.ones(len(self.probs)) if self.weight is None else self.weight


@dataclass(frozen=True)
class _Gathered(Statistic[tuple[LabelledRows, ...]]):
    """Statistic: the rows themselves, a part for each block."""

    needs_distribution = True

    def measure(self, rows: Rows) -> tuple[LabelledRows, ...]:
        """Return the :class:`LabelledRows` of one block."""
        rows.check()
        impossible = np.isneginf(rows.scores) if rows.scores.min() == -np.inf else None
        weight = None if rows.weight is None else rows.weight.copy()
        return (LabelledRows(softmax_by_class(rows.scores).T, impossible, rows.y_true.copy(), weight, rows.votes),)


def gather(data: Predictions | Shards) -> LabelledRows:
    """Return the probabilities of logits and what was true, in memory: 8 bytes a score.

    Parameters
    ----------
    data : Predictions or Shards
        Of kind "logits".
    """
    return LabelledRows.joined(summarize(data, [_Gathered()])[_Gathered()])


@dataclass(frozen=True, eq=False)
class Groups:
    """Distinct scores of one event, with the rows and the positives of each: all that a monotone fit needs.

    Attributes
    ----------
    score : ndarray of float64, shape (m,)
        Rising, all different.
    weight : ndarray of float64, shape (m,)
    positive : ndarray of float64, shape (m,)
        Weight of the rows where the event happened.
    """

    score: Floats
    weight: Floats
    positive: Floats

    def __len__(self) -> int:
        return len(self.score)

    @property
    def total_weight(self) -> float:
        """Sum of the weights."""
        return float(self.weight.sum())


def starts_of(ranked: Floats) -> NDArray[np.bool_]:
    """Return which of rising scores differ from the one before by more than rounding, which other classes determine."""
    new = np.ones(len(ranked), bool)
    np.greater(np.diff(ranked), NOISE * np.abs(ranked[1:]), out=new[1:])
    return new


def group_scores(x: Floats, outcome: Floats, weight: Floats | None = None) -> Groups:
    """Put rows of equal score together, the least of what rounding has parted; groups merge by grouping them again."""
    order = np.argsort(x)
    ranked, hit = x[order], outcome[order]
    mass = np.ones(len(x)) if weight is None else weight[order]
    first = np.flatnonzero(starts_of(ranked))
    if not len(first):
        return Groups(ranked, mass, hit)
    return Groups(ranked[first], np.add.reduceat(mass, first), np.add.reduceat(mass * hit, first))
