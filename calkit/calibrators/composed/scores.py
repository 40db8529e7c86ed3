"""The scores of a scikit-learn classifier as logits with a column for every class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.frozen import FrozenEstimator
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier

from calkit.calibrators.base import Floats
from calkit.errors import InputError, UsageError

__all__ = ["class_scores"]

# Trees and neighbours say 0 of what they have not seen; the logarithm of that would outweigh all else.
_LEAST = 1e-7

# Each of their classifiers is fitted to two classes.
_MAKE_PAIRS = (OneVsRestClassifier, OneVsOneClassifier, OutputCodeClassifier)

_METHODS = ("auto", "decision_function", "predict_proba")


def class_scores(estimator: Any, X: Any, classes: NDArray[Any], response_method: str = "auto") -> Floats:
    """Return logits of a fitted classifier, a column per class.

    Parameters
    ----------
    estimator : classifier
        Fitted.
    X : array-like of shape (n, m)
    classes : ndarray of shape (K,)
        All classes, in sorted order; those that the classifier does not know get a probability of 1e-7.
    response_method : {"auto", "decision_function", "predict_proba"}, default="auto"
        The default prefers decision functions.

    Returns
    -------
    ndarray of float64, shape (n, K)

    Raises
    ------
    UsageError
        If the classifier does not have the method.
    InputError
        If a decision function has a column for each pair of classes.
    """
    if response_method not in _METHODS:
        raise UsageError(f"response_method must be one of {', '.join(_METHODS)}, but is {response_method!r}.")
    wanted = _METHODS[1:] if response_method == "auto" else (response_method,)
    method = next((name for name in wanted if hasattr(estimator, name)), None)
    if method is None:
        raise UsageError(
            f"{type(estimator).__name__} has no {' and no '.join(wanted)}, so there is nothing to calibrate."
        )
    values = np.asarray(getattr(estimator, method)(X), dtype=np.float64)
    known = np.asarray(estimator.classes_)
    if method == "predict_proba":
        logits = np.log(np.maximum(values, _LEAST))
    else:
        logits = np.stack([np.zeros_like(values), values], axis=1) if values.ndim == 1 else values
        if len(known) == 1:
            logits = np.zeros((len(values), 1))
    # Of three classes there are three pairs: only the parameter tells.
    in_pairs = method == "decision_function" and len(known) > 2 and _is_in_pairs(estimator)
    if in_pairs or logits.shape[1] != len(known):
        raise InputError(
            f"{type(estimator).__name__}.{method} has {logits.shape[1]} columns for {len(known)} classes, one for each "
            "pair perhaps; set decision_function_shape='ovr', or response_method='predict_proba'."
        )
    columns = np.searchsorted(classes, known)
    if len(known) == len(classes):
        return np.asarray(logits)
    found = np.repeat(logsumexp(logits, axis=1, keepdims=True) + np.log(_LEAST), len(classes), axis=1)
    found[:, columns] = logits
    return found


def _is_in_pairs(estimator: Any) -> bool:
    """Return whether a classifier, or the one within it, is set to return scores of pairs of classes."""
    inner = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    params: dict[str, Any] = {"": inner, **getattr(inner, "get_params", dict)()}
    # Those within a classifier that makes two-class problems of several never see three classes.
    of_two = tuple(f"{name}__".removeprefix("__") for name, value in params.items() if isinstance(value, _MAKE_PAIRS))
    return any(
        name.endswith("decision_function_shape") and value == "ovo" and not name.startswith(of_two)
        for name, value in params.items()
    )
