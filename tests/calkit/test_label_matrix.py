"""Every spelling of labels × every naming of columns × every container: the one right number, or one clear error.

The cells are generated. What is right is decided by a rule of four lines (:func:`is_right`), written apart from the
package: a label means the class whose name is the same value; without names, classes are 0 to K-1; where no name is a
number, a whole number is a position.
"""

import csv
import itertools
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import calkit
from calkit import Predictions, evaluate, load_predictions, save_predictions
from calkit.errors import CalkitError
from calkit.streaming import StreamingEvaluation

# Values of the classes, in the order of the columns of PROBS.
VALUES = {
    "0..": lambda k: list(range(k)),
    "1..": lambda k: list(range(1, k + 1)),
    "-1/1": lambda k: [-1, 1] if k == 2 else None,
    "digits": lambda k: [str(i) for i in range(k)],
    "digits from 1": lambda k: [str(i + 1) for i in range(k)],
    "text": lambda k: ["spam", "eggs", "ham", *(f"w{i}" for i in range(k))][:k],
    "bool": lambda k: [False, True] if k == 2 else None,
}

RNG = np.random.default_rng(0)
PROBS = {k: RNG.dirichlet(np.ones(k), 40) for k in (2, 3, 12)}
TRUTH = {k: np.concatenate([np.arange(k), RNG.integers(0, k, 40 - k)]) for k in PROBS}


def canonical(value):
    return str(int(value)) if isinstance(value, bool | int) else value


def is_right(labels, names, k):
    called = [str(i) for i in range(k)] if names is None else [canonical(name) for name in names]
    if [canonical(label) for label in labels] == called:
        return True
    return by_place(labels, called, k)


def by_place(labels, names, k):
    """Whether labels can only mean places of columns: numbers, where no name is a number."""
    named_by_words = names is not None and not any(canonical(name).lstrip("-").isdecimal() for name in names)
    spelled_as_places = labels in (VALUES["0.."](k), VALUES["digits"](k)) and not isinstance(labels[0], bool)
    return named_by_words and spelled_as_places


# What holds the labels.
HOLDERS = {
    "list": lambda values: list(values),
    "array": np.array,
    "objects": lambda values: np.array(values, dtype=object),
    "column": lambda values: np.array(values)[:, None],
    "text": lambda values: [str(v) for v in values],
    "bytes": lambda values: np.array([str(v).encode() for v in values]),
    "float": lambda values: [float(v) for v in values],
    "pandas": pd.Series,
    "nullable": lambda values: pd.Series(values).convert_dtypes(),
    "categorical": lambda values: pd.Categorical(values),
    "polars": pl.Series,
    "polars categorical": lambda values: pl.Series([str(v) for v in values], dtype=pl.Categorical),
    "arrow": pa.array,
    "arrow dictionary": lambda values: pa.array(values).dictionary_encode(),
}


def number_of(p, y):
    """Two numbers in one, so that neither a shift nor a swap of classes goes unseen."""
    return (p.argmax(axis=1) == y).mean(), -np.log(p[np.arange(len(y)), y]).mean()


def check(cell, right, k):
    """Run a cell: the right numbers where the rule says so, else an error of calkit that says something."""
    if right:
        assert cell() == pytest.approx(number_of(PROBS[k], TRUTH[k]), rel=1e-12)
        return
    with pytest.raises(CalkitError) as found:
        cell()
    assert len(str(found.value)) > 40


def both(y, p, **options):
    return calkit.accuracy(y, p, **options), calkit.nll(y, p, **options)


def of_predictions(p):
    found = evaluate(p, ["accuracy", "nll"])
    return found["accuracy"], found["nll"]


CASES = [
    pytest.param(k, labels, names, id=f"{k}-labels {labels}-names {names}")
    for k, labels, names in itertools.product(PROBS, VALUES, [None, *VALUES])
    if VALUES[labels](k) is not None and (names is None or VALUES[names](k) is not None)
]


def orders(k, labels, names):
    """Return orders of the columns: their own, and another one if labels are matched by name."""
    named = names is not None and not by_place(VALUES[labels](k), VALUES[names](k), k)
    return [np.arange(k), np.roll(np.arange(k), 1)[::-1]] if named else [np.arange(k)]


@pytest.mark.parametrize(("k", "labels", "names"), CASES)
class TestCells:
    def spelled(self, k, labels, names):
        values = VALUES[labels](k)
        called = None if names is None else VALUES[names](k)
        return [values[i] for i in TRUTH[k]], called, is_right(values, called, k)

    def test_arrays_in_every_holder(self, k, labels, names):
        y, called, right = self.spelled(k, labels, names)
        for (holder, hold), order in itertools.product(HOLDERS.items(), orders(k, labels, names)):
            if holder == "float" and labels in {"text", "bool"}:
                continue
            named = None if called is None else [called[i] for i in order]
            scores = PROBS[k][:, order]
            check(lambda h=hold, s=scores, n=named: both(h(y), s, class_names=n), right, k)

    @pytest.mark.parametrize("container", ["pandas", "polars", "arrow"])
    def test_frames(self, k, labels, names, container):
        y, called, right = self.spelled(k, labels, names)
        make = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.table}[container]
        if called is None:
            check(lambda: both(y, pd.DataFrame(PROBS[k])), right, k)
            return
        for order in orders(k, labels, names):
            title = (lambda name: name) if container == "pandas" else str
            columns = {title(called[i]): PROBS[k][:, i] for i in order}
            check(lambda c=columns: both(pd.Series(y), make(c)), right, k)
            extra = make({"id": np.arange(40), **columns})
            check(lambda e=extra, c=columns: both(y, e, class_names=list(c)), right, k)

    def test_predictions_streams_and_parts(self, k, labels, names):
        y, called, right = self.spelled(k, labels, names)

        def stream():
            found = StreamingEvaluation(["accuracy", "nll"], kind="probs", class_names=called)
            for rows in (slice(0, 13), slice(13, 40)):
                found.update(PROBS[k][rows], y[rows])
            return found.result()["accuracy"], found.result()["nll"]

        check(stream, right, k)
        check(lambda: of_predictions(Predictions(PROBS[k], y, kind="probs", class_names=called)), right, k)
        check(lambda: of_predictions(Predictions(PROBS[k], y, kind="probs", class_names=called).logits()), right, k)
        if right:
            p = Predictions(PROBS[k], y, kind="probs", class_names=called)
            parts = [p.take(np.arange(0, 40, 2)), p.take(np.arange(1, 40, 2))]
            mean = np.mean([of_predictions(part) for part in parts], axis=0)
            assert mean == pytest.approx(number_of(PROBS[k], TRUTH[k]))

    @pytest.mark.parametrize("writer", ["npz", "csv", "parquet", "json", "jsonl"])
    def test_files(self, k, labels, names, writer, tmp_path):
        y, called, right = self.spelled(k, labels, names)
        for number, order in enumerate(orders(k, labels, names)):
            words = range(k) if called is None else [called[i] for i in order]
            path = tmp_path / f"{number}.{writer}"
            WRITERS[writer](path, PROBS[k][:, order], list(words), y, named=called is not None)
            check(lambda p=path: of_predictions(load_predictions(p, kind="probs")), right, k)


def write_npz(path, probs, words, y, named):
    np.savez(path, probs=probs, label=np.array(y), **({"classes": np.array(words)} if named else {}))


def write_csv(path, probs, words, y, named):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"prob_{word}" for word in words), "label"])
        writer.writerows([*map(repr, row), label] for row, label in zip(probs.tolist(), y, strict=True))


def write_parquet(path, probs, words, y, named):
    columns = {f"prob_{word}": column for word, column in zip(words, probs.T, strict=True)}
    pq.write_table(pa.table({**columns, "label": y}), path)


def records(probs, words, y, named):
    for row, label in zip(probs.tolist(), y, strict=True):
        yield {"probs": dict(zip(map(str, words), row, strict=True)) if named else row, "label": label}


def write_json(path, *table, named):
    path.write_text(json.dumps(list(records(*table, named))))


def write_jsonl(path, *table, named):
    path.write_text("".join(json.dumps(record) + "\n" for record in records(*table, named)))


WRITERS = {"npz": write_npz, "csv": write_csv, "parquet": write_parquet, "json": write_json, "jsonl": write_jsonl}


@pytest.mark.parametrize("k", PROBS)
@pytest.mark.parametrize("shape", ["one-hot", "soft", "votes"])
@pytest.mark.parametrize("container", ["array", "pandas", "polars", "arrow"])
def test_rows_of_labels(k, shape, container):
    """One column per class: in the order of the scores', or by name where both have names."""
    truth = np.eye(k)[TRUTH[k]]
    truth = {"one-hot": truth, "soft": 0.75 * truth + 0.25 / k, "votes": (8 * k * truth + 1).astype(int)}[shape]
    shares = truth / truth.sum(axis=1, keepdims=True)
    top = PROBS[k].argmax(axis=1)
    expected = shares[np.arange(40), top].mean(), -(shares * np.log(PROBS[k])).sum(axis=1).mean()
    names, order = VALUES["text"](k), np.roll(np.arange(k), 1)
    if container == "array":
        assert both(truth, PROBS[k]) == pytest.approx(expected, rel=1e-12)
        assert both(truth[:, order], PROBS[k][:, order]) == pytest.approx(expected, rel=1e-12)
        return
    make = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.table}[container]
    scores = make({name: PROBS[k][:, i] for i, name in enumerate(names)})
    labels = make({names[i]: truth[:, i] for i in order})
    assert both(labels, scores) == pytest.approx(expected, rel=1e-12)
    assert both(labels, PROBS[k], class_names=names) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(CalkitError, match="Name the columns of both alike"):
        both(labels, PROBS[k])


@pytest.mark.parametrize("suffix", ["npz", "csv", "tsv", "parquet", "safetensors"])
@pytest.mark.parametrize("names", [None, *VALUES])
def test_what_is_written_is_read_back(names, suffix, tmp_path):
    for k in PROBS:
        called = None if names is None else VALUES[names](k)
        if names is not None and called is None:
            continue
        words = called or list(range(k))
        p = Predictions(PROBS[k], [words[i] for i in TRUTH[k]], kind="probs", class_names=called)
        path = tmp_path / f"{k}.{suffix}"
        if names == "bool" and suffix != "npz":
            # Words would come back for truth values: what cannot be read back is not written.
            with pytest.raises(CalkitError, match="cannot be written"):
                save_predictions(p, path)
            continue
        save_predictions(p, path)
        back = load_predictions(path)
        assert of_predictions(back) == pytest.approx(number_of(PROBS[k], TRUTH[k]), rel=1e-12)
        assert back.y_true.tolist() == TRUTH[k].tolist()
        # A title of a column is text: numbers come back as numbers, also those that were spelled as text.
        assert [str(name) for name in back.class_names or range(k)] == [str(word) for word in words]
