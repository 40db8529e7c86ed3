"""Rows known to be mislabelled: evaluations without them, from Python and from the command line."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

import calkit
from calkit.cli.app import run as cli
from calkit.errors import CalkitError, InputError, NotFoundError, UsageError
from tests import reference as ref

METRICS = ["ece", "adaece", "accuracy", "nll", "classwise_ece"]


def example(n=300, k=4, seed=0):
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((n, k))
    y = np.where(rng.random(n) < 0.6, logits.argmax(1), rng.integers(0, k, n))
    flags = rng.random(n) < 0.1
    return np.array([ref.softmax(row) for row in logits]), y, rng.integers(1, 4, n).astype(float), flags


@pytest.mark.parametrize("weighted", [False, True])
def test_the_values_without_are_those_of_the_other_rows(weighted):
    probs, y, weights, flags = example()
    w = weights if weighted else None
    whole = calkit.Predictions(probs, y, kind="probs", sample_weight=w)
    found = calkit.evaluate(whole, METRICS, label_errors=flags, confidence_level=0.95)
    kept = calkit.evaluate(whole.take(~flags), METRICS, confidence_level=0.95)
    errors = found.label_errors
    assert errors.n_errors == flags.sum()
    assert dict(errors.without) == pytest.approx(dict(kept), abs=1e-12)
    assert errors.without.judgement("ece").floor == kept.judgement("ece").floor
    for name in METRICS:
        assert errors.effects[name] == found[name] - errors.without[name]
    assert dict(found) == dict(calkit.evaluate(whole, METRICS))
    assert f"without {flags.sum()} mislabelled rows" in str(found)


def test_booleans_places_and_columns_are_the_same(tmp_path):
    probs, y, _, flags = example()
    words = np.where(flags, "yes", "no")
    whole = calkit.Predictions(
        probs, y, kind="probs", columns={"wrong": flags, "said": words, "bit": flags.astype(int)}
    )
    values = [flags, np.flatnonzero(flags), np.flatnonzero(flags).astype(float), "wrong", "said", "bit"]
    found = [calkit.evaluate(whole, METRICS, label_errors=value).label_errors for value in values]
    assert all(dict(each.without) == dict(found[0].without) and each.n_errors == flags.sum() for each in found)
    arrays = calkit.evaluate(y, probs, METRICS, label_errors=flags).label_errors
    assert dict(arrays.without) == dict(found[0].without)
    for i, (a, b) in enumerate([(0, 1), (1, 120), (120, 300)]):
        calkit.save_predictions(whole.take(slice(a, b)), tmp_path / f"part-{i}.npz")
    shards = calkit.Shards(str(tmp_path / "part-*.npz"), columns=["wrong"])
    parts = calkit.evaluate(shards, METRICS, label_errors="wrong").label_errors
    assert dict(parts.without) == pytest.approx(dict(found[0].without), abs=1e-12)
    with pytest.raises(UsageError, match="name of a column"):
        calkit.evaluate(shards, METRICS, label_errors=flags)


def test_beside_groups_and_none_at_all():
    probs, y, _, flags = example()
    whole = calkit.Predictions(probs, y, kind="probs", columns={"g": np.arange(300) % 2})
    found = calkit.evaluate(whole, ["ece"], by="g", label_errors=flags)
    assert set(found.groups) == {0, 1}
    assert found.label_errors.n_errors == flags.sum()
    none = calkit.evaluate(whole, ["ece"], label_errors=np.zeros(300, bool)).label_errors
    assert (none.n_errors, none.effects["ece"]) == (0, 0.0)
    assert calkit.evaluate(whole, ["ece"], label_errors=[]).label_errors.n_errors == 0


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.ones(300, bool), InputError, "marks every row"),
        ([0, 300], InputError, "row 300, but the rows are 0 to 299"),
        ([-1], InputError, "row -1"),
        ([3, 3], InputError, "twice"),
        ([0.5], InputError, "booleans of shape"),
        (np.zeros(299, bool), InputError, "booleans of shape"),
        ("wrongg", NotFoundError, "Did you mean 'wrong'"),
        ("name", InputError, "truth values"),
    ],
)
def test_one_clear_error(value, error, message):
    probs, y, _, flags = example()
    names = np.array([f"n{i}" for i in range(300)])
    whole = calkit.Predictions(probs, y, kind="probs", columns={"wrong": flags, "name": names})
    with pytest.raises(error, match=message):
        calkit.evaluate(whole, ["ece"], label_errors=value)


def run(capsys, *arguments):
    assert cli([str(word) for word in arguments]) == 0
    return capsys.readouterr().out


def test_the_command_line_shows_both(tmp_path, capsys):
    probs, y, _, flags = example()
    np.savez(tmp_path / "p.npz", probs=probs, labels=y, wrong=flags)
    np.savetxt(tmp_path / "rows.txt", np.flatnonzero(flags), fmt="%d")
    np.savez(tmp_path / "two.npz", rows=np.flatnonzero(flags), other=np.arange(3))
    expected = calkit.evaluate(y, probs, ["ece", "nll"], label_errors=flags)
    words = ["wrong", tmp_path / "rows.txt", f"{tmp_path / 'two.npz'}:rows"]
    for word in words:
        out = run(
            capsys, "evaluate", tmp_path / "p.npz", "--label-errors", word, "--metrics", "ece,nll", "--format", "json"
        )
        data = json.loads(out)[0]
        assert data["label_errors"]["n_errors"] == flags.sum()
        assert data["label_errors"]["without"]["metrics"] == dict(expected.label_errors.without)
        assert data["label_errors"]["effects"] == expected.label_errors.effects
    how = ["evaluate", tmp_path / "p.npz", "--label-errors", "wrong", "--metrics", "ece,nll"]
    table = run(capsys, *how)
    assert f"{flags.sum()} counted" in table
    assert "left out" in table
    rows = list(csv.DictReader(io.StringIO(run(capsys, *how, "--format", "csv"))))
    assert [row["label errors"] for row in rows] == [f"{flags.sum()} counted", "left out"]
    assert [float(row["ece"]) for row in rows] == [expected["ece"], expected.label_errors.without["ece"]]
    assert "left out" in run(capsys, *how, "--format", "md")


def test_a_file_of_several_arrays_asks_for_one(tmp_path, capsys):
    probs, y, _, flags = example()
    np.savez(tmp_path / "p.npz", probs=probs, labels=y)
    np.savez(tmp_path / "two.npz", rows=np.flatnonzero(flags), other=np.arange(3))
    assert cli(["evaluate", str(tmp_path / "p.npz"), "--label-errors", str(tmp_path / "two.npz")]) == 2
    assert "two.npz:rows" in capsys.readouterr().err


def outvoted(data):
    """Rows whose given label got fewer than three of five votes."""
    given = data["votes"][:, data["vote_names"].tolist().index("given")]
    return data["checked"][given < 3]


# Counts of the data set's own README; of IMDB the file does not tell which rows were looked at.
@pytest.mark.data
@pytest.mark.parametrize(("name", "n_errors"), [("mnist", 15), ("cifar10", 54), ("20news", 82), ("imdb", 725)])
def test_label_errors_of_published_data_sets(data_folder, name, n_errors):
    path = data_folder / "label-errors" / f"label-errors-{name}.npz"
    with np.load(path) as file:
        data = dict(file)
    rows = outvoted(data)
    assert len(rows) == n_errors
    predictions = calkit.load_predictions(path)
    if name == "imdb":
        with pytest.raises(CalkitError, match="row -1"):
            calkit.evaluate(predictions, ["ece"], label_errors=rows)
        return
    found = calkit.evaluate(predictions, ["accuracy", "ece"], label_errors=rows, floors=False)
    right = np.setdiff1d(np.arange(len(data["labels"])), rows)
    hits = (data["probs"].argmax(1) == data["labels"])[right]
    assert found.label_errors.n_errors == n_errors
    assert found.label_errors.without["accuracy"] == pytest.approx(hits.mean(), abs=1e-12)
    pairs = list(zip(data["probs"].max(1)[right].astype(float).tolist(), hits.tolist(), strict=True))
    edges = [float(np.float32(k / 15)) for k in range(1, 15)]
    sums = np.zeros(15)
    for confidence, hit in pairs:
        sums[sum(confidence > edge for edge in edges)] += confidence - hit
    assert found.label_errors.without["ece"] == pytest.approx(np.abs(sums).sum() / len(pairs), abs=1e-12)
    assert replace(found, label_errors=None)["ece"] == found["ece"]


@pytest.mark.data
def test_rows_that_most_people_see_otherwise(data_folder):
    """CIFAR-10H: 99.21 % of the most frequent answers are the label, so 79 of 10,000 rows are not."""
    with np.load(data_folder / "cifar10h" / "cifar10h-counts.npz") as file:
        counts, labels = file["counts"].astype(int), file["labels"]
    scores = np.load(data_folder / "label-errors" / "label-errors-cifar10.npz")["probs"]
    wrong = counts.argmax(1) != labels
    found = calkit.evaluate(labels, scores, ["accuracy", "ece"], label_errors=wrong, floors=False)
    assert found.label_errors.n_errors == 79
    right = (scores.argmax(1) == labels)[~wrong].mean()
    assert found.label_errors.without["accuracy"] == pytest.approx(right, abs=1e-12)
    votes = calkit.evaluate(counts, scores, ["accuracy"], floors=False)
    share = counts[np.arange(10_000), scores.argmax(1)] / counts.sum(1)
    assert votes["accuracy"] == pytest.approx(share.mean(), abs=1e-12)
