"""CalibratedClassifier: any scikit-learn classifier with any calibrator, fitted on rows the classifier has not seen."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch, _safe_indexing, assert_all_finite, get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import (
    _check_feature_names,
    _check_method_params,
    _check_sample_weight,
    _num_samples,
    check_is_fitted,
    column_or_1d,
    has_fit_parameter,
)

from calkit.calibrators.base import Calibrator, Floats
from calkit.calibrators.composed.parts import new_calibrator
from calkit.calibrators.composed.scores import class_scores
from calkit.errors import CalibrationWarning, InputError
from calkit.labels import TrueColumns
from calkit.predictions import Predictions

__all__ = ["CalibratedClassifier", "CalibratedMember"]


@dataclass(frozen=True)
class CalibratedMember:
    """A fitted classifier with the calibrator fitted on its scores.

    Attributes
    ----------
    estimator : classifier
    calibrator : Calibrator
    """

    estimator: Any
    calibrator: Calibrator


class CalibratedClassifier(ClassifierMixin, TransformerMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Calibrate any scikit-learn classifier.

    Parameters
    ----------
    estimator : classifier, optional
        By default logistic regression. A fitted one in ``sklearn.frozen.FrozenEstimator`` is taken as given, and the
        rows of :meth:`fit`, which it must not have been trained on, serve the calibrator alone.
    calibrator : str or Calibrator, default="temperature"
        Its spec, or a calibrator.
    cv : int, splitter or iterable, optional
        How rows are split into those the classifier and those the calibrator is fitted on: by default 5 stratified
        folds. Splitters by group and by time serve as well.
    response_method : {"auto", "decision_function", "predict_proba"}, default="auto"
        Where the scores come from. Decision functions are taken as logits; the default prefers them. Of probabilities
        the logarithms are taken, of nothing less than 1e-7.
    ensemble : bool, default=True
        Keep the classifier and the calibrator of every fold and average their probabilities (the intervals of
        ``"venn-abers"`` are merged by their geometric means: cross Venn-Abers prediction); or fit one calibrator on the
        scores of all held-out rows, and the classifier again on all rows.
    n_jobs : int, optional
        Folds fitted at a time, as scikit-learn has it.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        Those of `y`, and those that a frozen classifier knows beside them.
    calibrated_classifiers_ : list of CalibratedMember
        One per fold, or a single one.
    n_features_in_ : int
        Where the classifier has it.
    feature_names_in_ : ndarray of str
        Where `X` is a frame.

    Raises
    ------
    InputError
        If there is one class only, or scores have a column for pairs of classes.

    Warns
    -----
    CalibrationWarning
        If a class is absent from the training rows of a fold: its held-out rows there are left out.

    Notes
    -----
    A class unknown to the classifier of a fold gets the probability 1e-7 there before calibration.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.naive_bayes import GaussianNB
    >>> import calkit
    >>> from calkit.calibrators import CalibratedClassifier
    >>> X, X_test, y, y_test = train_test_split(*load_breast_cancer(return_X_y=True), random_state=0)
    >>> plain, calibrated = GaussianNB().fit(X, y), CalibratedClassifier(GaussianNB()).fit(X, y)
    >>> before, after = plain.predict_proba(X_test), calibrated.predict_proba(X_test)
    >>> calkit.nll(y_test, after) < calkit.nll(y_test, before)
    True
    """

    classes_: NDArray[Any]
    calibrated_classifiers_: list[CalibratedMember]

    def __init__(
        self,
        estimator: Any = None,
        calibrator: str | Calibrator = "temperature",
        *,
        cv: Any = None,
        response_method: str = "auto",
        ensemble: bool = True,
        n_jobs: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.calibrator = calibrator
        self.cv = cv
        self.response_method = response_method
        self.ensemble = ensemble
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Self:
        """Fit the classifier and the calibrator.

        Parameters
        ----------
        X : array-like of shape (n, m)
            Features, as the classifier takes them.
        y : array-like of shape (n,)
            Classes, of any type.
        sample_weight : array-like of shape (n,), optional
            For the calibrator, and for the classifier if it takes weights.
        **params
            `groups` go to the splitter; what else there is, to the `fit` of the classifier. With scikit-learn's
            metadata routing enabled, all of them go where they were requested.

        Returns
        -------
        self
        """
        X, y = indexable(X, y)
        labels = column_or_1d(y, warn=True)
        assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"y holds one class only, {self.classes_.tolist()}; a classifier needs two classes.")
        new_calibrator(self.calibrator)
        routed = self._routed(params, weight)
        estimator = self._estimator()
        if isinstance(estimator, FrozenEstimator):
            _check_frozen(estimator)
        if isinstance(estimator, FrozenEstimator) and np.isin(self.classes_, estimator.classes_).any():
            # It may know classes that no row here has.
            self.classes_ = np.union1d(self.classes_, estimator.classes_)
            codes = np.searchsorted(self.classes_, labels)
        rows = _Rows(X, labels, codes, weight, self.classes_, self.response_method)
        if isinstance(estimator, FrozenEstimator):
            scored = [rows.scored(estimator, np.arange(len(labels)), fold=None)]
            members = [CalibratedMember(estimator, self._calibrated(scored))]
        else:
            members = self._cross_fitted(estimator, rows, routed)
        self.calibrated_classifiers_ = members
        _check_feature_names(self, X, reset=True)
        first = members[0].estimator
        if hasattr(first, "n_features_in_"):
            self.n_features_in_ = first.n_features_in_
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return calibrated probabilities, of the members together: their mean, or as their calibrator merges them.

        Parameters
        ----------
        X : array-like of shape (n, m)

        Returns
        -------
        ndarray of shape (n, K)
        """
        check_is_fitted(self)
        _check_feature_names(self, X, reset=False)
        calibrators = [member.calibrator for member in self.calibrated_classifiers_]
        scores = [
            class_scores(member.estimator, X, self.classes_, self.response_method)
            for member in self.calibrated_classifiers_
        ]
        return type(calibrators[0]).merged_proba(calibrators, scores)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : array-like of shape (n, m)

        Returns
        -------
        ndarray of shape (n,)
        """
        columns = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[columns])

    def predict_log_proba(self, X: Any) -> Floats:
        """Return the logarithms of the calibrated probabilities.

        Parameters
        ----------
        X : array-like of shape (n, m)

        Returns
        -------
        ndarray of shape (n, K)
            -inf where the probability is 0.
        """
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    def transform(self, X: Any) -> Floats:
        """Return :meth:`predict_log_proba`, as features for what comes next.

        Parameters
        ----------
        X : array-like of shape (n, m)

        Returns
        -------
        ndarray of shape (n, K)
        """
        return self.predict_log_proba(X)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:  # noqa: ARG002
        """Return names of the columns of :meth:`transform`: ``logit_<class>``."""
        check_is_fitted(self)
        return np.asarray([f"logit_{label}" for label in self.classes_.tolist()], dtype=object)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return where metadata go: to the classifier and to the splitter."""
        fit_to_fit = MethodMapping().add(caller="fit", callee="fit")
        fit_to_split = MethodMapping().add(caller="fit", callee="split")
        router = MetadataRouter(owner=self).add_self_request(self)
        router.add(estimator=self._estimator(), method_mapping=fit_to_fit)
        return router.add(splitter=self.cv, method_mapping=fit_to_split)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = get_tags(self._estimator()).input_tags.sparse
        return tags

    def _estimator(self) -> Any:
        return LogisticRegression(max_iter=1000) if self.estimator is None else self.estimator

    def _routed(self, params: dict[str, Any], weight: Any) -> Bunch:
        """Return the parameters of the classifier's fit and of the splitter."""
        from sklearn import get_config

        if get_config()["enable_metadata_routing"]:
            return process_routing(self, "fit", sample_weight=weight, **params)
        params = dict(params)
        split = {"groups": params.pop("groups")} if "groups" in params else {}
        if weight is not None and has_fit_parameter(self._estimator(), "sample_weight"):
            params["sample_weight"] = weight
        return Bunch(estimator=Bunch(fit=params), splitter=Bunch(split=split))

    def _cross_fitted(self, estimator: Any, rows: _Rows, routed: Bunch) -> list[CalibratedMember]:
        if isinstance(self.cv, str) and self.cv == "prefit":
            raise InputError(
                "cv='prefit' is not taken; wrap the fitted classifier: sklearn.frozen.FrozenEstimator(...)."
            )
        cv = check_cv(5 if self.cv is None else self.cv, rows.y, classifier=True)
        folds = list(cv.split(rows.X, rows.y, **routed.splitter.split))
        fit_params = routed.estimator.fit
        fitted = Parallel(n_jobs=self.n_jobs)(
            delayed(rows.fitted)(clone(estimator), train, fit_params) for train, _ in folds
        )
        scored = [
            rows.scored(item, test, fold=i) for i, (item, (_, test)) in enumerate(zip(fitted, folds, strict=True))
        ]
        if self.ensemble:
            return [
                CalibratedMember(item, self._calibrated([found])) for item, found in zip(fitted, scored, strict=True)
            ]
        everything = rows.fitted(clone(estimator), np.arange(_num_samples(rows.X)), fit_params)
        return [CalibratedMember(everything, self._calibrated(scored))]

    def _calibrated(self, scored: Sequence[tuple[Floats, NDArray[Any], Any]]) -> Calibrator:
        """Fit the calibrator on the scores, classes and weights of held-out rows."""
        scores, codes, weights = zip(*scored, strict=True)
        predictions = Predictions(
            np.concatenate(scores),
            TrueColumns(np.concatenate(codes)),
            kind="logits",
            sample_weight=None if weights[0] is None else np.concatenate(weights),
            class_names=self.classes_.tolist(),
        )
        return new_calibrator(self.calibrator).fit_predictions(predictions)


def _check_frozen(frozen: FrozenEstimator) -> None:
    """Refuse a classifier that is not to be fitted again, but never was fitted."""
    if not hasattr(frozen.estimator, "classes_"):
        raise InputError(
            f"the frozen {type(frozen.estimator).__name__} is not fitted; fit it before it is wrapped, or pass it "
            "without FrozenEstimator, to be fitted on folds."
        )


@dataclass(frozen=True)
class _Rows:
    """The rows of a fit: features, labels, their codes, weights."""

    X: Any
    y: NDArray[Any]
    codes: NDArray[Any]
    weight: NDArray[np.float64] | None
    classes: NDArray[Any]
    response_method: str

    def fitted(self, estimator: Any, rows: NDArray[Any], params: dict[str, Any]) -> Any:
        """Fit a classifier on some of them."""
        own = _check_method_params(self.X, params=params, indices=rows)
        return estimator.fit(_safe_indexing(self.X, rows), _safe_indexing(self.y, rows), **own)

    def scored(self, estimator: Any, rows: Iterable[int], *, fold: int | None) -> tuple[Floats, NDArray[Any], Any]:
        """Return logits, codes and weights of rows whose class the classifier knows."""
        rows = np.asarray(rows)
        known = np.isin(self.classes[self.codes[rows]], estimator.classes_)
        if not known.all():
            missing = sorted({str(label) for label in self.y[rows[~known]].tolist()})
            place = "the frozen classifier" if fold is None else f"the training rows of fold {fold}"
            warnings.warn(
                f"{place} lacks the class {', '.join(missing[:5])}; its {int((~known).sum())} held-out rows are left "
                "out of the calibration. Use fewer folds, or a stratified splitter.",
                CalibrationWarning,
                stacklevel=4,
            )
        rows = rows[known]
        if not len(rows):
            raise InputError("no held-out row has a class that the classifier knows, so nothing can be calibrated.")
        scores = class_scores(estimator, _safe_indexing(self.X, rows), self.classes, self.response_method)
        return scores, self.codes[rows], None if self.weight is None else self.weight[rows]
