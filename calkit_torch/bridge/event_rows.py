"""Rows of two classes as forecasts of one event."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from torch import Tensor

from calkit_torch.bridge.rows import DeviceRows

__all__ = ["EventRows"]


class EventRows:
    """Rows of two classes, seen as forecasts of one event, class 1; everything else is that of the rows.

    Parameters
    ----------
    rows : DeviceRows
    """

    def __init__(self, rows: DeviceRows) -> None:
        self._rows = rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    @cached_property
    def confidence(self) -> Tensor:
        """Probability of the event; 0 for rows that do not count."""
        return self._rows._values(self._rows.probabilities[:, 1])

    @cached_property
    def correct(self) -> Tensor:
        """1 where the event came, else 0; with soft labels, its share."""
        shares = self._rows.true_shares
        return self._rows._values(self._rows.labels == 1 if shares is None else shares[:, 1])

    @property
    def hit(self) -> Tensor:
        """How far the decision was right, in [0, 1]."""
        return self._rows.correct

    @cached_property
    def brier(self) -> Tensor:
        """Squared error of the probability, in [0, 1]."""
        return (self.confidence - self.correct) ** 2
