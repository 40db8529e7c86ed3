"""What views see in rows on a device: :class:`calkit.stats.forecasts.Forecasts` in torch operations."""

from __future__ import annotations

import copy
import math
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from calkit.stats import View
from calkit.stats.unions import LEAST_EXCESS, SUM_BITS, Ordinal, TopK
from calkit.stats.views import Classwise, MultiLabel, Positive, TopLabel

__all__ = ["FORECASTS", "DeviceForecasts", "binned", "forecasts_of", "n_keys"]


class DeviceForecasts:
    """Forecasts of events by k keys; of a view without keys k is 1.

    Quantities have shape (k, r). They are 0 for rows that do not count, or times a weight of 0.

    Parameters
    ----------
    rows : CountedRows
    view : View
    """

    #: Whether each forecast is of what the classifier decided for.
    decided = False

    def __init__(self, rows: Any, view: Any) -> None:
        self.rows = rows
        self.view = view

    @staticmethod
    def n_keys(n_classes: int) -> int:  # noqa: ARG004
        """Return the number of keys, given that of the classes."""
        return 1

    def among(self, rows: Any) -> Self:
        """Return the same forecasts where fewer rows count; what was computed is that of these too."""
        found = copy.copy(self)
        found.rows = rows
        return found

    @property
    def precision(self) -> torch.dtype:
        """Precision the probabilities were stored in."""
        precision: torch.dtype = self.rows.precision
        return precision

    @property
    def excess(self) -> Tensor | float:
        """How far rounding may have put a probability above an edge that it stands for; a number, or (k, 1), (1, r)."""
        excess = self.rows.class_excess
        return 0.0 if excess is None else self._of_classes(excess)

    def _of_classes(self, excess: Tensor) -> Tensor:
        """Return the excess of the forecasts, given that of each class."""
        return excess.unsqueeze(1)

    @cached_property
    def probability(self) -> Tensor:
        """Probability of each event."""
        return self.rows.keyed(self._picked(self.rows.probabilities))

    @cached_property
    def outcome(self) -> Tensor:
        """1 where the event came, else 0; with soft labels, the share of votes for it."""
        return self.rows.keyed(self._picked(self.rows.outcomes))

    def _picked(self, values: Tensor) -> Tensor:
        """Return the values, shape (n, K, s), of the classes that are the events, (n, k, s)."""
        return values

    def _logs(self) -> tuple[Tensor, Tensor]:
        """Return the logarithms of the probabilities and of their complements, shape (n, k, s)."""
        yes, no = self.rows.class_logs()
        return self._picked(yes), self._picked(no)

    def binned_outcome(self, index: Tensor, n_bins: int) -> Tensor:
        """Return the weighted sums of the outcomes over the bins of the forecasts, shape (k, n_bins)."""
        return binned(index, n_bins, self.rows.weigh(self.outcome))

    @cached_property
    def _failed(self) -> Tensor:
        """Share of the votes against each event."""
        return self.rows.keyed(1 - self._picked(self.rows.outcomes))

    @property
    def hit(self) -> Tensor:
        """How far the decision was right, in [0, 1]: for the event where it is more probable than not."""
        return self.outcome if self.decided else torch.where(self.probability > 0.5, self.outcome, self._failed)

    @cached_property
    def brier(self) -> Tensor:
        """Squared error of the probability, in [0, 1]; with soft labels, its mean over the votes."""
        return self.outcome * (1 - self.probability) ** 2 + self._failed * self.probability**2

    @cached_property
    def nll(self) -> Tensor:
        """Minus the logarithm of the probability of what came; with soft labels, its mean over the votes."""
        # A product with 0 would spoil the sum where a logarithm is infinite.
        yes, no = (self.rows.keyed(-part) for part in self._logs())
        return torch.where(self.outcome > 0, self.outcome * yes, 0) + torch.where(
            self._failed > 0, self._failed * no, 0
        )

    @property
    def confidence(self) -> Tensor:
        """As `probability`: the quantity's name in means."""
        return self.probability

    @property
    def correct(self) -> Tensor:
        """As `hit`: the quantity's name in means."""
        return self.hit


class TopForecasts(DeviceForecasts):
    """The predicted class."""

    decided = True

    def _picked(self, values: Tensor) -> Tensor:
        return values.gather(1, self.rows.predicted.unsqueeze(1))

    def _of_classes(self, excess: Tensor) -> Tensor:
        return excess[self.rows.predicted].reshape(1, -1)

    def _logs(self) -> tuple[Tensor, Tensor]:
        return self.rows.top_logs()

    @property
    def probability(self) -> Tensor:
        """Probability of the predicted class."""
        return self.rows.confidence.unsqueeze(0)

    @property
    def outcome(self) -> Tensor:
        """1 where the predicted class is the true one, else 0; with soft labels, its share of the votes."""
        return self.rows.correct.unsqueeze(0)


class ClassForecasts(DeviceForecasts):
    """One class."""

    @property
    def _column(self) -> int:
        return 1 if self.view.column is None else self.view.column

    def _picked(self, values: Tensor) -> Tensor:
        return values[:, self._column].unsqueeze(1)

    def _of_classes(self, excess: Tensor) -> Tensor:
        return excess[self._column]


class EveryForecasts(DeviceForecasts):
    """Every class, or every label, by itself."""

    @staticmethod
    def n_keys(n_classes: int) -> int:
        """Return the number of classes."""
        return n_classes

    def binned_outcome(self, index: Tensor, n_bins: int) -> Tensor:
        """Return the weighted sums of the outcomes over the bins of the forecasts, shape (k, n_bins)."""
        if self.rows.true_shares is not None:
            return super().binned_outcome(index, n_bins)
        # Only one class of a row came: there is one number a row to add, not k.
        true = self.rows.labels.flatten()
        place = index.gather(0, true.unsqueeze(0)).squeeze(0) + true * n_bins
        return (
            self.rows.weight.new_zeros(len(index) * n_bins).scatter_add_(0, place, self.rows.weight).reshape(-1, n_bins)
        )


class SumForecasts(DeviceForecasts):
    """Events that several classes make up: their probabilities are sums."""

    @property
    def precision(self) -> torch.dtype:
        """The working precision: sums are computed, not stored."""
        return self.rows.dtype

    @property
    def excess(self) -> float:
        """How far a sum may lie above the sum of what was stored, rounded."""
        return max(LEAST_EXCESS, torch.finfo(self.rows.precision).eps / 4)

    @cached_property
    def probability(self) -> Tensor:
        """Probability of each event, to as many bits as the core keeps."""
        return _to_bits(super().probability).clamp(max=1)


class BestForecasts(SumForecasts):
    """The k most probable classes together."""

    decided = True

    @cached_property
    def _members(self) -> Tensor:
        # Of equal scores those of the lowest columns count first.
        scores = self.rows.scores
        best = scores.sort(dim=1, descending=True, stable=True).indices[:, : self.view.k]
        return torch.zeros_like(scores, dtype=torch.bool).scatter(1, best, True)

    def _picked(self, values: Tensor) -> Tensor:
        return torch.where(self._members, values, 0).sum(dim=1, keepdim=True)

    def _logs(self) -> tuple[Tensor, Tensor]:
        each = self.rows.log_probabilities
        parts = (self._members, ~self._members)
        yes, no = (each.masked_fill(~part, -math.inf).logsumexp(1, keepdim=True) for part in parts)
        return yes, no


class OrdinalForecasts(SumForecasts):
    """The K - 1 events that the true class is no higher than each of them but the last."""

    @staticmethod
    def n_keys(n_classes: int) -> int:
        """Return the number of thresholds between classes."""
        return max(n_classes - 1, 0)

    def _picked(self, values: Tensor) -> Tensor:
        return values.cumsum(dim=1)[:, :-1]

    def _logs(self) -> tuple[Tensor, Tensor]:
        each = self.rows.log_probabilities
        return each.logcumsumexp(1)[:, :-1], each.flip(1).logcumsumexp(1).flip(1)[:, 1:]


def binned(index: Tensor, n_bins: int, values: Tensor) -> Tensor:
    """Return sums over bins, shape (k, n_bins), of values that are (k, r) as the numbers of the bins, or (r,)."""
    return values.new_zeros(len(index), n_bins).scatter_add_(1, index, values.expand(index.shape))


def _to_bits(p: Tensor) -> Tensor:
    """Return float64 sums to :data:`SUM_BITS` bits, so that 0.1 + 0.2 ties with 0.3; no others have that many."""
    if p.dtype is not torch.float64:
        return p
    fraction = torch.frexp(p).mantissa
    unit = torch.where(p > 0, p / fraction, 0)
    return torch.round(fraction * 2.0**SUM_BITS) * 2.0**-SUM_BITS * unit


#: What views of each class see.
FORECASTS: dict[type[View], type[DeviceForecasts]] = {
    TopLabel: TopForecasts,
    Positive: ClassForecasts,
    Classwise: EveryForecasts,
    MultiLabel: EveryForecasts,
    TopK: BestForecasts,
    Ordinal: OrdinalForecasts,
}


def forecasts_of(rows: Any, view: View) -> DeviceForecasts:
    """Return what a view sees in rows."""
    return FORECASTS[type(view)](rows, view)


def n_keys(view: View, n_classes: int) -> int:
    """Return how many forecasts of a row a view sees."""
    return FORECASTS[type(view)].n_keys(n_classes)
