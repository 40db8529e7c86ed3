"""Scorers for scikit-learn's ``cross_val_score`` and ``GridSearchCV``: ``scoring=calkit.scorers.neg_ece``.

Each metric has one: ``neg_<name>`` where less is better, ``<name>`` where more is, so that greater is always better.
:func:`make_scorer` takes parameters: ``make_scorer("ece:n_bins=10")``.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from calkit.arrays import column_names
from calkit.errors import InputError
from calkit.evaluation import evaluate
from calkit.metrics import Metric, available_metrics, get_metric
from calkit.metrics.base import as_predictions
from calkit.stats import get_view
from calkit.stats.views import MultiLabel

__all__ = ["Scorer", "available_scorers", "make_scorer"]


class Scorer:
    """A metric as scikit-learn calls it: ``scorer(estimator, X, y)``, greater is better.

    Parameters
    ----------
    metric : str or Metric
        A metric by its spec. ``"ece:target=multilabel"`` scores estimators of several labels a row, of which each has a
        column of `y` (``OneVsRestClassifier``, ``MultiOutputClassifier``, ``ClassifierChain``, forests).

    Notes
    -----
    With scikit-learn's metadata routing enabled, ``scorer.set_score_request(sample_weight=True)`` asks for weights.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> from calkit import scorers
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> scores = cross_val_score(LogisticRegression(max_iter=500), X, y, scoring=scorers.neg_ece)
    >>> bool((scores <= 0).all())
    True
    """

    def __init__(self, metric: str | Metric) -> None:
        self.metric = get_metric(metric)
        self._requests: dict[str, bool | str | None] = {}

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the score of a fitted classifier with ``predict_proba``.

        Raises
        ------
        InputError
            If the estimator has no ``predict_proba``, or predicts several labels and the metric judges classes.
        """
        if not hasattr(estimator, "predict_proba"):
            raise InputError(f"{type(estimator).__name__} has no predict_proba; score a classifier that has.")
        several = self.metric.target is not None and isinstance(get_view(self.metric.target), MultiLabel)
        if not several and (isinstance(estimator.classes_, list) or getattr(estimator, "multilabel_", False)):
            raise InputError(
                f"{type(estimator).__name__} predicts several labels a row; score it by a metric of them: "
                f"make_scorer('{self.metric.spec.partition(':')[0]}:target=multilabel')."
            )
        scores = _label_probabilities(estimator, X) if several else estimator.predict_proba(X)
        names = column_names(y) if several else estimator.classes_
        predictions = as_predictions(
            y,
            scores,
            target=self.metric.target,
            sample_weight=sample_weight,
            class_names=None if names is None else list(names),
        )
        value = evaluate(predictions, [self.metric])[self.metric.spec]
        return value if self.metric.higher_is_better else -value

    def set_score_request(self, *, sample_weight: bool | str | None) -> Self:
        """Say whether the scorer wants `sample_weight`, for scikit-learn's metadata routing.

        Parameters
        ----------
        sample_weight : bool, str or None
            True to be given it, False not to be, None to have an error where it is given, or the name it is given by.

        Returns
        -------
        self
        """
        self._requests = {"sample_weight": sample_weight}
        return self

    def get_metadata_routing(self) -> Any:
        """Return what was asked for by :meth:`set_score_request`, as scikit-learn's routers read it."""
        from sklearn.utils.metadata_routing import MetadataRequest

        request = MetadataRequest(owner=self)
        for param, alias in {"sample_weight": None, **self._requests}.items():
            request.score.add_request(param=param, alias=alias)
        return request

    @property
    def name(self) -> str:
        """What the scorer is called: the metric's spec, with ``neg_`` before it where less is better."""
        return self.metric.spec if self.metric.higher_is_better else f"neg_{self.metric.spec}"

    def __repr__(self) -> str:
        return f"make_scorer({self.metric.spec!r})"


def make_scorer(metric: str | Metric) -> Scorer:
    """Return a scorer of any metric.

    Parameters
    ----------
    metric : str or Metric
        A metric by its spec: ``"ece:n_bins=10"``.

    Returns
    -------
    Scorer

    Raises
    ------
    NotFoundError
        If there is no such metric.

    Examples
    --------
    >>> from calkit.scorers import make_scorer
    >>> make_scorer("adaece:n_bins=10").name
    'neg_adaece:n_bins=10'
    """
    return Scorer(metric)


def _label_probabilities(estimator: Any, X: Any) -> Any:
    """Return the probability of each label, of shape (n, K); some estimators have a matrix of 0 and 1 for each."""
    scores = estimator.predict_proba(X)
    if not isinstance(scores, list):
        return scores
    return np.column_stack(
        [matrix @ (np.asarray(classes) == 1) for matrix, classes in zip(scores, estimator.classes_, strict=True)]
    )


def available_scorers() -> list[str]:
    """Return the names of the scorers in this module.

    Examples
    --------
    >>> from calkit.scorers import available_scorers
    >>> "neg_ece" in available_scorers()
    True
    """
    return [_attribute(Scorer(name)) for name in available_metrics()]


def _attribute(scorer: Scorer) -> str:
    return scorer.name.replace("-", "_")


def __getattr__(name: str) -> Scorer:
    for metric in available_metrics():
        scorer = Scorer(metric)
        if _attribute(scorer) == name:
            return scorer
    raise AttributeError(
        f"module 'calkit.scorers' has no attribute {name!r}; there are {', '.join(available_scorers())}"
    )


def __dir__() -> list[str]:
    return sorted([*__all__, *available_scorers()])
