"""Scores written as words: percentages are read where it is said, and what is no number is named with its row."""

import numpy as np
import pytest

import calkit
from calkit.errors import InputError, UsageError


@pytest.fixture
def written(tmp_path):
    def write(*words, name="pairs.csv"):
        path = tmp_path / name
        path.write_text("confidence,correct\n" + "".join(f"{word},{i % 2}\n" for i, word in enumerate(words)))
        return path

    return write


@pytest.mark.parametrize("words", [("90%", "85 %", "7.5%"), ("90", "85", "7.5"), ("90%", "85", "7.5 %")])
def test_percentages(written, words):
    found = calkit.load_predictions(written(*words), percent=True)
    np.testing.assert_array_equal(np.asarray(found.scores), np.array([90, 85, 7.5]) / 100)
    assert found.y_true.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (("90%", "85%"), {}, r"row 0 holds '90%'. Percentages are read with percent=True \(--percent\)"),
        (("90%", "unsure"), {"percent": True}, "row 1 holds 'unsure'"),
        (("0.9", "unsure"), {}, "row 1 holds 'unsure'"),
        (("0.9", ""), {}, "row 1 is empty. Remove the row"),
    ],
)
def test_what_is_no_number_is_named(written, words, options, message):
    with pytest.raises(InputError, match=message):
        calkit.load_predictions(written(*words), **options)


def test_labels_of_a_split_beside_scores_of_none(tmp_path):
    np.savez(tmp_path / "sklearn.npz", y_pred_proba=[[0.2, 0.8], [0.7, 0.3]], y_test=[1, 0])
    with pytest.raises(
        UsageError, match="the labels 'y_test' are named as those of a split, and the scores as of none"
    ):
        calkit.load_predictions(tmp_path / "sklearn.npz")
    found = calkit.load_predictions(tmp_path / "sklearn.npz", labels="y_test")
    assert found.y_true.tolist() == [1, 0]
