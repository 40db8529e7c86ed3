"""One part of a data set, and how a whole is divided into parts."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from calkit.errors import InputError
from calkit.parameters import check_count

__all__ = ["SPLITS", "Split", "shuffled"]

SPLITS = ("train", "validation", "test")

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Parameters
    ----------
    inputs : Tensor, list of Tree or Dataset
        Images (n, channels, height, width) of uint8, documents (n, length) of int64 padded with 0, other numbers
        (n, ...); trees; or a Dataset of pairs (inputs, label).
    labels : Tensor of int64, shape (n,), or None
        The class of each sample; of trees, that of the root. None for a Dataset, which gives them with its samples.
    """

    inputs: Any
    labels: Tensor | None
    _copies: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        n = len(self.inputs)
        if n == 0:
            raise InputError("a split needs at least one sample, but is empty.")
        if self.labels is not None and len(self.labels) != n:
            raise InputError(f"a split has one label a sample, but {len(self.labels)} labels for {n} samples.")

    def __len__(self) -> int:
        return len(self.inputs)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what ``make`` made when it was first asked for under ``key``, such as a copy on a device."""
        if key not in self._copies:
            self._copies[key] = make()
        found: T = self._copies[key]
        return found


def shuffled(n: int, seed: int) -> NDArray[np.int64]:
    """Return the numbers 0 to n - 1 in the order that the published code gives them for this seed.

    It is that of ``np.random.seed(seed)`` and a shuffle of ``range(n)``, without touching NumPy's global generator.

    Parameters
    ----------
    n : int
    seed : int
        From 0 to 2**32 - 1.

    Returns
    -------
    ndarray of int64, shape (n,)

    Examples
    --------
    >>> shuffled(50000, seed=1)[:5].tolist()
    [26247, 35067, 34590, 16668, 12196]
    """
    check_count(0, split_seed=seed)
    if seed >= 2**32:
        raise InputError(f"split_seed must be below 2**32, but is {seed}.")
    order = np.arange(n)
    np.random.RandomState(seed).shuffle(order)
    return order
