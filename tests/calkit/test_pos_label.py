"""``pos_label``: scikit-learn's word for the label whose probability is judged."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

import calkit
from calkit import curves
from calkit.datasets import load_digits_logits
from calkit.errors import InputError
from calkit.plotting import PLOTS

Y = np.array(["yes", "no", "yes", "yes", "no", "no"])
P = np.array([0.9, 0.2, 0.6, 0.4, 0.7, 0.1])


@pytest.fixture
def test_split():
    return load_digits_logits("test")


def test_one_column_is_the_forecast_of_the_label():
    assert calkit.brier(Y, P, pos_label="yes") == pytest.approx(brier_score_loss(Y, P, pos_label="yes"), abs=1e-12)
    assert calkit.ece(Y, P, pos_label="yes") == calkit.ece(Y == "yes", P)
    assert calkit.ece(Y, P, pos_label="no") == calkit.ece(Y == "no", P)
    assert calkit.ece(Y, P[:, None], pos_label="yes") == calkit.ece(Y == "yes", P)
    assert calkit.ece([2, 1, 2, 2, 1, 1], P, pos_label=2) == calkit.ece(Y == "yes", P)


def test_of_several_columns_it_is_a_target(test_split):
    arrays = (test_split.y_true, test_split.scores)
    expected = calkit.ece(*arrays, from_logits=True, target="positive:class=3")
    assert calkit.ece(*arrays, from_logits=True, pos_label=3) == expected
    assert calkit.ece(*arrays, from_logits=True, pos_label="3") == expected
    scores = np.stack([1 - P, P], axis=1)
    named = {"class_names": ["no, or none", "yes"]}
    truth = np.where(Y == "yes", "yes", "no, or none")
    assert calkit.ece(truth, scores, pos_label="no, or none", **named) == calkit.ece(Y == "no", 1 - P)


def test_evaluate_takes_it_beside_arrays_and_predictions(test_split):
    expected = dict(calkit.evaluate(test_split, ["ece", "nll"], target="positive:class=3"))
    assert dict(calkit.evaluate(test_split, ["ece", "nll"], pos_label=3)) == expected
    arrays = (test_split.y_true, test_split.scores)
    assert dict(calkit.evaluate(*arrays, ["ece", "nll"], from_logits=True, pos_label=3)) == expected
    assert calkit.evaluate(Y, P, ["ece"], pos_label="yes")["ece"] == calkit.ece(Y == "yes", P)
    by = np.array(["a", "b"] * 3)
    found = calkit.evaluate(Y, P, ["ece"], pos_label="yes", by=by)
    assert found.groups["a"]["ece"] == calkit.ece(Y[::2] == "yes", P[::2])


def test_curves_and_tails_take_it():
    for name in ("risk_coverage_curve", "high_confidence_curve", "cumulative_curve", "corp_curve"):
        function = getattr(curves, name)
        found, expected = function(Y, P, pos_label="yes").columns(), function(Y == "yes", P).columns()
        for key, values in expected.items():
            np.testing.assert_array_equal(found[key], values)
    expected = calkit.high_confidence(Y == "yes", P, threshold=0.8)
    assert calkit.high_confidence(Y, P, threshold=0.8, pos_label="yes") == expected


@pytest.mark.parametrize("name", list(PLOTS))
def test_displays_take_it(name, test_split):
    kind = PLOTS[name]

    def columns(*arrays, **arguments):
        display = kind.from_predictions(*arrays, plot=False, **arguments)
        return {key: np.array(values) for key, values in display.columns().items()}

    for found, expected in (
        (columns(Y, P, pos_label="yes"), columns(Y == "yes", P)),
        (columns(test_split, pos_label=3), columns(test_split, target="positive:class=3")),
    ):
        assert found.keys() == expected.keys()
        for key, values in expected.items():
            np.testing.assert_allclose(found[key], values, rtol=0, atol=1e-12)


def test_an_estimator_is_judged_on_one_of_its_classes():
    X = np.array([[0.1], [0.9], [0.3], [0.2], [0.4], [0.8]])
    model = LogisticRegression().fit(X, Y)
    found = calkit.ReliabilityDisplay.from_estimator(model, X, Y, pos_label="yes", plot=False)
    assert found.ece == calkit.ece(Y == "yes", model.predict_proba(X)[:, 1])
    assert found.x_label == "Predicted probability"


def test_ignored_rows_stay_ignored():
    labels = np.array([*Y, "?"])
    scores = np.array([*P, 0.5])
    assert calkit.ece(labels, scores, pos_label="yes", ignore_label="?") == calkit.ece(Y == "yes", P)


def test_names_that_look_like_other_numbers_are_names():
    """Of classes named 1, 01, 1e3 and True each is its own; values are those of the columns without names."""
    names = ["1", "01", "1e3", "True", " 7"]
    scores = np.random.default_rng(0).dirichlet(np.ones(5), 20)
    truth = np.arange(20) % 5
    for column, name in enumerate(names):
        expected = calkit.metrics.ks(truth, scores, target=f"positive:class={column}")
        assert calkit.metrics.ks(np.array(names)[truth], scores, class_names=names, pos_label=name) == expected
    padded = ["00", "01", "02", "03", "04"]
    found = calkit.metrics.ks(np.array(padded)[truth], scores, class_names=padded, target="positive:class=03")
    assert found == calkit.metrics.ks(truth, scores, target="positive:class=3")


@pytest.mark.parametrize("missing", [np.nan, None])
def test_a_missing_label_is_no_other_label(missing):
    labels = np.array([*(Y == "yes"), missing], dtype=object)
    scores = np.array([*P, 0.5])
    with pytest.raises(InputError, match="the label of row 6 is missing"):
        calkit.ece(labels, scores, pos_label=1)
    assert calkit.ece(labels, scores, pos_label=1, ignore_label=np.nan) == calkit.ece(Y == "yes", P)


def test_a_share_is_no_label():
    with pytest.raises(InputError, match="row 1 is 0.3, which is no whole number"):
        calkit.ece([1.0, 0.3, 0.0], P[:3], pos_label=1)
    assert calkit.ece([1.0, -0.5, 2.0], P[:3], pos_label=1, ignore_label=-0.5) == calkit.ece([1, 0], P[[0, 2]])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"pos_label": "yes", "ignore_label": "yes"}, "'yes' is none of the labels"),
        ({"pos_label": "maybe"}, "'maybe' is none of the labels"),
        ({"pos_label": "yes", "target": "top"}, "both say what is judged"),
        ({"pos_label": "yes", "class_names": ["no", "yes"]}, "both say which label one column is of"),
    ],
)
def test_what_cannot_be_is_said(arguments, words):
    with pytest.raises(InputError, match=words):
        calkit.ece(Y, P, **arguments)
    with pytest.raises(InputError, match=words):
        calkit.evaluate(Y, P, ["ece"], **arguments)
