"""Which rows an epoch visits, in which order, and which random numbers go with them.

Everything is a pure function of the seed and the number of the epoch, and is drawn for the whole epoch on the CPU,
before the rows are dealt out to processes. So an epoch can be resumed at any batch, runs alike on every device, and
several processes together see what one would have seen. The numbers are the raw 64-bit words of a counter-based
generator (Philox), whose stream NumPy keeps the same from release to release.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["AUGMENTATION_WORDS", "EpochPlan", "Share", "plan_epoch", "share_of_rank"]

AUGMENTATION_WORDS = 3
"""Random words that a sample may use for its augmentation."""


@dataclass(frozen=True)
class Share:
    """The places of an epoch that one rank visits.

    Attributes
    ----------
    places : ndarray of int64, shape (m,)
        Ascending places in the order of the epoch.
    starts : ndarray of int64, shape (n_batches + 1,)
        Batch b has ``places[starts[b]:starts[b + 1]]``, which may be empty.
    """

    places: NDArray[np.int64]
    starts: NDArray[np.int64]


@dataclass(frozen=True)
class EpochPlan:
    """What one rank does in one epoch.

    Attributes
    ----------
    rows : ndarray of int64, shape (m,)
        The rows to visit, in order.
    words : ndarray of uint64, shape (m, 3), or None
        Random words for their augmentation; None where nothing is random.
    starts : ndarray of int64, shape (n_batches + 1,)
        Batch b has the rows ``starts[b]`` to ``starts[b + 1]`` of the two.
    """

    rows: NDArray[np.int64]
    words: NDArray[np.uint64] | None
    starts: NDArray[np.int64]


def share_of_rank(n_samples: int, batch_size: int, rank: int = 0, world_size: int = 1) -> Share:
    """Deal the places of an epoch out: each rank takes a run of each global batch, as even as can be.

    Parameters
    ----------
    n_samples : int
        Places of an epoch.
    batch_size : int
        Size of a global batch, over all ranks. The last one may be smaller.
    rank, world_size : int
        Which of how many processes.

    Returns
    -------
    Share

    Examples
    --------
    >>> share = share_of_rank(10, 4, rank=1, world_size=2)
    >>> share.places.tolist(), share.starts.tolist()
    ([2, 3, 6, 7, 9], [0, 2, 4, 5])
    """
    begins = np.arange(0, n_samples, batch_size, dtype=np.int64)
    sizes = np.minimum(batch_size, n_samples - begins)
    first, last = (begins + sizes * r // world_size for r in (rank, rank + 1))
    counts = last - first
    starts = np.concatenate([[0], np.cumsum(counts)])
    places = np.arange(starts[-1]) + np.repeat(first - starts[:-1], counts)
    return Share(places, starts)


def plan_epoch(n_samples: int, share: Share, *, seed: int, epoch: int, shuffle: bool, draw: bool) -> EpochPlan:
    """Return the rows of an epoch that fall to one rank, and their random words.

    Parameters
    ----------
    n_samples : int
        Rows in all.
    share : Share
        What falls to the rank.
    seed, epoch : int
        What order and words depend on, and nothing else does.
    shuffle : bool
        Whether the order is random. If not, row i has place i.
    draw : bool
        Whether to give words for augmentation.

    Returns
    -------
    EpochPlan

    Examples
    --------
    >>> share = share_of_rank(6, 4)
    >>> plan_epoch(6, share, seed=0, epoch=0, shuffle=False, draw=False).rows.tolist()
    [0, 1, 2, 3, 4, 5]
    >>> sorted(plan_epoch(6, share, seed=0, epoch=0, shuffle=True, draw=False).rows.tolist())
    [0, 1, 2, 3, 4, 5]
    """
    if not (shuffle or draw):
        return EpochPlan(share.places, None, share.starts)
    generator = np.random.Philox(np.random.SeedSequence((seed, epoch)))
    keys = generator.random_raw(n_samples)
    rows = np.argsort(keys, kind="stable")[share.places] if shuffle else share.places
    words = None
    if draw:
        words = generator.random_raw(n_samples * AUGMENTATION_WORDS).reshape(n_samples, -1)[share.places]
    return EpochPlan(rows, words, share.starts)
