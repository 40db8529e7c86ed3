"""What a statistic is: what to count in a block of rows, and what it says of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from calkit.errors import UsageError
from calkit.stats.folds import Folds, FoldSums
from calkit.stats.parts import Parts
from calkit.stats.views import TOP, Only, View

if TYPE_CHECKING:
    from calkit.stats.forecasts import Forecasts
    from calkit.stats.rows import Rows

__all__ = ["Folded", "ForecastStatistic", "Passes", "Statistic", "Summary", "Wrapped"]


@runtime_checkable
class Summary(Protocol):
    """What is kept of some rows. Adding the summaries of two parts gives that of the whole."""

    def __add__(self, other: Self, /) -> Self: ...


S_co = TypeVar("S_co", bound=Summary, covariant=True)

# Yields what to count in each pass, is sent what was counted, and returns the summary.
Passes = Generator["Statistic[Any]", Any, Any]

# Numbers that sums over folds, keys and bins may take: with more keys there are fewer folds.
_FOLD_NUMBERS = 1 << 20
_FEWEST_FOLDS = 64


class Statistic(ABC, Generic[S_co]):
    """What to count. Statistics are frozen dataclasses: hashable, and equal ones are counted once in a pass.

    Attributes
    ----------
    is_sum : bool
        Whether the summary has a fixed size, however many rows there are. If not, streams keep it only if asked to.
    groupable : bool
        Whether it can be kept for each fold of rows, as a bootstrap needs it: then it has :meth:`measure_folds`.
    needs_distribution : bool
        Whether the scores of all classes are needed, not only confidence and correctness.
    needs_squares : bool
        Whether sums of squares are to be computed in the same go as the softmax.
    needs_places : bool
        Whether the places of the rows among all rows matter.
    sees_views : bool
        Whether it can be asked for the forecasts of any view, see :meth:`on`.
    counts_keys : bool
        Whether of a view with keys (classes, say) the summary holds them all; if not, it is a
        :class:`~calkit.stats.parts.Parts` of the summaries of each.
    """

    is_sum: ClassVar[bool] = False
    groupable: ClassVar[bool] = False
    needs_distribution: bool = False
    needs_squares: bool = False
    needs_places: bool = False
    sees_views: ClassVar[bool] = False
    counts_keys: ClassVar[bool] = True

    @abstractmethod
    def measure(self, rows: Rows, /) -> S_co:
        """Return the summary of one block of rows."""

    def measure_folds(self, rows: Rows, fold: NDArray[np.intp], n_folds: int, /) -> FoldSums:
        """Return sums over the rows of each fold; only where it is `groupable`."""
        raise NotImplementedError(f"{type(self).__name__} is not kept for folds")

    def folded(self, folds: Folds) -> Any:
        """Return the statistic that keeps this one for each fold; its ``to_folds`` makes a FoldSums of its summary."""
        return Folded(self, folds)

    def passes(self) -> Passes:
        """Yield what to count in each pass, being sent what was counted; return the summary."""
        return (yield self)

    @property
    def streamed(self) -> Statistic[Any]:
        """What a stream, which cannot be read twice, counts in its place."""
        return self

    def on(self, view: View) -> Statistic[Any]:
        """Return the same statistic of another view's forecasts.

        Raises
        ------
        UsageError
            If it is made of something else than forecasts.
        """
        if view == TOP:
            return self
        raise UsageError(f"{type(self).__name__} is defined for the top label alone, not for target={view.spec!r}.")


class ForecastStatistic(Statistic[S_co]):
    """A statistic of the forecasts of a view; subclasses have a field ``view`` and define :meth:`count`.

    Where the view has keys (classes, say), each key is counted by itself and the summary is a
    :class:`~calkit.stats.parts.Parts`, unless it `counts_keys`: then :meth:`count` takes forecasts of shape
    (b, n_keys).
    """

    view: View
    sees_views: ClassVar[bool] = True
    counts_keys: ClassVar[bool] = False

    @abstractmethod
    def count(self, forecasts: Forecasts, /) -> S_co:
        """Return the summary of a block's forecasts."""

    def count_folds(self, forecasts: Forecasts, fold: NDArray[np.intp], n_folds: int, /) -> FoldSums:
        """Return sums over the rows of each fold; only where :attr:`groupable`."""
        raise NotImplementedError(f"{type(self).__name__} is not kept for folds")

    @property
    def needs_distribution(self) -> bool:  # type: ignore[override]
        """Whether the scores of all classes are needed."""
        return self.view.needs_distribution

    def on(self, view: View) -> ForecastStatistic[S_co]:
        """Return the same statistic of another view's forecasts."""
        return replace(self, view=view)  # type: ignore[type-var]

    def measure(self, rows: Rows) -> Any:
        """Return the summary of one block."""
        forecasts = rows.forecasts(self.view)
        if forecasts.probability.ndim == 1 or self.counts_keys:
            return self.count(forecasts)
        return Parts({key: self.count(forecasts.column(key)) for key in range(forecasts.n_keys)})

    def measure_folds(self, rows: Rows, fold: NDArray[np.intp], n_folds: int) -> FoldSums:
        """Return sums over the rows of each fold, of keys side by side."""
        forecasts = rows.forecasts(self.view)
        if forecasts.probability.ndim == 1:
            return self.count_folds(forecasts, fold, n_folds)
        first = self.count_folds(forecasts.column(0), fold, n_folds)
        fewer = fewer_folds(n_folds, forecasts.n_keys * first.total[0].size)
        keys = range(forecasts.n_keys)
        found = [self.count_folds(forecasts.column(key), fold % fewer, fewer) for key in keys]
        return replace(found[0], total=np.stack([sums.total for sums in found], axis=1), n_keys=len(found))

    def key(self, key: Any) -> ForecastStatistic[S_co]:
        """Return the same statistic of one key's forecasts."""
        return self.on(Only(self.view, int(key)))


class Wrapped(Statistic[S_co]):
    """A statistic that counts another one in its own way; subclasses are data classes with a field ``statistic``.

    What the other says of itself holds of this one too, unless a subclass says otherwise.
    """

    statistic: Statistic[Any]

    @property
    def is_sum(self) -> bool:  # type: ignore[override]
        """Whether the summary has a fixed size."""
        return self.statistic.is_sum

    @property
    def needs_distribution(self) -> bool:  # type: ignore[override]
        """Whether the scores of all classes are needed."""
        return self.statistic.needs_distribution

    @property
    def needs_squares(self) -> bool:  # type: ignore[override]
        """Whether sums of squares are needed."""
        return self.statistic.needs_squares

    @property
    def needs_places(self) -> bool:  # type: ignore[override]
        """Whether the places of the rows matter."""
        return self.statistic.needs_places

    @property
    def streamed(self) -> Statistic[Any]:
        """What a stream counts in its place."""
        return replace(self, statistic=self.statistic.streamed)  # type: ignore[type-var]

    def on(self, view: View) -> Statistic[Any]:
        """Return the same statistic of another view's forecasts."""
        return replace(self, statistic=self.statistic.on(view))  # type: ignore[type-var]


def fewer_folds(n_folds: int, numbers: int) -> int:
    """Return the number of folds to keep for sums of this many numbers: a power of two, as the number of folds is."""
    while n_folds > _FEWEST_FOLDS and n_folds * numbers > _FOLD_NUMBERS:
        n_folds //= 2
    return n_folds


@dataclass(frozen=True)
class Folded(Wrapped[FoldSums]):
    """Statistic: what another one sums, for each fold.

    Parameters
    ----------
    statistic : Statistic
        One that is `groupable`.
    folds : Folds
    """

    statistic: Any
    folds: Folds
    is_sum: ClassVar[bool] = True
    needs_places = True

    def measure(self, rows: Rows) -> FoldSums:
        """Return the :class:`FoldSums` of one block."""
        sums: FoldSums = self.statistic.measure_folds(rows, self.folds.of(rows.numbers), self.folds.n_folds)
        return sums

    def to_folds(self, summary: FoldSums) -> FoldSums:
        """Return the summary, which has the sums of each fold."""
        return summary
