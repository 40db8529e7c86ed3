"""The statistics of :mod:`calkit.stats` that are sums, counted on a device.

A new one is one class with ``@counts(ItsStatistic)``; those of forecasts serve every view.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calkit.stats import (
    BinSums,
    NllDerivatives,
    NllModel,
    ResidualGrid,
    Residuals,
    RowMean,
    Statistic,
    Tail,
    TailSums,
    UniformBins,
    WeightedTotal,
    nll_derivatives,
)
from calkit.stats.costs import DecisionCost
from calkit.stats.edges import EdgeBins
from calkit.stats.moments import BinMoments, Moments
from calkit.stats.outcomes import OutcomeTotal, OutcomeTotals
from calkit.stats.skill import SkillSums, SkillTotals
from calkit_torch.bridge import cells as _cells  # noqa: F401 - registers
from calkit_torch.bridge.counters import (
    COUNTERS,
    Counter,
    KeyedCounter,
    as_groups,
    check_countable,
    check_groups,
    counter_of,
    counts,
    is_countable,
    is_summable,
)
from calkit_torch.bridge.device_bins import bins_of, stored_number, summed
from calkit_torch.bridge.forecasts import DeviceForecasts
from calkit_torch.bridge.rows import LogitRows

__all__ = ["COUNTERS", "Counter", "as_groups", "check_countable", "check_groups", "counter_of", "counts", "is_summable"]

S = TypeVar("S", bound=Statistic[Any])


@counts(UniformBins)
@counts(EdgeBins)
class _UniformBins(KeyedCounter[UniformBins, BinSums]):
    @property
    def numbers(self) -> int:
        return 4 * self.statistic.n_bins

    def count(self, rows: Any, forecasts: DeviceForecasts) -> Tensor:
        index, n_bins = bins_of(self.statistic, forecasts), self.statistic.n_bins
        sums = summed(index, n_bins, [rows.counted, rows.weight, rows.weigh(forecasts.probability)])
        return torch.stack([*sums, forecasts.binned_outcome(index, n_bins)], dim=1)

    def of_key(self, sums: NDArray[np.float64]) -> BinSums:
        count, weight, confidence, correct = sums.reshape(4, -1)
        return BinSums(count.astype(np.int64), weight, confidence, correct)


@counts(Moments)
class _Moments(KeyedCounter[Moments, BinMoments]):
    @classmethod
    def covers(cls, statistic: Moments) -> bool:
        return is_countable(statistic.bins)

    @property
    def numbers(self) -> int:
        return 5 * self.statistic.bins.n_bins

    def count(self, rows: Any, forecasts: DeviceForecasts) -> Tensor:
        p, y = forecasts.probability, forecasts.outcome
        values = [rows.weight, *map(rows.weigh, (p, y, p * p, p * y))]
        return torch.stack(summed(bins_of(self.statistic.bins, forecasts), self.statistic.bins.n_bins, values), dim=1)

    def of_key(self, sums: NDArray[np.float64]) -> BinMoments:
        return BinMoments(*sums.reshape(5, -1))


class _Mean(Counter[S, WeightedTotal]):
    """A counter of means; subclasses define the values of the rows."""

    @abstractmethod
    def values(self, rows: Any) -> Tensor:
        """Return the quantity of each row, shape (r,)."""

    def size(self, n_classes: int) -> int:  # noqa: ARG002
        return 3

    def measure(self, rows: Any) -> Tensor:
        return torch.stack([rows.checks[-1], rows.weight.sum(), rows.sum(self.values(rows))])

    def summary(self, sums: NDArray[np.float64]) -> WeightedTotal:
        count, weight, total = sums.tolist()
        return WeightedTotal(int(count), weight, total)


@counts(RowMean)
class _RowMean(_Mean[RowMean]):
    def values(self, rows: Any) -> Tensor:
        view, quantity = self.statistic.view, self.statistic.quantity
        found: Tensor = getattr(rows if view is None else rows.forecasts(view), quantity)
        return found if view is None else found.mean(dim=0)


@counts(DecisionCost)
class _DecisionCost(_Mean[DecisionCost]):
    def values(self, rows: Any) -> Tensor:
        cost = self.statistic
        found = rows.forecasts(cost.view)
        act = found.probability + found.excess >= stored_number(cost.threshold, found.precision)
        missed = rows.counted - found.outcome
        return torch.where(act, cost.false_positive * missed, cost.false_negative * found.outcome).mean(dim=0)


@counts(SkillTotals)
class _SkillTotals(Counter[SkillTotals, SkillSums]):
    @property
    def per_class(self) -> bool:
        """Whether the number of sums depends on that of the classes."""
        return self.statistic.view is None

    def size(self, n_classes: int) -> int:
        return 2 + (n_classes if self.statistic.view is None else 2)

    def measure(self, rows: Any) -> Tensor:
        view, quantity = self.statistic.view, self.statistic.quantity
        found = rows if view is None else rows.forecasts(view)
        outcome = rows.keyed(rows.outcomes) if view is None else found.outcome
        came = outcome if view is None else torch.cat([outcome, rows.counted - outcome])
        score = self.statistic.per_event * rows.sum(getattr(found, quantity))
        return torch.cat([torch.stack([rows.weight.sum(), score]), rows.weigh(came).sum(dim=1)])

    def summary(self, sums: NDArray[np.float64]) -> SkillSums:
        return SkillSums(float(sums[0]), float(sums[1]), sums[2:].copy())


@counts(OutcomeTotal)
class _OutcomeTotal(Counter[OutcomeTotal, OutcomeTotals]):
    def size(self, n_classes: int) -> int:  # noqa: ARG002
        return 6

    def measure(self, rows: Any) -> Tensor:
        count, share = (torch.stack([part, 1 - part]) for part in (rows.right, rows.correct))
        quantity = self.statistic.quantity
        values = getattr(rows, quantity)
        if rows.true_shares is not None and quantity in ("nll", "p_true"):
            # The quantity is a mean over the votes: those for the predicted class are taken out of it.
            of_right = rows.correct * getattr(rows, f"{quantity}_if_right")
            total = torch.stack([of_right, values - of_right])
        else:
            # A product with 0 would spoil the sums where a value is infinite.
            total = torch.where(share > 0, share * values, 0)
        share = rows.counted * share
        return torch.cat(
            [(rows.counted * count).sum(dim=1), rows.weigh(share).sum(dim=1), rows.weigh(total).sum(dim=1)]
        )

    def summary(self, sums: NDArray[np.float64]) -> OutcomeTotals:
        count, weight, total = sums.reshape(3, 2)
        return OutcomeTotals(count.astype(np.int64), weight.copy(), total.copy())


@counts(Tail)
class _Tail(KeyedCounter[Tail, TailSums]):
    numbers = 4

    def count(self, rows: Any, forecasts: DeviceForecasts) -> Tensor:
        least = stored_number(self.statistic.threshold, forecasts.precision)
        sure = rows.counted * (forecasts.probability + forecasts.excess >= least)
        values = sure, rows.weigh(sure), rows.weigh(sure * forecasts.outcome), rows.weight.expand(sure.shape)
        return torch.stack([value.sum(dim=1) for value in values], dim=1)

    def of_key(self, sums: NDArray[np.float64]) -> TailSums:
        count, weight, correct, total_weight = sums.tolist()
        return TailSums(int(count), weight, correct, total_weight)


@counts(NllDerivatives)
class _NllDerivatives(Counter[NllDerivatives, NllModel]):
    needs_logits = True

    def size(self, n_classes: int) -> int:  # noqa: ARG002
        return 8

    def measure(self, rows: Any) -> Tensor:
        rows = cast("LogitRows", rows)
        beta = self.statistic.inverse_temperature
        d, d_true, predicted = rows.distances(self.statistic.exponent)
        # A class at an infinite distance has probability 0 at every β, and adds nothing to any sum.
        finite = d < math.inf
        d = d.masked_fill(~finite, 0)
        mean_d = d.sum(dim=1) / finite.sum(dim=1)
        # The exponential of the predicted class is 1 and its distance 0: apart from the others, nothing small is lost.
        e = (d * -beta).exp_().scatter_(1, predicted, 0).mul_(finite)
        rest = e.sum(dim=1)
        total = 1 + rest
        # Raw moments of d under the softmax at β; the derivatives are its cumulants, up to sign.
        moments = []
        for _ in range(4):
            e *= d
            moments.append(e.sum(dim=1) / total)
        derivatives = [
            torch.log1p(rest) + beta * d_true,
            *nll_derivatives(d_true, *moments),
        ]
        limits = [d_true - mean_d, d_true]
        return torch.stack([rows.weight.sum(), *(rows.total(values) for values in derivatives + limits)])

    def summary(self, sums: NDArray[np.float64]) -> NllModel:
        return NllModel(float(sums[0]), sums[1:6].copy(), sums[6:].copy())


@counts(Residuals)
class _Residuals(KeyedCounter[Residuals, ResidualGrid]):
    @property
    def numbers(self) -> int:
        return 2 + self.statistic.n_cells + 1

    def count(self, rows: Any, forecasts: DeviceForecasts) -> Tensor:
        n_cells = self.statistic.n_cells
        gap = forecasts.probability - forecasts.outcome
        # Rounding may have put probabilities outside of [0, 1].
        place = forecasts.probability.clamp(0, 1) * n_cells
        cell = place.long().clamp_(max=n_cells - 1)
        high = rows.weigh(gap * (place - cell))
        grid = gap.new_zeros(len(gap), n_cells + 1)
        grid.scatter_add_(1, cell, rows.weigh(gap) - high).scatter_add_(1, cell + 1, high)
        weight = rows.weight.sum().expand(len(gap))
        return torch.cat([torch.stack([weight, rows.weigh(gap.abs()).sum(dim=1)], dim=1), grid], dim=1)

    def of_key(self, sums: NDArray[np.float64]) -> ResidualGrid:
        return ResidualGrid(float(sums[0]), float(sums[1]), sums[2:].copy())
