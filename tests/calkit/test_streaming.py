"""Streams against evaluation of the whole, files against what was written."""

import itertools
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import calkit
from calkit import Predictions, evaluate
from calkit.errors import FileFormatError, InputError, NotFoundError, UsageError
from calkit.streaming import StreamingEvaluation
from tests.summaries import leaves

# One or two of each kind; tests/laws streams every metric.
KINDS = ["ece", "mce", "adaece", "classwise_ece", "smece", "accuracy", "error", "nll", "brier", "s99", "s99_accuracy"]
MORE = ["ece:n_bins=7", "ece:binning=quantile", "adaece:n_bins=4", "s99:threshold=0.5", "l2-debiased", "ks"]
METRICS = [*KINDS, *MORE]


def example(n=400, k=5, seed=0, weighted=False):
    rng = np.random.default_rng(seed)
    logits = 3 * rng.standard_normal((n, k))
    y = np.where(rng.random(n) < 0.6, logits.argmax(1), rng.integers(0, k, n))
    return logits, y, rng.integers(0, 4, n) * 0.3 if weighted else None


def stream_of(logits, y, weight, cuts=(), metrics=METRICS, **options):
    options = {"keep_pairs": True} | options
    stream = StreamingEvaluation(metrics, **options)
    for start, stop in itertools.pairwise([0, *sorted(cuts), len(y)]):
        rows = slice(start, stop)
        stream.update(logits[rows], y[rows], None if weight is None else weight[rows])
    return stream


def assert_same_values(a, b, rel=1e-12):
    assert list(a) == list(b)
    assert dict(a) == pytest.approx(dict(b), rel=rel, abs=1e-12, nan_ok=True)


def assert_same_state(a, b):
    for metric in a.metrics:
        for (name, x), (_, y) in zip(leaves(a.summary(metric)), leaves(b.summary(metric)), strict=True):
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y, err_msg=name)
    assert (a.n_samples, a.n_classes, a.kind, a.keep_pairs) == (b.n_samples, b.n_classes, b.kind, b.keep_pairs)
    assert [m.spec for m in a.metrics] == [m.spec for m in b.metrics]


batches = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.float64, (n, 3), elements=st.floats(-30, 30, width=16)),
        hnp.arrays(np.int64, n, elements=st.integers(0, 2)),
        st.one_of(st.none(), hnp.arrays(np.float64, n, elements=st.integers(0, 3)).filter(np.any)),
        # Cuts may repeat: empty batches are batches too.
        st.lists(st.integers(0, n), max_size=6),
    )
)


@given(data=batches)
def test_batches_of_any_size_give_the_values_of_the_whole(data):
    logits, y, weight, cuts = data
    stream = stream_of(logits, y, weight, cuts)
    whole = calkit.evaluate(calkit.Predictions(logits, y, kind="logits", sample_weight=weight), METRICS)
    assert_same_values(stream.result(), whole)
    assert stream.result().n_samples == (len(y) if weight is None else np.count_nonzero(weight))


@given(data=batches, cut=st.integers(0, 40))
def test_merged_streams_give_the_values_of_the_whole(data, cut):
    logits, y, weight, cuts = data
    cut = min(cut, len(y))
    parts = []
    for rows in (slice(0, cut), slice(cut, None)):
        part_weight = None if weight is None else weight[rows]
        parts.append(stream_of(logits[rows], y[rows], part_weight))
    before = [part.n_samples for part in parts]
    merged = parts[0].merge(parts[1])
    assert_same_values(merged.result(), stream_of(logits, y, weight, cuts).result())
    assert_same_state(merged, parts[0] + parts[1])
    assert [part.n_samples for part in parts] == before


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["logits", "probs", "confidence"])
def test_files_hold_the_sums_to_the_last_bit(tmp_path, kind, weighted):
    logits, y, weight = example(weighted=weighted)
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    scores, truth = {
        "logits": (logits, y),
        "probs": (probs, y),
        "confidence": (probs.max(1), probs.argmax(1) == y),
    }[kind]
    metrics = None if kind == "confidence" else METRICS
    stream = stream_of(scores, truth, weight, (100, 250), metrics, kind=kind)
    stream.save(tmp_path / "day.npz")
    loaded = StreamingEvaluation.load(tmp_path / "day.npz")
    assert_same_state(loaded, stream)
    # A loaded stream goes on where it ended.
    loaded.update(scores[:7], truth[:7])
    assert loaded.n_samples == 7 + (np.count_nonzero(weight) if weighted else 400)
    assert_same_values(stream.update(scores[:7], truth[:7]).result(), loaded.result())


def test_a_file_of_sums_is_small_and_holds_no_pickle(tmp_path):
    logits, y, _ = example(20_000)
    stream = StreamingEvaluation().update(logits, y)
    stream.save(tmp_path / "day.npz")
    assert (tmp_path / "day.npz").stat().st_size < 12_000
    with np.load(tmp_path / "day.npz", allow_pickle=False) as file:
        assert json.loads(str(file["header"]))["n_samples"] == 20_000
        assert all(file[name].dtype.kind in "iufU" for name in file.files)


def test_an_empty_stream_is_stored_too(tmp_path):
    stream = StreamingEvaluation(["ece"], class_names=["a", "b"])
    stream.save(tmp_path / "none.npz")
    loaded = StreamingEvaluation.load(tmp_path / "none.npz")
    assert repr(loaded) == repr(stream) == "StreamingEvaluation(ece; 0 samples)"
    assert loaded.class_names == ("a", "b")
    assert loaded.n_classes == 2
    with pytest.raises(InputError, match="nothing has been counted yet"):
        loaded.result()
    loaded.update([[2.0, 0.0]], ["b"])
    assert loaded.merge(stream).n_samples == stream.merge(loaded).n_samples == 1


def test_the_default_leaves_out_what_needs_every_row():
    whole = [metric.name for metric in StreamingEvaluation(keep_pairs=True).metrics]
    assert [metric.name for metric in StreamingEvaluation().metrics] == [name for name in whole if name != "adaece"]
    assert {"adaece", "ece", "nll"} <= set(whole)
    assert "nll" not in [metric.name for metric in StreamingEvaluation(kind="confidence").metrics]
    for spec in ("adaece", "ece:binning=quantile", "adaece:convention=focal-calibration"):
        with pytest.raises(UsageError, match="keep_pairs=True"):
            StreamingEvaluation([spec])


def test_a_bad_batch_leaves_no_trace():
    logits, y, _ = example(50)
    stream = StreamingEvaluation().update(logits, y)
    before = dict(stream.result())
    for scores, labels, message in (
        (np.where(np.eye(50, 5) > 0, np.nan, logits), y, "row 0 holds nan"),
        (logits, y + 3, "must lie in 0..4"),
        (logits[:, :4], y % 4, "4 classes, but those before had 5"),
        (logits, y[:-1], "49 rows"),
    ):
        with pytest.raises(InputError, match=message):
            stream.update(scores, labels)
    assert dict(stream.result()) == before
    assert stream.n_samples == 50


def test_what_counts_nothing_changes_nothing():
    logits, y, _ = example(50)
    stream = StreamingEvaluation().update(logits, y)
    before = dict(stream.result())
    stream.update(logits[:0], y[:0]).update(np.full_like(logits, np.nan), y, np.zeros(50))
    assert dict(stream.result()) == before
    assert stream.n_samples == 50


def test_streams_that_differ_are_not_merged():
    logits, y, _ = example(50)
    stream = StreamingEvaluation(["ece"]).update(logits, y)
    for other, message in (
        (StreamingEvaluation(["ece:n_bins=10"]), "different metrics"),
        (StreamingEvaluation(["ece"], kind="probs"), "different kinds"),
        (StreamingEvaluation(["ece"]).update(logits[:, :3], y % 3), "different numbers of classes"),
        (StreamingEvaluation(["ece"], class_names=list("abcde")), "different class names"),
    ):
        with pytest.raises(InputError, match=message):
            stream.merge(other)


def test_unknown_words():
    with pytest.raises(NotFoundError, match="Did you mean 'ece'"):
        StreamingEvaluation(["eec"])
    with pytest.raises(UsageError, match="kind must be one of"):
        StreamingEvaluation(kind="scores")
    with pytest.raises(InputError, match="nll needs the scores of all classes"):
        StreamingEvaluation(["nll"], kind="confidence")
    with pytest.raises(InputError, match="nll needs other sums"):
        StreamingEvaluation(["ece"]).summary("nll")


def test_a_reliability_diagram_draws_the_sums():
    logits, y, _ = example()
    stream = StreamingEvaluation(["ece"]).update(logits, y)
    assert stream.summary("mce") is not None
    display = calkit.ReliabilityDisplay.from_bins(stream.summary("ece"), plot=False)
    assert display.ece == pytest.approx(calkit.ece(y, logits, from_logits=True), rel=1e-12)


class TestDamagedFiles:
    @pytest.fixture
    def saved(self, tmp_path):
        logits, y, _ = example(50)
        path = tmp_path / "day.npz"
        StreamingEvaluation(["ece", "adaece"], keep_pairs=True).update(logits, y).save(path)
        return path

    def change(self, path, drop=(), **changed):
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files if name not in drop}
        np.savez(path, **(arrays | changed))

    def header(self, path, **changed):
        with np.load(path) as file:
            return np.array(json.dumps(json.loads(str(file["header"])) | changed))

    def test_truncated_anywhere(self, saved):
        content = saved.read_bytes()
        for length in range(0, len(content), 97):
            saved.write_bytes(content[:length])
            with pytest.raises(FileFormatError, match=r"day\.npz"):
                StreamingEvaluation.load(saved)

    def test_a_changed_byte_of_data(self, saved):
        content = bytearray(saved.read_bytes())
        with zipfile.ZipFile(saved) as archive:
            info = archive.getinfo("0.confidence.npy")
        content[info.header_offset + info.file_size - 20] ^= 1
        saved.write_bytes(content)
        with pytest.raises(FileFormatError, match="CRC"):
            StreamingEvaluation.load(saved)

    def test_missing_and_other_files(self, saved, tmp_path):
        with pytest.raises(FileFormatError, match="does not exist"):
            StreamingEvaluation.load(tmp_path / "no.npz")
        (tmp_path / "text.npz").write_text("{}")
        with pytest.raises(FileFormatError, match="not a zip file"):
            StreamingEvaluation.load(tmp_path / "text.npz")
        with pytest.raises(FileFormatError, match="does not say that it is"):
            StreamingEvaluation.load(calkit.datasets.digits_path())

    def test_content_that_does_not_fit(self, saved):
        original = saved.read_bytes()
        for drop, changed, message in (
            (("0.count",), {}, "count is missing"),
            ((), {"0.count": np.zeros(14, np.int64)}, "shape"),
            ((), {"0.count": np.zeros(15)}, "type float64"),
            ((), {"header": self.header(saved, version=2)}, "version 1"),
            ((), {"header": self.header(saved, metrics=["eec"])}, "unknown metric"),
            ((), {"header": self.header(saved, keep_pairs=False)}, "keep_pairs"),
            ((), {"header": np.array("{")}, "damaged"),
            ((), {"0.count": np.array([{}])}, "damaged"),
        ):
            saved.write_bytes(original)
            self.change(saved, drop, **changed)
            with pytest.raises(FileFormatError, match=f"(?s){message}"):
                StreamingEvaluation.load(saved)

    def test_a_failed_save_leaves_the_old_file(self, saved, monkeypatch):
        before = saved.read_bytes()
        stream = StreamingEvaluation.load(saved)

        def full(*args, **kwargs):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(np, "savez", full)
        with pytest.raises(FileFormatError, match="No space left"):
            stream.save(saved)
        assert saved.read_bytes() == before
        assert [path.name for path in saved.parent.iterdir()] == ["day.npz"]


def test_the_example_of_drift_runs(tmp_path):
    script = Path(__file__).parents[2] / "examples" / "drift_over_days.py"
    figure = tmp_path / "drift.png"
    command = [sys.executable, str(script), "--output", str(figure), "--folder", str(tmp_path / "days")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert figure.stat().st_size > 10_000
    assert len(list((tmp_path / "days").iterdir())) == 28
    assert "ECE" in done.stdout


class TestTheLabelRule:
    PROBS = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    #: By hand: rows 0 and 1 are right, row 2 is wrong, row 3 has no label.
    CASES = (
        ({"labels_from": 1, "ignore_label": -100}, [1, 2, 1, -100]),
        ({"labels_from": 1, "ignore_label": (-100, float("nan"))}, [1.0, 2.0, 1.0, float("nan")]),
        ({"class_names": ["a", "b"], "labels_from": 1, "ignore_label": 9}, ["1", "2", "1", "9"]),
        ({"class_names": ["a", "b"], "ignore_label": "?"}, ["a", "b", "a", "?"]),
        ({"class_names": [-1, 1], "ignore_label": 0}, [-1, 1, -1, 0]),
        ({"ignore_label": np.array([255, 7])}, [0, 1, 0, np.uint8(255)]),
    )

    @pytest.mark.parametrize(("options", "labels"), CASES, ids=str)
    def test_labels_are_taken_as_predictions_take_them(self, options, labels, tmp_path):
        stream = StreamingEvaluation(["accuracy", "nll"], kind="probs", **options)
        left_out = [labels[3]] * 2
        for rows, y in ((self.PROBS[:2], labels[:2]), (self.PROBS[:2], left_out), (self.PROBS[2:], labels[2:])):
            stream.update(rows, y)
        whole = Predictions(self.PROBS, labels, kind="probs", **options)
        expected = evaluate(whole, ["accuracy", "nll"], floors=False)
        assert stream.n_samples == (3 if "ignore_label" in options else 6)
        stream.save(tmp_path / "a.npz")
        for found in (stream, StreamingEvaluation.load(tmp_path / "a.npz"), stream + stream):
            assert found.result()["accuracy"] == pytest.approx(2 / 3)
            assert found.result()["nll"] == pytest.approx(expected["nll"], rel=1e-12)
        # Its options are those of the file.
        again = StreamingEvaluation.load(tmp_path / "a.npz").update(self.PROBS, labels)
        assert again.result()["accuracy"] == pytest.approx(2 / 3)

    def test_pairs(self):
        stream = StreamingEvaluation(["accuracy"], kind="confidence", ignore_label=-1)
        assert stream.update([0.9, 0.2, 0.3], [1, 0, -1]).result()["accuracy"] == 0.5

    def test_other_labels_are_refused(self):
        stream = StreamingEvaluation(["accuracy"], kind="probs", labels_from=1, ignore_label=-100)
        with pytest.raises(InputError, match="y_true must lie in"):
            stream.update(self.PROBS, [0, 1, 2, -100])
        assert stream.n_samples == 0
