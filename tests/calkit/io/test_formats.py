"""The same predictions written by the libraries that own the formats give the same arrays and metrics from all."""

import json

import numpy as np
import pytest

import calkit
from calkit.cli.app import run
from calkit.io import describe, load_predictions, open_container
from tests.io_samples import SAMPLES, options_of

METRICS = ["accuracy", "error", "ece", "adaece", "mce", "nll", "brier", "s99"]

# Neither text nor MATLAB 4 tells float32 from float64: they are read as float64, unless the type is said.
TEXT = ("csv", "tsv", "json", "matlab-4")


@pytest.fixture(params=["whole", "in blocks"])
def how(request, monkeypatch):
    """Read scores at once, and block by block with blocks so small that there are several."""
    if request.param == "in blocks":
        monkeypatch.setattr("calkit.roles.reading.WHOLE_BYTES", 0)
        monkeypatch.setattr("calkit.lazy.BLOCK_BYTES", 200)
        monkeypatch.setattr("calkit.io.text.TEXT_BLOCK_BYTES", 300)
    return request.param


def predictions(dtype, n=61, k=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    # Right more often than not, and too sure of it.
    logits = 4 * rng.standard_normal((n, k)) + 3 * np.eye(k)[labels]
    return logits.astype(dtype), labels


def write(name, folder, logits, labels):
    if SAMPLES[name].library is not None:
        pytest.importorskip(SAMPLES[name].library)
    return SAMPLES[name].write(folder, logits, labels)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_same_rows_and_metrics(name, dtype, how, tmp_path):
    if dtype is np.float16 and name.startswith("matlab"):
        pytest.skip("MATLAB has no half precision")
    logits, labels = predictions(dtype)
    path = write(name, tmp_path, logits, labels)
    read = load_predictions(path, **options_of(name, tmp_path))
    assert (read.kind, read.n_samples, read.n_classes) == ("logits", len(labels), 4)
    np.testing.assert_array_equal(np.asarray(read.scores[:]), logits)
    np.testing.assert_array_equal(read.y_true, labels)
    np.testing.assert_array_equal(read.scores[3:50:11], logits[3:50:11])
    np.testing.assert_array_equal(read.scores[-5:], logits[-5:])
    if name.startswith(TEXT):
        assert read.scores.dtype == np.float64
        read = load_predictions(path, **options_of(name, tmp_path), dtype=dtype)
    assert read.scores.dtype.newbyteorder("=") == dtype
    expected = calkit.evaluate(calkit.Predictions(logits, labels, kind="logits"), METRICS)
    found = calkit.evaluate(read, METRICS)
    for metric in METRICS:
        assert found[metric] == pytest.approx(expected[metric], abs=1e-12), metric
    assert found["accuracy"] == expected["accuracy"]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_temperature_fitted_from_blocks_is_that_of_the_whole(name, monkeypatch, tmp_path):
    logits, labels = predictions(np.float64, n=300)
    path = write(name, tmp_path, logits, labels)
    monkeypatch.setattr("calkit.roles.reading.WHOLE_BYTES", 0)
    read = load_predictions(path, **options_of(name, tmp_path))
    for objective in ("nll", "ece"):
        fitted = calkit.TemperatureScaling(objective).fit_predictions(read)
        expected = calkit.TemperatureScaling(objective).fit(logits, labels)
        assert fitted.temperature_ == pytest.approx(expected.temperature_, rel=1e-9)


@pytest.mark.parametrize("name", SAMPLES)
def test_description(name, tmp_path):
    logits, labels = predictions(np.float64)
    logits[0, 0] = np.nan
    path = write(name, tmp_path, logits, labels)
    trusted = bool(SAMPLES[name].options.get("trust_pickle"))
    found = {item.role: item for item in describe(path, count_nan=True, trust_pickle=trusted).arrays}
    scores = found.get("logits") or found["scores"]
    assert (scores.shape, scores.n_nan) == ((61, 4), 1)
    if "labels" in found:
        low, high = found["labels"].label_range
        words = {0: (0, "A", "class 0"), 3: (3, "D", "class 3")}
        assert low in words[0]
        assert high in words[3]
    assert describe(path, trust_pickle=trusted).arrays[0].n_nan is None


@pytest.mark.parametrize("name", ["csv", "jsonl.gz-options", "hdf5", "datasets", "matlab-row"])
def test_names_of_classes(name, tmp_path):
    logits, labels = predictions(np.float64)
    names = load_predictions(write(name, tmp_path, logits, labels), **options_of(name, tmp_path)).class_names
    assert names == (tuple("ABCD") if "options" in name else tuple(f"class {k}" for k in range(4)))


def test_bfloat16_is_read_exactly(tmp_path):
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    logits, labels = predictions(np.float32)
    half = torch.from_numpy(logits).bfloat16()
    torch.save({"probs": half.softmax(1), "labels": torch.from_numpy(labels)}, tmp_path / "a.pt")
    save_file({"probs": half.softmax(1), "labels": torch.from_numpy(labels)}, tmp_path / "a.safetensors")
    for path in (tmp_path / "a.pt", tmp_path / "a.safetensors"):
        # Rows of rounded probabilities do not sum to 1 but to 0.99 or so, which half precision is forgiven.
        read = load_predictions(path)
        np.testing.assert_array_equal(read.scores[:], half.softmax(1).float().numpy())
        calkit.evaluate(read)
        assert "probs (61×4 bfloat16)" in open_container(path).listing()


def test_shards_are_the_whole(tmp_path):
    logits, labels = predictions(np.float64, n=100)
    expected = calkit.evaluate(calkit.Predictions(logits, labels, kind="logits"), METRICS)
    for suffix in ("npz", "parquet", "csv", "safetensors", "tsv.gz"):
        folder = tmp_path / suffix
        folder.mkdir()
        for i, start in enumerate(range(0, 100, 9)):
            part = calkit.Predictions(logits[start : start + 9], labels[start : start + 9], kind="logits")
            calkit.save_predictions(part, folder / f"run-{i:05d}-of-00012.{suffix}")
        for address in (folder, folder / f"run.{suffix}", folder / f"run-*.{suffix}"):
            found = calkit.evaluate(load_predictions(address), METRICS)
            assert dict(found) == pytest.approx(dict(expected), abs=1e-12)


@pytest.mark.parametrize("name", SAMPLES)
def test_on_the_command_line(name, tmp_path, capsys):
    logits, labels = predictions(np.float64)
    path = write(name, tmp_path, logits, labels)
    options = options_of(name, tmp_path)
    expected = calkit.evaluate(load_predictions(path, **options), METRICS)
    arguments = ["evaluate", str(path), "--metrics", ",".join(METRICS), "--format", "json"]
    for option, value in options.items():
        arguments += ["--trust-pickle"] if option == "trust_pickle" else [f"--{option}", str(value)]
    assert run(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    [found] = found if isinstance(found, list) else [found]
    assert found["metrics"] == pytest.approx(dict(expected), abs=1e-15)
