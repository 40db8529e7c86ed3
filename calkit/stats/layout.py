"""What views and metrics ask of predictions before a row is read."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Layout"]


class Layout(Protocol):
    """What a view has to know of predictions: :class:`~calkit.Predictions` and shards have it."""

    @property
    def kind(self) -> Any:
        """``"logits"``, ``"probs"`` or ``"confidence"``."""

    @property
    def n_classes(self) -> int | None:
        """Number of classes; None if it is not known."""

    @property
    def class_names(self) -> Any:
        """Name of each column, or None."""

    @property
    def one_column(self) -> bool | None:
        """Whether the scores are one column, P(y = 1)."""

    @property
    def multilabel(self) -> bool:
        """Whether each column is a forecast of an event of its own."""
