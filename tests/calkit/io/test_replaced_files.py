"""A file that is replaced while it is read gives what one of the two says, or an error: never a mixture."""

import shutil
import threading

import numpy as np
import pytest

import calkit
from calkit.cli.app import run
from calkit.errors import FileFormatError
from calkit.executors import DaskExecutor
from calkit.io import load_predictions
from calkit.shards import Shards
from tests.io_samples import SAMPLES

K = 3
REPLACED = "was replaced, changed or removed while it was read"


def right(shift, n=300):
    """Return scores and labels of accuracy 1; with the labels of another shift the accuracy is 0."""
    labels = (np.arange(n) + shift) % K
    return (9.0 * np.eye(K)[labels]).astype(np.float32), labels


def swapped(path, others, until):
    """Replace a file by copies of others in turn, each time atomically, until an event."""
    turn = 0
    while not until.is_set():
        turn += 1
        copy = path.with_name(f"copy{turn % 2}{path.suffix}")
        shutil.copy(others[turn % len(others)], copy)
        copy.replace(path)


@pytest.mark.parametrize("name", ["npz", "npz-compressed", "csv", "parquet", "hdf5-latest", "safetensors", "jsonl"])
def test_atomic_swaps_never_give_a_mixture(name, tmp_path):
    pytest.importorskip(SAMPLES[name].library or "numpy")
    others = []
    for shift in (0, 1):
        (tmp_path / str(shift)).mkdir()
        others.append(SAMPLES[name].write(tmp_path / str(shift), *right(shift)))
    path = tmp_path / others[0].name
    shutil.copy(others[0], path)
    until = threading.Event()
    thread = threading.Thread(target=swapped, args=(path, others, until))
    thread.start()
    results = []
    try:
        for _ in range(40):
            try:
                results.append(calkit.evaluate(load_predictions(path), ["accuracy"])["accuracy"])
            except FileFormatError as error:
                results.append(str(error))
    finally:
        until.set()
        thread.join()
    assert not [found for found in results if found != 1.0 and REPLACED not in str(found)]
    # Left alone, it is read.
    assert calkit.evaluate(load_predictions(path), ["accuracy"])["accuracy"] == 1.0


LAZY = ["npz-compressed", "csv", "jsonl", "parquet", "feather", "hdf5-latest", "zarr-2", "datasets"]


@pytest.mark.parametrize("name", LAZY)
def test_predictions_that_are_read_later(name, tmp_path, monkeypatch):
    pytest.importorskip(SAMPLES[name].library or "numpy")
    monkeypatch.setattr("calkit.roles.reading.WHOLE_BYTES", 0)
    paths = []
    for shift in (0, 1):
        (tmp_path / str(shift)).mkdir()
        paths.append(SAMPLES[name].write(tmp_path / str(shift), *right(shift)))
    p = load_predictions(paths[0])
    assert calkit.evaluate(p, ["accuracy"])["accuracy"] == 1.0
    if paths[0].is_dir():
        inside = sorted(f for f in paths[1].rglob("*") if f.is_file())
        for file in inside:
            file.replace(paths[0] / file.relative_to(paths[1]))
    else:
        paths[1].replace(paths[0])
    with pytest.raises(FileFormatError, match=REPLACED):
        calkit.evaluate(p, ["accuracy"])
    assert calkit.evaluate(load_predictions(paths[0]), ["accuracy"])["accuracy"] == 1.0


def test_what_is_mapped_stays_what_it_was(tmp_path):
    for shift in (0, 1):
        logits, labels = right(shift)
        np.savez(tmp_path / f"{shift}.npz", logits=logits, labels=labels)
    p = load_predictions(tmp_path / "0.npz")
    (tmp_path / "1.npz").replace(tmp_path / "0.npz")
    assert calkit.evaluate(p, ["accuracy"])["accuracy"] == 1.0


def test_a_file_that_is_written_to_or_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("calkit.roles.reading.WHOLE_BYTES", 0)
    for change in (lambda path: path.write_text(path.read_text().replace("9.0", "8.0")), lambda path: path.unlink()):
        path = SAMPLES["csv"].write(tmp_path, *right(0))
        p = load_predictions(path)
        change(path)
        with pytest.raises(FileFormatError, match=REPLACED):
            calkit.evaluate(p, ["accuracy"])


def test_shards(tmp_path):
    for shift in (0, 1):
        logits, labels = right(shift)
        np.savez(tmp_path / f"part-{shift}.npz", logits=logits, labels=labels)
    shards = Shards(str(tmp_path / "part-*.npz"))
    assert calkit.evaluate(shards, ["accuracy"])["accuracy"] == 1.0
    assert calkit.evaluate(shards.map(calkit.Predictions.logits), ["accuracy"])["accuracy"] == 1.0
    logits, labels = right(2)
    np.savez(tmp_path / "new.npz", logits=logits, labels=labels)
    (tmp_path / "new.npz").replace(tmp_path / "part-1.npz")
    for changed in (shards, shards.map(calkit.Predictions.logits)):
        with pytest.raises(FileFormatError, match=rf"part-1\.npz {REPLACED}"):
            calkit.evaluate(changed, ["accuracy"])
    # Several passes over files that are joined.
    joined = load_predictions(tmp_path / "part-*.npz")
    assert calkit.evaluate(joined, ["accuracy"])["accuracy"] == 1.0


def test_dask(tmp_path):
    distributed = pytest.importorskip("distributed")
    for shift in (0, 1):
        logits, labels = right(shift)
        np.savez(tmp_path / f"part-{shift}.npz", logits=logits, labels=labels)
    shards = Shards(str(tmp_path / "part-*.npz"))
    with distributed.Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        executor = DaskExecutor(client)
        assert calkit.evaluate(shards, ["accuracy"], executor=executor)["accuracy"] == 1.0
        np.savez(tmp_path / "new.npz", logits=logits, labels=labels)
        (tmp_path / "new.npz").replace(tmp_path / "part-1.npz")
        with pytest.raises(FileFormatError, match=REPLACED):
            calkit.evaluate(shards, ["accuracy"], executor=executor)


def test_splits_of_one_command_are_of_one_file(tmp_path, monkeypatch, capsys):
    def write(path, shift):
        (a, y), (b, z) = right(shift), right(shift)
        np.savez(path, val_logits=a, val_labels=y, test_logits=b, test_labels=z)

    write(tmp_path / "a.npz", 0)
    write(tmp_path / "b.npz", 1)
    assert run(["evaluate", str(tmp_path / "a.npz"), "--metrics", "accuracy"]) == 0
    from calkit.cli import options

    read = options.load_predictions

    def read_and_replace(path, **how):
        found = read(path, **how)
        if (tmp_path / "b.npz").exists():
            (tmp_path / "b.npz").replace(tmp_path / "a.npz")
        return found

    monkeypatch.setattr(options, "load_predictions", read_and_replace)
    assert run(["evaluate", str(tmp_path / "a.npz"), "--metrics", "accuracy"]) == 1
    assert REPLACED in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.npz", "a.csv", "a.pt", "logits.bin"])
def test_pointers_of_git_lfs_are_named(name, tmp_path):
    # As in https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
    oid = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
    (tmp_path / name).write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 12345\n")
    for sandbox in (False, True):
        with pytest.raises(FileFormatError) as caught:
            load_predictions(tmp_path / name, sandbox=sandbox)
        expected = "is a pointer of Git LFS, which stands for data (12.3 kB) .* Fetch them: git lfs pull --include"
        assert str(caught.value).startswith(f"{tmp_path / name} {expected.split(' .* ')[0]}")
        assert str(caught.value).endswith(f"git lfs pull --include {name!r}.")
