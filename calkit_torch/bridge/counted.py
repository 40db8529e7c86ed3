"""Rows on a device that count or do not: labels, weights, and what is wrong with either."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Self, cast

import torch
from torch import Tensor

from calkit.stats import View
from calkit_torch.bridge.shapes import Batch, working_dtype

if TYPE_CHECKING:
    from calkit_torch.bridge.forecasts import DeviceForecasts

__all__ = ["CHECKS", "CountedRows"]

#: What :attr:`CountedRows.checks` counts: the rows that are there, and those of them that pass one check after another.
CHECKS = (
    "present",
    "with a possible label",
    "with possible scores",
    "with a possible weight",
    "of a known group",
)


class CountedRows(ABC):
    """Labelled rows on a device, of which some count.

    Quantities have shape (r,), one value a label. They are of :func:`working_dtype` and 0 for rows that do not count:
    those of the ignored label or of weight 0, and those that fail a check.

    Parameters
    ----------
    batch : Batch
    ignore_index : int
        Label of rows that do not count.

    Attributes
    ----------
    counted : Tensor of shape (r,)
        1 for rows that count.
    weight : Tensor of shape (r,)
        The weights; `counted` itself where there are none.
    even : bool
        Whether there are no weights.
    checks : Tensor of shape (5,)
        See :data:`CHECKS`.
    """

    def __init__(self, batch: Batch, ignore_index: int) -> None:
        self.scores = batch.scores
        stored = batch.scores.dtype if batch.stored is None else batch.stored
        self._half = stored.itemsize <= 2
        # The core, whose arrays have no bfloat16, reads it as float32, in which all its numbers lie.
        self._stored = torch.float32 if stored is torch.bfloat16 else stored
        self._one_column = batch.one_column
        self._batch_group = batch.group
        self.dtype = working_dtype(batch.scores.device)
        # Labels are clamped so that a wrong one cannot address memory; clamping also tells which are wrong.
        self._y = batch.y.clamp(0, batch.n_classes - 1)
        present = batch.y != ignore_index if batch.votes is None else torch.ones_like(batch.y, dtype=torch.bool)
        if batch.weight is not None:
            present = present & (batch.weight != 0)
        labelled = present & (self._y == batch.y)
        self._votes = None
        if batch.votes is not None:
            labelled = labelled & ~batch.votes.isnan().any(dim=1)
            self._votes = batch.votes.nan_to_num(0.0)
        possible = weighted = labelled & self._possible()
        if batch.weight is not None:
            weighted = possible & (batch.weight >= 0) & (batch.weight < math.inf)
        counted = weighted if batch.group is None else weighted & (batch.group >= 0)
        self._left_out = ~counted
        self.counted = counted.flatten().to(self.dtype)
        self.weight = self.counted if batch.weight is None else self._values(batch.weight)
        self.checks = torch.stack([present, labelled, possible, weighted, counted]).flatten(1).sum(1).to(self.dtype)
        self._plain = self.even = batch.weight is None
        self._forecasts: dict[View, DeviceForecasts] = {}

    @property
    @abstractmethod
    def precision(self) -> torch.dtype:
        """Precision the probabilities were stored in; edges of bins are rounded to it before they are compared."""

    @property
    @abstractmethod
    def probabilities(self) -> Tensor:
        """Probability of each class or label, in :func:`working_dtype` and of the shape of the scores; unmasked."""

    @abstractmethod
    def class_logs(self) -> tuple[Tensor, Tensor]:
        """Return the logarithms of the probability of each class or label and of its complement; unmasked."""

    @abstractmethod
    def _possible(self) -> Tensor:
        """Return whether the scores of a row are what they can be, shape (n, s)."""

    @property
    def labels(self) -> Tensor:
        """True class of each row, shape (n, s); some class for rows that do not count."""
        return self._y

    @property
    def true_shares(self) -> Tensor | None:
        """Share of each class in a label, in the shape of the scores, where labels are soft."""
        return self._votes

    @property
    def outcomes(self) -> Tensor:
        """Whether each class was the true one, in the shape of the scores; of soft labels, its share of the votes."""
        if self._votes is not None:
            return self._votes
        classes = torch.arange(self.scores.shape[1], device=self.scores.device).reshape(1, -1, 1)
        return (self._y.unsqueeze(1) == classes).to(self.dtype)

    @property
    def class_excess(self) -> Tensor | None:
        """How far rounding may have put the probability of each class above what it was; None where it may not."""
        return None

    def forecasts(self, view: View) -> DeviceForecasts:
        """Return the forecasts that a view sees; they are made once."""
        if view not in self._forecasts:
            from calkit_torch.bridge.forecasts import forecasts_of

            self._forecasts[view] = forecasts_of(self, view)
        return self._forecasts[view]

    def groups(self, column: str, n_groups: int) -> Iterator[Self]:
        """Yield for each group the same rows, of which only its own count."""
        group = self.group_numbers(column)
        for number in range(n_groups):
            yield self._part((group == number).to(self.dtype))

    def group_numbers(self, column: str) -> Tensor:
        """Return the number of the group of each row, shape (r,); any for rows that do not count."""
        return self._class_column(column).flatten()

    def _class_column(self, column: str) -> Tensor:  # noqa: ARG002
        """Return the group of each row, shape (n, s)."""
        return cast("Tensor", self._batch_group)

    def _part(self, mask: Tensor) -> Self:
        part = copy.copy(self)
        part.counted = self.counted * mask
        part.weight = part.counted if self._plain else self.weight * mask
        part._plain = False
        part.checks = torch.cat([self.checks[:-1], part.counted.sum().unsqueeze(0)])
        # What was computed of the forecasts is that of the part too.
        part._forecasts = {view: found.among(part) for view, found in self._forecasts.items()}
        return part

    def weigh(self, values: Tensor) -> Tensor:
        """Return a quantity of shape (..., r) times the weights."""
        # A product with 0 would spoil the sum where the value of a row that does not count is infinite.
        return values if self._plain else torch.where(self.weight > 0, values * self.weight, 0)

    def sum(self, values: Tensor) -> Tensor:
        """Return the weighted sum of a quantity, a tensor without axes."""
        return self.weigh(values).sum()

    def keyed(self, values: Tensor) -> Tensor:
        """Return values of shape (n, k, s) as forecasts of shape (k, r), 0 where they do not count."""
        x = values.to(self.dtype).masked_fill(self._left_out.unsqueeze(1), 0)
        return x.movedim(1, 0).flatten(1).contiguous()

    def _values(self, x: Tensor) -> Tensor:
        """Return a quantity of shape (n, s) as one of shape (r,), 0 where it does not count."""
        return x.to(self.dtype).masked_fill(self._left_out, 0).flatten()

    def _minus_log(self, p: Tensor) -> Tensor:
        """Return -log p; a probability of 0 counts as the smallest number above 0 of its precision."""
        info = torch.finfo(self._stored)
        return -torch.log(p.to(self.dtype).clamp(min=info.tiny * info.eps))

    def _logs_of(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logarithms of probabilities and of what they leave."""
        p = p.clamp(0, 1)
        return -self._minus_log(p), -self._minus_log(1 - p)
