"""Statistics counted for each part of the rows by itself: for each group of a column, or each key of a view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from calkit.stats.parts import Parts
from calkit.stats.rows import CLASS_COLUMNS, Rows
from calkit.stats.statistic import Passes, Statistic, Wrapped

__all__ = ["By", "EachKey", "split_passes"]


@dataclass(frozen=True)
class By(Wrapped[Parts[Any]]):
    """Statistic: another one, for the rows of each value of a column.

    Parameters
    ----------
    statistic : Statistic
    column : str
        One of the columns of the predictions.
    only : tuple of (value, Statistic), optional
        What to count of some values, in place of `statistic`; of others nothing.
    """

    statistic: Statistic[Any]
    column: str
    only: tuple[tuple[Any, Statistic[Any]], ...] | None = None

    @property
    def needs_distribution(self) -> bool:  # type: ignore[override]
        """Whether the scores of all classes are needed."""
        return self.statistic.needs_distribution or self.column in CLASS_COLUMNS

    def passes(self) -> Passes:
        """Yield what to count in each pass."""
        first = By(next(self.statistic.passes()), self.column)
        return (
            yield from split_passes(first, lambda _: self.statistic, lambda only: By(self.statistic, self.column, only))
        )

    def measure(self, rows: Rows) -> Parts[Any]:
        """Return the summary of each value in one block."""
        chosen = None if self.only is None else dict(self.only)
        summaries, counts = {}, {}
        for value, places in rows.groups(self.column).items():
            statistic = self.statistic if chosen is None else chosen.get(value)
            if statistic is not None:
                summaries[value] = statistic.measure(rows.group(self.column, value))
                counts[value] = len(places)
        return Parts(summaries, counts)


@dataclass(frozen=True)
class EachKey(Statistic[Parts[Any]]):
    """Statistic: one of its own for each key of a view.

    Parameters
    ----------
    statistics : tuple of (key, Statistic)
    """

    statistics: tuple[tuple[Any, Statistic[Any]], ...]

    @property
    def needs_distribution(self) -> bool:  # type: ignore[override]
        """Always: keys are classes."""
        return True

    @property
    def needs_places(self) -> bool:  # type: ignore[override]
        """Whether the places of the rows matter."""
        return any(statistic.needs_places for _, statistic in self.statistics)

    def measure(self, rows: Rows) -> Parts[Any]:
        """Return the summary of each key in one block."""
        return Parts({key: statistic.measure(rows) for key, statistic in self.statistics})


def split_passes(
    first: Statistic[Any],
    of_part: Callable[[Any], Statistic[Any]],
    later: Callable[[tuple[tuple[Any, Statistic[Any]], ...]], Statistic[Any]] = EachKey,
) -> Passes:
    """Run the passes of the statistics of many parts side by side; see :meth:`Statistic.passes`.

    Parameters
    ----------
    first : Statistic
        Counts what every part asks for first, as :class:`Parts`.
    of_part : callable
        Returns the statistic of a part, by its label.
    later : callable, default=EachKey
        Returns what counts, in one further pass, what some parts ask for.
    """
    parts = yield first
    running = {label: of_part(label).passes() for label in parts.summaries}
    for steps in running.values():
        next(steps)
    done: dict[Any, Any] = {}
    found = parts.summaries
    while running:
        wanted = []
        for label, steps in list(running.items()):
            try:
                wanted.append((label, steps.send(found[label])))
            except StopIteration as finished:
                done[label] = finished.value
                del running[label]
        if wanted:
            found = (yield later(tuple(wanted))).summaries
    return Parts({label: done[label] for label in parts.summaries}, parts.counts)
