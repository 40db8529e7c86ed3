"""What the processes of a distributed run need of each other: one sum, and which rows are only padding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import repeat
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.utils.data import DistributedSampler

__all__ = ["Share", "is_distributed", "real_samples", "sum_over_ranks"]

#: Size of a batch, and how many of its first samples are real; None where all are.
Share = tuple[int, int] | None


def is_distributed() -> bool:
    """Return whether this process is one of several, with a process group to talk to the others."""
    return dist.is_available() and dist.is_initialized()


def sum_over_ranks(values: Tensor, group: Any = None) -> Tensor:
    """Return the sum of a tensor over the processes of a group, by one all-reduce; the tensor itself if alone.

    Parameters
    ----------
    values : Tensor
        Of the same shape on every rank; not changed.
    group : ProcessGroup, optional
        By default all processes.
    """
    if not is_distributed():
        return values
    if "nccl" in str(dist.get_backend(group)) and values.device.type == "cpu":
        # A rank that saw no batch never learnt of a device, and NCCL sums on its own only.
        device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else values.device
        values = values.to(device)
    total = values.clone()
    dist.all_reduce(total, group=group)
    return total


def real_samples(loader: Any) -> Iterator[Share]:
    """Yield for each batch of a loader how many of its samples are real, as far as that is known.

    ``torch.utils.data.DistributedSampler`` repeats samples so that every rank has the same number; the repeated ones
    come last, and counting them again would change the result.

    Parameters
    ----------
    loader : iterable of batches

    Yields
    ------
    (int, int) or None
    """
    sampler = getattr(loader, "sampler", None)
    size = getattr(loader, "batch_size", None)
    if not isinstance(sampler, DistributedSampler) or sampler.drop_last or size is None:
        yield from repeat(None)
        return
    # Rank r has the places r, r + ranks, r + 2 ranks, … of a list that is padding from the data set's length on.
    real = math.ceil((len(sampler.dataset) - sampler.rank) / sampler.num_replicas)  # type: ignore[arg-type]
    for start in range(0, len(sampler), size):
        n = min(size, len(sampler) - start)
        yield n, min(max(real - start, 0), n)
