"""Logs of language models: the options of each question, in its own order and number."""

import json
import warnings

import numpy as np
import pytest
from scipy.special import log_softmax

import calkit
from calkit.errors import CalibrationWarning, CalkitError, FileFormatError, InputError
from calkit.io import load_predictions

OPTIONS = ["True", "Neither", "False"]
TARGETS = ["True", "Neither", "False", "True"]


def scores(right, n_options=3):
    """Log-likelihoods of which those of the right option are the largest."""
    return [-0.5 if place == right else -2.0 - place for place in range(n_options)]


def arguments(form, options):
    if form == "pairs":
        return {"arguments": [["Is it?", f" {option}"] for option in options]}
    if form == "numbered":
        return {
            "arguments": {f"gen_args_{k}": {"arg_0": "Is it?", "arg_1": f" {o}"} for k, o in enumerate(options)},
        }
    if form == "doc/choices":
        return {"doc": {"choices": options, "answer": "?"}}
    if form == "doc/choices/text":
        return {"doc": {"choices": {"text": options, "label": ["A", "B", "C", "D", "E"][: len(options)]}}}
    return {form: options}


FORMS = ["pairs", "numbered", "doc/choices", "doc/choices/text", "doc_to_choice", "choices", "options"]


def record(number, target, options, form, right=None):
    """A record as the LM evaluation harness writes it (--log_samples)."""
    right = options.index(target) if right is None else right
    judged = [[str(value), "False"] for value in scores(right, len(options))]
    return {"doc_id": number, "target": target, **arguments(form, options), "filtered_resps": judged, "acc": 1.0}


def write(path, records):
    path.write_text("\n".join(map(json.dumps, records)) if path.suffix == ".jsonl" else json.dumps(records))
    return path


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@pytest.mark.parametrize("form", FORMS)
def test_the_order_stands_in_the_record(tmp_path, form, suffix):
    records = [record(i, target, OPTIONS, form) for i, target in enumerate(TARGETS)]
    p = load_predictions(write(tmp_path / f"a{suffix}", records))
    # By sorted order False would be the first: 25 % instead of 100 %.
    assert p.y_true.tolist() == [0, 1, 2, 0]
    assert calkit.evaluate(p, ["accuracy"])["accuracy"] == 1.0


@pytest.mark.parametrize("form", FORMS)
def test_each_question_has_options_of_its_own(tmp_path, form):
    records = [
        record(0, "red", ["red", "green", "blue"], form),
        record(1, "four", ["one", "two", "three", "four", "five"], form),
        record(2, "no", ["yes", "no"], form),
        # The place is as good as the word, as number or as text.
        record(3, "1", ["up", "down"], form, right=1),
        record(4, 0, ["left", "right"], form, right=0),
    ]
    p = load_predictions(write(tmp_path / "a.jsonl", records))
    assert p.y_true.tolist() == [0, 3, 1, 1, 0]
    # By hand: the mean, over records, of the log-softmax over the record's own options.
    own = [scores(right, n) for right, n in zip([0, 3, 1, 1, 0], [3, 5, 2, 2, 2], strict=True)]
    nll = -np.mean([log_softmax(row)[right] for row, right in zip(own, p.y_true, strict=True)])
    found = calkit.evaluate(p, ["nll", "accuracy"])
    assert found["nll"] == pytest.approx(nll, abs=1e-12)
    assert found["accuracy"] == 1.0
    assert np.isneginf(np.asarray(p.scores)).sum() == 2 + 0 + 3 + 3 + 3


def test_letters_of_options(tmp_path):
    records = [record(0, "B", ["cold", "hot"], "doc/choices/text", right=1)]
    assert load_predictions(write(tmp_path / "a.jsonl", records)).y_true.tolist() == [1]


@pytest.mark.parametrize(("key", "absent"), [("logprobs", -np.inf), ("logits", -np.inf), ("probs", 0.0)])
def test_options_by_name(tmp_path, key, absent):
    values = {2: [0.25, 0.75], 3: [0.5, 0.25, 0.25]}
    records = [
        {key: dict(zip([" A", " B"], values[2], strict=True)), "answer": "B"},
        {key: dict(zip([" B", " A", " C"], values[3], strict=True)), "answer": "C"},
    ]
    p = load_predictions(write(tmp_path / "a.jsonl", records))
    assert (p.class_names, p.y_true.tolist()) == (("A", "B", "C"), [1, 2])
    np.testing.assert_array_equal(np.asarray(p.scores), [[0.25, 0.75, absent], [0.25, 0.5, 0.25]])


def test_lists_of_scores_of_different_lengths(tmp_path):
    records = [{"logits": [1, 2], "label": 1}, {"logits": [1, 2, 3], "label": 2}]
    p = load_predictions(write(tmp_path / "a.jsonl", records))
    np.testing.assert_array_equal(np.asarray(p.scores), [[1, 2, -np.inf], [1, 2, 3]])
    # An option that the record has not cannot be right, unless with an infinite loss, which is said.
    records[0]["label"] = 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        found = calkit.evaluate(load_predictions(write(tmp_path / "b.jsonl", records)), ["nll"])
    assert found["nll"] == np.inf


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("Maybe", OPTIONS, "row 0 has 'Maybe' for the right answer, which is none of its options"),
        ("2", ["1", "2", "3"], "row 0 has '2' for the right answer, which could be several of its options"),
    ],
)
def test_targets_that_do_not_tell(tmp_path, target, options, message):
    records = [record(0, target, options, "pairs", right=0)]
    with pytest.raises(FileFormatError, match=message):
        load_predictions(write(tmp_path / "a.jsonl", records))
    # The remedy: the place among the options, which are then not named by numbers.
    records = [record(0, 0, ["a", "b", "c"], "pairs", right=0)]
    assert load_predictions(write(tmp_path / "a.jsonl", records)).y_true.tolist() == [0]


def test_text_without_options_needs_names(tmp_path):
    records = [{"target": target, "filtered_resps": [["-1", "False"], ["-2", "False"], ["-3", "False"]]} for target in
               ("yes", "maybe", "no")]  # fmt: skip
    path = write(tmp_path / "a.jsonl", records)
    with pytest.raises(InputError, match=r"'yes' in row 0, but which column is which is unknown.*class_names"):
        load_predictions(path)
    p = load_predictions(path, class_names=["yes", "no", "maybe"])
    assert p.y_true.tolist() == [0, 2, 1]
    with pytest.raises(CalkitError, match="is not one of the classes"):
        load_predictions(path, class_names=["yes", "no", "perhaps"])
