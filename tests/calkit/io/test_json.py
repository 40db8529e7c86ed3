"""JSON of any shape that rows can be made of, and the errors of all others."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calkit import evaluate
from calkit.errors import CalkitError, FileFormatError
from calkit.io import describe, load_predictions, open_container

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def lists_of(document, place=()):
    """Yield every list of numbers that only keys lead to, with its keys: a loop over the whole document."""
    if isinstance(document, dict) and not ("columns" in document and "data" in document):
        for key, value in document.items():
            yield from lists_of(value, (*place, key))
    elif isinstance(document, list) and document and all(type(value) is int for value in document):
        yield place, document


@given(document=values, indent=st.none() | st.integers(0, 2))
def test_any_document_is_read_or_refused(document, indent, tmp_path_factory):
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(json.dumps(document, indent=indent), encoding="utf-8")
    try:
        fields = open_container(path).fields
    except FileFormatError:
        return
    for place, numbers in lists_of(document):
        if all(-(2**63) <= number < 2**63 for number in numbers):
            assert fields["/".join(place) or "a"].read().tolist() == numbers


@given(text=st.text(st.sampled_from('{}[],:"x1-.e tn\n'), max_size=30))
def test_what_is_no_json_is_refused_as_the_standard_library_does(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(text or "x")
    try:
        json.loads(text)
    except ValueError:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            several = lines and [json.loads(line) for line in lines[:1]] and len(lines) > 1
        except ValueError:
            several = False
        if not several:
            with pytest.raises(FileFormatError):
                open_container(path)


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
        ([GOOD, {"logits": [1, "x"], "label": 0}], r"row 1 has \[1, 'x'\] for 'logits'.* first record has: 2 num"),
        ([GOOD, {"logits": [1, None], "label": 0}], r"row 1 has \[1, None\] for 'logits'"),
        ([GOOD, {"logits": [1, 2]}], "the label of row 1 is missing.*--ignore-label nan"),
        ([GOOD, {"logits": [1, 2], "label": "x"}], "'label' mixes values|mixes numbers and text"),
        ([GOOD, [1, 2]], "row 1 has no 'l"),
        ([{"logits": [[1, 2]], "label": 0}], "'logits' is of type|logits holds nested or missing values"),
        ([OPTIONS, {"logprobs": [1, 2], "answer": "A"}], "first record has: numbers for A, B"),
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
        ('{"logits": [[1, 2', "Expecting ',' delimiter"),
        ('{"logits": [1 2]}', "Expecting ',' delimiter"),
        ("nonsense", "not a readable"),
        ('{"a": [1], "a": [2]}', "the key 'a' stands more than once in one object"),
        ('{"run": {"logits": [[1, 2]], "labels": [0], "logits": [[2, 1]]}}', "the key 'logits' stands more than once"),
        ('[{"logits": [1, 2], "label": 0, "label": 1}]', "the key 'label' stands more than once"),
        ('{"columns": ["a", "b"], "data": [[1, 2], [3]]}', "row 1 of 'data' is not a list of 2 values"),
        ('{"columns": ["a", "b"], "data": []}', "holds no lists"),
        ('{"columns": ["a", "a"], "data": [[1, 2]]}', "the key 'a' stands more than once"),
        ('{"a":' * 20 + "[1]" + "}" * 20, "nested more than 16 deep"),
    ],
)
def test_documents_that_hold_no_rows(text, message, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(FileFormatError, match=rf"a\.json.*{message}"):
        open_container(tmp_path / "a.json")


def test_a_key_twice_in_lines(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"confidence": 0.5, "correct": 1}\n{"confidence": 1, "correct": 0, "correct": 1}'
    )
    with pytest.raises(FileFormatError, match=r"a\.jsonl: line 2 is no valid JSON: the key 'correct' stands more"):
        load_predictions(tmp_path / "a.jsonl")


def test_a_key_twice_among_very_many(tmp_path):
    keys = [*range(300_000), 299_999]
    (tmp_path / "a.json").write_text("{" + ", ".join(f'"{key}": 0' for key in keys) + "}")
    # Comparing each key with all others would take hours.
    with pytest.raises(FileFormatError, match="the key '299999' stands more than once"):
        open_container(tmp_path / "a.json")


def test_numbers_of_more_than_64_bits(tmp_path):
    path = write(tmp_path / "a.json", [{"logits": [1, 2], "label": 10**30}])
    for read in (load_predictions, describe):
        with pytest.raises(FileFormatError, match="row 0 has 10{30} for 'label', .* a whole number of 64 bits"):
            read(path)


PROBS = [[0.75, 0.25], [0.5, 0.5], [0.125, 0.875]]


class TestTables:
    """Tables in JSON, as pandas, Weights & Biases and MLflow write them."""

    @pytest.fixture
    def frame(self):
        pd = pytest.importorskip("pandas")
        return pd.DataFrame(PROBS, columns=["prob_cat", "prob_dog"]).assign(label=["cat", "cat", "dog"])

    def check(self, path):
        p = load_predictions(path)
        assert (np.asarray(p.scores).tolist(), p.class_names) == (PROBS, ("cat", "dog"))
        assert p.y_true.tolist() == [0, 0, 1]

    @pytest.mark.parametrize("orient", ["split", "records"])
    def test_pandas(self, frame, orient, tmp_path):
        frame.to_json(tmp_path / "a.json", orient=orient)
        self.check(tmp_path / "a.json")
        # A table under a key, as MLflow keeps several in one document, is named after it.
        document = {"eval": json.loads((tmp_path / "a.json").read_text())}
        container = open_container(write(tmp_path / "b.json", document))
        assert sorted(container.fields) == ["eval/label", "eval/prob"]
        self.check(f"{tmp_path / 'b.json'}:eval")

    def test_lines_of_pandas(self, frame, tmp_path):
        frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
        self.check(tmp_path / "a.jsonl")

    def test_weights_and_biases(self, tmp_path):
        # The file that wandb.Table(columns=…, data=…) becomes.
        rows = [[*probs, label] for probs, label in zip(PROBS, ["cat", "cat", "dog"], strict=True)]
        self.check(write(tmp_path / "a.table.json", {"columns": ["prob_cat", "prob_dog", "label"], "data": rows}))

    def test_columns_can_be_chosen(self, tmp_path):
        rows = [[*probs, label] for probs, label in zip(PROBS, ["cat", "cat", "dog"], strict=True)]
        path = write(tmp_path / "a.json", {"columns": ["cat", "dog", "label"], "data": rows})
        p = load_predictions(path, scores="dog,cat", kind="probs")
        assert (p.class_names, p.y_true.tolist()) == (("dog", "cat"), [1, 1, 0])


def test_a_document_is_read_up_to_a_size(tmp_path, monkeypatch):
    path = write(tmp_path / "a.json", [{"confidence": 0.5, "correct": True}] * 100)
    monkeypatch.setattr("calkit.io.formats.json_file.MAX_DOCUMENT_BYTES", 1000)
    monkeypatch.setattr("calkit.hardening.limits.MAX_DOCUMENT_BYTES", 1000)
    with pytest.raises(FileFormatError, match=r"a\.json is a JSON document of more than 1 kB.*lines=True"):
        load_predictions(path)
    # The remedy.
    lines = write(tmp_path / "a.jsonl", [{"confidence": 0.5, "correct": True}] * 100)
    assert load_predictions(lines).n_samples == 100


def token(word, logprob, **more):
    return {"token": word, "logprob": logprob, "bytes": list(word.encode()), **more}


# By OpenAI's reference of chat completions: choices[].logprobs.content[].top_logprobs[], each with token and logprob.
@pytest.mark.parametrize(
    "wrapped",
    [
        lambda listed: {"top_logprobs": listed},
        lambda listed: {"logprobs": listed},
        lambda listed: {"logprobs": [token("x", -9.0, top_logprobs=listed)]},
        lambda listed: {"logprobs": {"content": [token("x", -9.0, top_logprobs=listed)], "refusal": None}},
    ],
    ids=["top", "list", "only token", "content"],
)
def test_lists_of_tokens_are_options(wrapped, tmp_path):
    rows = [([("A", -0.1), ("B", -2.5)], "B"), ([(" C", -0.3), ("A", -1.5)], "A"), ([("B", -0.2)], "B")]
    records = [{**wrapped([token(*pair) for pair in listed]), "answer": answer} for listed, answer in rows]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    objects = [{"logprobs": dict(listed), "answer": answer} for listed, answer in rows]
    (tmp_path / "b.json").write_text(json.dumps(objects))
    found, expected = (load_predictions(tmp_path / name) for name in ("a.jsonl", "b.json"))
    assert list(found.class_names) == list(expected.class_names) == ["A", "B", "C"]
    by_hand = [[-0.1, -2.5, -np.inf], [-1.5, -np.inf, -0.3], [-np.inf, -0.2, -np.inf]]
    np.testing.assert_array_equal(found.scores, by_hand)
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert found.y_true.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "listed",
    [
        [token("A", -0.1), token("A", -0.2)],
        [token("A", -0.1, top_logprobs=[token("A", -0.1)]), token("b", -0.2, top_logprobs=[])],
        [token("A", -0.1, top_logprobs=[])],
    ],
    ids=["a token twice", "several tokens", "no alternatives"],
)
def test_tokens_of_an_answer_are_no_options(listed, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"logprobs": listed, "answer": "A"}) + "\n")
    with pytest.raises(CalkitError, match="holds the tokens of whole answers, not the alternatives of one token"):
        load_predictions(tmp_path / "a.jsonl")


@pytest.mark.parametrize("absent", [{"confidence": None, "correct": None}, {}], ids=["null", "nothing"])
@pytest.mark.parametrize("places", [(0,), (1,), (0, 3)], ids=str)
def test_records_without_an_answer_can_be_left_out(absent, places, tmp_path):
    records = [{"id": i, "confidence": 0.5 + i / 10, "correct": i % 2 == 0} for i in range(4)]
    kept = [record for i, record in enumerate(records) if i not in places]
    records = [{"id": i, **absent} if i in places else record for i, record in enumerate(records)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(CalkitError, match=rf"row {places[0]} is missing.*--ignore-label nan"):
        load_predictions(tmp_path / "a.jsonl")
    found = load_predictions(tmp_path / "a.jsonl", ignore_label=float("nan"))
    gap = np.mean([record["confidence"] - record["correct"] for record in kept])
    assert evaluate(found, ["ece:n_bins=1"], floors=False)["ece:n_bins=1"] == pytest.approx(abs(gap), abs=1e-12)


def test_the_first_record_may_lack_its_options(tmp_path):
    records = [{"choices": ["u", "v"], "logits": None, "answer": 0}]
    records.append({"choices": ["u", "v"], "logits": [1, 2], "answer": 1})
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(FileFormatError, match="row 0 has no 'logits', or null for it"):
        load_predictions(tmp_path / "a.jsonl")
