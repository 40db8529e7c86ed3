"""Labels are matched with classes by value, whatever they are spelled as; each expected number is computed by hand."""

import math

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import calkit
from calkit import Predictions, TemperatureScaling, evaluate
from calkit.errors import InputError
from calkit.labels import ClassIndex, TrueColumns, answers_match, as_class_names, as_correct, encode_labels

# Three rows of which each class named 1, 2, 3 has one: all are right; gaps are .2, .2 and .3.
NUMBERED = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.7, 0.2, 0.1]]
NUMBERED_ECE = (0.2 + 0.2 + 0.3) / 3

SPELLINGS_OF_1_2_1 = {
    "int": [1, 2, 1],
    "numpy": np.array([1, 2, 1], np.int16),
    "unsigned": np.array([1, 2, 1], np.uint64),
    "float": [1.0, 2.0, 1.0],
    "text": ["1", "2", "1"],
    "text of floats": ["1.0", "2.0", "1.0"],
    "fixed text": np.array(["1", "2", "1"]),
    "bytes": np.array([b"1", b"2", b"1"]),
    "objects": np.array([1, "2", 1.0], dtype=object),
    "column": np.array([[1], [2], [1]]),
    "pandas": pd.Series([1, 2, 1]),
    "pandas text": pd.Series(["1", "2", "1"]),
    "nullable": pd.Series([1, 2, 1], dtype="Int64"),
    "categorical": pd.Series([1, 2, 1], dtype="category"),
    "categorical text": pd.Categorical(["1", "2", "1"], categories=["3", "2", "1"]),
    "polars": pl.Series([1, 2, 1]),
    "polars text": pl.Series(["1", "2", "1"]),
    "polars categorical": pl.Series(["1", "2", "1"], dtype=pl.Categorical),
    "polars enum": pl.Series(["1", "2", "1"], dtype=pl.Enum(["3", "2", "1"])),
    "arrow": pa.array([1, 2, 1]),
    "arrow text": pa.array(["1", "2", "1"]),
    "arrow chunks": pa.chunked_array([["1"], ["2", "1"]]),
    "arrow dictionary": pa.array(["1", "2", "1"]).dictionary_encode(),
    "arrow dictionary chunks": pa.chunked_array([pa.array(["1", "2", "1"]).dictionary_encode()]),
    "one-hot": [[1, 0, 0], [0, 1, 0], [1, 0, 0]],
    "one-hot frame": pd.DataFrame({3: [0, 0, 0], 2: [0, 1, 0], 1: [1, 0, 1]}),
}


@pytest.mark.parametrize("names", [[1, 2, 3], ["1", "2", "3"], np.array([1, 2, 3]), [1.0, 2.0, 3.0], (b"1", 2, "3")])
@pytest.mark.parametrize("spelling", SPELLINGS_OF_1_2_1)
def test_numbers_are_names_where_classes_are_named_by_numbers(spelling, names):
    y = SPELLINGS_OF_1_2_1[spelling]
    assert calkit.accuracy(y, NUMBERED, class_names=names) == 1
    assert calkit.ece(y, NUMBERED, class_names=names) == pytest.approx(NUMBERED_ECE)
    if spelling == "one-hot":
        return  # has no names to be matched by
    shuffled = [2, 0, 1]
    renamed = [as_class_names(names)[i] for i in shuffled]
    assert calkit.accuracy(y, np.array(NUMBERED)[:, shuffled], class_names=renamed) == 1


def test_minus_one_and_one():
    scores, y = [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [-1, 1, 1]
    for names in ([-1, 1], ["-1", "1"], np.array([-1.0, 1.0])):
        assert calkit.accuracy(y, scores, class_names=names) == pytest.approx(2 / 3)
        assert calkit.accuracy(["-1", "1", "1"], scores, class_names=names) == pytest.approx(2 / 3)
    with pytest.raises(InputError, match=r"row 0 is -1.*class_names"):
        calkit.accuracy(y, scores)


def test_twelve_classes_spelled_as_text_are_not_sorted():
    y = np.arange(12)
    for labels in (y.astype(str), list(map(str, y)), [f"{k}.0" for k in y]):
        assert calkit.accuracy(labels, np.eye(12)) == 1
        assert calkit.accuracy(labels, np.eye(12), class_names=y) == 1
    order = np.argsort(y.astype(str))
    assert calkit.accuracy(y.astype(str), np.eye(12)[:, order], class_names=y.astype(str)[order]) == 1


@pytest.mark.parametrize(
    "labels", [[False, True], ["False", "True"], ["false", "TRUE"], [0, 1], ["0", "1"], [0.0, 1.0]]
)
@pytest.mark.parametrize("names", [None, [False, True], ["False", "True"], ["false", "true"], [0, 1], ["0", "1"]])
def test_truth_values_are_0_and_1_where_the_classes_are(labels, names):
    assert calkit.accuracy(labels, [[0.9, 0.1], [0.2, 0.8]], class_names=names) == 1
    if names is not None:
        assert calkit.accuracy(labels, [[0.1, 0.9], [0.8, 0.2]], class_names=names[::-1]) == 1


def test_truth_values_among_other_words_are_words():
    names = ["True", "Neither", "False"]
    for labels in (["False", "True", "Neither"], [False, True, "Neither"], np.array([False, True, "Neither"], object)):
        assert encode_labels(labels, 3, names).column.tolist() == [2, 0, 1]
    # Numbers can only be positions there.
    assert encode_labels([2, 0, 1], 3, names).column.tolist() == [2, 0, 1]
    with pytest.raises(InputError, match="True in row 0"):
        encode_labels([True, False], 2, ["yes", "no"])


def test_words_need_names():
    logits, labels = 3 * np.eye(4), ["World", "Sports", "Business", "Sci/Tech"]
    assert calkit.accuracy(labels, logits, from_logits=True, class_names=labels) == 1
    with pytest.raises(InputError, match=r"'World' in row 0.*Pass class_names .--class-names., one name per column"):
        calkit.accuracy(labels, logits, from_logits=True)
    # Where no name is a number, numbers are positions.
    assert calkit.accuracy([0, 1, 2, 3], logits, from_logits=True, class_names=labels) == 1


def test_labels_that_count_from_1():
    assert Predictions(NUMBERED, [1, 2, 1], kind="probs", labels_from=1).y_true.tolist() == [0, 1, 0]
    assert encode_labels(["1", "3"], 3, labels_from=1).column.tolist() == [0, 2]
    assert encode_labels([1, 3], 3, ["a", "b", "c"], labels_from=1).column.tolist() == [0, 2]
    for wrong in ([0, 1], [1, 4], ["0"]):
        with pytest.raises(InputError, match="row"):
            encode_labels(wrong, 3, labels_from=1)
    with pytest.raises(InputError, match="labels_from=1 is for classes without names"):
        encode_labels([1, 2], 3, [1, 2, 3], labels_from=1)


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([4], [1, 2, 3], r"y_true holds 4 in row 0, which is not one of the classes 1, 2, 3"),
        ([1, 0], [1, 2, 3], "y_true holds 0 in row 1"),
        (["a", "z"], ["a", "b", "c"], "'z' in row 1"),
        ([1.5], [1, 2, 3], "1.5"),
        ([0, 0.5], None, "row 1 is 0.5, which is no whole number"),
        ([0, None], None, "row 1 is missing"),
        ([0, math.nan], None, "row 1 is missing"),
        (pd.Series([0, None], dtype="Int64"), None, "row 1 is missing"),
        (pd.Series(["1", None]), [1, 2, 3], "row 1 is missing"),
        (pl.Series([0, None]), None, "row 1 is missing"),
        (pa.array(["1", None]), [1, 2, 3], "row 1 is missing"),
        ([1], [1, "1", 2], "are one label"),
        ([1], [1, 1.0, 2], "more than once"),
        ([1], ["1", "1.0", 2], "are one label"),
        ([1], [True, "true"], "are one label|entries"),
        ([1], [1, 2], "2 entries"),
        ([1], [1, None, 2], "missing"),
        ([1], "123", "must be a sequence"),
        ([[0.5, 0.2, 0.2]], None, "row 0 is"),
        ([[1, 1, 0]], None, "row 0 is"),
        ([[0, 0, 0]], None, "row 0 is"),
        ([[-0.5, 1.0, 0.5]], None, "row 0 is"),
        ([[math.nan, 1.0, 0.0]], None, "row 0 is"),
        (pd.DataFrame({"b": [0], "a": [1], "z": [0]}), ["a", "b", "c"], "Name the columns of both alike"),
        (pd.DataFrame({"b": [0], "a": [1], "c": [0]}), None, "Name the columns of both alike"),
    ],
)
def test_one_clear_error(labels, names, message):
    with pytest.raises(InputError, match=message):
        encode_labels(labels, 3, names)


def test_the_classes_keep_their_values():
    for names in ([1, 2, 3], ("a", "b", "c"), [-1.5, 0, "x"]):
        assert Predictions(NUMBERED, None, kind="probs", class_names=names).class_names == tuple(names)
    fitted = TemperatureScaling().fit_predictions(
        Predictions(np.log(NUMBERED), [1, 3, 1], kind="logits", class_names=[1, 2, 3])
    )
    assert fitted.classes_.tolist() == [1, 2, 3]
    assert fitted.predict(np.log(NUMBERED)).tolist() == [1, 2, 1]


FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.table}


@pytest.mark.parametrize("frame", FRAMES)
class TestFrames:
    def test_columns_are_classes(self, frame):
        columns = {"spam": [0.9, 0.2, 0.8, 0.7], "eggs": [0.1, 0.8, 0.2, 0.3]}
        labels = ["spam", "eggs", "spam", "spam"]
        assert calkit.accuracy(labels, FRAMES[frame](columns)) == 1
        assert calkit.accuracy(labels, FRAMES[frame](dict(reversed(columns.items())))) == 1
        p = Predictions(FRAMES[frame](columns), labels, kind="probs")
        assert p.class_names == ("spam", "eggs")
        assert evaluate(p, ["accuracy"])["accuracy"] == 1

    def test_columns_named_by_numbers(self, frame):
        columns = {str(k): np.eye(12)[:, k] for k in sorted(range(12), key=str)}
        assert calkit.accuracy(np.arange(12), FRAMES[frame](columns)) == 1
        assert calkit.accuracy(np.arange(12).astype(str), FRAMES[frame](columns)) == 1

    @pytest.mark.parametrize("title", ["prob_{}", "p{}", "val_softmax_{}", "y_proba.{}", "prob_class_{}", "{}"])
    def test_words_for_scores_are_no_part_of_the_class(self, frame, title):
        columns = {title.format(k): np.eye(12)[:, k] for k in sorted(range(12), key=str)}
        for labels in (np.arange(12), np.arange(12).astype(str)):
            assert calkit.accuracy(labels, FRAMES[frame](columns)) == 1
        for chosen in ([title.format(k) for k in (3, 11)], [3, 11]):
            p = Predictions(FRAMES[frame](columns), kind="probs", class_names=chosen)
            np.testing.assert_array_equal(p.scores, np.eye(12)[:, [3, 11]])

    def test_class_names_choose_columns_by_name(self, frame):
        columns = {"id": [7, 8], "b": [0.2, 0.9], "a": [0.8, 0.1]}
        assert calkit.accuracy(["a", "b"], FRAMES[frame](columns), class_names=["a", "b"]) == 1
        with pytest.raises(InputError, match="'c', but the columns of the scores are named"):
            calkit.accuracy(["a", "b"], FRAMES[frame](columns), class_names=["a", "c"])
        with pytest.raises(InputError, match=r"\['id'\] of the scores are not named as those of the classes"):
            calkit.accuracy(["a", "b"], FRAMES[frame](columns))

    def test_other_columns_are_refused(self, frame):
        columns = {"prob_a": [0.8, 0.1], "prob_b": [0.2, 0.9], "label": [0, 1]}
        with pytest.raises(InputError, match=r"the columns \['label'\] of the scores are not named as those"):
            calkit.accuracy(["a", "b"], FRAMES[frame](columns))
        assert calkit.accuracy(["a", "b"], FRAMES[frame](columns), class_names=["a", "b"]) == 1

    def test_one_hot_frames_are_matched_by_name(self, frame):
        scores = FRAMES[frame]({"b": [0.2, 0.9], "a": [0.8, 0.1]})
        truth = FRAMES[frame]({"a": [1, 0], "b": [0, 1]})
        assert calkit.accuracy(truth, scores) == 1

    def test_a_missing_score_is_named(self, frame):
        with pytest.raises(InputError, match="row 1"):
            calkit.accuracy([0, 1], FRAMES[frame]({"0": [0.5, None], "1": [0.5, 0.5]}))

    def test_text_among_the_scores_is_named(self, frame):
        with pytest.raises(InputError, match="real numbers"):
            calkit.accuracy([0, 1], FRAMES[frame]({"0": ["x", "y"], "1": [0.5, 0.5]}))


def test_frames_without_names_are_arrays():
    assert calkit.accuracy([0, 1], pd.DataFrame([[0.9, 0.1], [0.2, 0.8]])) == 1
    assert Predictions(pd.DataFrame(np.eye(2)), [0, 1], kind="probs").class_names is None
    assert calkit.accuracy([1, 0], pd.DataFrame({1: [0.9, 0.2], 0: [0.1, 0.8]})) == 1


class TestObjects:
    class Wrapped:
        """Knows nothing but ``__array__``."""

        def __init__(self, values):
            self.values = values

        def __array__(self, dtype=None, copy=None):
            return np.asarray(self.values, dtype=dtype)

    def test_only_array(self):
        y, p = self.Wrapped([0, 1]), self.Wrapped([[0.9, 0.1], [0.2, 0.8]])
        assert calkit.accuracy(y, p, sample_weight=self.Wrapped([1.0, 2.0])) == 1

    def test_objects_that_are_numbers(self):
        scores = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=object)
        assert calkit.accuracy(np.array([0, 1], object), scores, sample_weight=np.array([1, 2], object)) == 1
        scores[1, 0] = None
        with pytest.raises(InputError, match="row 1 holds"):
            calkit.accuracy([0, 1], scores)
        nullable = pd.DataFrame({"0": pd.array([0.9, pd.NA], "Float64"), "1": pd.array([0.1, 0.8], "Float64")})
        with pytest.raises(InputError, match="row 1 holds"):
            calkit.accuracy([0, 1], nullable)
        assert calkit.accuracy([0, 1], nullable.fillna(0.2)) == 1

    @pytest.mark.parametrize(
        "correct",
        [
            [True, False],
            np.array([True, False], object),
            [1, 0],
            [1.0, 0.0],
            ["yes", "no"],
            pd.Series(["yes", "no"]),
            pd.Series(["Yes", "No"], dtype="category"),
            pd.Series([True, False], dtype="boolean"),
            pl.Series([True, False]),
            pa.array([True, False]),
            ["True", "False"],
            ["correct", "incorrect"],
            [[1], [0]],
        ],
    )
    def test_correct(self, correct):
        assert as_correct(correct).tolist() == [1, 0]
        assert evaluate(Predictions.from_confidence([0.9, 0.2], correct), ["accuracy"])["accuracy"] == 0.5

    @pytest.mark.parametrize(
        "correct",
        [
            [True, None],
            pd.Series([True, pd.NA], dtype="boolean"),
            pd.Series(["yes", None]),
            pl.Series([True, None]),
            pa.array([True, None]),
            [1, 2],
            [1, math.nan],
            ["yes", "perhaps"],
            [True, "perhaps"],
        ],
    )
    def test_what_is_neither_right_nor_wrong_is_named(self, correct):
        with pytest.raises(InputError, match="but row 1 is"):
            Predictions.from_confidence([0.9, 0.2], correct)


def test_answers_are_compared_by_value():
    assert answers_match(["1", "2"], [1, 3]).tolist() == [True, False]
    assert answers_match([True, False], ["True", "true"]).tolist() == [True, False]
    assert answers_match(["a", "b"], pd.Series(["a", "c"], dtype="category")).tolist() == [True, False]
    with pytest.raises(InputError, match="of different types: 'A' and 0"):
        answers_match(["A", "B"], [0, 1])
    with pytest.raises(InputError, match="missing in row 1"):
        answers_match(["A", "B"], ["A", None])
    with pytest.raises(InputError, match="2 true labels, but 1 predicted"):
        answers_match(["A", "B"], ["A"])


class TestLeftOut:
    @pytest.mark.parametrize(
        ("labels", "ignore"),
        [
            ([0, -100, 1], -100),
            (["0", "-100", "1"], -100),
            (np.array([0, 255, 1], np.uint8), 255),
            ([0, math.nan, 1], math.nan),
            ([0, None, 1], None or math.nan),
            (pd.Series([0, None, 1], dtype="Int64"), math.nan),
            (["0", "unknown", "1"], "unknown"),
            (["0", "unknown", "1"], ["other", "unknown"]),
        ],
    )
    def test_rows_with_such_labels_count_as_absent(self, labels, ignore):
        scores = [[0.9, 0.1], [0.0, 1.0], [0.7, 0.3]]
        p = Predictions(scores, labels, kind="probs", ignore_label=ignore)
        assert p.sample_weight.tolist() == [1, 0, 1]
        # The row that is left is wrong with .7: |.9 - 1| and |.7 - 0|.
        assert evaluate(p, ["ece"])["ece"] == pytest.approx((0.1 + 0.7) / 2)

    def test_with_weights_and_names(self):
        p = Predictions(
            np.eye(3),
            ["a", "?", "c"],
            kind="probs",
            sample_weight=[2, 3, 4],
            class_names=["a", "b", "c"],
            ignore_label="?",
        )
        assert p.sample_weight.tolist() == [2, 0, 4]
        assert p.take([1, 2]).sample_weight.tolist() == [0, 4]

    def test_not_unless_asked(self):
        with pytest.raises(InputError, match=r"row 1 is -100.*ignore_label"):
            Predictions(np.eye(2), [0, -100], kind="probs")
        with pytest.raises(InputError, match="every row has a label to be left out"):
            evaluate(Predictions(np.eye(2), [7, 7], kind="probs", ignore_label=7), ["ece"])


class TestClassAxis:
    @pytest.mark.parametrize("axis", [1, -3])
    def test_pixels(self, axis):
        rng = np.random.default_rng(0)
        logits = rng.standard_normal((4, 3, 5, 6))
        y = rng.integers(0, 3, (4, 5, 6))
        y[0, 0] = 255
        p = Predictions(logits, y, kind="logits", class_axis=axis, ignore_label=255, sample_weight=np.ones(y.shape))
        flat = np.moveaxis(logits, 1, -1).reshape(-1, 3)
        keep = y.reshape(-1) != 255
        assert p.n_samples == 120
        assert np.shares_memory(p.scores[3:9], logits)
        for rows in (slice(None), slice(25, 95), slice(29, 31), slice(0, 120, 7), np.arange(120)[::-3], slice(5, 5)):
            np.testing.assert_array_equal(p.scores[rows], flat[rows])
        expected = evaluate(Predictions(flat[keep], y.reshape(-1)[keep], kind="logits"))
        found = evaluate(p)
        for spec, value in expected.items():
            assert found[spec] == pytest.approx(value, rel=1e-12, nan_ok=True), spec

    def test_tokens_and_soft_labels(self):
        rng = np.random.default_rng(1)
        logits = rng.standard_normal((4, 7, 3))
        votes = rng.dirichlet(np.ones(3), (4, 7))
        p = Predictions(logits, votes, kind="logits", class_axis=-1)
        flat = Predictions(logits.reshape(-1, 3), votes.reshape(-1, 3), kind="logits")
        assert np.shares_memory(p.scores[:], logits)
        assert evaluate(p, ["nll"])["nll"] == evaluate(flat, ["nll"])["nll"]

    def test_blocks_of_any_size(self):
        logits = np.arange(2 * 3 * 10.0).reshape(2, 3, 10)
        p = Predictions(logits, np.zeros((2, 10), int), kind="logits", class_axis=1)
        whole = np.concatenate([block.scores for block in p.blocks(3)])
        np.testing.assert_array_equal(whole, logits.transpose(0, 2, 1).reshape(-1, 3))

    def test_errors(self):
        with pytest.raises(InputError, match="class_axis"):
            Predictions(np.zeros((2, 3, 4)), np.zeros((2, 4), int), kind="logits")
        with pytest.raises(InputError, match="class_axis is 3"):
            Predictions(np.zeros((2, 3, 4)), np.zeros((2, 4), int), kind="logits", class_axis=3)
        with pytest.raises(InputError, match=r"y_true must have shape \(2, 4\)"):
            Predictions(np.zeros((2, 3, 4)), np.zeros((2, 5), int), kind="logits", class_axis=1)


class TestWithoutLabels:
    def test_they_are_calibrated_and_not_measured(self):
        fitted = TemperatureScaling().fit([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0, 1, 1])
        new = Predictions([[2.0, 0.0], [0.0, 1.0]], kind="logits", columns={"id": ["x", "y"]})
        after = fitted.apply(new, kind="probs")
        assert after.y_true is None
        assert after.columns["id"].tolist() == ["x", "y"]
        np.testing.assert_allclose(after.scores[:], fitted.predict_proba([[2.0, 0.0], [0.0, 1.0]]))
        for refused in (lambda: evaluate(new), lambda: TemperatureScaling().fit_predictions(new), new.require_labels):
            with pytest.raises(InputError, match="have no labels.*pass y_true"):
                refused()

    def test_columns_travel(self):
        p = Predictions(
            np.eye(3), [0, 1, 2], kind="probs", columns={"id": list("abc"), "n": [1, 2, 3]}, sample_weight=[1, 0, 1]
        )
        assert p.take([2, 0]).columns["id"].tolist() == ["c", "a"]
        (block,) = p.blocks()
        assert block.columns["n"].tolist() == [1, 3]
        assert p.replace(kind="probs").columns["n"].tolist() == [1, 2, 3]
        with pytest.raises(InputError, match=r"columns\['id'\] must have shape \(3,\)"):
            Predictions(np.eye(3), [0, 1, 2], kind="probs", columns={"id": [1]})


def test_true_columns_need_no_names():
    y = TrueColumns(np.array([0, 2, 1]))
    p = Predictions(NUMBERED, y, kind="probs", class_names=[3, 2, 1])
    assert p.y_true.tolist() == [0, 2, 1]
    assert p.named_labels.tolist() == [3, 1, 2]
    assert p.take([1]).y_true.tolist() == [2]
    assert p.replace(class_names=["x", "y", "z"]).y_true.tolist() == [0, 2, 1]
    with pytest.raises(InputError, match=r"0\.\.2 .*row 1 is 3"):
        Predictions(NUMBERED, TrueColumns(np.array([0, 3, 1])), kind="probs")


def test_a_single_column_stays_one():
    for scores in ([0.2, 0.9], [[0.2], [0.9]]):
        p = Predictions(scores, [0, 1], kind="probs")
        assert p.one_column
        assert p.logits().one_column
        assert p.take([0]).one_column
        (block,) = p.blocks()
        assert block.one_column
        assert block.scores.shape == (2, 2)
    assert not Predictions([[0.2, 0.8]], [0], kind="probs").one_column
    assert not Predictions.from_confidence([0.2], [0]).one_column


def test_class_index_is_the_rule():
    index = ClassIndex(["7", 8, True], 3)
    assert [index.find(x) for x in (7, 7.0, "7", b"7", 8, "True", True, "seven", 2)] == [
        0,
        0,
        0,
        0,
        1,
        2,
        2,
        None,
        None,
    ]


def test_names_as_mappings_of_a_model():
    for names in ({0: "a", 1: "b", 2: "c"}, {"2": "c", "0": "a", "1": "b"}, {"b": 1, "a": 0, "c": 2}):
        assert as_class_names(names) == ("a", "b", "c")
    assert as_class_names({1: 0, 0: 1}) == (1, 0)
    with pytest.raises(InputError, match=r"must map the columns 0\.\.1"):
        as_class_names({1: "a", 2: "b"})


def test_multi_label_frames_are_matched_by_name():
    p = pd.DataFrame({"red": [0.9, 0.2], "big": [0.3, 0.8]})
    y = pd.DataFrame({"big": [0, 1], "red": [1, 0]})
    expected = calkit.brier([[1, 0], [0, 1]], p.to_numpy(), target="multilabel")
    assert calkit.brier(y, p, target="multilabel") == expected


def test_a_single_column_is_that_of_class_1():
    y, p = [0, 1, 1], np.array([0.2, 0.9, 0.4])
    for title in ("prob_1", "score", "p_True", "prob_spam"):
        assert calkit.brier(y, pd.DataFrame({title: p})) == calkit.brier(y, p)
    for title in ("prob_0", "p_False"):
        with pytest.raises(InputError, match="forecast of class 1"):
            calkit.brier(y, pd.DataFrame({title: p}))


def test_pairs_may_leave_rows_out():
    p = Predictions([0.9, 0.5, 0.2], ["yes", "unknown", "no"], kind="confidence", ignore_label="unknown")
    assert p.sample_weight.tolist() == [1, 0, 1]
    assert evaluate(p, ["accuracy"])["accuracy"] == 0.5
    with pytest.raises(InputError, match="ignore_label is for one label per row"):
        Predictions(np.eye(2), np.eye(2), kind="probs", ignore_label=0)


def test_a_tensor_without_numbers():
    torch = pytest.importorskip("torch")
    for y, p in (([0, 1], torch.zeros(2, 2, device="meta")), (torch.zeros(2, device="meta"), np.eye(2))):
        with pytest.raises(InputError, match="meta device"):
            calkit.accuracy(y, p)


def test_batches_of_frames_are_matched_by_name():
    """Sums of each class go on where the columns of a batch are in another order."""
    probs = np.random.default_rng(0).dirichlet(np.ones(3), 60)
    y = np.random.default_rng(1).integers(0, 3, 60)
    names = np.array(["a", "b", "c"])
    frame = pd.DataFrame(probs, columns=names)
    expected = calkit.evaluate(Predictions(probs, y, kind="probs"), ["classwise_ece", "nll"])
    stream = calkit.StreamingEvaluation(["classwise_ece", "nll"], kind="probs")
    stream.update(frame[:20], names[y[:20]])
    stream.update(frame[["c", "a", "b"]][20:40], names[y[20:40]])
    stream.update(pl.DataFrame(frame[["b", "c", "a"]][40:]), names[y[40:]])
    assert stream.class_names == ("a", "b", "c")
    for spec, value in expected.items():
        assert stream.result()[spec] == pytest.approx(value, rel=1e-12)
    unnamed = calkit.StreamingEvaluation(["nll"], kind="probs").update(probs, y)
    with pytest.raises(InputError, match="the classes are"):
        unnamed.update(frame, names[y])
    numbered = unnamed.update(pd.DataFrame({str(k): probs[:, k] for k in (2, 0, 1)}), y)
    assert numbered.result()["nll"] == pytest.approx(expected["nll"], rel=1e-12)


@pytest.mark.parametrize("names", [[1, 2, 3], ["1", "2", "3"], [3, 2, 1]])
@pytest.mark.parametrize("spelled", ["2", "2.0"])
def test_targets_name_classes_by_value(names, spelled):
    order = [names.index(name) for name in ([1, 2, 3] if isinstance(names[0], int) else ["1", "2", "3"])]
    p = Predictions(np.array(NUMBERED)[:, np.argsort(order)], [1, 2, 1], kind="probs", class_names=names)
    # Of class 2: forecasts .1, .8, .2 of events that did not happen, did, and did not.
    spec = f"brier:target=positive:class={spelled}"
    assert evaluate(p, [spec])[spec] == pytest.approx((0.01 + 0.04 + 0.04) / 3)
    with pytest.raises(InputError, match="there is no class"):
        evaluate(p, ["brier:target=positive:class=0"])


@pytest.mark.parametrize("names", [[0.5, 1.5, 2.5], ["0.5", "1.5", "2.5"], [0.5, 1.0, 1.5], ["a", "b", "c"]])
def test_labels_with_decimals_are_names_too(names):
    for labels in (names, np.array(names), [str(name) for name in names]):
        assert encode_labels(labels, 3, names).column.tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="2.25 in row 0|which is no whole number"):
        encode_labels([2.25], 3, names)
    with pytest.raises(InputError, match="the label of row 1 is missing"):
        encode_labels([0.5 if "a" not in names else 1, float("nan")], 3, names)


@pytest.mark.parametrize("names", [["no", "yes"], ["cat", "dog"]])
def test_the_remedies_for_truth_values_beside_other_names_work(names):
    probs, labels = np.array([[0.1, 0.9], [0.8, 0.2], [0.4, 0.6]]), [True, False, False]
    with pytest.raises(InputError, match="by these names, or as 0 for the first class and 1 for the second"):
        Predictions(probs, labels, kind="probs", class_names=names)
    for remedy in ([names[label] for label in labels], [int(label) for label in labels]):
        found = evaluate(Predictions(probs, remedy, kind="probs", class_names=names), ["accuracy"])
        assert found["accuracy"] == pytest.approx(2 / 3)
