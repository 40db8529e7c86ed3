"""Data in memory are taken as files are: by the names of their columns."""

import numpy as np
import pytest

import calkit
from calkit.errors import CalkitError, InputError

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

P = np.array([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4], [0.1, 0.9]])
COLUMNS = {
    "id": [4, 3, 2, 1],
    "prob_cat": P[:, 0].tolist(),
    "prob_dog": P[:, 1].tolist(),
    "label": ["cat", "cat", "dog", "dog"],
    "region": ["n", "n", "s", "s"],
}
RECORDS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
SOURCES = {
    "pandas": pd.DataFrame(COLUMNS),
    "pandas, categorical": pd.DataFrame(COLUMNS).astype({"label": "category"}),
    "pandas, nullable": pd.DataFrame(COLUMNS).convert_dtypes(),
    "polars": pl.DataFrame(COLUMNS),
    "arrow": pa.table(COLUMNS),
    "lists by name": COLUMNS,
    "arrays by name": {name: np.array(values) for name, values in COLUMNS.items()},
    "records": RECORDS,
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_sources_agree_with_arrays(source):
    found = calkit.load_predictions(source, columns="all")
    assert found.class_names == ("cat", "dog")
    assert found.kind == "probs"
    np.testing.assert_array_equal(np.asarray(found.scores), P)
    assert "file" not in found.meta
    assert calkit.evaluate(found, ["ece"])["ece"] == calkit.ece([0, 0, 1, 1], P)
    groups = calkit.evaluate(found, ["accuracy"], by="region").groups
    assert {label: group["accuracy"] for label, group in groups.items()} == {"n": 0.5, "s": 0.5}


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table, dict], ids=lambda make: make.__module__)
def test_lists_in_cells_are_rows_of_scores(make):
    source = make({"logits": [[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]], "labels": [1, 2]})
    found = calkit.load_predictions(source)
    assert found.kind == "logits"
    assert found.shape == (2, 3) if hasattr(found, "shape") else np.asarray(found.scores).shape == (2, 3)
    assert calkit.evaluate(found, ["accuracy"])["accuracy"] == 1.0


def test_arrays_of_a_dictionary_may_have_splits():
    rng = np.random.default_rng(0)
    arrays = {f"{split}_logits": rng.normal(size=(5, 3)) for split in ("val", "test")}
    arrays |= {f"{split}_labels": rng.integers(0, 3, 5) for split in ("val", "test")}
    for split, short in (("validation", "val"), ("test", "test")):
        found = calkit.load_predictions(arrays, split=split)
        np.testing.assert_array_equal(np.asarray(found.scores), arrays[f"{short}_logits"])


def test_options_name_columns():
    frame = pd.DataFrame({"yes": [0.2, 0.9], "no": [0.8, 0.1], "truth": ["no", "yes"]})
    found = calkit.load_predictions(frame, scores="no,yes", labels="truth", kind="probs")
    assert calkit.evaluate(found, ["accuracy"])["accuracy"] == 1.0


def test_missing_label_is_said():
    frame = pd.DataFrame({**COLUMNS, "label": ["cat", None, "dog", "dog"]})
    with pytest.raises(CalkitError, match=r"the data: y_true: the label of row 1 is missing"):
        calkit.load_predictions(frame)
    assert calkit.load_predictions(frame, ignore_label=float("nan")).class_names == ("cat", "dog")


@pytest.mark.parametrize("source", [np.eye(3), [1, 2], pd.DataFrame(P), 7, [], None])
def test_what_has_no_names_is_refused(source):
    with pytest.raises(InputError, match=r"arrays by name.*calkit\.Predictions\(scores, y_true"):
        calkit.load_predictions(source)


def test_a_column_of_objects_matters_only_if_it_is_needed():
    frame = pd.DataFrame({**COLUMNS, "extra": [object()] * 4})
    assert calkit.load_predictions(frame).n_samples == 4
    with pytest.raises(CalkitError, match=r"the data:extra holds values of type object"):
        calkit.load_predictions(frame, labels="extra")


def test_a_frame_given_to_evaluate_is_told_the_way():
    with pytest.raises(InputError, match=r"calkit\.load_predictions\(frame\)"):
        calkit.evaluate(SOURCES["pandas"])


def test_answers_and_truth_of_a_language_model_are_both_asked_for():
    frame = pd.DataFrame({"answer": ["a", "b"], "truth": ["a", "a"], "confidence": [0.9, 0.4]})
    with pytest.raises(CalkitError, match=r"say so too: predicted='NAME' \(--predicted NAME\)"):
        calkit.load_predictions(frame)
    found = calkit.load_predictions(frame, labels="truth", predicted="answer")
    assert calkit.evaluate(found, ["accuracy"])["accuracy"] == 0.5


def test_the_remedy_for_graded_answers_works():
    grade, confidence = np.array([0.46, 0.9, 0.0, 1.0]), np.array([0.5, 0.8, 0.2, 0.9])
    with pytest.raises(InputError, match=r"np\.column_stack\(\[1 - grade, grade\]\), confidence"):
        calkit.load_predictions({"correct": grade, "confidence": confidence})
    with pytest.raises(InputError, match="Labels come first, then scores; shares of labels"):
        calkit.evaluate(grade, confidence)
    found = calkit.evaluate(np.column_stack([1 - grade, grade]), confidence, ["ece:n_bins=10"])
    assert found["ece:n_bins=10"] == pytest.approx(np.abs(grade - confidence).mean(), abs=1e-12)


def test_the_remedy_for_a_calibrator_of_two_classes_works():
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(60, 3)), rng.integers(0, 3, 60)
    with pytest.raises(InputError, match="'one-vs-rest:calibrator=platt'"):
        calkit.calibrators.get_calibrator("platt").fit(logits, y)
    assert calkit.calibrators.get_calibrator("one-vs-rest:calibrator=platt").fit(logits, y).predict_proba(
        logits
    ).shape == (60, 3)
