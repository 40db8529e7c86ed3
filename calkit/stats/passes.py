"""Statistics, summaries, and the passes that turn the first into the second."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, Protocol

import numpy as np

from calkit.errors import InputError
from calkit.executors import Executor, PairwiseSum, SerialExecutor, automatic_executor, open_executor
from calkit.predictions import Predictions, RowBlock
from calkit.stats.kernels import KernelPolicy
from calkit.stats.rows import Rows, Workspace
from calkit.stats.statistic import Passes, Statistic, Summary

__all__ = ["PairwiseSum", "Part", "Sharded", "Statistic", "Summaries", "Summary", "summarize"]

_SERIAL = SerialExecutor()


class Part(Protocol):
    """A share of the rows, read where it is worked on. It may have a `name`, for error messages."""

    def load(self) -> Predictions:
        """Return the rows."""


class Sharded(Protocol):
    """Predictions in parts, such as the files of :class:`~calkit.Shards`."""

    def parts(self, executor: Executor | None, /) -> Iterable[Part]:
        """Return the parts, in the order of the rows. What has to be read to tell them, the executor reads."""


class Summaries(dict[Statistic[Any], Any]):
    """The summary of each statistic.

    Attributes
    ----------
    n_samples : int
        Number of rows that count: of a weight above 0, and of a label that is not left out.
    """

    n_samples: int = 0


def summarize(
    predictions: Predictions | Sharded,
    statistics: Iterable[Statistic[Any]],
    *,
    block_rows: int | None = None,
    check: bool = True,
    executor: str | Executor | None = None,
    n_jobs: int | None = None,
    first_row: int = 0,
) -> Summaries:
    """Count all statistics in one pass over the rows; in as many as it takes, if one asks for more.

    Parameters
    ----------
    predictions : Predictions or Sharded
    statistics : iterable of Statistic
        What to count; repeated ones are counted once. Those :class:`~calkit.stats.At` a transform see the logits
        transformed, by a temperature for instance.
    block_rows : int, optional
        Rows per block; by default about 8 MB. Counts do not depend on it, and sums only by rounding (1e-15 relative).
    check : bool, default=True
        Check the scores. Only a second pass over the same scores may skip it.
    executor : str or Executor, optional
        What runs the pass: ``"serial"``, ``"threads"``, ``"dask"``, …; see :func:`calkit.executors.use_executor`. By
        default threads for more than about two million scores. The result does not depend on it.
    n_jobs : int, optional
        Number of threads, -1 for all cores.
    first_row : int, default=0
        Rows counted before these; which fold a row belongs to (:class:`~calkit.stats.Folds`) depends on its place.

    Returns
    -------
    Summaries
        A dict with the summary of each statistic.

    Raises
    ------
    InputError
        If a score is impossible, or a statistic needs the scores of all classes and only (confidence, correct)
        pairs are there.
    UsageError
        If there is no such executor, or `n_jobs` is no number of threads.
    """
    # What each statistic counts in the coming pass: itself, or what its passes ask for.
    passes: dict[Statistic[Any], Passes] = {statistic: statistic.passes() for statistic in statistics}
    counted: dict[Statistic[Any], Statistic[Any]] = {statistic: next(steps) for statistic, steps in passes.items()}
    found = Summaries(dict.fromkeys(counted))
    with open_executor(executor, n_jobs) as opened:
        lengths: _Lengths | None = None
        while counted:
            stage = tuple(dict.fromkeys(counted.values()))
            placed = any(statistic.needs_places for statistic in stage)
            if lengths is None and placed and not isinstance(predictions, Predictions):
                lengths = _lengths(predictions, opened)
            counting = _Pass(stage, block_rows, check, first_row)
            totals = counting.over(predictions, opened, lengths)
            if not totals.n_samples:
                raise InputError(
                    "sample_weight is zero in every row, or every row has a label to be left out (ignore_label), so "
                    "nothing is left to measure."
                )
            summaries = dict(zip(stage, totals.summaries, strict=True))
            found.update({statistic: summaries[step] for statistic, step in counted.items()})
            counted = _following(passes, found)
            check = False
    found.n_samples = totals.n_samples
    return found


def _following(passes: dict[Statistic[Any], Passes], found: Summaries) -> dict[Statistic[Any], Statistic[Any]]:
    """Return what the statistics that are not done count in the next pass; put in place the summaries of the others."""
    following = {}
    for statistic, steps in list(passes.items()):
        try:
            following[statistic] = steps.send(found[statistic])
        except StopIteration as done:
            found[statistic] = done.value
            del passes[statistic]
    return following


@dataclass(frozen=True)
class _Lengths:
    """Numbers of rows of parts, in their order; ``+`` is concatenation."""

    rows: tuple[int, ...]

    def __add__(self, other: _Lengths) -> _Lengths:
        return _Lengths(self.rows + other.rows)

    @classmethod
    def of(cls, part: Part) -> _Lengths:
        """Read how many rows a part has."""
        return cls((part.load().n_samples,))


def _lengths(source: Sharded, executor: Executor | None) -> _Lengths | None:
    """Return how many rows each part has, so that rows have places among all: it takes one more look at the files."""
    reader = executor if executor is not None and executor.is_remote else SerialExecutor()
    return reader.sum(_Lengths.of, source.parts(executor))


class _PlacedPart:
    """A part that knows how many rows come before its own; it goes by the name of the part."""

    def __init__(self, part: Part, first_row: int) -> None:
        self._part = part
        self.first_row = first_row
        if hasattr(part, "name"):
            self.name = part.name

    def load(self) -> Predictions:
        return self._part.load()


@dataclass(frozen=True)
class _Totals:
    """Summaries of some rows, in the order of the statistics; none if there are no rows.

    Attributes
    ----------
    summaries : tuple
    n_samples : int
        Rows of a weight above 0.
    """

    summaries: tuple[Any, ...] = ()
    n_samples: int = 0

    def __add__(self, other: _Totals) -> _Totals:
        n_samples = self.n_samples + other.n_samples
        if not self.summaries or not other.summaries:
            return _Totals(self.summaries or other.summaries, n_samples)
        return _Totals(tuple(a + b for a, b in zip(self.summaries, other.summaries, strict=True)), n_samples)


@dataclass(frozen=True)
class _Pass:
    """One pass over rows: what is counted, and how. Workers of other processes get a copy."""

    statistics: tuple[Statistic[Any], ...]
    block_rows: int | None
    check: bool
    first_row: int = 0
    policy: KernelPolicy = field(default_factory=KernelPolicy.of_this_process)

    def over(self, source: Predictions | Sharded, executor: Executor | None, lengths: _Lengths | None) -> _Totals:
        """Return the totals of all rows; of parts, the places of the rows are known if their lengths are given."""
        if isinstance(source, Predictions):
            return self._over_predictions(source, executor)
        parts: Iterable[Part] = source.parts(executor)
        if lengths is not None:
            before = accumulate(lengths.rows, initial=self.first_row)
            parts = [_PlacedPart(part, first_row) for part, first_row in zip(parts, before, strict=False)]
        if executor is not None and executor.is_remote:
            total = executor.sum(self._over_part, parts)
        else:
            total = SerialExecutor().sum(lambda part: self._over_part(part, executor), parts)
        return total or _Totals()

    def _over_part(self, part: Part, executor: Executor | None = _SERIAL) -> _Totals:
        placed = replace(self, first_row=getattr(part, "first_row", self.first_row))
        return placed._over_predictions(part.load(), executor)

    def _over_predictions(self, predictions: Predictions, executor: Executor | None) -> _Totals:
        self._refuse_other_kinds(predictions)
        executor = executor or automatic_executor(math.prod(predictions.scores.shape))
        spaces = threading.local()

        def read(rows: slice) -> RowBlock:
            return predictions.block(rows, check=self.check)

        def count(block: RowBlock) -> _Totals:
            # Each thread has its own scratch memory.
            if not hasattr(spaces, "workspace"):
                spaces.workspace = self._workspace()
            return self._over_block(block, spaces.workspace)

        slices = predictions.row_slices(self.block_rows)
        if executor.is_remote:
            total = executor.sum(self._over_block, map(read, slices))
        elif predictions.has_random_access:
            total = executor.sum(lambda rows: count(read(rows)), slices)
        else:
            # A stream is read once and in order, by the thread that hands out the pieces.
            total = executor.sum(count, map(read, slices))
        return total or _Totals()

    def _over_block(self, block: RowBlock, workspace: Workspace | None = None) -> _Totals:
        if not len(block):
            return _Totals()
        # Differences of huge logits may overflow to infinity, whose exponential is the right 0; those of infinite ones
        # are no number, which is noticed. NumPy keeps this setting for each thread.
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            rows = Rows(block, workspace or self._workspace(), first_row=self.first_row)
            return _Totals(tuple(statistic.measure(rows) for statistic in self.statistics), len(block))

    def _workspace(self) -> Workspace:
        squares = any(statistic.needs_squares for statistic in self.statistics)
        return Workspace(squares=squares, policy=self.policy)

    def _refuse_other_kinds(self, predictions: Predictions) -> None:
        if predictions.kind == "confidence" and any(statistic.needs_distribution for statistic in self.statistics):
            raise InputError("(confidence, correct) pairs do not hold the scores of all classes that this needs.")
