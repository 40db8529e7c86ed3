"""What gives the batches of an epoch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calkit.errors import InputError, UsageError
from calkit.parameters import check_count
from calkit_torch.data.order import EpochPlan, Share, plan_epoch, share_of_rank

__all__ = ["Batch", "Loader", "Request"]

Batch = tuple[Any, Tensor]
"""Inputs, ready for a model, and labels, ready for a loss."""


@dataclass(frozen=True)
class Request:
    """How batches are wanted: the arguments of ``DataSet.loader``."""

    split: str
    batch_size: int
    train: bool = False
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rank: int = 0
    world_size: int = 1
    pipeline: str = "resident"
    channels_last: bool = False
    num_workers: int = 0

    def __post_init__(self) -> None:
        check_count(1, batch_size=self.batch_size, world_size=self.world_size)
        check_count(0, seed=self.seed, rank=self.rank, num_workers=self.num_workers)
        if self.rank >= self.world_size:
            raise InputError(f"rank counts from 0 to world_size - 1 = {self.world_size - 1}, but is {self.rank}.")


class Loader(ABC):
    """The batches of one split, epoch after epoch.

    What an epoch gives is a pure function of the seed, the number of the epoch and the number of the batch: it can be
    resumed at any batch, and the batches of several ranks together are those of one.

    Parameters
    ----------
    n_samples : int
        Rows of the split.
    request : Request
        How batches are wanted.

    Attributes
    ----------
    n_samples : int
        Rows of the split, over all ranks.
    batch_size : int
        Size of a global batch, over all ranks.

    Raises
    ------
    UsageError
        If the last training batch has fewer rows than there are ranks: one rank would have nothing to learn from, and
        the others would wait for its gradients.
    """

    #: Whether samples take random words in training, and in evaluation.
    draws: tuple[bool, bool] = (True, False)

    def __init__(self, n_samples: int, request: Request) -> None:
        self.n_samples = n_samples
        self.batch_size = request.batch_size
        self.request = request
        last = n_samples % request.batch_size or request.batch_size
        if request.train and last < request.world_size:
            raise UsageError(
                f"the last of the batches of {request.batch_size} holds {last} of {n_samples} rows, which is too few "
                f"for {request.world_size} processes; choose another batch_size."
            )

    def __len__(self) -> int:
        """Return the number of global batches of an epoch, the same on every rank."""
        return -(-self.n_samples // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches(0)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Iterate over the batches of an epoch.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 0.
        start : int
            Number of the first batch wanted, from 0 to ``len(self)``.

        Yields
        ------
        (inputs, labels)
            On the device. In evaluation, a batch of which nothing falls to this rank is left out.
        """
        self._check(epoch, start)
        return self._give(self._plan(epoch), start)

    def rows(self, epoch: int, batch: int) -> NDArray[np.int64]:
        """Return which rows of the split make a batch on this rank, in their order; for an evaluation, none perhaps.

        Parameters
        ----------
        epoch, batch : int
            Numbers of the epoch and of the batch, from 0.
        """
        self._check(epoch, batch)
        plan = self._plan(epoch)
        return plan.rows[plan.starts[batch] : plan.starts[batch + 1]]

    @abstractmethod
    def _give(self, plan: EpochPlan, start: int) -> Iterator[Batch]:
        """Yield the batches of a plan from ``start`` on, leaving out empty ones."""

    @cached_property
    def _share(self) -> Share:
        return share_of_rank(self.n_samples, self.batch_size, self.request.rank, self.request.world_size)

    def _plan(self, epoch: int) -> EpochPlan:
        train = self.request.train
        draw = self.draws[0 if train else 1]
        return plan_epoch(self.n_samples, self._share, seed=self.request.seed, epoch=epoch, shuffle=train, draw=draw)

    def _check(self, epoch: int, batch: int) -> None:
        check_count(0, epoch=epoch, batch=batch)
        if batch > len(self):
            raise InputError(f"an epoch has {len(self)} batches, but batch {batch} was asked for.")
