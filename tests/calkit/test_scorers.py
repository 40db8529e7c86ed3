"""Scorers: the numbers of the metrics, greater is better, in scikit-learn's searches."""

import pickle

import numpy as np
import pytest
import sklearn
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

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


@pytest.mark.parametrize("as_frame", [False, True], ids=["array", "frame"])
@pytest.mark.parametrize(
    "build",
    [OneVsRestClassifier, MultiOutputClassifier, lambda base: ClassifierChain(base, random_state=0), None],
    ids=["one-vs-rest", "multi-output", "chain", "forest"],
)
def test_several_labels_a_row(build, as_frame):
    features, y = make_multilabel_classification(120, n_classes=3, random_state=0)
    if as_frame:
        y = pytest.importorskip("pandas").DataFrame(y, columns=["cat", "dog", "emu"])
    model = RandomForestClassifier(5, random_state=0) if build is None else build(LogisticRegression(max_iter=500))
    model.fit(features, y)
    found = model.predict_proba(features)
    # By scikit-learn's documentation: an array (n, K), or for each label an array (n, 2) of the classes 0 and 1.
    scores = np.stack([of_label[:, 1] for of_label in found], axis=1) if isinstance(found, list) else found
    squares = ((scores - np.asarray(y)) ** 2).mean()
    assert scorers.make_scorer("brier:target=multi-label")(model, features, y) == pytest.approx(-squares, abs=1e-12)
    with pytest.raises(InputError, match="brier:target=multilabel"):
        scorers.neg_brier(model, features, y)


def test_a_label_that_is_always_there():
    features, y = make_multilabel_classification(60, n_classes=2, random_state=0)
    y[:, 0] = 1
    model = MultiOutputClassifier(DecisionTreeClassifier()).fit(features, y)
    assert [matrix.shape[1] for matrix in model.predict_proba(features)] == [1, 2]
    assert scorers.make_scorer("brier:target=multilabel")(model, features, y) == 0


def test_weights_are_routed():
    weight = np.arange(len(Y)) % 3
    model = LogisticRegression(max_iter=500)
    with sklearn.config_context(enable_metadata_routing=True):
        model.set_fit_request(sample_weight=False)
        asked = scorers.neg_brier.set_score_request(sample_weight=True)
        renamed = pickle.loads(pickle.dumps(scorers.neg_brier.set_score_request(sample_weight="importance")))
        found = cross_validate(
            model,
            X,
            Y,
            scoring={"weighted": asked, "renamed": renamed},
            cv=3,
            params={"sample_weight": weight, "importance": weight[::-1]},
        )
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
            cross_validate(model, X, Y, scoring=scorers.neg_brier, params={"sample_weight": weight})
    for i, (train, test) in enumerate(StratifiedKFold(3).split(X, Y)):
        probs = LogisticRegression(max_iter=500).fit(X[train], Y[train]).predict_proba(X[test])
        squares = ((probs - np.eye(3)[Y[test]]) ** 2).sum(axis=1)
        assert found["test_weighted"][i] == pytest.approx(-np.average(squares, weights=weight[test]), abs=1e-12)
        assert found["test_renamed"][i] == pytest.approx(-np.average(squares, weights=weight[::-1][test]), abs=1e-12)
