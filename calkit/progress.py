"""Telling how far a pass over a long file has come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.lazy import LazyArray, has_random_access
from calkit.predictions import Predictions

__all__ = ["Progress", "watch"]


@dataclass(frozen=True)
class Progress:
    """How far the reading of scores has come.

    Attributes
    ----------
    n_passes : int
        Which pass over the rows this is, from 1.
    n_read : int
        Rows read in this pass.
    n_samples : int
        Rows in all.
    """

    n_passes: int
    n_read: int
    n_samples: int


def watch(predictions: Predictions, report: Callable[[Progress], None]) -> Predictions:
    """Return the same predictions, which call a function as their rows are read.

    Whatever is done with them (evaluation, fitting, writing) is reported, without any of it knowing.

    Parameters
    ----------
    predictions : Predictions
    report : callable
        Is given a :class:`Progress` after each block of rows: some thousands of times for a million rows. Perhaps in
        another thread, but never in two at a time.

    Returns
    -------
    Predictions

    Examples
    --------
    >>> from calkit import evaluate
    >>> from calkit.datasets import load_digits_logits
    >>> from calkit.io import watch
    >>> seen = []
    >>> _ = evaluate(watch(load_digits_logits("test"), seen.append), ["ece"])
    >>> seen[-1].n_read == seen[-1].n_samples
    True
    """
    return predictions.replace(scores=_WatchedScores(predictions.scores, report))


class _WatchedScores(LazyArray):
    def __init__(self, source: Any, report: Callable[[Progress], None]) -> None:
        super().__init__(tuple(source.shape), source.dtype, getattr(source, "itemsize", None))
        self.has_random_access = has_random_access(source)
        self._source = source
        self._report = report
        # Several threads may read, each the next block as it comes.
        self._lock = threading.Lock()
        self._passes = 0
        self._read = len(self)
        self._begun = False

    def _rows(self, start: int, stop: int) -> NDArray[Any]:
        rows = np.asarray(self._source[start:stop])
        with self._lock:
            if self._read >= len(self) or (start == 0 and self._begun):
                self._passes, self._read, self._begun = self._passes + 1, 0, False
            self._begun |= start == 0
            self._read = min(self._read + stop - start, len(self))
            self._report(Progress(self._passes, self._read, len(self)))
        return rows

    def _gather(self, numbers: NDArray[np.intp]) -> NDArray[Any]:
        # A sample of rows is no pass.
        return np.asarray(self._source[numbers])
