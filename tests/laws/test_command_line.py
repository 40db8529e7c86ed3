"""Laws of `calkit evaluate` over all metrics at once: how rows are stored, and in which order, tells nothing.

The numbers of two commands are compared, so that none of them needs a source of its own.
"""

import json

import numpy as np
import pytest

from calkit.metrics import available_metrics

N, K = 160, 4
NAMES = np.array(["ant", "bee", "cat", "dog"])


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    y = rng.integers(0, K, N)
    logits = 2 * rng.normal(size=(N, K))
    logits[np.arange(N), y] += 1.2
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    return probs / probs.sum(axis=1, keepdims=True), y, rng


@pytest.fixture
def measured(calkit_cli, tmp_path, monkeypatch):
    """Return what the command says of a file in an empty folder: its values, intervals, floors and p-values."""
    monkeypatch.chdir(tmp_path)

    def measure(file, *options):
        chosen = ",".join(available_metrics())
        drawn = ("--confidence-level", "0.95", "--resamples", "50")
        code, out, err = calkit_cli("evaluate", file, *options, "--metrics", chosen, *drawn, "--format", "json")
        assert code == 0, err
        return json.loads(out)[0]

    return measure


def numbers(found):
    """Return the numbers of an evaluation by their paths."""
    flat = {}

    def walk(path, value):
        if isinstance(value, dict):
            for key, part in value.items():
                if key != "p_adjusted":
                    walk(f"{path}/{key}", part)
        elif isinstance(value, list):
            for i, part in enumerate(value):
                walk(f"{path}[{i}]", part)
        else:
            flat[path] = value

    walk("", {"n": found["n_samples"], "metrics": found["metrics"], "details": found["details"]})
    return flat


def assert_alike(one, two, tolerance=1e-12):
    one, two = numbers(one), numbers(two)
    assert one.keys() == two.keys()
    values = [(path, one[path], two[path]) for path in one if isinstance(one[path], float)]
    assert [path for path, a, b in values if abs(a - b) > tolerance * max(1, abs(a))] == []
    assert [path for path in one if not isinstance(one[path], float) and one[path] != two[path]] == []


def _table(probs, y):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({**{f"prob_{k}": probs[:, k] for k in range(K)}, "label": y})


def _jsonl(probs, y, path):
    rows = [json.dumps({"probs": p.tolist(), "label": int(label)}) + "\n" for p, label in zip(probs, y, strict=True)]
    path.write_text("".join(rows), encoding="utf-8")


def _hdf5(probs, y, path):
    with pytest.importorskip("h5py").File(path, "w") as file:
        file["probs"], file["labels"] = probs, y


def _torch(probs, y, path):
    torch = pytest.importorskip("torch")
    torch.save({"probs": torch.tensor(probs), "labels": torch.tensor(y)}, path)


def _folder(probs, y, path):
    path.mkdir()
    np.save(path / "probs.npy", probs)
    np.save(path / "labels.npy", y)


def _shards(probs, y, path):
    path.mkdir()
    for i, rows in enumerate(np.array_split(np.arange(N), [50, 51, 110])):
        np.savez(path / f"part-{i:05d}-of-00004.npz", probs=probs[rows], labels=y[rows])


WRITERS = {
    "f.csv": lambda p, y, path: _table(p, y).to_csv(path, index=False),
    "f.tsv.gz": lambda p, y, path: _table(p, y).to_csv(path, index=False, sep="\t"),
    "f.parquet": lambda p, y, path: _table(p, y).to_parquet(path),
    "f.feather": lambda p, y, path: _table(p, y).to_feather(path),
    "f.jsonl": _jsonl,
    "f.h5": _hdf5,
    "f.pt": _torch,
    "folder": _folder,
    "shards": _shards,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_numbers_to_the_last_bit(measured, tmp_path, data, name):
    probs, y, _ = data
    if name in ("f.parquet", "f.feather"):
        pytest.importorskip("pyarrow")
    if name == "f.pt":
        pytest.importorskip("torch", "2.10")
    WRITERS[name](probs, y, tmp_path / name)
    np.savez("f.npz", probs=probs, labels=y)
    assert numbers(measured(name)) == numbers(measured("f.npz"))


def test_the_order_of_the_rows_does_not_matter(measured, data):
    probs, y, rng = data
    order = rng.permutation(N)
    np.savez("one.npz", probs=probs, labels=y)
    np.savez("two.npz", probs=probs[order], labels=y[order])
    assert_alike(measured("one.npz"), measured("two.npz"))


def test_the_order_of_named_classes_does_not_matter(measured, data):
    probs, y, _ = data
    order = np.array([2, 0, 3, 1])
    np.savez("one.npz", probs=probs, labels=NAMES[y], class_names=NAMES)
    np.savez("two.npz", probs=probs[:, order], labels=NAMES[y], class_names=NAMES[order])
    assert_alike(measured("one.npz"), measured("two.npz"))


def test_rows_that_do_not_count_are_absent(measured, data):
    probs, y, rng = data
    kept = rng.random(N) < 0.7
    np.savez("kept.npz", probs=probs[kept], labels=y[kept])
    np.savez("ignored.npz", probs=probs, labels=np.where(kept, y, -100))
    np.savez("weightless.npz", probs=probs, labels=y, sample_weight=kept.astype(float))
    alone = {**measured("kept.npz"), "n_samples": None}
    for found in (measured("ignored.npz", "--ignore-label", "-100"), measured("weightless.npz")):
        assert_alike({**found, "n_samples": None}, alone)


def test_groups_are_what_their_rows_are_alone(measured, tmp_path, data):
    probs, y, rng = data
    region = np.array(["east", "north", "south"])[rng.integers(0, 3, N)]
    table = _table(probs, y)
    table.assign(region=region).to_csv("all.csv", index=False)
    found = measured("all.csv", "--by", "region")
    assert sum(group["n_samples"] for group in found["groups"]) == found["n_samples"] == N
    for group in found["groups"]:
        table[region == group["group"]].to_csv("alone.csv", index=False)
        assert_alike(group, measured("alone.csv"))


def test_labels_may_be_written_in_any_way(measured, data):
    probs, y, _ = data
    np.savez("plain.npz", probs=probs, labels=y)
    np.savez("one_hot.npz", probs=probs, labels=np.eye(K)[y])
    np.savez("from_one.npz", probs=probs, labels=y + 1)
    np.savez("words.npz", probs=probs, labels=NAMES[y], class_names=NAMES)
    plain = numbers(measured("plain.npz"))
    assert numbers(measured("one_hot.npz")) == plain
    assert numbers(measured("from_one.npz", "--labels-from", "1")) == plain
    assert numbers(measured("words.npz")) == plain
