"""Calibrators on predictions: files and arrays whose scores are calibrated as they are read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from calkit.calibrators.inputs import as_binary, as_logits
from calkit.errors import InputError
from calkit.lazy import Converted, LazyArray
from calkit.predictions import Kind, Predictions, not_predictions
from calkit.shards import Shards

__all__ = ["PredictionMap"]

Floats = NDArray[np.floating[Any]]


class PredictionMap:
    """The part of a calibrator that maps predictions; arrays of logits are mapped by `_logits` and `_proba`."""

    classes_: NDArray[Any]
    n_features_in_: int
    fitted_on_pairs_: bool
    _logits: Callable[[Floats], Floats]
    _proba: Callable[[Floats], Floats]

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
            Of kind "logits" or "probs", with the number of classes the calibrator was fitted on; (confidence, correct)
            pairs if it was fitted on such.
        kind : {"logits", "probs"}, default="logits"
            What the calibrated scores shall be; those of pairs are confidences.

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
        if (predictions.kind == "confidence") != self.fitted_on_pairs_:
            given = "(confidence, correct) pairs" if self.fitted_on_pairs_ else "the scores of all classes"
            raise InputError(
                f"this calibrator was fitted on {given}, and maps nothing else; fit one on data like this."
            )
        if self.fitted_on_pairs_:
            return predictions.replace(scores=self._calibrated(as_binary(predictions).logits(), "confidence"))
        logits = predictions.logits()
        self._check_columns(logits.n_classes or 0, str(logits.meta.get("file", "the data")))
        logits = self._with_own_classes(logits)
        return logits.replace(scores=self._calibrated(logits, kind), kind=kind)

    def _calibrated(self, logits: Predictions, kind: Kind) -> LazyArray:
        """Return calibrated scores of some kind that are computed when they are read."""
        shape = (logits.n_samples,) if kind == "confidence" else (logits.n_samples, self.n_features_in_)
        return Converted(logits.scores, self._converter(kind), shape, np.float64)

    def _converter(self, kind: Kind) -> Callable[[Any], Floats]:
        """Return the function from rows of logits to calibrated scores of some kind."""
        return partial(self._convert, kind=kind)

    def _convert(self, rows: Any, kind: Kind) -> Floats:
        logits = as_logits(np.asarray(rows, dtype=np.float64))
        if kind == "logits":
            return self._logits(logits)
        probs = self._proba(logits)
        return probs[:, 1] if kind == "confidence" else probs

    def _with_own_classes(self, logits: Predictions) -> Predictions:
        """Return predictions with their columns in the order of the fit, if both have names."""
        if logits.class_names is None or logits.one_column:
            return logits
        fitted = self.classes_.tolist()
        if fitted == list(range(len(fitted))) and not set(map(str, logits.class_names)) & set(map(str, fitted)):
            return logits
        return logits.with_classes(fitted)

    def _check_columns(self, n_columns: int, found: str) -> None:
        if n_columns != self.n_features_in_:
            raise InputError(
                f"this calibrator was fitted on {self.n_features_in_} classes, but {found} has {n_columns}; fit one on "
                "scores of the same classes."
            )
