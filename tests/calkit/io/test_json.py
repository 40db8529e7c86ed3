"""JSON of any shape that rows can be made of, and the errors of all others."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calkit.errors import CalkitError, FileFormatError
from calkit.io import load_predictions, open_container
from calkit.io.json_stream import TrailingDataError, walk

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def elements(document, place=()):
    """Yield what walk() should, from the whole document."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from elements(value, (*place, key))
    elif isinstance(document, list):
        yield from ((place, value, True) for value in document)
    else:
        yield place, document, False


@given(document=values, size=st.integers(1, 30), indent=st.none() | st.integers(0, 2))
def test_documents_are_walked_piece_by_piece(document, size, indent, tmp_path_factory):
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(json.dumps(document, indent=indent, ensure_ascii=size % 2 == 0), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("calkit.io.json_stream.TEXT_BLOCK_BYTES", size)
        found = [(item.place, item.value, item.listed) for item in walk(path)]
    assert repr(found) == repr(list(elements(json.loads(path.read_text(encoding="utf-8")))))


@given(text=st.text(st.sampled_from('{}[],:"x1-.e tn\n'), max_size=30))
def test_what_is_no_json_is_refused_as_the_standard_library_does(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(text)
    try:
        json.loads(text)
    except ValueError:
        with pytest.raises((ValueError, TrailingDataError)):
            list(walk(path))
    else:
        list(walk(path))


def write(path, document):
    lines = isinstance(document, list) and path.suffix == ".jsonl"
    path.write_text("\n".join(map(json.dumps, document)) if lines else json.dumps(document))
    return path


def test_pairs_of_confidence_and_correctness(tmp_path):
    records = [
        {"question": "?", "confidence": 0.9, "correct": True},
        {"question": "!", "confidence": 1, "correct": False},
    ]
    for name in ("a.jsonl", "a.json"):
        p = load_predictions(write(tmp_path / name, records))
        assert (p.kind, p.scores.tolist(), p.y_true.tolist()) == ("confidence", [0.9, 1.0], [1, 0])


def test_lines_may_be_called_json(tmp_path):
    text = '{"confidence": 0.5, "correct": 1}\n{"confidence": 0.25, "correct": 0}'
    (tmp_path / "a.json").write_text(text)
    assert load_predictions(tmp_path / "a.json").n_samples == 2
    # One line alone is a document as well.
    (tmp_path / "b.jsonl").write_text(text.splitlines()[0])
    assert load_predictions(tmp_path / "b.jsonl").n_samples == 1


def test_splits_and_nested_records(tmp_path):
    document = {split: {"probs": [[0.5, 0.5]] * n, "labels": [0] * n} for split, n in (("val", 2), ("test", 3))}
    path = write(tmp_path / "a.json", {"runs": 1, "note": None, **document})
    assert load_predictions(path, split="test").n_samples == 3
    records = [{"id": i, "output": {"logits": [0.0, 1.0, 2.0]}, "target": i} for i in range(3)]
    assert load_predictions(write(tmp_path / "b.jsonl", records)).n_classes == 3
    rows = write(tmp_path / "logits.json", [[0.5, 1.5], [2, 3]])
    p = load_predictions(rows, labels=write(tmp_path / "labels.json", ["0", "1"]))
    np.testing.assert_array_equal(p.scores, [[0.5, 1.5], [2, 3]])
    assert (p.kind, p.y_true.tolist()) == ("logits", [0, 1])


GOOD = {"logits": [1, 2], "label": 0}
OPTIONS = {"logprobs": {"A": 1, "B": 2}, "answer": "A"}


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([GOOD, {"logits": [1, 2, 3], "label": 0}], r"record 2 has \[1, 2, 3\] for 'logits'.* first record has: 2 num"),
        ([GOOD, {"logits": [1, None], "label": 0}], r"record 2 has \[1, None\] for 'logits'"),
        ([GOOD, {"logits": [1, 2]}], "record 2 has no 'label', or null for it"),
        ([GOOD, {"logits": [1, 2], "label": "x"}], "'label' mixes values|mixes numbers and text"),
        ([GOOD, [1, 2]], "record 2 has no 'l"),
        ([{"logits": [[1, 2]], "label": 0}], "'logits' is of type|logits holds nested or missing values"),
        ([OPTIONS, {"logprobs": {"A": 1, "C": 2}, "answer": "A"}], "first record has: numbers for A, B"),
        ([{"logprobs": {"A": 1, "B": 2}, "answer": "C"}], "y_true holds 'C'"),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_records_that_differ(records, message, name, tmp_path):
    with pytest.raises(CalkitError, match=rf"{name}.*({message})"):
        load_predictions(write(tmp_path / name, records))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "holds no lists"),
        ("[]", "holds no lists"),
        ("3", "holds no lists"),
        ('{"logits": [[1, 2', "character"),
        ('{"logits": [1 2]}', "'2' stands at character 14 where one of , ] is needed"),
        ("nonsense", "not a readable"),
        ('{"a": [1], "a": [2]}', None),
    ],
)
def test_documents_that_hold_no_rows(text, message, tmp_path):
    (tmp_path / "a.json").write_text(text)
    if message is None:
        assert open_container(tmp_path / "a.json").fields["a"].read().tolist() == [1, 2]
        return
    with pytest.raises(FileFormatError, match=rf"a\.json.*{message}"):
        open_container(tmp_path / "a.json")
