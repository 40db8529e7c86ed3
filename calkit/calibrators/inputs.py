"""Logits and labels as calibrators take them, checked once."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from calkit.arrays import check_no_missing, column_names, to_values
from calkit.checks import SUM_TOLERANCE
from calkit.errors import CalibrationWarning, InputError
from calkit.frames import named_scores
from calkit.labels import TrueColumns, as_array, classes_from_fit
from calkit.names import column_classes
from calkit.predictions import Predictions

__all__ = [
    "as_binary",
    "as_classes",
    "as_fit_predictions",
    "as_logits",
    "by_pieces",
    "divided",
    "largest",
    "row_slices",
    "softmax",
    "softmax_by_class",
    "warn_of_probabilities",
]

# These rows tell logits from probabilities in nearly all cases; all are looked at only if these could be probabilities.
_FIRST_LOOK = 50

# Rows up to this length are searched for their largest number all at once.
_SHORT_ROW = 32


def as_logits(X: Any) -> NDArray[np.floating[Any]]:
    """Return logits as a float32 or float64 array of shape (n, K); -inf, a probability of 0, is allowed.

    Raises
    ------
    InputError
        If the shape or type is impossible, or a row holds NaN, +inf, or -inf only.
    """
    check_no_missing("X", X)
    logits = np.asarray(X)
    if logits.dtype.kind not in "fiub" and str(logits.dtype) != "bfloat16":
        with contextlib.suppress(TypeError, ValueError):
            logits = logits.astype(np.float64) if logits.dtype.kind == "O" else logits
        if logits.dtype.kind != "f":
            raise InputError(f"X must hold logits, real numbers, but its type is {logits.dtype}.")
    if logits.dtype not in (np.float32, np.float64):
        logits = logits.astype(np.float64)
    if logits.ndim == 2 and logits.shape[1] == 1:
        logits = logits[:, 0]
    if logits.ndim == 1:
        logits = np.stack([np.zeros_like(logits), logits], axis=1)
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise InputError(f"X must have shape (n, K), or (n,) for two classes, but has shape {logits.shape}.")
    # The sum is finite if all terms are (and a sum that overflows is looked into), so one cheap reduction clears most.
    with np.errstate(over="ignore", invalid="ignore"):
        total = logits.sum()
    if not np.isfinite(total) and not np.isfinite(logits).all():
        _refuse_impossible(logits)
    return logits


def _refuse_impossible(logits: NDArray[np.floating[Any]]) -> None:
    wrong = np.isnan(logits) | (logits == np.inf)
    bad = wrong.any(axis=1)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"X must hold finite logits, or -inf, but row {row} holds {logits[row][wrong[row]][0]}.")
    nothing = (logits == -np.inf).all(axis=1)
    if nothing.any():
        raise InputError(f"row {int(np.argmax(nothing))} of X is -inf for all classes; one must be possible.")


def divided(logits: NDArray[np.floating[Any]], temperature: float) -> NDArray[np.floating[Any]]:
    """Return logits divided by a temperature; less the largest of their row first, where quotients would overflow."""
    divisor = _divisor(temperature, logits.dtype)
    if divisor >= 1:
        return logits / divisor
    with np.errstate(over="ignore", invalid="ignore"):
        found = logits / divisor
        # The sum is finite if all terms are; it is not, too, where a class is impossible.
        if np.isfinite(found.sum()) or np.array_equal(np.isfinite(found), np.isfinite(logits)):
            return found
        return np.asarray((logits - logits.max(axis=1, keepdims=True)) / divisor)


def _divisor(temperature: float, dtype: np.dtype[Any]) -> Any:
    return dtype.type(max(temperature, float(np.finfo(dtype).tiny)))


def row_slices(n_rows: int, row_bytes: int, piece_bytes: int = 1 << 18) -> Iterator[slice]:
    """Yield slices of rows that take about as many bytes as stay in a core's cache."""
    step = max(32, piece_bytes // row_bytes)
    return (slice(start, start + step) for start in range(0, n_rows, step))


def by_pieces(function: Callable[[NDArray[Any]], NDArray[Any]], logits: NDArray[Any]) -> NDArray[Any]:
    """Return what a function makes of rows, a few of them at a time, in the shape and precision of the logits."""
    out = np.empty(logits.shape, logits.dtype)
    with np.errstate(under="ignore", over="ignore", invalid="ignore"):
        for part in row_slices(len(logits), logits[:1].nbytes or 1):
            out[part] = function(logits[part])
    return out


def largest(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the largest number of each row, as ``rows.max(axis=1)`` does, which is slow along rows in memory."""
    if rows.shape[1] <= _SHORT_ROW or rows.flags.f_contiguous:
        return np.asarray(np.ascontiguousarray(rows.T).max(axis=0))
    return np.asarray(rows[np.arange(len(rows)), rows.argmax(axis=1)])


def softmax(logits: NDArray[np.floating[Any]], temperature: float = 1.0) -> NDArray[np.floating[Any]]:
    """Return probabilities in an array of their own: SciPy's numbers, without its temporary arrays."""
    probs = logits - largest(logits)[:, None]
    if temperature != 1:
        probs /= _divisor(temperature, logits.dtype)
    np.exp(probs, out=probs)
    probs /= probs.sum(axis=1, keepdims=True)
    return probs


def softmax_by_class(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return probabilities in float64, of shape (K, n): what is done class by class finds its numbers side by side."""
    n_rows, n_classes = logits.shape
    probs: NDArray[np.float64] = np.empty((n_classes, n_rows))
    for part in row_slices(n_rows, 8 * n_classes):
        probs[:, part] = softmax(logits[part].astype(np.float64)).T
    return probs


def as_fit_predictions(X: Any, y: Any, sample_weight: Any) -> Predictions:
    """Build predictions whose class names are the classes of ``y``, where those are not the columns themselves."""
    values = X if hasattr(X, "shape") and hasattr(X, "dtype") else to_values(X)
    if getattr(values.dtype, "kind", "f") == "c":
        raise InputError("Complex data not supported: X must hold logits, real numbers.")
    shape = tuple(values.shape)
    n_classes = 2 if len(shape) == 1 or shape[1:] == (1,) else int(shape[1]) if len(shape) == 2 else 0
    # Refuses columns that are no classes.
    named_scores(X, None, y)
    titles = column_names(X)
    named = None if titles is None else column_classes(titles)
    names = classes_from_fit(y, n_classes, named) if n_classes and y is not None else None
    return Predictions(values, _one_dimensional(y), kind="logits", sample_weight=sample_weight, class_names=names)


def _one_dimensional(y: Any) -> Any:
    """Return labels; as scikit-learn does, warn of a column and refuse numbers that are no classes."""
    if y is None or isinstance(y, TrueColumns):
        return y
    labels = to_values(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = column_or_1d(labels, warn=True)
    if labels.ndim == 1 and labels.dtype.kind == "f":
        check_classification_targets(labels)
    return y if labels.ndim > 1 else labels


def as_classes(names: Any, n_classes: int) -> NDArray[Any]:
    """Return what the columns stand for: the names, as the caller had them, or 0..K-1."""
    return np.arange(n_classes) if names is None else as_array(names)


def as_binary(pairs: Predictions) -> Predictions:
    """Return (confidence, correct) pairs as probabilities of two classes: wrong and right."""
    return pairs.replace(kind="probs")


def warn_of_probabilities(scores: Any) -> None:
    """Warn where all logits could be probabilities: rows in [0, 1] with a sum of 1, or many single ones in [0, 1]."""
    single = scores.ndim == 1
    if (single and len(scores) < _FIRST_LOOK) or scores.ndim > 2:
        return
    looks = (slice(_FIRST_LOOK), slice(None))
    if all(_could_be_probabilities(np.asarray(scores[rows])) for rows in looks):
        found = "every score of X lies in [0, 1]" if single else "every row of X lies in [0, 1] and sums to 1"
        remedy = "logits, np.log(X / (1 - X))" if single else "logarithms, np.log(X)"
        warnings.warn(
            f"{found}, as probabilities do, but calibrators take logits. Pass their {remedy}, or "
            "fit_predictions(Predictions(X, y, kind='probs')).",
            CalibrationWarning,
            stacklevel=3,
        )


def _could_be_probabilities(rows: NDArray[Any]) -> bool:
    if rows.dtype.kind != "f" or not len(rows) or not ((rows >= 0).all() and (rows <= 1).all()):
        return False
    return rows.ndim == 1 or bool((abs(rows.sum(axis=1) - 1) <= SUM_TOLERANCE).all())
