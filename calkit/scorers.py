"""Scorers for scikit-learn's ``cross_val_score`` and ``GridSearchCV``: ``scoring=calkit.scorers.neg_ece``.

Each metric has one: ``neg_<name>`` where less is better, ``<name>`` where more is, so that greater is always better.
:func:`make_scorer` takes parameters: ``make_scorer("ece:n_bins=10")``.
"""

from __future__ import annotations

from typing import Any

from calkit.errors import InputError
from calkit.evaluation import evaluate
from calkit.metrics import Metric, available_metrics, get_metric
from calkit.predictions import Predictions

__all__ = ["Scorer", "available_scorers", "make_scorer"]


class Scorer:
    """A metric as scikit-learn calls it: ``scorer(estimator, X, y)``, greater is better.

    Parameters
    ----------
    metric : str or Metric
        A metric by its spec.

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

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the score of a fitted classifier with ``predict_proba``.

        Raises
        ------
        InputError
            If the estimator has no ``predict_proba``.
        """
        if not hasattr(estimator, "predict_proba"):
            raise InputError(f"{type(estimator).__name__} has no predict_proba; score a classifier that has.")
        predictions = Predictions(
            estimator.predict_proba(X),
            y,
            kind="probs",
            sample_weight=sample_weight,
            class_names=list(estimator.classes_),
        )
        value = evaluate(predictions, [self.metric])[self.metric.spec]
        return value if self.metric.higher_is_better else -value

    @property
    def name(self) -> str:
        """What the scorer is called: the metric's spec, with ``neg_`` before it where less is better."""
        return self.metric.spec if self.metric.higher_is_better else f"neg_{self.metric.spec}"

    def __reduce__(self) -> Any:
        return type(self), (self.metric.spec,)

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
