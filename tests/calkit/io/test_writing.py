"""What is written is read back, by calkit and by the owners of the formats, and appears whole or not at all."""

import gzip
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import calkit
from calkit.containers.sources import sliced
from calkit.errors import FileFormatError, UsageError
from calkit.io import FORMATS, load_predictions, save_predictions
from calkit.io.formats import WritableFormat

WRITABLE = [word for word in FORMATS if isinstance(FORMATS[word], WritableFormat)]
SUFFIXES = [suffix for word in WRITABLE for suffix in FORMATS[word].suffixes]
TEXT = (".csv", ".tsv", ".txt")


def predictions(kind="logits", dtype=np.float64, n=50, k=3, **more):
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((n, k))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scores = {"logits": logits, "probs": probs, "confidence": probs.max(axis=1), "binary": logits[:, 0]}[kind]
    y = rng.integers(0, 2 if kind in ("confidence", "binary") else k, n)
    return calkit.Predictions(scores.astype(dtype), y, kind="logits" if kind == "binary" else kind, **more)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", ["logits", "probs", "confidence", "binary"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ">f4", np.int16])
def test_round_trip(suffix, kind, dtype, tmp_path):
    if np.dtype(dtype).kind == "i" and kind != "logits":
        pytest.skip("whole numbers are no probabilities")
    weight = np.random.default_rng(1).random(50)
    names = None if kind in ("confidence", "binary") else ["ant", "bee", 'c,"ow é']
    p = predictions(kind, dtype, sample_weight=weight, class_names=names)
    save_predictions(p, tmp_path / f"a{suffix}")
    # Text has no type; what was rounded to one is written in as few digits as give it back.
    stored = np.dtype(dtype).newbyteorder("=")
    again = load_predictions(tmp_path / f"a{suffix}", dtype=stored if stored in (np.float16, np.float32) else None)
    assert (again.kind, again.class_names) == (p.kind, p.class_names)
    np.testing.assert_array_equal(again.scores[:], p.scores)
    np.testing.assert_array_equal(again.y_true, p.y_true)
    np.testing.assert_array_equal(again.sample_weight, weight)
    if not suffix.startswith(TEXT):
        assert again.scores.dtype == np.dtype(dtype).newbyteorder("=")
    assert [f.name for f in tmp_path.iterdir()] == [f"a{suffix}"]


@given(
    scores=hnp.arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(2, 5)), elements=st.floats(-1e300, 1e300)),
    seed=st.integers(0, 2**32),
)
def test_every_float_survives(scores, seed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    y = np.random.default_rng(seed).integers(0, scores.shape[1], len(scores))
    for suffix in (".npz", ".csv", ".parquet", ".safetensors"):
        save_predictions(calkit.Predictions(scores, y, kind="logits"), folder / f"a{suffix}")
        read = load_predictions(folder / f"a{suffix}")
        np.testing.assert_array_equal(np.asarray(read.scores[:]).view(np.int64), scores.view(np.int64))
        np.testing.assert_array_equal(read.y_true, y)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_scores_are_never_held_whole(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr("calkit.lazy.BLOCK_BYTES", 160)
    p = predictions(n=100)
    asked = []

    def read(start, stop):
        asked.append(stop - start)
        return p.scores[start:stop]

    lazy = p.replace(scores=sliced("x", ".x", p.scores.shape, p.scores.dtype, read, 4))
    save_predictions(lazy, tmp_path / f"a{suffix}")
    # Each row once, in blocks of 160 bytes at most.
    assert sum(asked) == 100
    assert max(asked) == 4
    np.testing.assert_array_equal(load_predictions(tmp_path / f"a{suffix}").scores[:], p.scores)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError(28, "No space left on device")])
def test_what_goes_wrong_half_way_leaves_the_old_file(suffix, error, tmp_path, monkeypatch):
    monkeypatch.setattr("calkit.lazy.BLOCK_BYTES", 160)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")

    def read(start, stop):
        if start > 20:
            raise error
        return np.zeros((stop - start, 3))

    source = sliced("x", ".x", (50, 3), np.dtype(float), read, 4)
    p = calkit.Predictions(source, np.zeros(50, int), kind="logits")
    with pytest.raises((KeyboardInterrupt, FileFormatError)):
        save_predictions(p, path)
    assert path.read_bytes() == b"old"
    assert [f.name for f in tmp_path.iterdir()] == [path.name]


def test_npz_is_numpys_and_can_be_mapped(tmp_path):
    p = predictions(dtype=np.float32, class_names=["a", "b", "c"], sample_weight=np.ones(50))
    save_predictions(p, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        assert sorted(arrays) == ["class_names", "labels", "logits", "sample_weight"]
        np.testing.assert_array_equal(arrays["logits"], p.scores)
    scores = load_predictions(tmp_path / "a.npz").scores
    assert isinstance(scores, np.memmap)
    assert scores.offset % 64 == 0
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert archive.testzip() is None


def test_the_libraries_read_what_is_written(tmp_path):
    p = predictions(dtype=np.float32)
    parquet = pytest.importorskip("pyarrow.parquet")
    save_predictions(p, tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.column_names == ["logits_0", "logits_1", "logits_2", "labels"]
    np.testing.assert_array_equal(np.stack([table[i].to_numpy() for i in range(3)], axis=1), p.scores)
    load_file = pytest.importorskip("safetensors.numpy").load_file
    save_predictions(p, tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(tensors["logits"], p.scores)
    np.testing.assert_array_equal(tensors["labels"], p.y_true)


def test_the_same_predictions_make_the_same_bytes(tmp_path):
    for suffix in SUFFIXES:
        for name in ("a", "b"):
            save_predictions(predictions(), tmp_path / f"{name}{suffix}")
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()) == (tmp_path / "a.csv").read_bytes()


def test_calibrated_predictions_are_written_as_they_are_computed(tmp_path):
    p = predictions(n=200)
    calibrator = calkit.TemperatureScaling(grid=[2.0, 3.0, 4.0], objective="nll")
    with pytest.warns(calkit.errors.CalibrationWarning):
        calibrator.fit_predictions(p)
    calibrated = calibrator.apply(p)
    save_predictions(calibrated, tmp_path / "a.parquet")
    np.testing.assert_array_equal(load_predictions(tmp_path / "a.parquet").scores, calibrated.scores[:])


def test_formats_by_name(tmp_path):
    save_predictions(predictions(), tmp_path / "a.out", file_format="npz")
    assert load_predictions(tmp_path / "a.out").n_samples == 50
    with pytest.raises(UsageError, match=r"cannot be written as \.torch\. Writable: \.csv, .*\.safetensors"):
        save_predictions(predictions(), tmp_path / "a.pt")
    with pytest.raises(UsageError, match="unknown format"):
        save_predictions(predictions(), "-", file_format="x")
