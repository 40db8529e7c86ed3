"""Files that are parts of one: nothing is joined that does not belong together, read here or each on its own."""

import itertools

import numpy as np
import pytest

import calkit
from calkit import Shards
from calkit.errors import CalkitError, FileFormatError, InputError, UsageError
from calkit.io import load_predictions, open_container

ROLES = ["logits", "labels", "sample_weight", "id"]


def arrays(n, seed=0, k=3):
    rng = np.random.default_rng(seed)
    return {
        "logits": rng.normal(size=(n, k)),
        "labels": rng.integers(0, k, n),
        "sample_weight": rng.random(n) + 0.5,
        "id": np.arange(n),
    }


def write_parts(folder, cuts, n=12):
    """Write files in which each array is cut where `cuts` say; all of them together hold the same rows."""
    whole = arrays(n)
    edges = {name: [0, *cuts.get(name, (4, 8)), n] for name in whole}
    for i in range(3):
        part = {name: values[edges[name][i] : edges[name][i + 1]] for name, values in whole.items()}
        np.savez(folder / f"all_part{i}.npz", **part)
    return folder / "all_part*.npz"


@pytest.mark.parametrize("other", ROLES)
@pytest.mark.parametrize("read", [load_predictions, lambda path, **options: Shards(path, **options).parts()[0].load()])
def test_arrays_that_are_divided_otherwise_are_not_joined(other, read, tmp_path):
    # Three rows and five: with the others' four and four, all totals agree, and rows would go with wrong labels.
    path = write_parts(tmp_path, {other: (3, 8)})
    with pytest.raises(CalkitError, match=r"3 rows in file 1 of 3, in which|do not belong together|has 3 rows|4 rows"):
        read(path, columns=["id"])


def test_arrays_of_two_splits_may_be_divided_otherwise(tmp_path):
    for i, (n_val, n_test) in enumerate([(3, 5), (5, 3)]):
        parts = {"val": arrays(n_val, i), "test": arrays(n_test, 7 + i)}
        np.savez(
            tmp_path / f"all_part{i}.npz", **{f"{s}_{k}": v for s in parts for k, v in parts[s].items() if k != "id"}
        )
    for split in ("val", "test"):
        assert load_predictions(tmp_path / "all.npz", split=split).n_samples == 8


def test_arrays_in_files_of_their_own(tmp_path):
    for name, cut in (("logits", 3), ("labels", 2)):
        values = arrays(5)[name]
        for i, part in enumerate(np.split(values, [cut])):
            np.save(tmp_path / f"{name}_part{i}.npy", part)
    with pytest.raises(FileFormatError, match="rows in file 1 of 2, in which"):
        load_predictions(tmp_path)


def write(path, part):
    """Write logits, and labels by name, of which there may be none."""
    names = np.array(["ant", "bee", "cow"])
    labels = names[part["labels"]] if len(part["labels"]) else np.array([])
    if path.suffix == ".npz":
        np.savez(path, logits=part["logits"], labels=labels, class_names=names)
    elif path.suffix == ".csv":
        rows = [",".join(map(str, row)) for row in zip(*part["logits"].T, labels, strict=True)]
        path.write_text("\n".join(["logit_ant,logit_bee,logit_cow,label", *rows, ""]))
    else:
        pa = pytest.importorskip("pyarrow")
        pq = pytest.importorskip("pyarrow.parquet")
        columns = {f"logit_{name}": part["logits"][:, k] for k, name in enumerate(names)}
        pq.write_table(pa.table({**columns, "label": pa.array(labels.tolist(), pa.string())}), path)


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
@pytest.mark.parametrize("empty", [{0}, {1}, {0, 2}])
def test_parts_without_rows_change_nothing(suffix, empty, tmp_path):
    parts = [arrays(0 if i in empty else 4, i) for i in range(3)]
    for i, part in enumerate(parts):
        write(tmp_path / f"all_part{i}{suffix}", part)
    p = load_predictions(tmp_path / f"all_part*{suffix}", class_names=["ant", "bee", "cow"])
    np.testing.assert_array_equal(np.asarray(p.scores[:]), np.concatenate([part["logits"] for part in parts]))
    np.testing.assert_array_equal(p.y_true, np.concatenate([part["labels"] for part in parts]))


def test_scores_of_other_names_are_no_parts(tmp_path):
    np.savez(tmp_path / "s_part0.npz", logits=np.eye(3), labels=[0, 1, 2])
    np.savez(tmp_path / "s_part1.npz", probs=np.eye(3), labels=[0, 1, 2])
    with pytest.raises(FileFormatError, match=r"the scores are 'logits' in s_part0\.npz and 'probs' in s_part1\.npz"):
        load_predictions(tmp_path / "s_part*.npz")
    with pytest.raises(InputError, match="all shards must be alike"):
        calkit.evaluate(Shards(str(tmp_path / "s_part*.npz")), ["ece"])


def test_classes_in_another_order_are_named(tmp_path):
    (tmp_path / "p0.csv").write_text("logit_a,logit_b,label\n1,2,a\n3,1,b\n")
    (tmp_path / "p1.csv").write_text("logit_b,logit_a,label\n1,2,b\n1,4,a\n")
    with pytest.raises(FileFormatError, match=r"other columns in p1\.csv \(b, a\) than in p0\.csv \(a, b\)"):
        load_predictions(tmp_path / "p*.csv")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["s_part0", "s_part2"], "the number 1 is missing"),
        (["s-rank-1", "s-rank-2", "s-rank-4"], "the number 3 is missing"),
        (["s_part0", "s_part00", "s_part1"], "the number 0 stands twice"),
    ],
)
def test_numbers_that_are_left_out_or_stand_twice(names, message, tmp_path):
    for name in names:
        np.savez(tmp_path / f"{name}.npz", logits=np.eye(3), labels=[0, 1, 2])
    with pytest.raises(FileFormatError, match=rf"s\.npz: .*{message}.*by a pattern"):
        load_predictions(tmp_path / "s.npz")
    # The remedy.
    assert load_predictions(tmp_path / "s*.npz").n_samples == 3 * len(names)


class TestArraysOfAnotherFile:
    """Shards are read one by one, so another file must say which of its rows are theirs."""

    @pytest.fixture
    def folder(self, tmp_path):
        whole = arrays(8)
        for i in range(2):
            rows = slice(4 * i, 4 * i + 4)
            np.savez(tmp_path / f"plain_part{i}.npz", logits=whole["logits"][rows])
            np.savez(tmp_path / f"ids_part{i}.npz", logits=whole["logits"][rows], id=whole["id"][rows])
        order = np.random.default_rng(1).permutation(8)
        np.savez(tmp_path / "truth.npz", **{name: whole[name][order] for name in ("labels", "sample_weight", "id")})
        np.savez(tmp_path / "first.npz", labels=whole["labels"][:4])
        return tmp_path

    def test_they_are_matched_by_ids(self, folder):
        options = {"labels": str(folder / "truth.npz"), "sample_weight": str(folder / "truth.npz:sample_weight")}
        path = str(folder / "ids_part*.npz")
        found = dict(calkit.evaluate(Shards(path, **options), ["ece", "accuracy"]))
        whole = arrays(8)
        p = calkit.Predictions(whole["logits"], whole["labels"], kind="logits", sample_weight=whole["sample_weight"])
        expected = dict(calkit.evaluate(p, ["ece", "accuracy"]))
        assert found == pytest.approx(expected, abs=1e-12)
        assert dict(calkit.evaluate(load_predictions(path, **options), ["ece", "accuracy"])) == pytest.approx(expected)

    @pytest.mark.parametrize("labels", ["first.npz", "first.npz:labels", "truth.npz"])
    def test_without_ids_they_are_refused(self, folder, labels):
        # The labels of the first part have as many rows as the second, too.
        shards = Shards(str(folder / "plain_part*.npz"), labels=str(folder / labels))
        with pytest.raises(UsageError, match="would be read for each of several files.*no ids tell"):
            calkit.evaluate(shards, ["ece"])

    def test_arrays_of_the_files_themselves_are_not_meant(self, folder):
        np.savez(folder / "own_part0.npz", logits=np.eye(3), truth=[0, 1, 2])
        np.savez(folder / "own_part1.npz", logits=np.eye(3), truth=[0, 1, 2])
        assert dict(calkit.evaluate(Shards(str(folder / "own_part*.npz"), labels="truth"), ["accuracy"])) == {
            "accuracy": 1.0
        }


def test_weights_in_some_shards_only(tmp_path):
    for i, weight in enumerate([{"sample_weight": [1.0, 2.0, 3.0]}, {}]):
        np.savez(tmp_path / f"s_part{i}.npz", logits=np.eye(3), labels=[0, 1, 2], **weight)
    for paths in itertools.permutations(map(str, tmp_path.iterdir())):
        with pytest.raises(InputError, match="all shards must be alike.*with weights"):
            calkit.evaluate(Shards(paths), ["ece"])


@pytest.mark.parametrize("ids", [[3.0, 1.0, 2.0], [3, 1, 2], ["3", "1", "2"], [3.0, 1.0, 2.0, np.nan]])
def test_whole_numbers_are_one_id_whatever_their_type(ids, tmp_path):
    np.savez(tmp_path / "s.npz", logits=np.eye(3), id=[1, 2, 3])
    labels = [2, 0, 1, 0][: len(ids)]
    np.savez(tmp_path / "t.npz", labels=labels, id=np.array(ids))
    assert load_predictions(tmp_path / "s.npz", labels=tmp_path / "t.npz").y_true.tolist() == [0, 1, 2]


ODD = ["a b", "a:b", "ä[1]", "x*", "-", "\N{RIGHT-TO-LEFT OVERRIDE}", "new\nline", "q?", "'", '"', "~", "$HOME", "%s{}"]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_names(name, tmp_path):
    # Neither a pattern nor an address, if there is a file of that name.
    for other in ("x1", "ä1", "q1"):
        np.savez(tmp_path / f"{other}.npz", logits=np.eye(2), labels=[0, 1])
    path = tmp_path / f"{name}.npz"
    np.savez(path, logits=np.eye(3), truth=[0, 1, 2])
    assert load_predictions(path, labels=f"{path}:truth").y_true.tolist() == [0, 1, 2]
    assert open_container(path).path == path
