"""Runs of rows, ready to be measured, and how they are cut from predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.checks import SUM_TOLERANCE, SUM_TOLERANCE_HALF, Kind, check_scores
from calkit.errors import InputError
from calkit.lazy import LazyArray

__all__ = ["LogProbabilities", "RowBlock", "block_of", "log_floored", "places", "unlabelled"]


@dataclass(frozen=True, eq=False)
class RowBlock:
    """A run of consecutive rows, ready to be measured.

    Attributes
    ----------
    scores : ndarray of floats, shape (b, K), or (b,) for kind "confidence"
    y_true : ndarray of intp, shape (b,)
        The true column; for kind "confidence", 1 where the prediction was right, else 0. None without labels.
    sample_weight : ndarray of float64, shape (b,), or None
        None stands for 1 everywhere.
    kind : {"logits", "probs", "confidence"}
    numbers : sequence of int
        Places of the rows among all rows.
    n_total : int
        Number of all rows.
    file : str, optional
        Where the rows come from, for error messages.
    unchecked : bool
        Whether logits may still hold values that are not finite: what computes with them notices that on the way
        and calls :meth:`check`, so that good data need no pass of their own.
    one_column : bool
        Whether the scores came as one column, the forecast of class 1; here they are two all the same.
    multilabel : bool
        Whether each column is a forecast of an event of its own.
    votes : ndarray of float64, shape (b, K), or None
        Shares of the classes, where the labels are soft; of multi-label rows, 1 where the label is there, else 0.
    columns : mapping of str to ndarray of shape (b,)
        Other columns of the data.
    stored : dtype, optional
        Precision the scores were stored in, where it is not that of `scores`.
    """

    scores: NDArray[Any]
    y_true: NDArray[np.intp] | None
    sample_weight: NDArray[np.float64] | None
    kind: Kind
    numbers: Sequence[int] | NDArray[np.intp]
    n_total: int
    file: str | None = None
    unchecked: bool = False
    one_column: bool = False
    multilabel: bool = False
    votes: NDArray[np.float64] | None = None
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    stored: np.dtype[Any] | None = None

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def precision(self) -> np.dtype[Any]:
        """Precision the scores were stored in."""
        return self.scores.dtype if self.stored is None else self.stored

    def take(self, rows: NDArray[np.intp]) -> RowBlock:
        """Return some of the rows, given by their places in the block."""
        return replace(
            self,
            scores=self.scores[rows],
            y_true=None if self.y_true is None else self.y_true[rows],
            sample_weight=None if self.sample_weight is None else self.sample_weight[rows],
            numbers=places(self.numbers)[rows],
            votes=None if self.votes is None else self.votes[rows],
            columns={name: values[rows] for name, values in self.columns.items()},
        )

    def require_labels(self) -> NDArray[np.intp]:
        """Return the labels; raise if there are none."""
        if self.y_true is None:
            raise unlabelled(self.file)
        return self.y_true

    def check(self) -> None:
        """Raise for the first score that is impossible, unless the scores were checked before."""
        if self.unchecked:
            check_scores(self.scores, self.kind, self.numbers, self.file)


def unlabelled(file: str | None) -> InputError:
    """Return the error for predictions without labels, of a file perhaps."""
    found = f"{file}: these predictions have" if file else "these predictions have"
    return InputError(
        f"{found} no labels, so nothing can be measured or fitted; pass y_true. Calibrators can be applied to them."
    )


def log_floored(p: NDArray[Any], precision: np.dtype[Any]) -> NDArray[np.float64]:
    """Return log p in float64; a p of 0 counts as the smallest number above 0 of the precision it was stored in."""
    return np.log(np.maximum(p.astype(np.float64), float(np.finfo(precision).smallest_subnormal)))


def block_of(predictions: Any, rows: slice, *, check: bool = True) -> RowBlock:
    """Return a run of rows of a :class:`~calkit.Predictions`, without those of weight 0; see its ``block``."""
    scores = np.asarray(predictions.scores[rows])
    parts = (predictions.y_true, predictions.votes, predictions.sample_weight)
    y, votes, weight = (None if part is None else np.asarray(part[rows]) for part in parts)
    columns = {name: values[rows] for name, values in predictions.columns.items()}
    numbers: Sequence[int] | NDArray[np.intp] = range(rows.start, rows.stop)
    if weight is not None and not weight.all():
        present = weight > 0
        scores, weight = scores[present], weight[present]
        y, votes = (None if part is None else part[present] for part in (y, votes))
        columns = {name: values[present] for name, values in columns.items()}
        numbers = rows.start + np.flatnonzero(present)
    file = predictions.meta.get("file")
    if check and predictions.kind != "logits":
        # How the scores were rounded is known from the array they come from: the block may have been widened.
        itemsize = getattr(predictions.scores, "itemsize", scores.dtype.itemsize)
        tolerance = SUM_TOLERANCE if itemsize > 2 else SUM_TOLERANCE_HALF
        check_scores(scores, predictions.kind, numbers, file, tolerance, sums_to_one=not predictions.multilabel)
    if scores.dtype.kind != "f":
        scores = scores.astype(np.float64)
    stored = scores.dtype
    if scores.ndim == 1 and predictions.kind != "confidence":
        # In float64: half precision has no number for 1 - 0.0001.
        first = np.zeros_like(scores) if predictions.kind == "logits" else 1 - scores.astype(np.float64)
        scores = np.stack([first, scores], axis=1)
    return RowBlock(
        scores,
        None if y is None else y.astype(np.intp, copy=False),
        weight,
        predictions.kind,
        numbers,
        predictions.n_samples,
        file,
        unchecked=check and predictions.kind == "logits",
        one_column=bool(predictions.one_column),
        multilabel=predictions.multilabel,
        votes=None if votes is None else votes.astype(np.float64, copy=False),
        columns=columns,
        stored=stored,
    )


class LogProbabilities(LazyArray):
    """Logarithms of probabilities, computed and checked as they are read."""

    def __init__(self, predictions: Any) -> None:
        super().__init__((predictions.n_samples, predictions.n_classes or 0), np.float64)
        self.has_random_access = predictions.has_random_access
        self._probs = predictions.replace(sample_weight=None)

    def _rows(self, start: int, stop: int) -> NDArray[Any]:
        block = self._probs.block(slice(start, stop))
        return log_floored(block.scores, block.precision)

    def _gather(self, numbers: NDArray[np.intp]) -> NDArray[Any]:
        # Some rows are a sample; a pass over all will check them, and know their places.
        rows = self._probs.take(numbers)
        block = rows.block(slice(0, len(numbers)), check=False)
        return log_floored(block.scores, block.precision)


def places(numbers: Any) -> NDArray[np.intp]:
    """Return numbers of rows as an array; those of a range at once, since groups of rows ask often."""
    if isinstance(numbers, range):
        return np.arange(numbers.start, numbers.stop, numbers.step, dtype=np.intp)
    return np.asarray(numbers, dtype=np.intp)
