"""Forecasts of events: a probability, and whether the event came; what most statistics are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.stats.once import once

__all__ = ["Forecasts"]


@dataclass(frozen=True, eq=False)
class Forecasts:
    """What a view sees in a block of b rows.

    Attributes
    ----------
    probability : ndarray of float64, shape (b,), or (b, n_keys) where there are keys
        Probability of the event; one column per key (class, threshold, label).
    outcome : ndarray of bool or float64, of the same shape
        Whether the event came; with soft labels, the share of votes for it.
    weight : ndarray of float64, shape (b,), or None
        Weights of the rows; None stands for 1 everywhere.
    precision : dtype
        Precision the probabilities were stored in: edges of bins are rounded to it.
    decided : bool
        Whether each forecast is of what the classifier decided for, as that of the top label is; if not, the decision
        is the event where its probability is above 1/2.
    error : float
        Bound on the error of the probabilities; 0 where they are as good as float64 has them.
    exact : callable, optional
        Returns the probabilities of a few rows in float64; needed where there is an error.
    logs : callable, optional
        Returns the logarithms of the probability and of its complement, where they are known without loss.
    excess : float or ndarray, optional
        How far rounding may have put a probability above an edge that it stands for (or below a threshold); of keys,
        one number for each.
    """

    probability: NDArray[np.float64]
    outcome: NDArray[Any]
    weight: NDArray[np.float64] | None
    precision: np.dtype[Any]
    decided: bool = False
    error: float = 0.0
    exact: Callable[[NDArray[np.intp]], NDArray[np.float64]] | None = None
    logs: Callable[[], tuple[NDArray[np.float64], NDArray[np.float64]]] | None = None
    excess: Any = None

    def __len__(self) -> int:
        return len(self.probability)

    @property
    def n_keys(self) -> int:
        """Number of keys; 1 where there are none."""
        return int(self.probability.shape[1]) if self.probability.ndim == 2 else 1

    def column(self, key: int) -> Forecasts:
        """Return the forecasts of one key."""
        return replace(
            self,
            probability=np.ascontiguousarray(self.probability[:, key]),
            outcome=np.ascontiguousarray(self.outcome[:, key]),
            logs=lambda: (self._logs[0][:, key], self._logs[1][:, key]),
            excess=self.excess[key] if np.ndim(self.excess) else self.excess,
        )

    @once
    def bin_index(self) -> dict[Any, NDArray[np.intp]]:
        """The bin of each forecast of one key, by what tells bins."""
        return {}

    @property
    def lowered(self) -> NDArray[np.float64]:
        """The probabilities, less what rounding may have added: what is compared with the upper edges of bins."""
        return self.probability if self.excess is None else np.asarray(self.probability - self.excess)

    @property
    def raised(self) -> NDArray[np.float64]:
        """The probabilities and what rounding may have taken off: what is compared with thresholds and lower edges."""
        return self.probability if self.excess is None else np.asarray(self.probability + self.excess)

    def sum(self, values: NDArray[Any]) -> float:
        """Return the weighted sum of a quantity over the rows."""
        return float(values.sum(dtype=np.float64) if self.weight is None else (values * self.weight).sum())

    @once
    def total_weight(self) -> float:
        """Sum of the weights of the rows."""
        return float(len(self)) if self.weight is None else float(self.weight.sum())

    @property
    def gap(self) -> NDArray[np.float64]:
        """Probability minus outcome."""
        return np.asarray(self.probability - self.outcome)

    @property
    def hit(self) -> NDArray[Any]:
        """Whether the classifier's decision was right (share of votes for it, with soft labels)."""
        if self.decided:
            return self.outcome
        return np.where(self.probability > 0.5, self.outcome, 1 - self.outcome)

    @property
    def squared(self) -> NDArray[np.float64]:
        """Squared error; with soft labels, its mean over the votes."""
        p, y = self.probability, self.outcome
        if y.dtype == bool:
            return np.asarray((p - y) ** 2)
        return np.asarray(y * (1 - p) ** 2 + (1 - y) * p**2)

    @property
    def logarithmic(self) -> NDArray[np.float64]:
        """Minus the logarithm of the probability of what came; with soft labels, its mean over the votes."""
        yes, no = self._logs
        if self.outcome.dtype == bool:
            return -np.where(self.outcome, yes, no)
        # A product with 0 would spoil the sum where a logarithm is infinite.
        some, others = self.outcome > 0, self.outcome < 1
        return -(np.where(some, self.outcome * yes, 0) + np.where(others, (1 - self.outcome) * no, 0))

    @once
    def _logs(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.logs is not None:
            return self.logs()
        # A stored probability of 0 counts as the smallest number above 0 of its precision.
        floor = float(np.finfo(self.precision if self.precision.kind == "f" else np.float64).smallest_subnormal)
        p = np.clip(self.probability, 0, 1)
        return np.log(np.maximum(p, floor)), np.log(np.maximum(1 - p, floor))

    def at_least(self, threshold: float) -> NDArray[np.bool_]:
        """Return whether each probability reaches a threshold, rounded to the precision they were stored in."""
        stored = float(np.asarray(threshold).astype(self.precision))
        reached = np.asarray(self.raised >= stored)
        if self.exact is not None:
            unsure = self.near(stored)
            reached[unsure] = self.exact(unsure) >= stored
        return reached

    def near(self, edge: float) -> NDArray[np.intp]:
        """Return the rows whose probability is too near to an edge to tell on which side it is."""
        return np.flatnonzero(np.abs(self.probability - edge) < self.error)
