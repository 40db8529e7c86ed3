"""Summaries of parts: of each class, or of each group of rows; ``+`` adds those of the same part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

__all__ = ["Parts"]

S = TypeVar("S")


@dataclass(frozen=True, eq=False)
class Parts(Generic[S]):
    """A summary for each part.

    Attributes
    ----------
    summaries : dict
        The summary of each part, by its label.
    counts : dict of int
        Rows of each part; empty where the parts are keys of the same rows.
    """

    summaries: Mapping[Any, S]
    counts: Mapping[Any, int] = field(default_factory=dict)

    def __add__(self, other: Parts[S]) -> Parts[S]:
        return Parts(_merged(self.summaries, other.summaries), _merged(self.counts, other.counts))

    def map(self, function: Callable[[S], Any]) -> list[Any]:
        """Return what a function makes of each summary."""
        return [function(summary) for summary in self.summaries.values()]


def _merged(a: Mapping[Any, Any], b: Mapping[Any, Any]) -> dict[Any, Any]:
    merged = dict(a)
    for label, value in b.items():
        merged[label] = merged[label] + value if label in merged else value
    return merged
