"""How statistics are counted on a device: what a counter is, and which there are.

Each turns rows into a vector of sums, which add, and the added vector into the summary that the statistic's own
``measure`` would have given.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calkit.errors import UsageError
from calkit.metrics import Metric
from calkit.stats import BinSums, By, Statistic, Summary
from calkit.stats.parts import Parts
from calkit.stats.rows import CLASS_COLUMNS
from calkit.stats.statistic import ForecastStatistic
from calkit_torch.bridge.forecasts import DeviceForecasts, n_keys
from calkit_torch.bridge.kept import keeps_rows
from calkit_torch.bridge.shapes import ScoreKind

__all__ = [
    "COUNTERS",
    "Counter",
    "KeyedCounter",
    "as_groups",
    "check_countable",
    "check_groups",
    "counter_of",
    "counts",
    "is_countable",
    "is_summable",
    "repeated",
]

S = TypeVar("S", bound=Statistic[Any])
V = TypeVar("V", bound=ForecastStatistic[Any])
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

    @classmethod
    def covers(cls, statistic: Any) -> bool:  # noqa: ARG003
        """Whether all that a statistic of its class is made of can be counted."""
        return True

    @property
    def per_class(self) -> bool:
        """Whether the number of sums depends on that of the classes."""
        return False

    def products(self, n_classes: int) -> NDArray[np.int64]:  # noqa: ARG002
        """Return where sums over pairs of rows stand, each with the place of the sum that they are products of.

        The pairs of one row each of two parts add the product of the sums of the parts. Of shape (m, 2).
        """
        return np.empty((0, 2), dtype=np.int64)

    @abstractmethod
    def size(self, n_classes: int) -> int:
        """Return how many sums there are; `n_classes` is 0 as long as it is unknown."""

    @abstractmethod
    def measure(self, rows: Any) -> Tensor:
        """Return the sums over the rows, of shape (size,), without reading a value back."""

    @abstractmethod
    def summary(self, sums: NDArray[np.float64]) -> R:
        """Return the added sums as the summary they are."""


#: The counter of each class of statistics that are sums of constant size.
COUNTERS: dict[type[Any], type[Counter[Any, Any]]] = {}


def counts(statistic: type[Any]) -> Callable[[type[C]], type[C]]:
    """Return a class decorator that makes a counter known for a class of statistics."""

    def store(counter: type[C]) -> type[C]:
        COUNTERS[statistic] = counter
        return counter

    return store


def is_countable(statistic: Any) -> bool:
    """Return whether a statistic is a sum of constant size that is counted on devices."""
    return type(statistic) in COUNTERS and COUNTERS[type(statistic)].covers(statistic)


def is_summable(metric: Metric) -> bool:
    """Return whether a metric is a function of sums of constant size, and so can be computed on a device."""
    return is_countable(metric.statistic)


def counter_of(
    statistic: Statistic[Any], kind: ScoreKind, groups: Mapping[str, Sequence[Any]] = MappingProxyType({})
) -> Counter[Any, Any]:
    """Return the counter of a statistic.

    Parameters
    ----------
    statistic : Statistic
    kind : {"logits", "probs"}
        What will be counted.
    groups : mapping of str to sequence
        The values of the columns by which rows may be grouped.

    Raises
    ------
    UsageError
        If the statistic is not a sum of constant size, or needs logits and there will be none.
    """
    if not is_countable(statistic):
        raise UsageError(f"{statistic!r} cannot be accumulated on a device; the statistics that can are {_known()}.")
    if isinstance(statistic, By):
        return _Grouped(statistic, counter_of(statistic.statistic, kind), groups.get(statistic.column))
    counter = COUNTERS[type(statistic)]
    if counter.needs_logits and kind != "logits":
        raise UsageError(f"{statistic!r} needs logits, but kind is {kind!r}.")
    return counter(statistic)


def as_groups(columns: Mapping[str, Sequence[Any]]) -> dict[str, tuple[Any, ...]]:
    """Return the values of the one column by which rows are grouped, if there is one.

    Raises
    ------
    UsageError
        If there are several columns, the column has no values or one twice, or it is called like one of classes.
    """
    groups = {name: tuple(labels) for name, labels in columns.items()}
    if len(groups) > 1:
        raise UsageError(f"rows are grouped by one column, not by {', '.join(map(repr, groups))}.")
    for name, labels in groups.items():
        if name in CLASS_COLUMNS:
            raise UsageError(f"by={name!r} needs no values, which are the classes: by={name!r}.")
        if not labels or len(set(labels)) < len(labels):
            raise UsageError(f"the values of {name!r} must be different ones, one at least, but are {list(labels)!r}.")
    return groups


def check_groups(statistic: Statistic[Any], groups: Mapping[str, Sequence[Any]]) -> None:
    """Raise a UsageError if a statistic is of groups that are not known."""
    if isinstance(statistic, By) and statistic.column not in (*CLASS_COLUMNS, *groups):
        raise UsageError(f"there are no groups {statistic.column!r}; name their values: by={{'site': ['A', 'B']}}.")


def check_countable(metric: Metric) -> Metric:
    """Return the metric if it can be computed on a device.

    Raises
    ------
    UsageError
        If it is not.
    """
    if not (is_summable(metric) or keeps_rows(metric.statistic)):
        raise UsageError(
            f"{metric.spec} cannot be accumulated on a device: it is made of {type(metric.statistic).__name__}, and "
            f"what is known there is {_known()}. Bring the rows to the host: "
            f"calkit.evaluate(calkit_torch.bridge.predict(model, loader), ['{metric.spec}'])."
        )
    return metric


def _known() -> str:
    return ", ".join(sorted({*(statistic.__name__ for statistic in COUNTERS), "Pairs", "PairsAbove", "EqualMass"}))


def repeated(places: NDArray[np.int64], n: int, size: int) -> NDArray[np.int64]:
    """Return places that stand in each of several blocks, one after another, of a size."""
    return (places + size * np.arange(n)[:, None, None]).reshape(-1, 2)


@counts(By)
class _Grouped(Counter[By, Parts[Any]]):
    """What another counter counts, for the rows of each group, one after another."""

    def __init__(self, statistic: By, counter: Counter[Any, Any] | None = None, labels: Any = None) -> None:
        super().__init__(statistic)
        self._counter = cast("Counter[Any, Any]", counter)
        self._labels = labels

    @classmethod
    def covers(cls, statistic: By) -> bool:
        """Whether what is counted for each group can be."""
        return is_countable(statistic.statistic)

    @property
    def per_class(self) -> bool:
        """Whether the number of sums depends on that of the classes."""
        return self._labels is None or self._counter.per_class

    def _n_groups(self, n_classes: int) -> int:
        return n_classes if self._labels is None else len(self._labels)

    def size(self, n_classes: int) -> int:
        return self._n_groups(n_classes) * (1 + self._counter.size(n_classes))

    def products(self, n_classes: int) -> NDArray[np.int64]:
        each = 1 + self._counter.size(n_classes)
        return repeated(1 + self._counter.products(n_classes), self._n_groups(n_classes), each)

    def measure(self, rows: Any) -> Tensor:
        n_groups = self._n_groups(rows.scores.shape[1])
        parts = rows.groups(self.statistic.column, n_groups)
        return torch.cat([torch.cat([part.checks[-1:], self._counter.measure(part)]) for part in parts])

    def summary(self, sums: NDArray[np.float64]) -> Parts[Any]:
        # All groups have as many sums; those of a class column are as many as the classes.
        n_groups = self._n_classes_of(sums) if self._labels is None else len(self._labels)
        each = sums.reshape(n_groups, -1)
        labels = range(n_groups) if self._labels is None else self._labels
        present = {label: part for label, part in zip(labels, each, strict=True) if part[0]}
        summaries = {label: self._counter.summary(part[1:]) for label, part in present.items()}
        return Parts(summaries, {label: int(part[0]) for label, part in present.items()})

    def _n_classes_of(self, sums: NDArray[np.float64]) -> int:
        return next(k for k in range(1, len(sums) + 1) if self.size(k) == len(sums))


class KeyedCounter(Counter[V, R]):
    """A counter of the forecasts of a view; subclasses have `numbers` sums a key, and define :meth:`count`."""

    @property
    def per_class(self) -> bool:
        """Whether the number of sums depends on that of the classes."""
        return bool(self.statistic.view.keyed)

    @property
    @abstractmethod
    def numbers(self) -> int:
        """How many sums there are for each key."""

    @abstractmethod
    def count(self, rows: Any, forecasts: DeviceForecasts) -> Tensor:
        """Return the sums, of shape (n_keys, ...) with `numbers` a key."""

    @abstractmethod
    def of_key(self, sums: NDArray[np.float64]) -> Any:
        """Return the sums of one key as the summary they are."""

    def size(self, n_classes: int) -> int:
        """Return how many sums there are."""
        return n_keys(self.statistic.view, n_classes) * self.numbers

    def measure(self, rows: Any) -> Tensor:
        """Return the sums over the rows."""
        return self.count(rows, rows.forecasts(self.statistic.view)).flatten()

    def summary(self, sums: NDArray[np.float64]) -> Any:
        """Return the added sums as the summary they are: of keys, that of each or one of all."""
        parts = [self.of_key(part) for part in sums.reshape(-1, self.numbers)]
        return self.joined(parts) if self.statistic.view.keyed else parts[0]

    def joined(self, parts: list[Any]) -> Any:
        """Return the summaries of keys as one."""
        return BinSums.stack(parts) if self.statistic.counts_keys else Parts(dict(enumerate(parts)))
