"""Files are found by whatever name people give them."""

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import calkit
from calkit.errors import CalibrationWarning, FileFormatError, NotFoundError, UsageError
from calkit.io import is_address, load_predictions, open_container, save_predictions, split_address
from calkit.io.address import natural_order

LOGITS = np.arange(36.0).reshape(12, 3) % 7
LABELS = np.arange(12) % 3


def npz(path, rows=slice(None), **more):
    np.savez(path, logits=LOGITS[rows], labels=LABELS[rows], **more)
    return path


def parts(folder, pattern, n=12):
    for i in range(n):
        npz(folder / pattern.format(i), slice(i, i + 1))
    return folder


def same(predictions):
    np.testing.assert_array_equal(predictions.scores[:], LOGITS)
    np.testing.assert_array_equal(predictions.y_true, LABELS)


def test_numbers_are_ordered_as_numbers(tmp_path):
    names = ["a10b2", "a2b10", "a2b9", "b1", "a2"]
    ordered = sorted((tmp_path / name for name in names), key=natural_order)
    assert [path.name for path in ordered] == ["a2", "a2b9", "a2b10", "a10b2", "b1"]


@pytest.mark.parametrize("pattern", ["part-{}.npz", "run_{}.npz", "x{}.npz", "{}.npz", "run-{:05d}-of-00012.npz"])
def test_folders_and_patterns(tmp_path, pattern):
    parts(tmp_path, pattern)
    (tmp_path / ".hidden.npz").write_bytes(b"x")
    (tmp_path / "README.md").write_text("x")
    same(load_predictions(tmp_path))
    same(load_predictions(f"{tmp_path}/*.npz"))
    same(load_predictions(f"{tmp_path}/**/[!.]*.npz"))


@pytest.mark.parametrize("pattern", ["run-{:05d}-of-00012.npz", "run_part{}.npz", "run.shard-{}.npz", "run-rank{}.npz"])
def test_the_common_name_of_numbered_files(tmp_path, pattern):
    parts(tmp_path, pattern)
    assert is_address(tmp_path / "run.npz")
    same(load_predictions(tmp_path / "run.npz"))
    same(load_predictions(f"{tmp_path}/run.npz:logits"))
    # One of them is one of them.
    assert load_predictions(tmp_path / pattern.format(3)).n_samples == 1
    # Files that may be different runs are not put together unasked.
    npz(tmp_path / "run-1.npz")
    assert load_predictions(tmp_path / "run.npz").n_samples == 12
    assert not is_address(tmp_path / "ru.npz")


def test_missing_parts(tmp_path):
    parts(tmp_path, "run-{:05d}-of-00013.npz")
    with pytest.raises(FileFormatError, match=r"run\.npz: only 12 of 13 numbered files are there"):
        load_predictions(tmp_path / "run.npz")


def test_files_that_do_not_belong_together(tmp_path):
    npz(tmp_path / "part-0.npz")
    np.savez(tmp_path / "part-1.npz", logits=LOGITS[:, :2], labels=LABELS, note=1)
    with pytest.raises(
        FileFormatError, match=r"logits holds other columns in part-1\.npz .logits .12×2 float64.. than in part-0"
    ):
        load_predictions(tmp_path)
    npz(tmp_path / "part-1.npz", class_names=["a", "b", "c"])
    assert load_predictions(tmp_path).class_names is None or pytest.fail("names of some files only")
    npz(tmp_path / "part-0.npz", class_names=["a", "c", "b"])
    with pytest.raises(FileFormatError, match="the files give different class_names"):
        load_predictions(tmp_path)


def test_arrays_side_by_side(tmp_path):
    for split, rows in (("val", slice(0, 5)), ("test", slice(5, 12))):
        (tmp_path / "npz").mkdir(exist_ok=True)
        (tmp_path / "npy").mkdir(exist_ok=True)
        npz(tmp_path / "npz" / f"{split}.npz", rows)
        np.save(tmp_path / "npy" / f"{split}_logits.npy", LOGITS[rows])
        np.save(tmp_path / "npy" / f"{split}_labels.npy", LABELS[rows])
    for folder in ("npz", "npy"):
        assert load_predictions(tmp_path / folder, split="validation").n_samples == 5
        np.testing.assert_array_equal(load_predictions(tmp_path / folder, split="test").scores, LOGITS[5:])
    assert "test/logits" in open_container(tmp_path / "npz").fields


def test_folders_that_say_too_little(tmp_path):
    with pytest.raises(FileFormatError, match="holds no file of a known format"):
        load_predictions(tmp_path)
    npz(tmp_path / "a.npz")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileFormatError, match=r"files of several formats .*1 npz.*name some of them"):
        load_predictions(tmp_path)
    with pytest.raises(FileFormatError, match="does not exist"):
        load_predictions(f"{tmp_path}/*.csv")


def test_addresses_of_arrays_and_groups(tmp_path):
    path = tmp_path / "a:b.npz"
    arrays = {"val/logits": LOGITS[:2], "val/labels": LABELS[:2], "test/logits": LOGITS, "test/labels": LABELS}
    np.savez(path, **arrays)
    assert split_address(path) == (path, None)
    assert split_address(f"{path}:val/logits") == (path, "val/logits")
    assert split_address("-:val") == (Path("-"), "val")
    same(load_predictions(f"{path}:test"))
    same(load_predictions(f"{path}:test/logits"))
    same(load_predictions(path, scores="/test/logits"))
    with pytest.raises(NotFoundError, match="unknown array"):
        load_predictions(f"{path}:train")
    np.save(tmp_path / "scores.npy", LOGITS)
    same(load_predictions(tmp_path / "scores.npy", kind="logits", labels=f"{path}:test/labels"))
    same(load_predictions(tmp_path / "scores.npy", kind="logits", labels=f"{path}:test/labels", sample_weight=None))


def test_labels_in_parts_and_in_columns(tmp_path):
    for i in range(3):
        np.save(tmp_path / f"logits_{i}.npy", LOGITS[4 * i : 4 * i + 4])
        np.save(tmp_path / f"gold_{i}.npy", LABELS[4 * i : 4 * i + 4])
    same(load_predictions(f"{tmp_path}/logits_*.npy", labels=f"{tmp_path}/gold_*.npy"))
    (tmp_path / "gold.csv").write_text("id,gold,other\n" + "".join(f"{i},{y},5\n" for i, y in enumerate(LABELS)))
    same(load_predictions(f"{tmp_path}/logits_*.npy", labels=tmp_path / "gold.csv"))
    same(load_predictions(f"{tmp_path}/logits_*.npy", labels=f"{tmp_path}/gold.csv:gold"))
    np.save(tmp_path / "onehot.npy", np.eye(3)[LABELS])
    same(load_predictions(f"{tmp_path}/logits_*.npy", labels=tmp_path / "onehot.npy"))


@pytest.mark.parametrize("name", ["with space.npz", "ünï cödé ☃.npz", "x'y\"z.npz", "[1]*?.npz", "a" * 200 + ".npz"])
def test_odd_names(tmp_path, name):
    same(load_predictions(npz(tmp_path / name)))
    p = load_predictions(tmp_path / name)
    save_predictions(p, tmp_path / f"2 {name}")
    same(load_predictions(tmp_path / f"2 {name}"))


def test_links(tmp_path):
    npz(tmp_path / "a.npz")
    (tmp_path / "link.npz").symlink_to("a.npz")
    same(load_predictions(tmp_path / "link.npz"))
    (tmp_path / "broken.npz").symlink_to("none.npz")
    with pytest.raises(FileFormatError, match=r"broken\.npz is a link to a file that does not exist"):
        load_predictions(tmp_path / "broken.npz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes(tmp_path):
    data = npz(tmp_path / "a.npz").read_bytes()
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    same(load_predictions(tmp_path / "pipe"))
    writer.join()


ROWS = list(zip(LOGITS.tolist(), LABELS.tolist(), strict=True))
CSV = "logit_0,logit_1,logit_2,label\n" + "".join(f"{a},{b},{c},{y}\n" for (a, b, c), y in ROWS)


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (CSV, {}),
        (CSV.replace(",", "\t"), {}),
        ("\n".join(f'{{"logits": {row}, "label": {y}}}' for row, y in ROWS), {}),
        (CSV, {"file_format": "csv"}),
        (None, {}),
    ],
)
def test_standard_input(tmp_path, monkeypatch, data, options):
    data = npz(tmp_path / "a.npz").read_bytes() if data is None else data.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    read = load_predictions("-", **options)
    same(read)
    assert read.meta["file"] == "-"


@pytest.mark.parametrize(
    ("data", "match"), [(b"", "is empty"), (b"hello\n", "cannot be told; say it.*--file-format NAME")]
)
def test_standard_input_that_says_nothing(monkeypatch, data, match):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    with pytest.raises(FileFormatError, match=match):
        load_predictions("-")


def test_standard_input_from_a_terminal(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO())
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    with pytest.raises(UsageError, match="nothing is piped into it"):
        load_predictions("-")


@pytest.mark.parametrize("word", ["csv", "npz", "safetensors"])
def test_through_a_pipe_and_back(tmp_path, word):
    script = (
        "import sys; from calkit.io import load_predictions, save_predictions\n"
        f"save_predictions(load_predictions('-'), '-', file_format={word!r})"
    )
    data = npz(tmp_path / "a.npz").read_bytes()
    folder = tmp_path / "tmp"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=data,
        capture_output=True,
        check=True,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    (tmp_path / f"b.{word}").write_bytes(done.stdout)
    same(load_predictions(tmp_path / f"b.{word}"))
    # Neither the copy of what came in nor that of what went out stays.
    assert not list(folder.iterdir())


def test_many_parts_do_not_stay_open(tmp_path):
    import resource

    parts(tmp_path, "part-{}.npz", 12)
    for i in range(12, 300):
        npz(tmp_path / f"part-{i}.npz", slice(0, 1))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = Path("/proc/self/fd")
    held = len(list(open_now.iterdir())) if open_now.is_dir() else soft - 50
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, held + 40), hard))
    try:
        p = load_predictions(tmp_path)
        assert calkit.evaluate(p, ["accuracy"]).n_samples == 300
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_pattern_that_joins_files_of_other_names_says_so(tmp_path):
    for name in ("resnet", "densenet", "part-1", "part-2"):
        np.savez(tmp_path / f"{name}.npz", logits=np.eye(3), labels=[0, 1, 2])
    with pytest.warns(CalibrationWarning, match=r"rows of 2 files .* more than a number: densenet.npz, resnet.npz\."):
        assert load_predictions(f"{tmp_path}/*net.npz").n_samples == 6
    assert load_predictions(f"{tmp_path}/part-*.npz").n_samples == 6  # no warning: these are errors here
