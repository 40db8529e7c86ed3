"""Each mistake has one error, which names the file, what was found and the remedy."""

import sys

import numpy as np
import pytest

import calkit
from calkit.errors import FileFormatError, InputError, MissingDependencyError, NotFoundError, UsageError
from calkit.io import FORMATS, describe, load_predictions, save_predictions
from calkit.registry import Registry
from tests.io_samples import SAMPLES, options_of

LOGITS = np.array([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [-1.0, 4.0, 0.0], [0.0, 0.0, 1.0]])
LABELS = np.array([0, 2, 1, 1])


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("parquet", "pyarrow.parquet", "formats"),
        ("feather", "pyarrow", "formats"),
        ("datasets", "pyarrow", "formats"),
        ("hdf5", "h5py", "formats"),
        ("matlab-7.3", "h5py", "formats"),
        ("zarr", "zarr", "formats"),
        ("torch", "torch", "torch"),
    ],
)
def test_missing_library(name, module, extra, tmp_path, monkeypatch):
    pytest.importorskip(module)
    path = SAMPLES[name].write(tmp_path, np.tile(LOGITS, (5, 1)), np.tile(LABELS, 5))
    monkeypatch.setitem(sys.modules, module, None)
    library = module.split(".")[0]
    with pytest.raises(MissingDependencyError) as caught:
        load_predictions(path)
    assert f"{path}: " in str(caught.value)
    assert f"files need {library}, which cannot be imported" in str(caught.value)
    assert f"pip install 'calkit-calibration[{extra}]'" in str(caught.value)


def test_the_library_to_write_with_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"a\.parquet: \.parquet files need pyarrow.*\[formats\]"):
        save_predictions(calkit.Predictions(LOGITS, LABELS, kind="logits"), tmp_path / "a.parquet")
    assert not list(tmp_path.iterdir())


def test_an_old_torch(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    path = SAMPLES["torch"].write(tmp_path, LOGITS, LABELS)
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(MissingDependencyError, match=r"a\.pt: torch 2\.5\.1\+cpu does not read .* safely.*pip install"):
        load_predictions(path)


def test_missing_array(tmp_path):
    path = npz(tmp_path / "a.npz", logits=LOGITS, labels=LABELS)
    for address in ({"scores": "logit"}, {"labels": "label"}, {"sample_weight": "wait"}):
        with pytest.raises(NotFoundError, match=r"unknown array .* of .*a\.npz\. .*Known: logits, labels"):
            load_predictions(path, **address)
    with pytest.raises(NotFoundError, match="Did you mean 'logits'"):
        load_predictions(f"{path}:logit")
    with pytest.raises(NotFoundError, match="unknown array"):
        describe(f"{path}:none")


def test_weights_of_a_network(tmp_path):
    np.savez(tmp_path / "net.npz", **{"fc.weight": np.zeros((10, 5)), "fc.bias": np.zeros(10)})
    with pytest.raises(UsageError, match="weights of a network, not its outputs.*calkit predict .* -o logits.npz"):
        load_predictions(tmp_path / "net.npz")


def test_several_candidates(tmp_path):
    path = npz(tmp_path / "a.npz", a_logits=LOGITS, a_probs=LOGITS, a_labels=LABELS)
    with pytest.raises(UsageError, match=r"a\.npz: 'a_logits', 'a_probs' could all be the scores.*--scores NAME"):
        load_predictions(path)
    path = npz(tmp_path / "b.npz", logits=LOGITS, y=LABELS, labels=LABELS)
    with pytest.raises(UsageError, match=r"b\.npz: both 'y' and 'labels' could be the labels.*--labels NAME"):
        load_predictions(path)
    np.testing.assert_array_equal(load_predictions(path, labels="y").y_true, LABELS)
    # What is not needed may be ambiguous.
    path = npz(tmp_path / "c.npz", confidence=[0.5, 1.0], correct=[0, 1], answer=["x", "y"], target=["x", "z"])
    assert load_predictions(path).y_true.tolist() == [0, 1]


def test_labels_absent(tmp_path):
    with pytest.raises(UsageError, match=r"a\.npz: no array is named like labels .*logits \(4×3 float64\).*--labels"):
        load_predictions(npz(tmp_path / "a.npz", logits=LOGITS))
    with pytest.raises(UsageError, match=r"b\.npz: confidences need to know which answers were right.*'correct'"):
        load_predictions(npz(tmp_path / "b.npz", confidence=[0.5, 1.0], labels=[1, 2]))


@pytest.mark.parametrize("what", ["labels", "sample_weight", "correct"])
def test_length_mismatch(what, tmp_path):
    arrays = {"confidence": [0.5, 0.9]} if what == "correct" else {"logits": LOGITS, "labels": LABELS}
    path = npz(tmp_path / "a.npz", **(arrays | {what: np.ones(3, int)}))
    expected = (
        rf"a\.npz: {'y_true' if what == 'labels' else what} has 3 rows, but the scores have \d: {what} \(3 int64\)"
    )
    with pytest.raises(InputError, match=expected + ".*same split"):
        load_predictions(path)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.array(["a", "b", "c", "d"]), r"'logits' is of type text.*--scores NAME"),
        (LOGITS.astype(complex), "'logits' is of type complex128"),
        (np.zeros(4, "M8[s]"), "'logits' is of type datetime64"),
        (np.zeros((4, 3, 2)), "have shape .n, K., .* 'logits' has 4×3×2.*--class-axis"),
        (np.float64(1.0), "'logits' has no axis"),
    ],
)
def test_wrong_type_or_shape(scores, message, tmp_path):
    with pytest.raises(InputError, match=rf"a\.npz: the scores must .*{message}"):
        load_predictions(npz(tmp_path / "a.npz", logits=scores, labels=LABELS))


@pytest.mark.parametrize("suffix", sorted({suffix for form in FORMATS for suffix in FORMATS[form].suffixes}))
def test_empty_and_not_what_it_is_called(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.touch()
    with pytest.raises(FileFormatError, match=r"/a\.[a-z0-9.]+ is empty"):
        load_predictions(path)
    # A folder's suffix on a file, and a single byte in any file.
    path.write_bytes(b"\0")
    with pytest.raises((FileFormatError, UsageError), match=r"/a\.[a-z0-9.]+[ :]"):
        load_predictions(path)
    path.unlink()
    with pytest.raises(FileFormatError, match=r"/a\.[a-z0-9.]+ does not exist"):
        load_predictions(path)


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in ("npy-folder", "shards", "zarr", "zarr-2")])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_truncated(name, share, tmp_path):
    if SAMPLES[name].library is not None:
        pytest.importorskip(SAMPLES[name].library)
    rng = np.random.default_rng(0)
    path = SAMPLES[name].write(tmp_path, rng.standard_normal((50, 3)), rng.integers(0, 3, 50))
    file = sorted(path.rglob("*.arrow"))[-1] if path.is_dir() else path
    data = file.read_bytes()
    # Lines of text may end anywhere but in a row.
    end = int(share * len(data)) if name not in ("csv", "csv-crlf-bom", "jsonl", "jsonl-harness") else data.rindex(b",")
    file.write_bytes(data[:end])
    with pytest.raises((FileFormatError, UsageError, InputError)) as caught:
        calkit.evaluate(load_predictions(path, **options_of(name, tmp_path)))
    assert str(tmp_path) in str(caught.value)


def test_named_one_thing_and_being_another(tmp_path):
    pytest.importorskip("pyarrow")
    path = SAMPLES["parquet"].write(tmp_path, LOGITS, LABELS)
    other = path.rename(tmp_path / "a.npz")
    with pytest.raises(
        FileFormatError, match=r"a\.npz is named \.npz, but begins like a \.parquet file.*--file-format parquet"
    ):
        load_predictions(other)
    assert load_predictions(other, file_format="parquet").n_samples == 4
    # Without a suffix that says anything, the first bytes tell.
    assert load_predictions(other.rename(tmp_path / "logits.bin")).n_samples == 4


def test_unknown_format(tmp_path):
    (tmp_path / "a.log").write_text("logit_0,logit_1,label\n1,2,0\n")
    with pytest.raises(
        FileFormatError, match=r"a\.log: no format is known by that suffix\. Known: .*--file-format NAME"
    ):
        load_predictions(tmp_path / "a.log")
    assert load_predictions(tmp_path / "a.log", file_format="csv").n_samples == 1
    with pytest.raises(NotFoundError, match="unknown format 'cvs'. Did you mean 'csv'"):
        load_predictions(tmp_path / "a.log", file_format="cvs")


def test_formats_are_registered():
    assert isinstance(FORMATS, Registry)
    suffixes = [suffix for form in FORMATS for suffix in FORMATS[form].suffixes]
    assert len(suffixes) == len(set(suffixes))
    for word in FORMATS:
        assert FORMATS[word].name == word
