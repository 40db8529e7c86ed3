"""The one input object of every layer: what a classifier said, and what was true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from functools import partial
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.arrays import check_no_missing, column_names, to_values
from calkit.blocks import LogProbabilities, RowBlock, block_of, unlabelled
from calkit.checks import Kind, as_kind, as_scores, as_weight
from calkit.errors import InputError
from calkit.frames import named_scores
from calkit.labels import (
    ClassIndex,
    TrueColumns,
    as_array,
    as_class_names,
    as_correct,
    as_label_matrix,
    encode_labels,
    labels_in,
)
from calkit.lazy import Converted
from calkit.score_rows import ClassAxis, normalized

__all__ = ["Kind", "Predictions", "RowBlock", "as_kind", "not_predictions"]

# Blocks are large enough that handling them costs little beside the arithmetic, and small beside any memory; the
# kernels cut them into pieces that fit the cache.
_BLOCK_BYTES = 1 << 23
_MAX_BLOCK_ROWS = 1 << 15


@dataclass(frozen=True, eq=False)
class Predictions:
    """Scores of a classifier, with the true labels where they are known.

    Whether the scores are logits or probabilities is said by `kind` and never guessed from values. Which column a label
    means is decided by the names of the classes, never by sorted order. Shapes and labels are checked here; the scores
    themselves are checked as they are read, block by block, so that files larger than memory are read once.

    Parameters
    ----------
    scores : array-like or data frame
        Shape (n, K): a column per class. Shape (n,) or (n, 1): for two classes, the logit (log-odds) or the
        probability of class 1; for kind "confidence", the confidence in the predicted class. Anything with ``shape``,
        ``dtype`` and slicing by rows serves (a memory map, an HDF5 data set); it is not copied. Nor are PyTorch and
        JAX arrays in this machine's memory; those on a GPU come over block by block. The columns of a data frame
        (pandas, polars) or Arrow table name the classes. A logit may be -inf: its class has probability 0.
    y_true : array-like, optional
        Labels of shape (n,), looked up by value among the names of the classes, whatever their type; without names,
        whole numbers 0..K-1. Or rows of shape (n, K): one-hot, or soft labels (shares that sum to 1, or numbers of
        votes). For kind "confidence": whether each prediction was right, as booleans, 0 and 1, or words (yes, no). May
        be left out: such predictions can be calibrated, but not evaluated.
    kind : {"logits", "probs", "confidence"}
        What the scores are. Pairs of kind "confidence" (as evaluations of language models have them) know the
        confidence and the correctness of each answer and nothing of the other classes.
    sample_weight : array-like of shape (n,), optional
        Weights, finite and not negative. A row of weight 0 counts as absent.
    class_names : sequence, optional
        A name per column. Numbers stay numbers. Of a data frame, the columns to take.
    columns : mapping of str to array-like of shape (n,), optional
        Other columns that travel with the rows: ids, groups.
    meta : mapping, optional
        Anything worth keeping with the data: the file it came from, the split.
    one_column : bool, optional
        Whether two columns are the forecast of one event, class 1; by default, whether the scores are one column.
    multilabel : bool, default=False
        Whether each column is a forecast of an event of its own, as in multi-label classification: then `y_true` has
        shape (n, K) and holds 0 and 1, logits go through a sigmoid each, and rows of probabilities need not sum to 1.
    labels_from : int, default=0
        What the first class is called where labels are positions: 1 if they count from 1.
    ignore_label : value or sequence of values, optional
        Labels (-100, 255, NaN) of rows to be left out: their weight becomes 0.
    class_axis : int, optional
        The axis of the classes, where the scores have more than two (pixels: 1 of (N, C, H, W); tokens: -1 of
        (N, T, C)). The others are rows, in their order; nothing is copied.
    normalize : bool, default=False
        Divide each row of probabilities by its sum, where they were rounded.

    Attributes
    ----------
    y_true : ndarray of integers, shape (n,), or None
        The column of each row's true class.
    votes : ndarray of floats, shape (n, K), or None
        Shares of the classes, where the labels are soft; `y_true` is the class of the largest. Of multi-label rows, the
        labels; `y_true` is then 0.

    Raises
    ------
    InputError
        If a shape, a label or a weight is impossible, or there are no rows.
    UsageError
        If `kind` is none of the three.

    Examples
    --------
    >>> from calkit import Predictions, evaluate
    >>> logits = [[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [3.0, 0.0, 1.0], [0.0, 0.0, 4.0]]
    >>> predictions = Predictions(logits, ["a", "b", "c", "c"], kind="logits", class_names=["a", "b", "c"])
    >>> predictions
    Predictions(n_samples=4, n_classes=3, kind='logits')
    >>> evaluate(predictions, ["accuracy"])["accuracy"]
    0.75
    """

    scores: Any
    y_true: Any = None
    kind: Kind = field(kw_only=True)
    sample_weight: Any = field(default=None, kw_only=True)
    class_names: Sequence[Any] | None = field(default=None, kw_only=True)
    columns: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    meta: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    one_column: bool | None = field(default=None, kw_only=True)
    multilabel: bool = field(default=False, kw_only=True)
    votes: Any = field(default=None, init=False)
    labels_from: InitVar[int] = field(default=0, kw_only=True)
    ignore_label: InitVar[Any] = field(default=None, kw_only=True)
    class_axis: InitVar[int | None] = field(default=None, kw_only=True)
    normalize: InitVar[bool] = field(default=False, kw_only=True)

    def __post_init__(self, labels_from: int, ignore_label: Any, class_axis: int | None, normalize: bool) -> None:
        as_kind(self.kind)
        for what, array in (("scores", self.scores), ("y_true", self.y_true), ("sample_weight", self.sample_weight)):
            check_no_missing(what, array)
        axis = None if class_axis is None else ClassAxis(self.scores, class_axis)
        scores, names = (
            named_scores(self.scores, self.class_names, self.y_true) if axis is None else (axis, self.class_names)
        )
        scores = as_scores(scores, self.kind)
        if normalize:
            scores = normalized(scores, self.kind)
        n, n_classes = int(scores.shape[0]), 2 if scores.ndim == 1 else int(scores.shape[1])
        names = as_class_names(names, n_classes) if self.kind != "confidence" else None
        ClassIndex(names, n_classes)
        y_true = self.y_true if axis is None else axis.rows_of("y_true", self.y_true)
        truth = self._truth(y_true, n_classes, names, labels_from, ignore_label)
        if truth is not None and len(truth) != n:
            raise InputError(f"y_true has {len(truth)} rows, but the scores have {n}.")
        if n == 0:
            raise InputError("there are no rows: the scores are empty.")
        given = self.sample_weight if axis is None else axis.rows_of("sample_weight", self.sample_weight)
        weight = as_weight(given, n)
        if truth is not None and truth.ignored is not None and truth.ignored.any():
            weight = np.where(truth.ignored, 0.0, 1.0 if weight is None else weight)
        columns = {
            name: values if axis is None else axis.rows_of(f"columns[{name!r}]", values)
            for name, values in self.columns.items()
        }
        for name, value in {
            "scores": scores,
            "y_true": None if truth is None else truth.column,
            "votes": None if truth is None else truth.votes,
            "sample_weight": weight,
            "class_names": names,
            "columns": MappingProxyType({str(name): _column(name, values, n) for name, values in columns.items()}),
            "meta": MappingProxyType(dict(self.meta)),
            "one_column": self.kind != "confidence"
            and (scores.ndim == 1 or (bool(self.one_column) and n_classes == 2)),
        }.items():
            object.__setattr__(self, name, value)

    def _truth(
        self, y_true: Any, n_classes: int, names: tuple[Any, ...] | None, labels_from: int, ignore_label: Any
    ) -> TrueColumns | None:
        if y_true is None:
            return None
        if self.multilabel:
            return as_label_matrix(y_true, n_classes, names)
        if self.kind != "confidence":
            return encode_labels(y_true, n_classes, names, labels_from=labels_from, ignore_label=ignore_label)
        if isinstance(y_true, TrueColumns):
            return y_true
        ignored = None if ignore_label is None else labels_in(to_values(y_true), ignore_label)
        if ignored is None:
            return TrueColumns(as_correct(y_true))
        column = np.zeros(len(ignored), np.uint8)
        column[~ignored] = as_correct(to_values(y_true)[~ignored])
        return TrueColumns(column, None, ignored)

    @classmethod
    def from_confidence(
        cls, confidence: Any, correct: Any, *, sample_weight: Any = None, meta: Mapping[str, Any] | None = None
    ) -> Predictions:
        """Build predictions from (confidence, correct) pairs.

        Parameters
        ----------
        confidence : array-like of shape (n,)
            Confidence in the answer given, in [0, 1].
        correct : array-like of shape (n,)
            Whether the answer was right: booleans or 0 and 1.
        sample_weight : array-like of shape (n,), optional
            Weights.
        meta : mapping, optional
            Anything worth keeping with the data.

        Returns
        -------
        Predictions
            Of kind "confidence".

        Examples
        --------
        >>> from calkit import Predictions, evaluate
        >>> pairs = Predictions.from_confidence([0.5, 0.5, 0.6, 0.6], [0, 0, 1, 1])
        >>> round(evaluate(pairs, ["ece:n_bins=2"])["ece:n_bins=2"], 12)
        0.45
        """
        return cls(confidence, correct, kind="confidence", sample_weight=sample_weight, meta=meta or {})

    @property
    def n_samples(self) -> int:
        """Number of rows, those of weight 0 included."""
        return int(self.scores.shape[0])

    @property
    def n_counted(self) -> int:
        """Number of rows that count: of a weight above 0, and of a label that is not left out."""
        return self.n_samples if self.sample_weight is None else int(np.count_nonzero(self.sample_weight))

    @property
    def n_classes(self) -> int | None:
        """Number of classes; None for (confidence, correct) pairs, which do not tell."""
        if self.kind == "confidence":
            return None
        return 2 if self.scores.ndim == 1 else int(self.scores.shape[1])

    @property
    def has_random_access(self) -> bool:
        """Whether rows can be read in any order, by several threads at a time, without loss."""
        return bool(getattr(self.scores, "has_random_access", isinstance(self.scores, np.ndarray)))

    def __len__(self) -> int:
        return self.n_samples

    def __repr__(self) -> str:
        weighted = ", weighted" if self.sample_weight is not None else ""
        classes = "" if self.n_classes is None else f", n_classes={self.n_classes}"
        return f"Predictions(n_samples={self.n_samples}{classes}, kind={self.kind!r}{weighted})"

    @property
    def true_columns(self) -> TrueColumns | None:
        """Labels as columns of the scores, which need no names; None without labels."""
        return None if self.y_true is None else TrueColumns(self.y_true, self.votes)

    @property
    def named_labels(self) -> Any:
        """Labels as they are written beside the class names: by name where a name is a number, else as columns."""
        if self.class_names is None or ClassIndex(self.class_names, len(self.class_names)).by_position:
            return self.y_true
        return None if self.y_true is None else as_array(self.class_names)[self.y_true]

    def require_labels(self) -> None:
        """Raise if there are no labels.

        Raises
        ------
        InputError
        """
        if self.y_true is None:
            raise unlabelled(self.meta.get("file"))

    def replace(self, **changes: Any) -> Predictions:
        """Return a copy with some fields changed, checked anew; labels that are not changed keep their columns."""
        return replace(self, **{"y_true": self.true_columns, **changes})

    def with_classes(self, classes: Sequence[Any]) -> Predictions:
        """Return the predictions with their columns in the order of some classes, found by value.

        Parameters
        ----------
        classes : sequence
            As many as there are columns.

        Raises
        ------
        InputError
            If the predictions have other classes.
        """
        index = ClassIndex(self.class_names, self.n_classes or 0)
        found = [index.find(value, positions=False) for value in classes]
        order = [column for column in found if column is not None]
        if sorted(order) != list(range(self.n_classes or 0)):
            raise InputError(
                f"the classes are {list(index.names or range(len(found)))[:10]}, and not {list(classes)[:10]}; name "
                "them alike, or leave class_names out if the columns are in the same order."
            )
        if order == sorted(order):
            return self
        truth = self.true_columns
        scores = Converted(self.scores, partial(_in_order, order=order), self.scores.shape, self.scores.dtype)
        y_true = None if truth is None else truth.reordered(order)
        return self.replace(scores=scores, y_true=y_true, class_names=tuple(classes))

    def take(self, rows: Any) -> Predictions:
        """Return the chosen rows (a slice, a mask or indices) as predictions of their own."""
        truth = self.true_columns
        return self.replace(
            scores=self.scores[rows],
            y_true=None if truth is None else truth.take(rows),
            sample_weight=None if self.sample_weight is None else self.sample_weight[rows],
            columns={name: values[rows] for name, values in self.columns.items()},
        )

    def default_block_rows(self) -> int:
        """Return how many rows make a block of about 8 MB."""
        columns = 1 if self.scores.ndim == 1 else int(self.scores.shape[1])
        return min(_MAX_BLOCK_ROWS, max(1, _BLOCK_BYTES // (self.scores.dtype.itemsize * columns)))

    def blocks(self, rows: int | None = None, *, check: bool = True) -> Iterator[RowBlock]:
        """Yield all rows in order, in blocks; rows of weight 0 are left out.

        Parameters
        ----------
        rows : int, optional
            Rows per block; by default as many as fit a core's cache.
        check : bool, default=True
            Check the scores. Only a second pass over the same scores may skip it.

        Yields
        ------
        RowBlock

        Raises
        ------
        InputError
            If a score is not finite, a probability is negative, or a row of probabilities does not sum to 1.
        """
        for piece in self.row_slices(rows):
            block = self.block(piece, check=check)
            if len(block):
                yield block

    def row_slices(self, rows: int | None = None) -> Iterator[slice]:
        """Yield the slices of rows that the blocks are made of; see :meth:`blocks`."""
        step = rows or self.default_block_rows()
        for start in range(0, self.n_samples, step):
            yield slice(start, min(start + step, self.n_samples))

    def block(self, rows: slice, *, check: bool = True) -> RowBlock:
        """Return one of the :meth:`blocks`; it may be empty, if all its rows have weight 0."""
        return block_of(self, rows, check=check)

    def logits(self) -> Predictions:
        """Return these predictions with logits for scores.

        Logits stay as they are. Probabilities become their logarithms, which are logits up to a constant per row;
        a probability of 0 counts as the smallest number above 0 of its precision (5e-324 in float64, 1e-45 in
        float32, 6e-8 in float16), so that the logarithm stays finite.

        Returns
        -------
        Predictions
            Of kind "logits"; where they were probabilities, float64, computed as they are read.

        Raises
        ------
        InputError
            For (confidence, correct) pairs, which hold too little to make logits of.
        """
        if self.kind == "logits":
            return self
        if self.kind == "confidence":
            raise InputError(
                "(confidence, correct) pairs hold one number per answer, so there are no logits to scale; "
                "calibrators need the scores of all classes."
            )
        return self.replace(scores=LogProbabilities(self), kind="logits")


def not_predictions(found: Any) -> InputError:
    """Return the error for something else where predictions are needed."""
    remedy = "make them with calkit.Predictions(scores, y_true, kind='logits' or 'probs')"
    if isinstance(found, str | PurePath):
        remedy = f"read them with calkit.load_predictions({str(found)!r})"
    elif column_names(found) is not None or isinstance(found, Mapping):
        remedy = "take its columns by their names with calkit.load_predictions(frame)"
    return InputError(f"predictions must be a Predictions, but have type {type(found).__name__}; {remedy}.")


def _in_order(rows: Any, order: list[int]) -> NDArray[Any]:
    return np.asarray(rows)[:, order]


def _column(name: Any, values: Any, n: int) -> NDArray[Any]:
    column = to_values(values)
    if column.shape != (n,):
        raise InputError(f"columns[{name!r}] must have shape ({n},), one value per row, but has shape {column.shape}.")
    return column
