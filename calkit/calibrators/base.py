"""What all calibrators share: logits checked once at the door, probabilities out, JSON in between."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from calkit.arrays import column_names, refuse_gaps, to_values
from calkit.errors import InputError
from calkit.labels import as_array, classes_from_fit
from calkit.predictions import Predictions, not_predictions
from calkit.registry import Registry
from calkit.shards import Shards
from calkit.specs import call_with_spec, parse_spec

__all__ = ["CALIBRATORS", "Calibrator", "available_calibrators", "get_calibrator"]

#: Calibrator classes by name.
CALIBRATORS: Registry[Callable[..., Calibrator]] = Registry("calibrator")


def available_calibrators() -> list[str]:
    """Return the names of all calibrators."""
    return list(CALIBRATORS)


def get_calibrator(spec: str) -> Calibrator:
    """Return the (not yet fitted) calibrator a string stands for.

    Parameters
    ----------
    spec : str
        A name, with parameters after a colon: ``"temperature:objective=ece"``.

    Returns
    -------
    Calibrator

    Raises
    ------
    NotFoundError
        If no calibrator has that name.
    UsageError
        If a parameter is unknown.

    Examples
    --------
    >>> from calkit.calibrators import get_calibrator
    >>> get_calibrator("temperature:objective=ece")
    TemperatureScaling(objective='ece')
    """
    parsed = parse_spec(spec)
    return call_with_spec(CALIBRATORS[parsed.name], parsed, "calibrator")


class Calibrator(ClassifierMixin, TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """Base of all calibrators: a scikit-learn classifier, and transformer, whose features are logits.

    A subclass sets `name`, fits in :meth:`_fit`, maps logits in :meth:`_transform`, and lists in `_state` the fitted
    attributes that :meth:`to_dict` stores.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        The class each column of the logits stands for.
    n_features_in_ : int
        Number of columns of the logits.
    """

    name: ClassVar[str]
    _state: ClassVar[tuple[str, ...]]

    @abstractmethod
    def _fit(self, predictions: Predictions | Shards) -> None:
        """Set the fitted attributes from predictions of kind "logits"."""

    @abstractmethod
    def _scale(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Return calibrated logits of the same shape and precision."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit on logits of data the classifier was not trained on.

        Parameters
        ----------
        X : array-like of shape (n, K), (n,) or (n, 1)
            Logits, a column per class; a single column is the logit of class 1 of two.
        y : array-like of shape (n,)
            True classes: integers in 0..K-1 are columns (absent classes are no trouble); strings or other integers
            must all be present, their sorted order being that of the columns; or one-hot rows.
        sample_weight : array-like of shape (n,), optional
            Weights.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If the arrays do not fit each other, hold impossible values or are empty.
        """
        return self.fit_predictions(_as_fit_predictions(X, y, sample_weight))

    def fit_predictions(self, predictions: Predictions | Shards) -> Self:
        """Fit on predictions; probabilities are turned into their logarithms first.

        Parameters
        ----------
        predictions : Predictions or Shards
            Of kind "logits" or "probs".

        Returns
        -------
        self

        Raises
        ------
        InputError
            For (confidence, correct) pairs, or impossible scores.
        """
        if not isinstance(predictions, Predictions | Shards):
            raise not_predictions(predictions)
        logits = predictions.logits()
        n_classes = logits.n_classes or 0
        names = logits.class_names
        self._fit(logits)
        self.classes_ = np.arange(n_classes) if names is None else as_array(names)
        self.n_features_in_ = n_classes
        return self

    def transform(self, X: Any) -> NDArray[np.floating[Any]]:
        """Return calibrated log-probabilities, which are logits again, so that calibrators chain.

        Parameters
        ----------
        X : array-like of shape (n, K) or (n,)
            Logits.

        Returns
        -------
        ndarray of shape (n, K)
            In the precision of `X` if that is float32 or float64, else float64.
        """
        return np.asarray(log_softmax(self._checked_scale(X), axis=1))

    def predict_proba(self, X: Any) -> NDArray[np.floating[Any]]:
        """Return calibrated probabilities.

        Parameters
        ----------
        X : array-like of shape (n, K) or (n,)
            Logits.

        Returns
        -------
        ndarray of shape (n, K)
            In the precision of `X` if that is float32 or float64, else float64.
        """
        return softmax(self._checked_scale(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : array-like of shape (n, K) or (n,)
            Logits.

        Returns
        -------
        ndarray of shape (n,)
        """
        columns = self._checked_scale(X).argmax(axis=1)
        return np.asarray(self.classes_[columns])

    @overload
    def apply(self, predictions: Predictions, *, kind: Literal["logits", "probs"] = ...) -> Predictions: ...

    @overload
    def apply(self, predictions: Shards, *, kind: Literal["logits", "probs"] = ...) -> Shards: ...

    def apply(
        self, predictions: Predictions | Shards, *, kind: Literal["logits", "probs"] = "logits"
    ) -> Predictions | Shards:
        """Return the predictions with calibrated scores, in float64, computed as they are read.

        Parameters
        ----------
        predictions : Predictions or Shards
            Of kind "logits" or "probs", with the number of classes the calibrator was fitted on.
        kind : {"logits", "probs"}, default="logits"
            What the calibrated scores shall be.

        Returns
        -------
        Predictions or Shards
            Scores are computed as they are read, so files larger than memory stay on disk.
        """
        check_is_fitted(self)
        if isinstance(predictions, Shards):
            return predictions.map(partial(self.apply, kind=kind))
        if not isinstance(predictions, Predictions):
            raise not_predictions(predictions)
        logits = predictions.logits()
        self._check_columns(logits.n_classes or 0, str(logits.meta.get("file", "the data")))
        convert = self.predict_proba if kind == "probs" else self._checked_scale
        return logits.replace(scores=CalibratedScores(convert, logits.scores), kind=kind)

    def fitted_values(self) -> dict[str, float]:
        """Return the few numbers that tell what was fitted, for tables and titles."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """Return parameters and fitted state as plain data, ready for JSON."""
        check_is_fitted(self)
        state = {name: _plain(getattr(self, name)) for name in self._state}
        return {
            "calibrator": self.name,
            "parameters": {name: _plain(value) for name, value in self.get_params(deep=False).items()},
            "classes": _plain(self.classes_),
            "state": state,
        }

    def _set_state(self, classes: list[Any], state: dict[str, Any]) -> None:
        """Undo :meth:`to_dict`."""
        for name in self._state:
            setattr(self, name, state[name])
        self.classes_ = np.asarray(classes)
        self.n_features_in_ = len(classes)

    def save(self, path: str | Path) -> None:
        """Write the fitted calibrator to a JSON file; see :func:`calkit.load_calibrator`."""
        from calkit.calibrators.persistence import save_calibrator

        save_calibrator(self, path)

    def _checked_scale(self, X: Any) -> NDArray[np.floating[Any]]:
        check_is_fitted(self)
        logits = as_logits(X)
        self._check_columns(logits.shape[1])
        return self._scale(logits)

    def _check_columns(self, n_columns: int, found: str = "X") -> None:
        if n_columns != self.n_features_in_:
            raise InputError(
                f"this calibrator was fitted on {self.n_features_in_} classes, but {found} has {n_columns}; fit one on "
                "scores of the same classes."
            )


class CalibratedScores:
    """Calibrated scores, computed in float64 for the rows that are asked for.

    Looks like an array of shape (n, K) that can be sliced by rows.

    Parameters
    ----------
    convert : callable
        Turns logits (b, K) into the scores of those rows.
    source : array-like of shape (n, K) or (n,)
        Logits.
    """

    ndim = 2
    dtype = np.dtype(np.float64)

    def __init__(self, convert: Callable[[Any], NDArray[np.floating[Any]]], source: Any) -> None:
        self._convert = convert
        self._source = source
        columns = 2 if source.ndim == 1 else int(source.shape[1])
        self.shape = (int(source.shape[0]), columns)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[np.floating[Any]]:
        return self._convert(np.asarray(self._source[rows], dtype=np.float64))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


def as_logits(X: Any) -> NDArray[np.floating[Any]]:
    """Return logits as a finite float32 or float64 array of shape (n, K)."""
    refuse_gaps("X", X)
    logits = np.asarray(X)
    if logits.dtype.kind not in "fiub" and str(logits.dtype) != "bfloat16":
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
    if not np.isfinite(logits.sum()) and not np.isfinite(logits).all():
        row = int(np.argmin(np.isfinite(logits).all(axis=1)))
        raise InputError(f"X must be finite, but row {row} holds {logits[row][~np.isfinite(logits[row])][0]}.")
    return logits


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return probabilities in an array of their own: SciPy's numbers, without its temporary arrays."""
    # Along short rows NumPy's maximum is slow; it is the same number from the transposed array.
    few = logits.shape[1] <= 32
    top = np.ascontiguousarray(logits.T).max(axis=0) if few else logits.max(axis=1)
    probs = logits - top[:, None]
    np.exp(probs, out=probs)
    probs /= probs.sum(axis=1, keepdims=True)
    return probs


def _as_fit_predictions(X: Any, y: Any, sample_weight: Any) -> Predictions:
    """Build predictions whose class names are the classes of ``y``, where those are not the columns themselves."""
    shape = np.shape(X)
    n_classes = 2 if len(shape) == 1 or shape[1:] == (1,) else int(shape[1]) if len(shape) == 2 else 0
    names = classes_from_fit(y, n_classes, column_names(X)) if n_classes else None
    return Predictions(to_values(X), y, kind="logits", sample_weight=sample_weight, class_names=names)


def _plain(value: Any) -> Any:
    """Return numpy values as what JSON knows."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
