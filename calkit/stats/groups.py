"""Rows dealt to groups, and sums kept for each: what a bootstrap needs, from one pass and in constant memory.

Drawing groups instead of rows, with replacement, gives sums of the same variance, since it does not depend on the data
which row is in which group. Up to as many rows as there are groups, each row is a group: then it is the bootstrap of
the textbooks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError
from calkit.stats.rows import Rows

__all__ = ["GroupSums", "Groupable", "Grouped", "Groups", "SquaredWeights", "sum_groups"]

# The spread of so many groups is known to 1 / sqrt(2 * 1024), about 2 %.
_N_GROUPS = 1024


@dataclass(frozen=True)
class Groups:
    """A way to deal rows to groups, by their place among all rows and a seed alone.

    So a row's group does not depend on how the rows are split into blocks, files or threads.

    Parameters
    ----------
    seed : int
    n_groups : int, default=1024
        A power of two. So many first rows get a group each; the others are dealt by a hash.

    Examples
    --------
    >>> import numpy as np
    >>> from calkit.stats.groups import Groups
    >>> group = Groups(seed=0, n_groups=8).of(np.arange(16))
    >>> sorted(group[:8].tolist())
    [0, 1, 2, 3, 4, 5, 6, 7]
    """

    seed: int
    n_groups: int = _N_GROUPS

    def of(self, numbers: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the group of each row, by the places of the rows among all rows."""
        first = _shuffled(self.seed, self.n_groups)
        # Splitmix64: neighbouring numbers come out unlike each other. Whole numbers of arrays wrap around silently.
        x = numbers.astype(np.uint64) + _offset(self.seed)
        x *= np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
        hashed = (x & np.uint64(self.n_groups - 1)).astype(np.intp)
        early = numbers < self.n_groups
        hashed[early] = first[numbers[early]]
        return hashed


@lru_cache(maxsize=16)
def _shuffled(seed: int, n_groups: int) -> NDArray[np.intp]:
    return np.random.default_rng([seed, 1]).permutation(n_groups)


@lru_cache(maxsize=16)
def _offset(seed: int) -> np.uint64:
    return np.uint64(np.random.default_rng([seed, 2]).integers(2**63))


@dataclass(frozen=True, eq=False)
class GroupSums:
    """Sums over the rows of each group.

    Attributes
    ----------
    weight : ndarray of float64, shape (n_groups,)
        Sum of the weights; 0 where a group has no rows.
    total : ndarray of float64, shape (n_groups, ...)
        Weighted sums of one or many quantities.
    """

    weight: NDArray[np.float64]
    total: NDArray[np.float64]

    def __add__(self, other: GroupSums) -> GroupSums:
        if self.total.shape != other.total.shape:
            raise InputError(
                f"only sums over the same groups can be added, not of shapes {self.total.shape} and "
                f"{other.total.shape}."
            )
        return GroupSums(self.weight + other.weight, self.total + other.total)


def sum_groups(
    group: NDArray[np.intp],
    n_groups: int,
    weight: NDArray[np.float64] | None,
    values: NDArray[np.float64],
    index: NDArray[np.intp] | None = None,
    n_bins: int = 1,
) -> GroupSums:
    """Sum a quantity over the rows of each group, or of each group and bin.

    Parameters
    ----------
    group : ndarray of intp, shape (b,)
    n_groups : int
    weight : ndarray of float64, shape (b,), or None
    values : ndarray of float64, shape (b,)
        The quantity, not yet weighted.
    index : ndarray of intp, shape (b,), optional
        Bin of each row.
    n_bins : int

    Returns
    -------
    GroupSums
        With `total` of shape (n_groups, n_bins).
    """
    place = group if index is None else group * n_bins + index
    weighted = values if weight is None else values * weight
    total = np.bincount(place, weighted, n_groups * n_bins).astype(np.float64)
    return GroupSums(np.bincount(group, weight, n_groups).astype(np.float64), total.reshape(n_groups, n_bins))


@runtime_checkable
class Groupable(Protocol):
    """A statistic that can be kept for each group of rows."""

    @property
    def needs_distribution(self) -> bool:
        """Whether the scores of all classes are needed."""

    def measure_groups(self, rows: Rows, group: NDArray[np.intp], n_groups: int, /) -> GroupSums:
        """Return the sums over the rows of each group."""


@dataclass(frozen=True)
class Grouped:
    """Statistic: what another one sums, for each group of rows.

    Parameters
    ----------
    statistic : Groupable
    groups : Groups
    """

    statistic: Groupable
    groups: Groups

    @property
    def needs_distribution(self) -> bool:
        """Whether the scores of all classes are needed."""
        return self.statistic.needs_distribution

    def measure(self, rows: Rows) -> GroupSums:
        """Return the :class:`GroupSums` of one block."""
        return self.statistic.measure_groups(rows, self.groups.of(rows.numbers), self.groups.n_groups)


@dataclass(frozen=True)
class SquaredWeights:
    """Statistic: another one, with the weights squared; (Σw)² / Σw² rows of equal weight would tell as much.

    Parameters
    ----------
    statistic : Statistic
    """

    statistic: Any

    @property
    def needs_distribution(self) -> bool:
        """Whether the scores of all classes are needed."""
        return bool(self.statistic.needs_distribution)

    def measure(self, rows: Rows) -> Any:
        """Return the summary of one block."""
        return self.statistic.measure(rows if rows.weight is None else rows.reweighted(rows.weight**2))
