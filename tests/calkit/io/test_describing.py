"""What is in a file, and how far reading it has come."""

import json
import subprocess
import sys

import numpy as np
import pytest

import calkit
from calkit.hardening.limits import format_bytes
from calkit.io import describe, watch

LOGITS = np.arange(36.0).reshape(12, 3) % 7
LABELS = np.arange(12) % 3


@pytest.fixture
def path(tmp_path):
    scores = LOGITS.copy()
    scores[2, 1] = np.nan
    words = np.array(["ant", "bee", "cow"])
    np.savez(
        tmp_path / "a.npz",
        val_logits=scores,
        val_labels=LABELS + 1,
        test_labels=words[LABELS],
        onehot_labels=np.eye(3)[LABELS],
        pickled=np.array([{}]),
        temperature=1.5,
    )
    return tmp_path / "a.npz"


def test_names_shapes_types_and_guesses(path):
    found = describe(path)
    assert (found.path, found.format, found.size) == (str(path), "npz", path.stat().st_size)
    rows = [(a.name, a.shape, a.dtype, a.role, a.split, a.label_range, a.n_nan) for a in found.arrays]
    assert rows == [
        ("val_logits", (12, 3), "float64", "logits", "validation", None, None),
        ("val_labels", (12,), "int64", "labels", "validation", (1, 3), None),
        ("test_labels", (12,), "text", "labels", "test", ("ant", "cow"), None),
        ("onehot_labels", (12, 3), "float64", "labels", "onehot", None, None),
        ("pickled", (1,), "pickled Python objects", "", "", None, None),
        ("temperature", (), "float64", "", "", None, None),
    ]


def test_nan_are_counted_on_request(path):
    assert [item.n_nan for item in describe(path, count_nan=True).arrays] == [1, 0, 0, 0, None, 0]


def test_plain_data_and_text(path):
    found = describe(path, count_nan=True)
    assert json.loads(json.dumps(found.to_dict()))["arrays"][1]["label_range"] == [1, 3]
    text = str(found)
    assert text.splitlines()[1] == "  val_logits (12×3 float64), taken for logits, split validation, 1 NaN"
    assert text.splitlines()[2] == "  val_labels (12 int64), taken for labels, split validation, labels 1 to 3, 0 NaN"


def test_parts_of_a_file(tmp_path):
    np.savez(tmp_path / "a.npz", **{"val/logits": LOGITS, "test/logits": LOGITS, "other": 1})
    assert [item.name for item in describe(f"{tmp_path}/a.npz:val").arrays] == ["logits"]
    assert [item.name for item in describe(f"{tmp_path}/a.npz:other").arrays] == ["other"]
    assert describe(tmp_path).size is None


def test_scores_are_not_read(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", logits=LOGITS, labels=LABELS)
    monkeypatch.setattr("calkit.containers.sources.StreamSource._hold", lambda self, row: pytest.fail("read"))
    with pytest.raises(pytest.fail.Exception):
        describe(tmp_path / "a.npz")
    np.savez_compressed(tmp_path / "a.npz", logits=LOGITS)
    describe(tmp_path / "a.npz")


def test_passes_are_watched(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 40_000)
    logits = rng.standard_normal((40_000, 3)) + 2 * np.eye(3)[labels]
    seen = []
    p = watch(calkit.Predictions(logits, labels, kind="logits"), seen.append)
    expected = calkit.evaluate(calkit.Predictions(logits, labels, kind="logits"))
    assert dict(calkit.evaluate(p)) == dict(expected)
    assert [item.n_passes for item in seen] == [1] * len(seen)
    assert [item.n_read for item in seen] == sorted(item.n_read for item in seen)
    assert (seen[-1].n_read, seen[-1].n_samples) == (40_000, 40_000)
    fitted = calkit.TemperatureScaling().fit_predictions(p)
    assert seen[-1].n_passes > 2
    assert seen[-1].n_read == 40_000
    assert fitted.temperature_ == calkit.TemperatureScaling().fit(logits, labels).temperature_


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (16777216, "16.8 MB"), (10**18, "1e+03 PB")]
)
def test_sizes(n, text):
    assert format_bytes(n) == text


def test_nothing_heavy_is_imported_before_it_is_needed():
    script = "import sys, calkit.io; calkit.io.load_predictions; print(' '.join(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"pyarrow", "h5py", "torch", "zarr", "safetensors", "scipy", "sklearn", "matplotlib", "pandas", "datasets"}
    assert heavy.isdisjoint(modules)
