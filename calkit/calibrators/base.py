"""What all calibrators share: logits checked once, log-probabilities out, typed state in between."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.validation import _check_feature_names, check_is_fitted

from calkit.calibrators.description import Description
from calkit.calibrators.formula import Formula
from calkit.calibrators.inputs import as_binary, as_classes, as_fit_predictions, as_logits, warn_of_probabilities
from calkit.calibrators.persistence import fingerprint, save_calibrator, to_document
from calkit.calibrators.prediction_map import PredictionMap
from calkit.calibrators.state import Store, inline
from calkit.errors import InputError
from calkit.labels import TrueColumns
from calkit.predictions import Predictions, not_predictions
from calkit.shards import Shards

__all__ = ["Calibrator", "ProbabilityCalibrator"]

Floats = NDArray[np.floating[Any]]

_LACKING = {
    "weights": "takes no sample_weight; leave it out, or repeat rows",
    "shards": "needs all rows at hand; load the files into one Predictions",
    "pairs": "needs the scores of all classes, which (confidence, correct) pairs do not hold",
    "soft": "takes one true class per row, not shares of classes; pass the class of each row",
}


class Calibrator(PredictionMap, ClassifierMixin, TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """Base of all calibrators: a scikit-learn classifier, and transformer, whose features are logits.

    A subclass is registered with :func:`~calkit.calibrators.register_calibrator`, fits in :meth:`_fit`, maps logits to
    log-probabilities in :meth:`_log_proba`, and lists in `_state` the fitted attributes that files hold. All else is
    done here: checks, names of features and classes, pairs, probabilities, saving.

    Attributes
    ----------
    name : str
        The registered name.
    supports : frozenset of {"weights", "shards", "pairs", "soft"}
        What :meth:`fit_predictions` takes beside plain rows: weights, files larger than memory, (confidence, correct)
        pairs, shares of classes as labels. `_fit` is never handed what is not listed here.
    keeps_order : bool
        Whether the order of the classes of a row never changes (two may become equal).
    binary_only : bool
        Whether two classes are all it takes.
    needs_labels : bool
        Whether it is fitted to labels; if not, `y` may be None, and predictions may come without.
    law_exceptions : mapping of str to str
        Laws of :mod:`calkit.testing` that do not hold, with the reason.
    classes_ : ndarray of shape (K,)
        The class each column of the logits stands for.
    n_features_in_ : int
        Number of columns of the logits.
    feature_names_in_ : ndarray of str
        Names of the columns, where `X` was a frame with names.
    fitted_on_pairs_ : bool
        Whether it was fitted on (confidence, correct) pairs, and so maps these.
    """

    name: ClassVar[str]
    supports: ClassVar[frozenset[str]] = frozenset({"weights"})
    keeps_order: ClassVar[bool] = False
    binary_only: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = True
    law_exceptions: ClassVar[Mapping[str, str]] = {}
    _state: ClassVar[tuple[str, ...]] = ()

    classes_: NDArray[Any]
    fitted_on_pairs_: bool

    @property
    def needs_columns(self) -> tuple[str, ...]:
        """Names of columns that must come with the rows, in the fit and after."""
        return ()

    @abstractmethod
    def _fit(self, data: Predictions | Shards) -> None:
        """Set the fitted attributes from predictions of kind "logits".

        Sums over their rows are taken with :func:`calkit.stats.summarize`, which sees to threads, shards and Dask, or
        block by block from ``data.blocks()``, each of which has to be checked (``block.check()``).
        """

    @abstractmethod
    def _log_proba(self, logits: Floats) -> Floats:
        """Return log-probabilities of shape (b, K), in the precision of the logits; -inf is a probability of 0."""

    def _proba(self, logits: Floats) -> Floats:
        """Return probabilities of shape (b, K). Override it where they are had more directly than by `exp`."""
        log_proba = self._log_proba(logits)
        return np.asarray(np.exp(log_proba))

    def _logits(self, logits: Floats) -> Floats:
        """Return calibrated logits: the log-probabilities, or what differs from them by a constant per row."""
        return self._log_proba(logits)

    @classmethod
    def merged_proba(cls, members: Sequence[Any], logits: Sequence[Any]) -> Floats:
        """Return the probabilities of several of these together, each of logits of its own model: their mean.

        Parameters
        ----------
        members : sequence of Calibrator
            Fitted, of this class, of the same classes.
        logits : sequence of ndarray of shape (n, K)
            Of the same rows.

        Returns
        -------
        ndarray of shape (n, K)
        """
        return np.asarray(np.mean([m.predict_proba(z) for m, z in zip(members, logits, strict=True)], axis=0))

    def _check_state(self) -> None:
        """Raise ValueError if the fitted attributes, read from a file, are impossible."""

    def describe(self) -> Description:
        """Return what was fitted, as plain data for tables, titles and reports.

        Returns
        -------
        Description
        """
        return Description(self.name)

    def formula(self) -> Formula | None:
        """Return the fitted map as a formula that can be written for other programs; None if it has none."""
        return None

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit on logits of data the classifier was not trained on.

        Parameters
        ----------
        X : array-like of shape (n, K), (n,) or (n, 1)
            Logits, a column per class; a single column is the logit of class 1 of two. -inf is a probability of 0.
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

        Warns
        -----
        CalibrationWarning
            If every row of `X` lies in [0, 1] and sums to 1, or each of many single scores lies in [0, 1]: these are
            probabilities, not logits.
        """
        if y is None and self.needs_labels:
            raise InputError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        predictions = as_fit_predictions(X, y, sample_weight)
        warn_of_probabilities(predictions.scores)
        self.fit_predictions(predictions)
        _check_feature_names(self, X, reset=True)
        return self

    def fit_predictions(self, predictions: Predictions | Shards) -> Self:
        """Fit on predictions; probabilities are turned into their logarithms first.

        Parameters
        ----------
        predictions : Predictions or Shards
            Of kind "logits" or "probs"; or (confidence, correct) pairs, where the calibrator takes them.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If scores are impossible, or the calibrator does not support what is there: weights, shards, pairs.
        """
        if not isinstance(predictions, Predictions | Shards):
            raise not_predictions(predictions)
        data = self._supported(predictions)
        self._fit(data)
        n_classes = data.n_classes or 0
        self.classes_ = as_classes(data.class_names, n_classes)
        self.n_features_in_ = n_classes
        self.fitted_on_pairs_ = predictions.kind == "confidence"
        self.__dict__.pop("feature_names_in_", None)
        return self

    def transform(self, X: Any) -> Floats:
        """Return calibrated log-probabilities, which are logits again, so that calibrators chain.

        Parameters
        ----------
        X : array-like of shape (n, K) or (n,)
            Logits.

        Returns
        -------
        ndarray of shape (n, K)
            In the precision of `X` if that is float32 or float64, else float64; -inf where the probability is 0.
        """
        return self.predict_log_proba(X)

    def predict_log_proba(self, X: Any) -> Floats:
        """Return calibrated log-probabilities; the same as :meth:`transform`.

        Parameters
        ----------
        X : array-like of shape (n, K) or (n,)
            Logits.

        Returns
        -------
        ndarray of shape (n, K)
        """
        return self._log_proba(self._checked(X))

    def predict_proba(self, X: Any) -> Floats:
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
        return self._proba(self._checked(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each row, the first of equal ones.

        Parameters
        ----------
        X : array-like of shape (n, K) or (n,)
            Logits.

        Returns
        -------
        ndarray of shape (n,)
        """
        columns = self._logits(self._checked(X)).argmax(axis=1)
        return np.asarray(self.classes_[columns])

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:  # noqa: ARG002
        """Return names of the columns of :meth:`transform`, which are logits again.

        Parameters
        ----------
        input_features : ignored
            As scikit-learn's interface has it.

        Returns
        -------
        ndarray of str, shape (K,)
            Those of the columns of `X` where it was a frame, else ``logit_<class>``.
        """
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        if names is None or len(names) != len(self.classes_):
            names = [f"logit_{label}" for label in self.classes_.tolist()]
        return np.asarray(names, dtype=object)

    def to_dict(self) -> dict[str, Any]:
        """Return parameters and fitted state as plain data, ready for JSON."""
        check_is_fitted(self)
        return self.to_document()

    def to_document(self, store: Store = inline) -> dict[str, Any]:
        """Return parameters, and fitted state if there is one; `store` says where the numbers of arrays go."""
        return to_document(self, store)

    def fingerprint(self) -> str:
        """Return a hash of parameters, classes and state: equal for calibrators that are equal to the bit."""
        check_is_fitted(self)
        return fingerprint(self)

    def save(self, path: str | Path) -> None:
        """Write the fitted calibrator to a JSON file; see :func:`calkit.load_calibrator`."""
        save_calibrator(self, path)

    def _supported(self, predictions: Predictions | Shards) -> Predictions | Shards:
        """Return predictions as logits; refuse what is not in `supports`."""
        if predictions.multilabel:
            raise InputError(
                "multi-label scores are events of their own, not classes that exclude each other; calibrate each "
                "column by itself, as one column of scores with its labels."
            )
        found = {
            "shards": isinstance(predictions, Shards),
            "pairs": predictions.kind == "confidence",
            "weights": getattr(predictions, "sample_weight", None) is not None,
            "soft": getattr(predictions, "votes", None) is not None,
        }
        for what, present in found.items():
            if present and what not in self.supports:
                raise InputError(f"{self.name} {_LACKING[what]}.")
        if found["pairs"]:
            predictions = predictions.map(as_binary) if isinstance(predictions, Shards) else as_binary(predictions)
        if self.binary_only and predictions.n_classes != 2:
            raise InputError(
                f"{self.name} takes two classes, but the scores have {predictions.n_classes}; use "
                f"'one-vs-rest:calibrator={self.name}', or a calibrator of many classes."
            )
        if isinstance(predictions, Shards):
            return predictions.logits()
        if self.needs_labels:
            predictions.require_labels()
        elif predictions.y_true is None:
            # Sums over rows ask for labels, which are not looked at.
            predictions = predictions.replace(y_true=TrueColumns(np.zeros(predictions.n_samples, np.int8)))
        logits = predictions.logits()
        # A fit passes over the rows several times: the logarithms of what is in memory are computed once.
        in_memory = type(predictions.scores) is np.ndarray
        return logits.replace(scores=np.asarray(logits.scores)) if in_memory else logits

    def _restore(self, state: dict[str, Any], classes: NDArray[Any], features: Any, pairs: bool) -> None:
        """Set what a file holds."""
        for name, value in state.items():
            setattr(self, name, value)
        self.classes_, self.n_features_in_, self.fitted_on_pairs_ = classes, len(classes), pairs
        if features is not None:
            self.feature_names_in_ = features

    def _check_restored(self) -> None:
        """Raise ValueError, or what arithmetic raises, if what a file holds cannot be."""
        self._check_state()
        probs = self._proba(np.zeros((1, self.n_features_in_)))
        if probs.shape != (1, self.n_features_in_) or not np.allclose(probs.sum(axis=1), 1):
            raise ValueError("its state gives no probabilities")

    def _checked(self, X: Any) -> Floats:
        check_is_fitted(self)
        _check_feature_names(self, X, reset=False)
        logits = as_logits(X)
        if logits.shape[1] != self.n_features_in_:
            given = np.shape(X)
            flat = " Reshape your data, array.reshape(1, -1), if it is one row." if len(given) == 1 else ""
            raise InputError(
                f"X has {given[1] if len(given) == 2 else 1} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input, one for each class it was fitted on.{flat} Fit one on "
                "scores of the same classes."
            )
        return logits


class ProbabilityCalibrator(Calibrator):
    """Base of calibrators whose maps give probabilities, in :meth:`_proba`, and not their logarithms."""

    @abstractmethod
    def _proba(self, logits: Floats) -> Floats:
        """Return probabilities of shape (b, K), in the precision of the logits."""

    def _log_proba(self, logits: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self._proba(logits)))
