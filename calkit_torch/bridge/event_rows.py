"""Rows as forecasts of one event: one class, or the k most probable ones together."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from calkit.stats import View
from calkit.stats.unions import LEAST_EXCESS, SUM_BITS, TopK
from calkit.stats.views import Positive, TopLabel
from calkit_torch.bridge.rows import DeviceRows

__all__ = ["EVENTS", "EventRows", "rows_for"]


class EventRows:
    """Rows seen as forecasts of one event, that the true class is among some; everything else is that of the rows.

    Parameters
    ----------
    rows : DeviceRows
    members : Tensor of bool, shape (n, K, s)
        The classes of the event, in each row.
    """

    def __init__(self, rows: DeviceRows, members: Tensor) -> None:
        self._rows = rows
        self._members = members

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    @cached_property
    def confidence(self) -> Tensor:
        """Probability of the event; 0 for rows that do not count."""
        return self._rows._values(torch.where(self._members, self._rows.probabilities, 0).sum(dim=1).clamp(max=1))

    @cached_property
    def correct(self) -> Tensor:
        """1 where the event came, else 0; with soft labels, its share."""
        shares = self._rows.true_shares
        if shares is None:
            return self._rows._values(self._members.gather(1, self._rows.labels.unsqueeze(1)).squeeze(1))
        return self._rows._values(torch.where(self._members, shares, 0).sum(dim=1))

    @property
    def hit(self) -> Tensor:
        """How far the decision was right, in [0, 1]: for the event where it is more probable than not."""
        return torch.where(self.confidence > 0.5, self.correct, self.counted - self.correct)

    @cached_property
    def brier(self) -> Tensor:
        """Squared error of the probability, in [0, 1]; with soft labels, its mean over the votes."""
        p, share = self.confidence, self.correct
        return share * (1 - p) ** 2 + (self.counted - share) * p**2

    @cached_property
    def nll(self) -> Tensor:
        """Minus the logarithm of the probability of what came; with soft labels, its mean over the votes."""
        share, left = self.correct, self.counted - self.correct
        # A product with 0 would spoil the sum where a logarithm is infinite.
        yes, no = (self._rows._values(-part) for part in self._rows.event_logs(self._members))
        return torch.where(share > 0, share * yes, 0) + torch.where(left > 0, left * no, 0)


class TopRows(EventRows):
    """Rows seen as forecasts that the predicted class is the true one."""

    def __init__(self, rows: DeviceRows) -> None:
        super().__init__(
            rows, torch.zeros_like(rows.scores, dtype=torch.bool).scatter(1, rows.predicted[:, None], True)
        )

    @property
    def confidence(self) -> Tensor:
        """Probability of the predicted class."""
        return self._rows.confidence

    @property
    def hit(self) -> Tensor:
        """1 where the predicted class is the true one."""
        return self._rows.correct


class BestRows(EventRows):
    """Rows seen as forecasts that the true class is among the most probable ones, whose probabilities add up."""

    @cached_property
    def confidence(self) -> Tensor:
        """Probability of the classes together, to as many bits as the core keeps; 0 for rows that do not count."""
        p = torch.where(self._members, self._rows.probabilities, 0).sum(dim=1)
        return self._rows._values(_to_bits(p).clamp(max=1))

    @property
    def precision(self) -> torch.dtype:
        """The working precision: sums are computed, not stored."""
        return self._rows.dtype

    @property
    def excess(self) -> float:
        """How far rounding may have put a sum above an edge that it stands for, or below a threshold."""
        return max(LEAST_EXCESS, torch.finfo(self._rows.precision).eps / 4)

    @property
    def hit(self) -> Tensor:
        """1 where the true class is among them: the classifier decided for them."""
        return self.correct


def _to_bits(p: Tensor) -> Tensor:
    """Return float64 sums to :data:`SUM_BITS` bits, so that 0.1 + 0.2 ties with 0.3; no others have that many."""
    if p.dtype is not torch.float64:
        return p
    fraction = torch.frexp(p).mantissa
    unit = torch.where(p > 0, p / fraction, 0)
    return torch.round(fraction * 2.0**SUM_BITS) * 2.0**-SUM_BITS * unit


def _of_class(rows: DeviceRows, view: Positive) -> EventRows:
    column = 1 if view.column is None else view.column
    classes = torch.arange(rows.scores.shape[1], device=rows.scores.device)
    return EventRows(rows, (classes == column).reshape(1, -1, 1).expand(rows.scores.shape))


def _of_best(rows: DeviceRows, view: TopK) -> EventRows:
    # Of equal scores those of the lowest columns count first.
    best = rows.scores.sort(dim=1, descending=True, stable=True).indices[:, : view.k]
    return BestRows(rows, torch.zeros_like(rows.scores, dtype=torch.bool).scatter(1, best, True))


#: How rows are seen by each class of views of single events.
EVENTS: dict[type[View], Callable[[DeviceRows, Any], EventRows]] = {
    TopLabel: lambda rows, _: TopRows(rows),
    Positive: _of_class,
    TopK: _of_best,
}


def rows_for(rows: DeviceRows, view: View) -> EventRows:
    """Return rows as a view of single events sees them."""
    return EVENTS[type(view)](rows, view)
