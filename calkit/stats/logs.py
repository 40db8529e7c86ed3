"""Logarithms of probabilities and of their complements, from logits without loss: for the log loss of single events."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from calkit.stats.rows import Rows

__all__ = ["Logs", "class_logs", "log_picker"]

#: Logarithms of probabilities, and of their complements.
Logs = tuple[NDArray[np.float64], NDArray[np.float64]]


def class_logs(rows: Rows) -> Logs:
    """Return the logarithms of the probability of each class and of all others together, each of shape (b, K)."""
    logs = rows.log_probabilities
    if rows.multilabel:
        return logs, np.logaddexp(0, rows.beta * rows.scores.astype(np.float64)) * -1
    if logs.shape[1] == 2:
        return logs, logs[:, ::-1]
    # Only the largest can be above 1/2; what is not is summed over the others, so that nothing small is lost.
    with np.errstate(divide="ignore"):
        others = np.log1p(-np.minimum(np.exp(logs), 1))
    each, best = np.arange(len(logs)), logs.argmax(axis=1)
    rest = logs.copy()
    rest[each, best] = -np.inf
    others[each, best] = np.logaddexp.reduce(rest, axis=1)
    return logs, others


def log_picker(rows: Rows, column: int | None = None) -> Callable[[], Logs] | None:
    """Return what gives the logarithms of one class of each row (by default the predicted one), without loss."""
    if rows.kind == "confidence" or (rows.kind == "probs" and (rows.scores.shape[1] != 2 or rows.multilabel)):
        return None

    def logs() -> Logs:
        yes, no = class_logs(rows)
        each, columns = np.arange(len(rows)), rows.predicted if column is None else column
        return yes[each, columns], no[each, columns]

    return logs
