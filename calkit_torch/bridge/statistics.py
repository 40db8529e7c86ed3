"""The statistics of :mod:`calkit.stats` that are sums, counted on a device.

Each has a *counter*: it turns rows into a vector of sums, which add, and the added vector into the summary that the
statistic's own ``measure`` would have given. A new statistic is one class with ``@counts(ItsStatistic, ItsView)``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar, Generic, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calkit.errors import UsageError
from calkit.metrics import Metric
from calkit.stats import (
    BinSums,
    NllDerivatives,
    NllModel,
    Pairs,
    ResidualGrid,
    Residuals,
    RowMean,
    Statistic,
    Summary,
    Tail,
    TailSums,
    UniformBins,
    WeightedTotal,
    nll_derivatives,
    uniform_edges,
)
from calkit.stats.costs import DecisionCost
from calkit.stats.outcomes import OutcomeTotal, OutcomeTotals
from calkit.stats.views import Classwise, TopLabel
from calkit_torch.bridge.rows import DeviceRows, LogitRows
from calkit_torch.bridge.shapes import ScoreKind, transfer

__all__ = ["COUNTERS", "Counter", "check_countable", "counter_of", "counts", "is_summable", "keeps_pairs"]

S = TypeVar("S", bound=Statistic[Any])
R = TypeVar("R", bound=Summary)
C = TypeVar("C", bound="Counter[Any, Any]")


class Counter(ABC, Generic[S, R]):
    """How one statistic is counted on a device.

    Parameters
    ----------
    statistic : Statistic
    """

    needs_logits: ClassVar[bool] = False

    def __init__(self, statistic: S) -> None:
        self.statistic = statistic

    #: Whether the number of sums depends on that of the classes.
    per_class: ClassVar[bool] = False

    @abstractmethod
    def size(self, n_classes: int) -> int:
        """Return how many sums there are; `n_classes` is 0 as long as it is unknown."""

    @abstractmethod
    def measure(self, rows: DeviceRows) -> Tensor:
        """Return the sums over the rows, of shape (size,), without reading a value back."""

    @abstractmethod
    def summary(self, sums: NDArray[np.float64]) -> R:
        """Return the added sums as the summary they are."""


#: The counter of each class of statistics that are sums of constant size, and class of the views they see.
COUNTERS: dict[tuple[type[Any], type[Any]], type[Counter[Any, Any]]] = {}


def counts(statistic: type[Any], view: type[Any] | None = None) -> Callable[[type[C]], type[C]]:
    """Return a class decorator that makes a counter known for a class of statistics and of views, if they see one."""

    def store(counter: type[C]) -> type[C]:
        COUNTERS[statistic, view or type(None)] = counter
        return counter

    return store


def _key(statistic: Statistic[Any]) -> tuple[type[Any], type[Any]]:
    return type(statistic), type(getattr(statistic, "view", None))


def is_summable(metric: Metric) -> bool:
    """Return whether a metric is a function of sums of constant size, and so can be computed on a device."""
    return _key(metric.statistic) in COUNTERS


def keeps_pairs(statistic: Statistic[Any]) -> bool:
    """Return whether a statistic is made of the confidence and the correctness of every row."""
    return getattr(statistic, "streamed", None) == Pairs()


def counter_of(statistic: Statistic[Any], kind: ScoreKind) -> Counter[Any, Any]:
    """Return the counter of a statistic.

    Parameters
    ----------
    statistic : Statistic
    kind : {"logits", "probs"}
        What will be counted.

    Raises
    ------
    UsageError
        If the statistic is not a sum of constant size, or needs logits and there will be none.
    """
    counter = COUNTERS.get(_key(statistic))
    if counter is None:
        raise UsageError(f"{statistic!r} cannot be accumulated on a device; the statistics that can are {_known()}.")
    if counter.needs_logits and kind != "logits":
        raise UsageError(f"{statistic!r} needs logits, but kind is {kind!r}.")
    return counter(statistic)


def check_countable(metric: Metric) -> Metric:
    """Return the metric if it can be computed on a device.

    Raises
    ------
    UsageError
        If it is not.
    """
    if not (is_summable(metric) or keeps_pairs(metric.statistic)):
        raise UsageError(
            f"{metric.spec} cannot be accumulated on a device: it is made of {type(metric.statistic).__name__}, and "
            f"what is known there is {_known()}. Bring the rows to the host: "
            f"calkit.evaluate(calkit_torch.bridge.predict(model, loader), ['{metric.spec}'])."
        )
    return metric


def _known() -> str:
    return ", ".join(sorted({*(statistic.__name__ for statistic, _ in COUNTERS), "Pairs", "EqualMass"}))


@counts(UniformBins, TopLabel)
class _UniformBins(Counter[UniformBins, BinSums]):
    def size(self, n_classes: int) -> int:  # noqa: ARG002
        return 4 * self.statistic.n_bins

    def measure(self, rows: DeviceRows) -> Tensor:
        n_bins = self.statistic.n_bins
        edges = _inner_edges(n_bins, rows.precision, rows.dtype, rows.scores.device)
        index = torch.bucketize(rows.confidence - rows.excess, edges)
        values = torch.stack([rows.counted, rows.weight, rows.weigh(rows.confidence), rows.weigh(rows.correct)])
        sums = torch.zeros(4, n_bins, dtype=rows.dtype, device=values.device)
        return sums.scatter_add_(1, index.expand(4, -1), values).flatten()

    def summary(self, sums: NDArray[np.float64]) -> BinSums:
        count, weight, confidence, correct = sums.reshape(4, -1)
        return BinSums(count.astype(np.int64), weight, confidence, correct)


@counts(RowMean)
class _RowMean(Counter[RowMean, WeightedTotal]):
    def size(self, n_classes: int) -> int:  # noqa: ARG002
        return 3

    def measure(self, rows: DeviceRows) -> Tensor:
        quantity = "hit" if self.statistic.quantity == "correct" else self.statistic.quantity
        total = rows.sum(getattr(rows, quantity))
        return torch.stack([rows.checks[-1], rows.weight.sum(), total])

    def summary(self, sums: NDArray[np.float64]) -> WeightedTotal:
        count, weight, total = sums.tolist()
        return WeightedTotal(int(count), weight, total)


@counts(OutcomeTotal)
class _OutcomeTotal(Counter[OutcomeTotal, OutcomeTotals]):
    def size(self, n_classes: int) -> int:  # noqa: ARG002
        return 6

    def measure(self, rows: DeviceRows) -> Tensor:
        rows = rows.whole
        count, share = (torch.stack([part, rows.counted - part]) for part in (rows.right, rows.hit))
        quantity = self.statistic.quantity
        values = getattr(rows, quantity)
        if rows.true_shares is not None and quantity in ("nll", "p_true"):
            # The quantity is a mean over the votes: those for the predicted class are taken out of it.
            of_right = rows.hit * getattr(rows, f"{quantity}_if_right")
            total = torch.stack([of_right, values - of_right])
        else:
            # A product with 0 would spoil the sums where a value is infinite.
            total = torch.where(share > 0, share * values, 0)
        return torch.cat([count.sum(dim=1), rows.weigh(share).sum(dim=1), rows.weigh(total).sum(dim=1)])

    def summary(self, sums: NDArray[np.float64]) -> OutcomeTotals:
        count, weight, total = sums.reshape(3, 2)
        return OutcomeTotals(count.astype(np.int64), weight.copy(), total.copy())


@counts(Tail, TopLabel)
class _Tail(Counter[Tail, TailSums]):
    def size(self, n_classes: int) -> int:  # noqa: ARG002
        return 4

    def measure(self, rows: DeviceRows) -> Tensor:
        sure = rows.counted * (
            rows.confidence + rows.excess >= _stored_number(self.statistic.threshold, rows.precision)
        )
        return torch.stack([sure.sum(), rows.sum(sure), rows.sum(sure * rows.correct), rows.weight.sum()])

    def summary(self, sums: NDArray[np.float64]) -> TailSums:
        count, weight, correct, total_weight = sums.tolist()
        return TailSums(int(count), weight, correct, total_weight)


@counts(DecisionCost, TopLabel)
class _DecisionCost(Counter[DecisionCost, WeightedTotal]):
    def size(self, n_classes: int) -> int:  # noqa: ARG002
        return 3

    def measure(self, rows: DeviceRows) -> Tensor:
        cost = self.statistic
        act = rows.confidence + rows.excess >= _stored_number(cost.threshold, rows.precision)
        missed = rows.counted - rows.correct
        total = rows.sum(torch.where(act, cost.false_positive * missed, cost.false_negative * rows.correct))
        return torch.stack([rows.checks[-1], rows.weight.sum(), total])

    def summary(self, sums: NDArray[np.float64]) -> WeightedTotal:
        count, weight, total = sums.tolist()
        return WeightedTotal(int(count), weight, total)


@counts(NllDerivatives)
class _NllDerivatives(Counter[NllDerivatives, NllModel]):
    needs_logits = True

    def size(self, n_classes: int) -> int:  # noqa: ARG002
        return 8

    def measure(self, rows: DeviceRows) -> Tensor:
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


@counts(Residuals, TopLabel)
class _Residuals(Counter[Residuals, ResidualGrid]):
    def size(self, n_classes: int) -> int:  # noqa: ARG002
        return 2 + self.statistic.n_cells + 1

    def measure(self, rows: DeviceRows) -> Tensor:
        n_cells = self.statistic.n_cells
        gap = rows.confidence - rows.correct
        # Rounding may have put probabilities outside of [0, 1].
        place = rows.confidence.clamp(0, 1) * n_cells
        cell = place.long().clamp_(max=n_cells - 1)
        high = rows.weigh(gap * (place - cell))
        grid = torch.zeros(n_cells + 1, dtype=rows.dtype, device=gap.device)
        grid.scatter_add_(0, cell, rows.weigh(gap) - high).scatter_add_(0, cell + 1, high)
        return torch.cat([torch.stack([rows.weight.sum(), rows.sum(gap.abs())]), grid])

    def summary(self, sums: NDArray[np.float64]) -> ResidualGrid:
        return ResidualGrid(float(sums[0]), float(sums[1]), sums[2:].copy())


@counts(UniformBins, Classwise)
class _ClasswiseBins(Counter[UniformBins, BinSums]):
    per_class = True

    def size(self, n_classes: int) -> int:
        return 4 * self.statistic.n_bins * n_classes

    def measure(self, rows: DeviceRows) -> Tensor:
        n_bins, k = self.statistic.n_bins, rows.scores.shape[1]
        counted = rows.per_class(rows.counted)
        p = torch.where(counted > 0, rows.probabilities, 0)
        edges = _inner_edges(n_bins, rows.precision, rows.dtype, p.device)
        first = torch.arange(0, k * n_bins, n_bins, device=p.device).reshape(1, k, 1)
        index = torch.bucketize(p, edges) + first
        weight = counted if rows.weight is rows.counted else rows.per_class(rows.weight)
        sums = torch.zeros(4, k * n_bins, dtype=rows.dtype, device=p.device)
        for total, values in zip(sums, (counted, weight, weight * p), strict=False):
            total.scatter_add_(0, index.flatten(), values.flatten())
        if rows.true_shares is None:
            sums[3].scatter_add_(0, index.gather(1, rows.labels.unsqueeze(1)).flatten(), rows.weight)
        else:
            sums[3].scatter_add_(0, index.flatten(), (weight * rows.true_shares).flatten())
        return sums.flatten()

    def summary(self, sums: NDArray[np.float64]) -> BinSums:
        count, weight, confidence, correct = sums.reshape(4, -1, self.statistic.n_bins)
        return BinSums(count.astype(np.int64), weight, confidence, correct)


_NUMPY_PRECISION = {torch.float16: np.float16, torch.float32: np.float32, torch.float64: np.float64}


@lru_cache(maxsize=256)
def _inner_edges(n_bins: int, precision: torch.dtype, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the edges between bins, rounded to a precision, as calkit.stats.binning has them."""
    if precision in _NUMPY_PRECISION:
        edges = torch.from_numpy(uniform_edges(n_bins, _NUMPY_PRECISION[precision]))
    else:
        edges = torch.from_numpy(uniform_edges(n_bins)).to(precision)
    return transfer(edges[1:-1].to(dtype), device)


@lru_cache(maxsize=256)
def _stored_number(value: float, precision: torch.dtype) -> float:
    """Return a number as it would be read back from a tensor of this precision."""
    return torch.tensor(value, dtype=precision, device="cpu").item()
