"""Scorers: the numbers of the metrics, greater is better, in scikit-learn's searches."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.svm import LinearSVC

import calkit
from calkit import scorers
from calkit.errors import InputError, NotFoundError

X, Y = load_iris(return_X_y=True)
WORDS = np.array(["setosa", "versicolor", "virginica"])[Y]


@pytest.mark.parametrize("labels", [Y, WORDS, Y * 10 - 10, Y > 0], ids=["int", "text", "ten apart", "bool"])
def test_values_are_those_of_the_metrics(labels):
    model = LogisticRegression(C=0.05, max_iter=500).fit(X, labels)
    probs, columns = model.predict_proba(X), np.searchsorted(model.classes_, labels)
    for name in ("ece", "nll", "brier"):
        found = getattr(scorers, f"neg_{name}")(model, X, labels)
        assert found == pytest.approx(-getattr(calkit, name)(columns, probs), abs=1e-12)
    assert scorers.accuracy(model, X, labels) == pytest.approx(model.score(X, labels))


def test_weights():
    model = LogisticRegression(max_iter=500).fit(X, Y)
    weight = np.arange(len(Y)) % 3
    found = scorers.neg_brier(model, X, Y, sample_weight=weight)
    assert found == pytest.approx(-calkit.brier(Y, model.predict_proba(X), sample_weight=weight))


def test_in_searches():
    scores = cross_val_score(LogisticRegression(max_iter=500), X, WORDS, scoring=scorers.neg_adaece)
    assert len(scores) == 5
    assert (scores <= 0).all()
    search = GridSearchCV(
        LogisticRegression(max_iter=500), {"C": [1e-4, 1.0]}, scoring=scorers.make_scorer("nll"), cv=3
    ).fit(X, Y)
    assert search.best_params_["C"] == 1.0


def test_names_and_copies():
    assert "neg_ece" in scorers.available_scorers()
    assert set(scorers.available_scorers()) <= set(dir(scorers))
    scorer = scorers.make_scorer("ece:n_bins=10")
    assert pickle.loads(pickle.dumps(scorer)).metric.spec == "ece:n_bins=10"
    assert repr(scorer) == "make_scorer('ece:n_bins=10')"
    with pytest.raises(AttributeError, match="neg_ece"):
        _ = scorers.neg_ecee
    with pytest.raises(NotFoundError, match="Did you mean"):
        scorers.make_scorer("ecee")
    with pytest.raises(InputError, match="no predict_proba"):
        scorers.neg_ece(LinearSVC().fit(X, Y), X, Y)
