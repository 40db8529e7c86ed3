"""The histories of training runs, as records of the epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Run", "columns_of", "flat", "named_apart", "number_of", "opened"]


class Run(Protocol):
    """What has records of epochs, and a name: a :class:`~calkit.runs.RunFolder`, say."""

    @property
    def history(self) -> Sequence[Mapping[str, Any]]:
        """The record of each epoch."""

    @property
    def label(self) -> str:
        """What the run is called."""


def opened(run: str | Path | Run) -> Run:
    """Return a run, opened if it is named by its folder."""
    if not isinstance(run, str | Path):
        return run
    from calkit.runs import RunFolder

    return RunFolder(run)


def named_apart(names: Sequence[str]) -> list[str]:
    """Return the names, numbered where they are alike."""
    return [f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name for i, name in enumerate(names)]


def number_of(value: Any) -> float:
    """Return a value of a record as a number; NaN for what is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def columns_of(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[Any]]:
    """Return the records of several runs as columns; None where a record lacks a value."""
    rows = [{"run": name, **flat(record)} for name, records in histories.items() for record in records]
    return {key: [row.get(key) for row in rows] for key in dict.fromkeys(key for row in rows for key in row)}


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without parts: their values are called ``PART.KEY``."""
    found = {}
    for key, value in record.items():
        found.update({f"{key}.{name}": x for name, x in value.items()} if isinstance(value, Mapping) else {key: value})
    return found
