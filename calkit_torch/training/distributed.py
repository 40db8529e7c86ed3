"""Several processes with one model: who is who, and what they exchange beside gradients.

One process is the special case in which every exchange returns what it was given.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise, zip_longest

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from calkit.errors import UsageError
from calkit_torch.bridge.distributed import is_distributed

__all__ = ["Processes", "choose_device", "joined_processes", "rows_in_batch", "rows_of_ranks", "synchronise"]

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Processes:
    """One process among those that train together.

    Attributes
    ----------
    rank : int
        Number of this process, from 0.
    world_size : int
        How many there are.
    device : torch.device
        Where this one computes.
    """

    rank: int = 0
    world_size: int = 1
    device: torch.device = _CPU

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.world_size > 1:
            dist.barrier()

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set on any rank."""
        if self.world_size == 1:
            return flag
        found = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return bool(found)

    def gather(self, rows: Tensor, counts: Sequence[int]) -> list[Tensor]:
        """Return the rows of all ranks.

        Parameters
        ----------
        rows : Tensor, shape (counts[rank], ...)
            Those of this rank. Its own part of the result is this very tensor, with its gradient.
        counts : sequence of int
            How many each rank has.
        """
        if self.world_size == 1:
            return [rows]
        largest = max(counts)
        padded = rows.new_zeros((largest, *rows.shape[1:]))
        padded[: len(rows)] = rows.detach()
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        found = [part[:count] for part, count in zip(parts, counts, strict=True)]
        found[self.rank] = rows
        return found

    def counts(self, own: Sequence[int]) -> list[list[int]]:
        """Return the whole numbers that each rank counted, as many of them as it likes."""
        if self.world_size == 1:
            return [list(own)]
        length = torch.tensor([len(own)], device=self.device)
        lengths = torch.cat(self.gather(length, [1] * self.world_size)).tolist()
        return [part.tolist() for part in self.gather(torch.tensor(own, device=self.device), lengths)]

    def copy_from_main(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite tensors with those of rank 0."""
        if self.world_size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)


def rows_of_ranks(n_rows: int, world_size: int) -> list[int]:
    """Return how many rows of a global batch each rank takes.

    Examples
    --------
    >>> rows_of_ranks(5, 2)
    [2, 3]
    """
    ends = [n_rows * rank // world_size for rank in range(world_size + 1)]
    return [end - begin for begin, end in pairwise(ends)]


def rows_in_batch(blocks: Sequence[Sequence[int]], rank: int) -> Tensor:
    """Return where the rows of a rank stand among those of the whole batch.

    Parameters
    ----------
    blocks : sequence of sequences of int
        Numbers of rows of each rank: of the first block, the second, ... The whole batch has the first block of all
        ranks, then their second, and so on; the levels of trees are such blocks.
    rank : int

    Returns
    -------
    Tensor of int64

    Examples
    --------
    >>> rows_in_batch([[1, 2], [2, 2, 4]], rank=0).tolist(), rows_in_batch([[1, 2], [2, 2, 4]], rank=1).tolist()
    ([0, 3, 4], [1, 2, 5, 6, 7, 8, 9, 10])
    """
    counts = np.array(list(zip_longest(*blocks, fillvalue=0)))  # blocks × ranks, the order of the rows
    ends = counts.cumsum().reshape(counts.shape)[:, rank]
    sizes = counts[:, rank]
    return torch.cat([torch.arange(end - size, end) for size, end in zip(sizes.tolist(), ends.tolist(), strict=True)])


def synchronise(device: torch.device) -> None:
    """Wait until a device has done what was queued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def choose_device(name: str) -> torch.device:
    """Return the device of a name.

    Parameters
    ----------
    name : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; ``"auto"`` for CUDA where there is one.

    Raises
    ------
    UsageError
        If there is no such device.

    Examples
    --------
    >>> choose_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"device must be auto, cpu, cuda or cuda:N, but is {name!r}.") from None
    if device.type == "cuda":
        _check_cuda(name, device)
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("there is no MPS device here; pass --device cpu.")
    return device


def _check_cuda(name: str, device: torch.device) -> None:
    if not torch.cuda.is_available():
        build = "is built without CUDA" if torch.version.cuda is None else "finds no usable GPU"
        raise UsageError(f"device {name!r} was asked for, but torch {torch.__version__} {build}; pass --device cpu.")
    n = torch.cuda.device_count()
    if device.index is not None and device.index >= n:
        raise UsageError(f"device {name!r} was asked for, but there are {n}: cuda:0 to cuda:{n - 1}.")


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Join the other processes that torchrun started; alone, if it did not start this one.

    Parameters
    ----------
    device : str
        See :func:`choose_device`. Under torchrun, ``"cuda"`` is the GPU of the local rank.

    Yields
    ------
    Processes
    """
    chosen = choose_device(device)
    launched = "WORLD_SIZE" in os.environ and dist.is_available()
    if chosen == torch.device("cuda"):
        chosen = choose_device(f"cuda:{os.environ.get('LOCAL_RANK', 0) if launched else torch.cuda.current_device()}")
    starts = launched and not is_distributed()
    if starts:
        on_cuda = chosen.type == "cuda"
        dist.init_process_group("nccl" if on_cuda else "gloo", device_id=chosen if on_cuda else None)
    try:
        with torch.cuda.device(chosen) if chosen.type == "cuda" else nullcontext():
            if is_distributed():
                yield Processes(dist.get_rank(), dist.get_world_size(), chosen)
            else:
                yield Processes(device=chosen)
    finally:
        if starts:
            dist.destroy_process_group()
