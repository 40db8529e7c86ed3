"""Rows assigned to folds, and sums kept for each: what a bootstrap needs, from one pass and in constant memory.

Drawing folds instead of rows, with replacement, gives sums of the same variance, since it does not depend on the data
which row is in which fold. Up to as many rows as there are folds, each row is a fold: then it is the bootstrap of
the textbooks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError

__all__ = ["FoldSums", "Folds", "sum_folds"]

# The standard deviation over 1,024 folds is known to 1 / sqrt(2 * 1024), about 2 %.
_N_FOLDS = 1024


@dataclass(frozen=True)
class Folds:
    """A way to assign rows to folds, by their place among all rows and a seed alone.

    So a row's fold does not depend on how the rows are split into blocks, files or threads.

    Parameters
    ----------
    seed : int
    n_folds : int, default=1024
        A power of two. The first `n_folds` rows get a fold each; the others are assigned by a hash.

    Examples
    --------
    >>> import numpy as np
    >>> from calkit.stats.folds import Folds
    >>> fold = Folds(seed=0, n_folds=8).of(np.arange(16))
    >>> sorted(fold[:8].tolist())
    [0, 1, 2, 3, 4, 5, 6, 7]
    """

    seed: int
    n_folds: int = _N_FOLDS

    def of(self, numbers: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the fold of each row, by the places of the rows among all rows."""
        first = _shuffled(self.seed, self.n_folds)
        # Splitmix64: neighbouring numbers come out unlike each other. Whole numbers of arrays wrap around silently.
        x = numbers.astype(np.uint64) + _offset(self.seed)
        x *= np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
        hashed = (x & np.uint64(self.n_folds - 1)).astype(np.intp)
        early = numbers < self.n_folds
        hashed[early] = first[numbers[early]]
        return hashed


@lru_cache(maxsize=16)
def _shuffled(seed: int, n_folds: int) -> NDArray[np.intp]:
    return np.random.default_rng([seed, 1]).permutation(n_folds)


@lru_cache(maxsize=16)
def _offset(seed: int) -> np.uint64:
    return np.uint64(np.random.default_rng([seed, 2]).integers(2**63))


@dataclass(frozen=True, eq=False)
class FoldSums:
    """Sums over the rows of each fold.

    Attributes
    ----------
    weight : ndarray of float64, shape (n_folds,)
        Sum of the weights; 0 where a fold has no rows.
    total : ndarray of float64, shape (n_folds, ...)
        Weighted sums of one or many quantities.
    n_keys : int
        Number of keys (classes, say) whose sums stand side by side; a metric is the mean over them.
    """

    weight: NDArray[np.float64]
    total: NDArray[np.float64]
    n_keys: int = 1

    def __add__(self, other: FoldSums) -> FoldSums:
        if self.total.shape != other.total.shape:
            raise InputError(
                f"only sums over the same folds can be added, not of shapes {self.total.shape} and {other.total.shape}."
            )
        return FoldSums(self.weight + other.weight, self.total + other.total, self.n_keys)


def sum_folds(
    fold: NDArray[np.intp],
    n_folds: int,
    weight: NDArray[np.float64] | None,
    values: NDArray[np.float64],
    index: NDArray[np.intp] | None = None,
    n_bins: int = 1,
) -> FoldSums:
    """Sum a quantity over the rows of each fold, or of each fold and bin.

    Parameters
    ----------
    fold : ndarray of intp, shape (b,)
    n_folds : int
    weight : ndarray of float64, shape (b,), or None
    values : ndarray of float64, shape (b,)
        The quantity, not yet weighted.
    index : ndarray of intp, shape (b,), optional
        Bin of each row.
    n_bins : int

    Returns
    -------
    FoldSums
        With `total` of shape (n_folds, n_bins).
    """
    place = fold if index is None else fold * n_bins + index
    weighted = values if weight is None else values * weight
    total = np.bincount(place, weighted, n_folds * n_bins).astype(np.float64)
    return FoldSums(np.bincount(fold, weight, n_folds).astype(np.float64), total.reshape(n_folds, n_bins))
