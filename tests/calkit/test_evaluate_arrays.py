"""evaluate(y_true, y_proba, metrics): the same numbers as of predictions, one clear error else."""

import copy
import pickle

import numpy as np
import pytest

import calkit
from calkit.datasets import load_digits_logits
from calkit.errors import InputError


@pytest.fixture(scope="module")
def test():
    return load_digits_logits("test")


def test_arrays_give_what_predictions_give(test):
    asked = ["ece", "nll", "brier"]
    of_predictions = calkit.evaluate(test, asked, confidence_level=0.9)
    for arrays in (
        calkit.evaluate(test.y_true, test.scores, asked, from_logits=True, confidence_level=0.9),
        calkit.evaluate(test.y_true, test.scores, metrics=asked, from_logits=True, confidence_level=0.9),
    ):
        assert dict(arrays) == dict(of_predictions)
        assert arrays.intervals == of_predictions.intervals
        assert arrays.judgements == of_predictions.judgements


def test_arrays_agree_with_the_metric_functions():
    y = ["cat", "dog", "cat", "cow"]
    p = [[0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]
    names, weight = ["cat", "dog", "cow"], [1, 2, 1, 3]
    found = calkit.evaluate(y, p, ["ece", "brier"], class_names=names, sample_weight=weight)
    assert found["ece"] == calkit.ece(y, p, class_names=names, sample_weight=weight)
    assert found["brier"] == calkit.brier(y, p, class_names=names, sample_weight=weight)
    # One column is the forecast of an event, in both.
    assert calkit.evaluate([0, 1, 1], [0.2, 0.6, 0.9], ["ece"])["ece"] == calkit.ece([0, 1, 1], [0.2, 0.6, 0.9])
    rows, votes = np.array([[0.3, 0.8], [0.9, 0.4]]), np.array([[0, 1], [1, 1]])
    several = calkit.evaluate(votes, rows, ["ece"], target="multilabel")
    assert next(iter(several.values())) == calkit.ece(votes, rows, target="multilabel")


def test_groups_of_arrays_are_an_array(test):
    group = np.where(np.arange(test.n_samples) % 3, "b", "a")
    found = calkit.evaluate(test.y_true, test.scores, ["error"], from_logits=True, by=group)
    assert found.by == "by"
    for label, part in found.groups.items():
        rows = group == label
        assert part["error"] == calkit.error(test.y_true[rows], test.scores[rows], from_logits=True)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("test", "scores"), {}, "y_proba must be left out when the first argument is a Predictions"),
        (("test", 0.5), {}, "y_proba must be left out"),
        (("test",), {"from_logits": True}, "from_logits belongs to arrays"),
        (("test", ["ece"]), {"metrics": ["nll"]}, "given twice"),
        (("labels", ["ece"]), {}, r"evaluate\(y_true, y_proba, metrics\)"),
        (("labels", "ece"), {}, r"evaluate\(y_true, y_proba, metrics\)"),
        (("labels",), {}, "must be a Predictions"),
        (("scores", "labels"), {"from_logits": True}, "y_true"),
    ],
)
def test_what_is_neither_is_one_error(test, arguments, options, message):
    known = {"test": test, "scores": test.scores, "labels": test.y_true}
    with pytest.raises(InputError, match=message):
        calkit.evaluate(*(known[a] if isinstance(a, str) and a in known else a for a in arguments), **options)


@pytest.mark.parametrize("target", [None, "classwise", "positive:class=1"])
def test_evaluations_go_from_process_to_process(test, target):
    evaluation = calkit.evaluate(test, ["ece:n_bins=7", "adaece", "smece", "brier"], target=target, by="true class")
    again = pickle.loads(pickle.dumps(evaluation))
    assert again == evaluation
    assert str(again) == str(evaluation)
    assert again.to_dict() == evaluation.to_dict()
    assert copy.deepcopy(evaluation) == evaluation


class TestGroups:
    """`by=` takes groups beside arrays and beside predictions, and heads them by what they are called."""

    def test_predictions_take_a_group_for_each_row(self, test):
        group = np.arange(test.n_samples) % 3
        named = test.replace(columns={"third": group})
        of_column = calkit.evaluate(named, ["ece", "nll"], by="third")
        found = calkit.evaluate(test, ["ece", "nll"], by=group)
        assert (found.by, of_column.by) == ("by", "third")
        assert {label: dict(own) for label, own in found.groups.items()} == {
            label: dict(own) for label, own in of_column.groups.items()
        }

    @pytest.mark.parametrize("library", ["pandas", "polars"])
    def test_a_series_heads_its_groups(self, test, library):
        group = [int(row % 2) for row in range(test.n_samples)]
        module = pytest.importorskip(library)
        series = module.Series(group, name="region") if library == "pandas" else module.Series("region", group)
        found = calkit.evaluate(test.y_true, test.scores, ["error"], from_logits=True, by=series)
        assert found.by == "region"
        assert "region = 1: " in str(found)

    def test_columns_that_all_predictions_have(self, test):
        found = calkit.evaluate(test.y_true, test.scores, ["error"], from_logits=True, by="true class")
        assert found.groups == calkit.evaluate(test, ["error"], by="true class").groups

    @pytest.mark.parametrize("function", [calkit.ece, lambda y, p, by: calkit.evaluate(y, p, ["ece"], by=by)])
    def test_arrays_have_no_named_columns(self, function):
        with pytest.raises(InputError, match="by='region' names a column, which arrays do not have"):
            function([0, 1], [0.2, 0.7], by="region")


def test_a_single_column_beside_words_needs_the_event():
    with pytest.raises(InputError, match="pos_label"):
        calkit.ece(["no", "yes"], [0.2, 0.7])
    assert calkit.ece(["no", "yes"], [0.2, 0.7], pos_label="yes") == pytest.approx(0.25)


def test_the_remedy_for_pairs_without_a_distribution_works():
    confidence, correct = np.array([0.9, 0.6, 0.7]), [1, 0, 1]
    pairs = calkit.Predictions.from_confidence(confidence, correct)
    with pytest.raises(InputError, match=r"evaluate\(correct, confidence\)"):
        calkit.evaluate(pairs, ["brier"])
    found = calkit.evaluate(correct, confidence, ["brier", "ece"])
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.09) / 3)
    assert found["ece"] == calkit.evaluate(pairs, ["ece"])["ece"]


def test_the_remedy_for_several_graders_works():
    confidence, votes = np.array([0.9, 0.6]), np.array([[1, 1, 0], [0, 1, 0]])
    with pytest.raises(InputError, match="a weight of 1 / their number"):
        calkit.Predictions.from_confidence(confidence, votes.mean(axis=1))
    rows = calkit.Predictions.from_confidence(np.repeat(confidence, 3), votes.ravel(), sample_weight=np.full(6, 1 / 3))
    # Each in a bin of its own: |0.9 - 2/3| and |0.6 - 1/3|, half of the weight each.
    assert calkit.evaluate(rows, ["ece"])["ece"] == pytest.approx((0.9 - 2 / 3 + 0.6 - 1 / 3) / 2)


@pytest.mark.parametrize("function", [calkit.evaluate, calkit.ece])
def test_a_classifier_is_told_what_to_pass(function):
    from sklearn.naive_bayes import GaussianNB

    X = np.random.default_rng(0).normal(size=(40, 2))
    y = np.where(X[:, 0] > 0, "yes", "no")
    model = GaussianNB().fit(X, y)
    with pytest.raises(InputError, match=r"\(y, model\.predict_proba\(X\)\)"):
        function(model, X) if function is calkit.ece else function(model, X, y)
    assert function(y, model.predict_proba(X), class_names=model.classes_)
    assert calkit.scorers.neg_ece(model, X, y) <= 0
