"""Confidence and correctness, summed over bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from calkit.errors import InputError
from calkit.stats.binning import bin_index, uniform_edges
from calkit.stats.folds import FoldSums, sum_folds
from calkit.stats.forecasts import Forecasts
from calkit.stats.kernel_table import kernel_of
from calkit.stats.rows import Rows
from calkit.stats.statistic import ForecastStatistic, S_co
from calkit.stats.views import TOP, View

__all__ = ["BinSums", "KnownBins", "OfFixedBins", "UniformBins"]


@dataclass(frozen=True, eq=False)
class BinSums:
    """Sums over the rows of each bin; bins run along the last axis.

    Attributes
    ----------
    count : ndarray of int64, shape (..., n_bins)
        Rows.
    weight : ndarray of float64, shape (..., n_bins)
        Sum of the weights; equal to `count` where there are none.
    confidence : ndarray of float64, shape (..., n_bins)
        Weighted sum of the confidences.
    correct : ndarray of float64, shape (..., n_bins)
        Weighted number of right predictions.
    lower, upper : ndarray of float64, shape (n_bins,), or None
        Edges of bins that do not have equal width; None for ``k / n_bins``.
    """

    count: NDArray[np.int64]
    weight: NDArray[np.float64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.float64]
    lower: NDArray[np.float64] | None = None
    upper: NDArray[np.float64] | None = None

    def __add__(self, other: BinSums) -> BinSums:
        if self.n_bins != other.n_bins or self.lower is not None or other.lower is not None:
            raise InputError(
                f"only sums over the same bins can be added, not {self.n_bins} and {other.n_bins} bins, nor bins "
                "whose edges came from the data."
            )
        return BinSums(
            self.count + other.count,
            self.weight + other.weight,
            self.confidence + other.confidence,
            self.correct + other.correct,
        )

    @classmethod
    def from_rows(
        cls,
        index: NDArray[np.intp],
        n_bins: int,
        confidence: NDArray[np.float64],
        correct: NDArray[Any],
        weight: NDArray[np.float64] | None = None,
    ) -> BinSums:
        """Sum rows whose bin is known."""
        if weight is None and correct.dtype != bool:
            # Soft labels: shares of votes.
            count = np.bincount(index, minlength=n_bins)
            sums = _sums(index, confidence, n_bins), _sums(index, correct, n_bins)
            return cls(count, count.astype(np.float64), *sums)
        if weight is None:
            wrong, right = np.bincount(2 * index + correct, minlength=2 * n_bins).reshape(n_bins, 2).T
            count = wrong + right
            return cls(count, count.astype(np.float64), _sums(index, confidence, n_bins), right.astype(np.float64))
        count = np.bincount(index, minlength=n_bins)
        return cls(
            count,
            _sums(index, weight, n_bins),
            _sums(index, weight * confidence, n_bins),
            _sums(index, weight * correct, n_bins),
        )

    @classmethod
    def from_forecasts(cls, index: NDArray[np.intp], n_bins: int, forecasts: Forecasts) -> BinSums:
        """Sum forecasts whose bin is known."""
        return cls.from_rows(index, n_bins, forecasts.probability, forecasts.outcome, forecasts.weight)

    @classmethod
    def stack(cls, parts: Sequence[BinSums]) -> BinSums:
        """Put the bins of several keys side by side, along a new first axis."""
        values = [[getattr(part, field.name) for part in parts] for field in fields(cls)]
        return cls(*(None if column[0] is None else np.stack(column) for column in values))  # type: ignore[arg-type]

    @property
    def n_bins(self) -> int:
        """Number of bins, empty ones included."""
        return int(self.count.shape[-1])

    @property
    def edges(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper edges of the bins, each of shape (n_bins,)."""
        if self.lower is not None and self.upper is not None:
            return self.lower, self.upper
        edges = uniform_edges(self.n_bins)
        return edges[:-1], edges[1:]

    @property
    def total_weight(self) -> NDArray[np.float64]:
        """Sum of the weights over all bins."""
        return np.asarray(self.weight.sum(axis=-1))

    @property
    def share(self) -> NDArray[np.float64]:
        """Share of the (weighted) samples in each bin."""
        return self.weight / self.total_weight[..., None]

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Share of right predictions in each bin; NaN where the bin is empty."""
        return self._per_weight(self.correct)

    @property
    def mean_confidence(self) -> NDArray[np.float64]:
        """Mean confidence in each bin; NaN where the bin is empty."""
        return self._per_weight(self.confidence)

    @property
    def gap(self) -> NDArray[np.float64]:
        """Mean confidence minus accuracy in each bin (positive: over-confident); NaN where the bin is empty."""
        return self._per_weight(self.confidence - self.correct)

    def _per_weight(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        nothing = np.full(sums.shape, np.nan)
        return np.divide(sums, self.weight, out=nothing, where=self.weight > 0)


def _sums(index: NDArray[np.intp], values: NDArray[np.float64], n_bins: int) -> NDArray[np.float64]:
    return np.asarray(np.bincount(index, values, n_bins), dtype=np.float64)


@dataclass(frozen=True)
class UniformBins(ForecastStatistic[BinSums]):
    """Statistic: sums over `n_bins` bins of equal width of the forecasts' probability.

    Of a view with keys, the arrays of the summary have shape (n_keys, n_bins).
    """

    n_bins: int = 15
    view: View = TOP
    is_sum: ClassVar[bool] = True
    groupable: ClassVar[bool] = True
    counts_keys: ClassVar[bool] = True
    # Whether a probability equal to an edge belongs to the bin above it.
    left_closed: ClassVar[bool] = False

    def inner_edges(self, precision: DTypeLike = np.float64) -> NDArray[np.float64]:
        """Return the edges between bins, as they are compared with probabilities stored in a precision."""
        return uniform_edges(self.n_bins, precision)[1:-1]

    def measure(self, rows: Rows) -> BinSums:
        """Return the :class:`BinSums` of one block, by a kernel where the view has one."""
        kernel = kernel_of(self, rows)
        return kernel.sums(rows, self) if kernel else self.count(rows.forecasts(self.view))

    def measure_folds(self, rows: Rows, fold: NDArray[np.intp], n_folds: int) -> FoldSums:
        """Return the gaps of each fold and bin, by a kernel where the view has one."""
        kernel = kernel_of(self, rows)
        if kernel is None or kernel.folds is None:
            return super().measure_folds(rows, fold, n_folds)
        return kernel.folds(rows, self, fold, n_folds)

    def count(self, forecasts: Forecasts) -> BinSums:
        """Return the sums over bins, and keys if there are any."""
        if forecasts.probability.ndim == 1:
            return BinSums.from_forecasts(self.index(forecasts), self.n_bins, forecasts)
        columns = map(forecasts.column, range(forecasts.n_keys))
        return BinSums.stack([BinSums.from_forecasts(self.index(one), self.n_bins, one) for one in columns])

    def count_folds(self, forecasts: Forecasts, fold: NDArray[np.intp], n_folds: int) -> FoldSums:
        """Return the sums of probability minus outcome over the rows of each fold and bin."""
        return sum_folds(fold, n_folds, forecasts.weight, forecasts.gap, self.index(forecasts), self.n_bins)

    def index(self, forecasts: Forecasts) -> NDArray[np.intp]:
        """Return the bin of each forecast of one key; the forecasts keep it for other statistics of the same bins."""
        if self not in forecasts.bin_index:
            forecasts.bin_index[self] = self.find(forecasts)
        return forecasts.bin_index[self]

    def find(self, forecasts: Forecasts) -> NDArray[np.intp]:
        """Find the bin of each forecast of one key."""
        edges = uniform_edges(self.n_bins, forecasts.precision)
        probability = forecasts.lowered
        if not forecasts.error or forecasts.exact is None:
            return bin_index(probability, edges)
        # Counts are those of float64 throughout: what float32 leaves open at an edge is computed again. Nothing is
        # open at the ends, where the first and the last bin take all.
        places = probability * self.n_bins
        nearest = np.rint(places)
        close = np.abs(places - nearest) < forecasts.error * self.n_bins
        unsure = np.flatnonzero(close & (nearest > 0) & (nearest < self.n_bins))
        index = np.ceil(places, out=places).astype(np.intp)
        index -= 1
        np.maximum(index, 0, out=index)
        index[unsure] = bin_index(forecasts.exact(unsure), edges)
        return index


@dataclass(frozen=True)
class OfFixedBins(ForecastStatistic[S_co]):
    """A statistic of the forecasts of each of some fixed bins; subclasses define :meth:`count`.

    Parameters
    ----------
    bins : UniformBins
        Tells the bin of each forecast.
    """

    bins: UniformBins
    is_sum: ClassVar[bool] = True

    @property
    def view(self) -> View:  # type: ignore[override]
        """Whose forecasts."""
        return self.bins.view

    def on(self, view: View) -> Self:
        """Return the same statistic of another view's forecasts."""
        return replace(self, bins=replace(self.bins, view=view))


@dataclass(frozen=True)
class KnownBins(ForecastStatistic[Any]):
    """Statistic, for folds only: bins that are known already, each the range from one probability to another.

    Parameters
    ----------
    upper : tuple of float
        Largest probability of each bin that holds rows, rising.
    """

    upper: tuple[float, ...]
    view: View = TOP
    is_sum: ClassVar[bool] = True
    groupable: ClassVar[bool] = True

    def count(self, forecasts: Forecasts) -> Any:
        """Not defined: the sums are those of :class:`~calkit.stats.ranks.EqualMass`."""
        raise NotImplementedError("known bins are counted for folds only")

    def count_folds(self, forecasts: Forecasts, fold: NDArray[np.intp], n_folds: int) -> FoldSums:
        """Return the sums of probability minus outcome over the rows of each fold and bin."""
        index = np.minimum(np.searchsorted(self.upper, forecasts.probability), len(self.upper) - 1)
        return sum_folds(fold, n_folds, forecasts.weight, forecasts.gap, index, len(self.upper))
