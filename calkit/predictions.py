"""The one input object of every layer: what a classifier said, and what was true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from calkit.arrays import as_row_source, refuse_gaps, to_numpy
from calkit.errors import InputError, UsageError
from calkit.labels import as_class_names, encode_labels

__all__ = ["Kind", "Predictions", "RowBlock", "as_kind", "not_predictions"]

Kind = Literal["logits", "probs", "confidence"]

# Blocks are large enough that handling them costs little beside the arithmetic, and small beside any memory; the
# kernels cut them into pieces that fit the cache.
_BLOCK_BYTES = 1 << 23
_MAX_BLOCK_ROWS = 1 << 15

# How far a row of probabilities may be from summing to 1: printed decimals and half precision round.
SUM_TOLERANCE = 1e-3
SUM_TOLERANCE_HALF = 2e-2


def as_kind(kind: str) -> Kind:
    """Check that ``kind`` is one of ``"logits"``, ``"probs"``, ``"confidence"`` and return it."""
    if kind not in get_args(Kind):
        raise UsageError(f"kind must be one of {', '.join(get_args(Kind))}, but is {kind!r}.")
    return kind  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class RowBlock:
    """A run of consecutive rows, ready to be measured.

    Attributes
    ----------
    scores : ndarray of floats, shape (b, K), or (b,) for kind "confidence"
    y_true : ndarray of intp, shape (b,)
        The true column; for kind "confidence", 1 where the prediction was right, else 0.
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
        Whether the scores came as one column, P(y = 1); here they have two columns all the same.
    multilabel : bool
        Whether each column is a forecast of an event of its own.
    votes : ndarray of float64, shape (b, K), or None
        Share of each class in the labels of a row; of multi-label rows, 1 where the label is there, else 0.
    columns : mapping of str to ndarray of shape (b,)
        Other columns of the rows.
    """

    scores: NDArray[Any]
    y_true: NDArray[np.intp]
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

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: NDArray[np.intp]) -> RowBlock:
        """Return some of the rows, given by their places in the block."""
        return replace(
            self,
            scores=self.scores[rows],
            y_true=self.y_true[rows],
            sample_weight=None if self.sample_weight is None else self.sample_weight[rows],
            numbers=np.asarray(self.numbers, dtype=np.intp)[rows],
            votes=None if self.votes is None else self.votes[rows],
            columns={name: values[rows] for name, values in self.columns.items()},
        )

    def check(self) -> None:
        """Raise for the first score that is impossible, unless the scores were checked before."""
        if self.unchecked:
            _check_scores(self.scores, self.kind, self.numbers, self.file)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Scores of a classifier with the true labels.

    Whether the scores are logits or probabilities is said by `kind` and never guessed from values. Shapes and
    labels are checked here; the scores themselves are checked as they are read, block by block, so that files
    larger than memory are read once.

    Parameters
    ----------
    scores : array-like
        Shape (n, K): a column per class. Shape (n,) or (n, 1): for two classes, the logit (log-odds) or the
        probability of class 1; for kind "confidence", the confidence in the predicted class. Anything with ``shape``,
        ``dtype`` and slicing by rows serves (a memory map, an HDF5 data set); it is not copied. Nor are PyTorch and
        JAX arrays in this machine's memory; those on a GPU come over block by block.
    y_true : array-like
        Labels: integers of shape (n,), strings, or one-hot rows. For kind "confidence": whether each prediction
        was right, as booleans or 0 and 1.
    kind : {"logits", "probs", "confidence"}
        What the scores are. Pairs of kind "confidence" (as evaluations of language models have them) know the
        confidence and the correctness of each answer and nothing of the other classes.
    sample_weight : array-like of shape (n,), optional
        Weights, finite and not negative. A row of weight 0 counts as absent.
    class_names : sequence of str, optional
        A name per column.
    meta : mapping, optional
        Anything worth keeping with the data: the file it came from, the split.
    columns : mapping of str to array-like of shape (n,), optional
        Other columns of the rows (ids, groups), which travel with them: ``by="region"`` looks here.
    multilabel : bool, default=False
        Whether each column is a forecast of an event of its own, as in multi-label classification: then `y_true` has
        shape (n, K) and holds 0 and 1, logits go through a sigmoid each, and rows of probabilities need not sum to 1.
    one_column : bool, optional
        Whether the scores are the forecast of one event, P(y = 1). By default they are if they have one column; two
        columns that were made of one say so.

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
    >>> predictions = Predictions(logits, [0, 1, 2, 2], kind="logits")
    >>> predictions
    Predictions(n_samples=4, n_classes=3, kind='logits')
    >>> evaluate(predictions, ["accuracy"])["accuracy"]
    0.75
    """

    scores: Any
    y_true: Any
    kind: Kind
    sample_weight: Any = None
    class_names: Sequence[str] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] | None = None
    multilabel: bool = False
    one_column: bool | None = None

    def __post_init__(self) -> None:
        as_kind(self.kind)
        for what, array in (("scores", self.scores), ("y_true", self.y_true), ("sample_weight", self.sample_weight)):
            refuse_gaps(what, array)
        scores = _as_scores(self.scores, self.kind)
        n_classes = 2 if scores.ndim == 1 else int(scores.shape[1])
        names = as_class_names(self.class_names, n_classes) if self.kind != "confidence" else None
        labels = to_numpy(self.y_true)
        if self.multilabel:
            y = _as_label_matrix(labels, scores.shape)
        elif self.kind == "confidence":
            y = _as_correct(labels)
        else:
            y = encode_labels(labels, n_classes, names)
        n = int(scores.shape[0])
        if len(y) != n:
            raise InputError(f"y_true has {len(y)} rows, but the scores have {n}.")
        if n == 0:
            raise InputError("there are no rows: the scores are empty.")
        for name, value in {
            "scores": scores,
            "y_true": y,
            "sample_weight": _as_weight(to_numpy(self.sample_weight), n),
            "class_names": names,
            "meta": MappingProxyType(dict(self.meta)),
            "columns": MappingProxyType(_as_columns(self.columns, n)),
            "one_column": self.kind != "confidence" and (scores.ndim == 1 or (bool(self.one_column) and n_classes == 2)),
        }.items():
            object.__setattr__(self, name, value)

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

    def replace(self, **changes: Any) -> Predictions:
        """Return a copy with some fields changed, checked anew."""
        return replace(self, **changes)

    def take(self, rows: Any) -> Predictions:
        """Return the chosen rows (a slice, a mask or indices) as predictions of their own."""
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        columns = {name: values[rows] for name, values in (self.columns or {}).items()}
        return self.replace(
            scores=self.scores[rows], y_true=self.y_true[rows], sample_weight=weight, columns=columns
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
        scores = np.asarray(self.scores[rows])
        y = np.asarray(self.y_true[rows])
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        columns = {name: values[rows] for name, values in (self.columns or {}).items()}
        numbers: Sequence[int] | NDArray[np.intp] = range(rows.start, rows.stop)
        if weight is not None and not weight.all():
            present = weight > 0
            scores, y, weight = scores[present], y[present], weight[present]
            columns = {name: values[present] for name, values in columns.items()}
            numbers = rows.start + np.flatnonzero(present)
        file = self.meta.get("file")
        if check and self.kind != "logits":
            # How the scores were rounded is told by the array they come from: the block may have been widened.
            itemsize = getattr(self.scores, "itemsize", scores.dtype.itemsize)
            tolerance = SUM_TOLERANCE if itemsize > 2 else SUM_TOLERANCE_HALF
            _check_scores(scores, self.kind, numbers, file, tolerance, sums_to_one=not self.multilabel)
        if scores.dtype.kind != "f":
            scores = scores.astype(np.float64)
        if scores.ndim == 1 and self.kind != "confidence":
            first = np.zeros_like(scores) if self.kind == "logits" else 1 - scores
            scores = np.stack([first, scores], axis=1)
        unchecked = check and self.kind == "logits"
        votes = y.astype(np.float64) if self.multilabel else None
        y = np.zeros(len(y), np.intp) if self.multilabel else y.astype(np.intp, copy=False)
        return RowBlock(
            scores,
            y,
            weight,
            self.kind,
            numbers,
            self.n_samples,
            file,
            unchecked,
            bool(self.one_column),
            self.multilabel,
            votes,
            columns,
        )

    def logits(self) -> Predictions:
        """Return these predictions with logits for scores.

        Logits stay as they are. Probabilities become their logarithms, which are logits up to a constant per row;
        a probability of 0 counts as the smallest normal number of its precision (2e-308 in float64, 1e-38 in
        float32), so that the logarithm stays finite.

        Returns
        -------
        Predictions
            Of kind "logits", float64 where they were probabilities.

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
        parts = [log_floored(block.scores) for block in self.replace(sample_weight=None).blocks()]
        return self.replace(scores=np.concatenate(parts), kind="logits")


def not_predictions(found: Any) -> InputError:
    """Return the error for something else where predictions are needed."""
    remedy = "make them with calkit.Predictions(scores, y_true, kind='logits' or 'probs')"
    if isinstance(found, str | PurePath):
        remedy = f"read them with calkit.load_predictions({str(found)!r})"
    return InputError(f"predictions must be a Predictions, but have type {type(found).__name__}; {remedy}.")


def log_floored(p: NDArray[Any]) -> NDArray[np.float64]:
    """Return log p in float64, with p no less than the smallest normal number of its own precision."""
    return np.log(np.maximum(p.astype(np.float64), float(np.finfo(p.dtype).tiny)))


def _as_scores(scores: Any, kind: Kind) -> Any:
    """Return something with shape, dtype, ndim and slicing; check its shape and type."""
    scores = as_row_source(scores)
    if scores.dtype.kind not in "fiu" and str(scores.dtype) not in {"bfloat16", "bool"}:
        raise InputError(f"the scores must be real numbers, but their type is {scores.dtype}.")
    shape = tuple(scores.shape)
    if len(shape) == 2 and shape[1] == 1:
        return scores[:, 0]
    if kind == "confidence" and len(shape) != 1:
        raise InputError(f"confidences must have shape (n,), but have shape {shape}.")
    if len(shape) not in (1, 2) or 0 in shape[1:]:
        raise InputError(
            f"the scores must have shape (n, K), or (n,) for two classes, but have shape {shape}. "
            "For pixels, move the classes last and flatten the other axes."
        )
    return scores


def _as_correct(correct: Any) -> NDArray[Any]:
    y = np.asarray(correct)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise InputError(f"correct must have shape (n,), but has shape {y.shape}.")
    wrong = (y != 0) & (y != 1) if y.dtype.kind in "biuf" else np.ones(y.shape, bool)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"correct must be booleans or 0 and 1, but row {row} is {y[row].item()!r}.")
    return y.astype(np.uint8)


def _as_label_matrix(labels: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the labels of multi-label rows, 0 or 1 for each column of the scores."""
    y = np.asarray(labels)
    if len(shape) != 2:
        raise InputError(f"multi-label scores must have shape (n, K), a column per label, but have shape {shape}.")
    if y.ndim != 2 or y.shape[1] != shape[1]:
        raise InputError(f"multi-label y_true must have shape (n, {shape[1]}), like the scores, but has {y.shape}.")
    wrong = (y != 0) & (y != 1) if y.dtype.kind in "biuf" else np.ones(y.shape, bool)
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise InputError(f"multi-label y_true must hold 0 and 1, but row {row} holds {y[row, column].item()!r}.")
    return y.astype(np.uint8)


def _as_columns(columns: Any, n: int) -> dict[str, Any]:
    """Return the other columns as arrays of one value per row."""
    found = {str(name): to_numpy(values) for name, values in dict(columns or {}).items()}
    found = {name: np.asarray(values) for name, values in found.items()}
    for name, values in found.items():
        if values.shape != (n,):
            raise InputError(f"column {name!r} must have shape ({n},), one value per row, but has {values.shape}.")
    return found


def _as_weight(sample_weight: Any, n: int) -> NDArray[np.float64] | None:
    if sample_weight is None:
        return None
    try:
        given = np.asarray(sample_weight)
        weight = given.astype(np.float64, casting="unsafe" if given.dtype.kind == "O" else "same_kind")
    except (TypeError, ValueError):
        found = getattr(sample_weight, "dtype", type(sample_weight).__name__)
        raise InputError(f"sample_weight must be one real number per row, but is of type {found}.") from None
    if weight.shape == (n, 1):
        weight = weight[:, 0]
    if weight.shape != (n,):
        raise InputError(f"sample_weight must have shape ({n},), one weight per row, but has shape {weight.shape}.")
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"sample_weight must be finite and not negative, but row {row} is {weight[row]}.")
    if not weight.any():
        raise InputError("sample_weight is 0 in every row, so nothing is left to measure.")
    return weight


def _check_scores(
    scores: NDArray[Any],
    kind: Kind,
    numbers: Sequence[int] | NDArray[np.intp],
    file: str | None,
    tolerance: float = SUM_TOLERANCE,
    *,
    sums_to_one: bool = True,
) -> None:
    """Raise for the first impossible score; ``numbers`` are the rows' places among all rows."""
    found = _not_finite(scores, numbers)
    if not found and kind != "logits":
        found = _not_one(scores, numbers, tolerance) if scores.ndim == 2 and sums_to_one else ""
        found = found or _not_a_share(scores, kind, numbers, tolerance)
    if found:
        raise InputError(f"{file}: {found}" if file else found)


def _not_finite(scores: NDArray[Any], numbers: Sequence[int] | NDArray[np.intp]) -> str:
    # A finite sum has finite terms, and is cheaper; a sum may overflow, so what is not finite is looked into.
    if np.isfinite(scores.sum()) or np.isfinite(scores).all():
        return ""
    finite = np.isfinite(scores)
    row = int(np.argmin(finite if finite.ndim == 1 else finite.all(axis=1)))
    value = scores[row] if scores.ndim == 1 else scores[row][~finite[row]][0]
    return (
        f"the scores must be finite, but row {numbers[row]} holds {value}. Remove the row, or mend the model that "
        "wrote it (half precision overflows at 65504)."
    )


def _not_one(probs: NDArray[Any], numbers: Sequence[int] | NDArray[np.intp], tolerance: float) -> str:
    sums = probs.sum(axis=1, dtype=np.float64)
    wrong = abs(sums - 1) > tolerance
    if not wrong.any():
        return ""
    row = int(np.argmax(wrong))
    return f"rows of probabilities must sum to 1, but row {numbers[row]} sums to {sums[row]:.6g}.{_if_logits('probs')}"


def _not_a_share(scores: NDArray[Any], kind: Kind, numbers: Sequence[int] | NDArray[np.intp], tolerance: float) -> str:
    wrong = (scores < -tolerance) | (scores > 1 + tolerance)
    if not wrong.any():
        return ""
    row, *_ = (int(i) for i in np.argwhere(wrong)[0])
    value = scores[row] if scores.ndim == 1 else scores[row][wrong[row]][0]
    noun = "confidences" if kind == "confidence" else "probabilities"
    return f"{noun} must lie in [0, 1], but row {numbers[row]} holds {value}.{_if_logits(kind)}"


def _if_logits(kind: Kind) -> str:
    if kind == "confidence":
        return " If these are percent, divide by 100."
    return " If these are logits, say so: from_logits=True, kind='logits' or --kind logits."
