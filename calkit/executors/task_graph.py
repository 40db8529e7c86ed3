"""The tasks of a sum on a cluster, and which of them ended the workers, where workers die."""

from __future__ import annotations

import contextlib
import operator
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from calkit.errors import CalkitError
from calkit.executors.base import PairwiseSum

__all__ = ["SumGraph", "most_suspicious", "result_while_workers_last"]

# Seconds between looks at the processes of a local cluster.
_LOOK = 2.0


@dataclass(frozen=True)
class SumGraph:
    """A sum as Dask has it: tasks by their keys, each a tuple of a function and the keys of what it takes.

    Attributes
    ----------
    tasks : dict
    names : dict
        What errors call each piece, by the key of its task.
    total : str or None
        Key of the sum; None if there are no pieces.
    """

    tasks: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    total: str | None = None

    @classmethod
    def of(cls, function: Callable[[Any], Any], pieces: Iterable[Any]) -> SumGraph:
        """Return the tasks that add ``function(piece)`` as :class:`PairwiseSum` adds.

        Examples
        --------
        >>> graph = SumGraph.of(abs, [-1, 2, -3])
        >>> len(graph.tasks), list(graph.names.values())
        (5, ['piece 0', 'piece 1', 'piece 2'])
        """
        run, tasks, names = f"calkit-{os.urandom(16).hex()}", {}, {}
        total = PairwiseSum[_Node]()
        for number, piece in enumerate(pieces):
            key = f"{run}-{number}"
            # A piece is held by the function, so that Dask does not look for keys inside it.
            tasks[key] = (partial(function, piece),)
            names[key] = getattr(piece, "name", f"piece {number}")
            total.add(_Node(key, tasks))
        root = total.result()
        return cls(tasks, names, None if root is None else root.key)

    def alone(self, key: str) -> SumGraph:
        """Return one piece by itself, under another key."""
        fresh = f"{key}-alone-{os.urandom(8).hex()}"
        return SumGraph({fresh: self.tasks[key]}, {fresh: self.names[key]}, fresh)

    def accusation(self, keys: list[str]) -> CalkitError:
        """Return the error for pieces that killed their workers: one, or several that may have done it together."""
        names = ", ".join(self.names.get(key, "a sum") for key in keys)
        return CalkitError(
            f"{names}: every Dask worker that took {'it' if len(keys) == 1 else 'them'} on died; their logs tell why."
        )


@dataclass(frozen=True)
class _Node:
    """What a task will return; ``+`` is a task more."""

    key: str
    tasks: dict[str, tuple[Any, ...]]

    def __add__(self, other: _Node) -> _Node:
        key = f"{self.key}+{len(self.tasks)}"
        self.tasks[key] = (operator.add, self.key, other.key)
        return _Node(key, self.tasks)


def most_suspicious(keys: list[str], dask_scheduler: Any) -> list[str]:
    """Return which tasks have seen the most workers die, of those that have no result; run on the scheduler.

    A task that kills has seen every death. One that was merely waiting on the same workers may have seen as many.
    """
    unfinished = (task for key in keys if (task := dask_scheduler.tasks.get(key)) and task.state != "memory")
    deaths = {str(task.key): int(task.suspicious) for task in unfinished}
    most = max(deaths.values(), default=0)
    return [key for key, seen in deaths.items() if seen == most > 0]


def result_while_workers_last(future: Any, opened: list[Any]) -> Any:
    """Return a result; or raise, if it comes from a local cluster that was opened here and nothing of it is left.

    A process that dies as soon as it has started is not started again by Dask, nor by anything else. Clusters of
    others may get workers at any time.
    """
    cluster = next((each for each in opened if hasattr(each, "workers")), None)
    while cluster is not None and not future.done():
        with contextlib.suppress(TimeoutError):
            return future.result(timeout=_LOOK)
        if all(nanny.status.name in {"closed", "failed"} for nanny in cluster.workers.values()):
            raise CalkitError(
                "every process of the local Dask cluster has died; its log says why. If memory was short, take "
                "fewer processes: CALKIT_NUM_THREADS sets their number."
            )
    return future.result()
