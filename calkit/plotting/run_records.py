"""The histories of training runs, as records of the epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Run", "named_apart", "number_of", "opened"]


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
