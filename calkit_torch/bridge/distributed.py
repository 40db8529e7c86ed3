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

__all__ = ["Share", "is_distributed", "join_over_ranks", "largest_over_ranks", "real_samples", "sum_over_ranks"]

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
    total = _for_backend(values, group).clone()
    dist.all_reduce(total, group=group)
    return total


def largest_over_ranks(number: int, device: torch.device, group: Any = None) -> int:
    """Return the largest of a number that each process has; the number itself if alone."""
    if not is_distributed():
        return number
    found = _for_backend(torch.tensor(number, device=device), group)
    dist.all_reduce(found, dist.ReduceOp.MAX, group=group)
    return int(found)


def join_over_ranks(values: Tensor, group: Any = None) -> Tensor:
    """Return the columns of a matrix that each process has, those of all side by side, in the order of the ranks.

    Parameters
    ----------
    values : Tensor of shape (rows, columns)
        With as many rows on every rank.
    group : ProcessGroup, optional
        By default all processes.
    """
    if not is_distributed():
        return values
    values = _for_backend(values, group)
    widths = values.new_zeros(dist.get_world_size(group), dtype=torch.int64)
    widths[dist.get_rank(group)] = values.shape[1]
    dist.all_reduce(widths, group=group)
    columns = widths.tolist()
    # Processes gather tensors of one shape.
    padded = torch.nn.functional.pad(values, (0, max(columns) - values.shape[1]))
    parts = [torch.empty_like(padded) for _ in columns]
    dist.all_gather(parts, padded.contiguous(), group=group)
    return torch.cat([part[:, :width] for part, width in zip(parts, columns, strict=True)], dim=1)


def _for_backend(values: Tensor, group: Any) -> Tensor:
    if "nccl" not in str(dist.get_backend(group)) or values.device.type != "cpu" or not torch.cuda.is_available():
        return values
    # A rank that saw no batch never learnt of a device, and NCCL works on its own only.
    return values.to(torch.device("cuda", torch.cuda.current_device()))


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
