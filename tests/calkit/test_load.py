"""Reading files: names decide, nothing is guessed, each mistake has one clear error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import calkit
from calkit.errors import FileFormatError, InputError, UsageError
from calkit.io import load_predictions, open_container, save_predictions
from calkit.names import ROLES, Meaning, read_name

LOGITS = np.array([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [-1.0, 4.0, 0.0], [0.0, 0.0, 1.0]])
PROBS = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
LABELS = np.array([0, 2, 1, 1])


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("name", "role", "split"),
    [
        ("logits", "logits", ""),
        ("val_logits", "logits", "validation"),
        ("logits_test", "logits", "test"),
        ("TEST-LABELS", "labels", "test"),
        ("y_true", "labels", ""),
        ("y_val", "labels", "validation"),
        ("y_proba", "probs", ""),
        ("dev.probs", "probs", "validation"),
        ("predictions", "scores", ""),
        ("ground_truth", "labels", ""),
        ("timm.efficientnet_b3a.conf", "confidence", "timm.efficientnet_b3a"),
        ("pred", "predicted", ""),
        ("is_correct", "correct", ""),
        ("train_sample_weight", "sample_weight", "train"),
        ("Epoch 3 logits", "logits", "Epoch 3"),
    ],
)
def test_names(name, role, split):
    assert read_name(name) == Meaning(role, split)


@pytest.mark.parametrize("name", ["temperature", "x", "catalogits", "features", "", "epoch"])
def test_names_that_say_nothing(name):
    assert read_name(name) is None


@given(role=st.sampled_from(sorted(ROLES)), split=st.text("abcxyz19", min_size=1, max_size=8), before=st.booleans())
def test_any_prefix_or_suffix_is_a_split(role, split, before):
    # Words that mean nothing beside others do not name that role there.
    word = next((word for word in ROLES[role] if read_name(f"{word}_abc")), None)
    if word is None:
        return
    meaning = read_name(f"{split}_{word}" if before else f"{word}_{split}")
    assert meaning is not None
    assert meaning.role == role or meaning.split == ""


class TestNpz:
    def test_logits_and_labels(self, tmp_path):
        p = load_predictions(npz(tmp_path / "a.npz", logits=LOGITS, labels=LABELS))
        assert (p.kind, p.n_samples, p.n_classes) == ("logits", 4, 3)
        np.testing.assert_array_equal(p.scores, LOGITS)
        assert p.meta["file"].endswith("a.npz")

    def test_splits(self, tmp_path):
        path = npz(
            tmp_path / "a.npz", val_logits=LOGITS[:1], val_labels=LABELS[:1], test_logits=LOGITS, test_labels=LABELS
        )
        with pytest.raises(UsageError, match=r"holds the splits 'validation', 'test'.*--split"):
            load_predictions(path)
        assert load_predictions(path, split="val").n_samples == 1
        assert load_predictions(path, split="validation").meta["split"] == "validation"
        assert load_predictions(path, split="test").n_samples == 4
        with pytest.raises(UsageError, match="unknown split.*'train'.*Known: validation, test"):
            load_predictions(path, split="train")

    def test_labels_shared_by_all_splits(self, tmp_path):
        path = npz(tmp_path / "a.npz", small_logits=LOGITS, big_logits=2 * LOGITS, labels=LABELS)
        np.testing.assert_array_equal(load_predictions(path, split="big").y_true, LABELS)

    def test_probabilities_weights_and_class_names(self, tmp_path):
        names = np.array(["ant", "bee", "cow"])
        path = npz(tmp_path / "a.npz", probs=PROBS, y_true=names[LABELS], class_names=names, weights=[1, 2, 3, 4])
        p = load_predictions(path)
        assert (p.kind, p.class_names) == ("probs", ("ant", "bee", "cow"))
        np.testing.assert_array_equal(p.y_true, LABELS)
        np.testing.assert_array_equal(p.sample_weight, [1, 2, 3, 4])

    def test_a_name_that_leaves_the_kind_open_needs_it_said(self, tmp_path):
        path = npz(tmp_path / "a.npz", predictions=PROBS, ground_truth=LABELS)
        with pytest.raises(UsageError, match=r"does not tell logits from probabilities.*predictions \(4×3 float64\)"):
            load_predictions(path)
        assert load_predictions(path, kind="probs").kind == "probs"
        # Values are never looked at: the same numbers may be called logits.
        assert load_predictions(path, kind="logits").kind == "logits"

    def test_both_kinds_in_one_file(self, tmp_path):
        path = npz(tmp_path / "a.npz", logits=LOGITS, probs=PROBS, labels=LABELS)
        with pytest.raises(UsageError, match="'logits', 'probs' could all be the scores"):
            load_predictions(path)
        assert load_predictions(path, kind="probs").kind == "probs"
        assert load_predictions(path, scores="logits").kind == "logits"

    def test_pairs(self, tmp_path):
        p = load_predictions(npz(tmp_path / "a.npz", confidence=[0.9, 0.4], correct=[True, False]))
        assert (p.kind, p.n_classes, p.y_true.tolist()) == ("confidence", None, [1, 0])
        p = load_predictions(npz(tmp_path / "b.npz", conf=[0.9, 0.4], pred=[3, 4], labels=[3, 5]))
        assert p.y_true.tolist() == [1, 0]
        with pytest.raises(UsageError, match="'correct', or 'labels' and 'predicted'"):
            load_predictions(npz(tmp_path / "c.npz", confidence=[0.9, 0.4], x=[1, 2]))

    def test_labels_elsewhere(self, tmp_path):
        path = npz(tmp_path / "a.npz", logits=LOGITS, klass=LABELS)
        with pytest.raises(UsageError, match=r"no array is named like labels.*klass \(4 int64\)"):
            load_predictions(path)
        np.testing.assert_array_equal(load_predictions(path, labels="klass").y_true, LABELS)
        np.save(tmp_path / "y.npy", LABELS)
        np.testing.assert_array_equal(load_predictions(path, labels=tmp_path / "y.npy").y_true, LABELS)
        np.testing.assert_array_equal(load_predictions(path, labels=f"{path}:klass").y_true, LABELS)
        with pytest.raises(UsageError, match="unknown array 'klas' of .*Did you mean 'klass'"):
            load_predictions(path, labels="klas")
        with pytest.raises(FileFormatError, match="does not exist"):
            load_predictions(path, labels=tmp_path / "none.npy")

    def test_an_address_names_the_scores(self, tmp_path):
        path = npz(tmp_path / "a.npz", first_logits=LOGITS, last_logits=2 * LOGITS, labels=LABELS)
        np.testing.assert_array_equal(load_predictions(f"{path}:last_logits").scores, 2 * LOGITS)
        with pytest.raises(UsageError, match="Did you mean 'last_logits'"):
            load_predictions(f"{path}:lst_logits")

    def test_no_scores(self, tmp_path):
        path = npz(tmp_path / "a.npz", features=LOGITS, labels=LABELS)
        with pytest.raises(UsageError, match=r"no array is named like scores.*features \(4×3 float64\).*--scores"):
            load_predictions(path)
        with pytest.raises(UsageError, match="does not tell"):
            load_predictions(path, scores="features")
        assert load_predictions(path, scores="features", kind="logits").n_classes == 3

    def test_errors_of_the_arrays_name_the_file(self, tmp_path):
        path = npz(tmp_path / "a.npz", logits=LOGITS, labels=LABELS[:2])
        with pytest.raises(InputError, match=r"a\.npz: y_true has 2 rows, but the scores have 4"):
            load_predictions(path)

    def test_pickles_are_never_opened(self, tmp_path):
        class Bomb:
            def __reduce__(self):
                return (open, (str(tmp_path / "ran"), "w"))

        path = npz(tmp_path / "a.npz", logits=np.array([Bomb()], dtype=object), labels=[0])
        (tmp_path / "ran").unlink(missing_ok=True)
        with pytest.raises(FileFormatError, match="pickled Python objects"):
            load_predictions(path)
        assert not (tmp_path / "ran").exists()


def test_npy_with_a_labels_file(tmp_path):
    np.save(tmp_path / "test_logits.npy", LOGITS)
    np.save(tmp_path / "test_labels.npy", LABELS)
    p = load_predictions(tmp_path / "test_logits.npy", labels=tmp_path / "test_labels.npy")
    assert (p.kind, p.meta["split"]) == ("logits", "test")
    assert isinstance(p.scores, np.memmap)
    with pytest.raises(UsageError, match="labels='NAME or FILE'"):
        load_predictions(tmp_path / "test_logits.npy")
    np.save(tmp_path / "run7.npy", PROBS)
    with pytest.raises(UsageError, match="'run7' does not tell logits from probabilities"):
        load_predictions(tmp_path / "run7.npy", labels=tmp_path / "test_labels.npy")
    p = load_predictions(tmp_path / "run7.npy", labels=tmp_path / "test_labels.npy", kind="probs")
    assert p.kind == "probs"


class TestText:
    def write(self, path, text):
        path.write_text(text, encoding="utf-8")
        return path

    def test_a_column_per_class_named(self, tmp_path):
        path = self.write(tmp_path / "a.csv", "id,logit_cat,logit_dog,label\nx,1.5,-1,dog\ny,0,2e0,cat\n")
        p = load_predictions(path)
        assert (p.kind, p.class_names, p.y_true.tolist()) == ("logits", ("cat", "dog"), [1, 0])
        np.testing.assert_array_equal(p.scores, [[1.5, -1], [0, 2]])

    def test_numbered_columns_are_put_in_order(self, tmp_path):
        path = self.write(tmp_path / "a.tsv", "y\tp_1\tp_0\tp_2\n0\t.2\t.7\t.1\n1\t.5\t.25\t.25\n")
        p = load_predictions(path)
        assert p.kind == "probs"
        np.testing.assert_array_equal(p.scores, [[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]])

    def test_pairs_as_language_model_evaluations_have_them(self, tmp_path):
        path = self.write(tmp_path / "a.csv", 'question,confidence,correct\n"a, b",0.9,True\nc,0.2,False\n')
        p = load_predictions(path)
        assert (p.kind, p.y_true.tolist(), p.scores.tolist()) == ("confidence", [1, 0], [0.9, 0.2])

    def test_binary_in_one_column(self, tmp_path):
        p = load_predictions(self.write(tmp_path / "a.csv", "label,prob\n1,0.75\n0,0.25\n"))
        assert (p.kind, p.n_classes) == ("probs", 2)
        assert calkit.evaluate(p, ["ece"])["ece"] == 0.25

    def test_splits_by_name(self, tmp_path):
        text = "val_logits_0,val_logits_1,val_labels\n1,2,0\n3,4,1\n"
        assert load_predictions(self.write(tmp_path / "a.csv", text)).meta["split"] == "validation"

    def test_without_a_header_it_is_one_matrix(self, tmp_path):
        path = self.write(tmp_path / "test_logits.csv", "1,2\n3,4\n")
        np.savetxt(tmp_path / "labels.csv", [0, 1], fmt="%d")
        p = load_predictions(path, labels=tmp_path / "labels.csv")
        np.testing.assert_array_equal(p.scores, [[1, 2], [3, 4]])
        assert (p.kind, p.y_true.tolist()) == ("logits", [0, 1])

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is empty"),
            ("logit_a,logit_b,label\n", "no rows"),
            ("logit_a,logit_b,label\n1,2\n", "line 2 has 2 columns, but the header names 3"),
            (
                "logit_a,logit_b,label\n1,2,a\n1,x,a\n",
                "line 3 holds 'x' in the column 'logit_b' where a number is needed",
            ),
            ("logit_a,logit_a,label\n1,2,a\n", "more than once"),
            ("1,2\n3\n", "line 2 has 1 columns"),
            ('a,"b\n1,2', "not a readable .csv"),
        ],
    )
    def test_errors_name_the_place(self, tmp_path, text, message):
        with pytest.raises((FileFormatError, InputError, UsageError), match=message):
            load_predictions(self.write(tmp_path / "a.csv", text))

    def test_not_text(self, tmp_path):
        (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00\x01")
        with pytest.raises(FileFormatError):
            load_predictions(tmp_path / "a.csv")


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".tsv"])
@pytest.mark.parametrize("kind", ["logits", "probs", "confidence"])
@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_written_is_read_back(tmp_path, suffix, kind, weighted):
    rng = np.random.default_rng(0)
    weight = rng.random(50) if weighted else None
    names = ["ant", "bee", "cow"]
    logits = rng.standard_normal((50, 3))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scores = {"logits": logits, "probs": probs, "confidence": probs.max(axis=1)}[kind]
    y = rng.integers(0, 2 if kind == "confidence" else 3, 50)
    p = calkit.Predictions(scores, y, kind=kind, sample_weight=weight, class_names=names)
    save_predictions(p, tmp_path / f"a{suffix}")
    again = load_predictions(tmp_path / f"a{suffix}")
    assert (again.kind, again.class_names) == (p.kind, p.class_names)
    np.testing.assert_array_equal(again.scores, p.scores)
    np.testing.assert_array_equal(again.y_true, p.y_true)
    assert dict(calkit.evaluate(again, ["ece", "accuracy"])) == dict(calkit.evaluate(p, ["ece", "accuracy"]))
    assert [f.name for f in tmp_path.iterdir()] == [f"a{suffix}"]


class TestWriting:
    def test_unknown_suffix(self, tmp_path):
        p = calkit.Predictions(LOGITS, LABELS, kind="logits")
        with pytest.raises(FileFormatError, match="no format is known"):
            save_predictions(p, tmp_path / "a.xyz")
        with pytest.raises(UsageError, match="cannot be written"):
            save_predictions(p, tmp_path / "a.npy")
        with pytest.raises(FileFormatError, match="cannot write"):
            save_predictions(p, tmp_path / "none" / "a.npz")
        with pytest.raises(FileFormatError, match="is a folder"):
            (tmp_path / "b.npz").mkdir()
            save_predictions(p, tmp_path / "b.npz")
        assert [f.name for f in tmp_path.iterdir()] == ["b.npz"]

    def test_a_failure_half_way_keeps_the_old_file(self, tmp_path):
        class Breaks:
            shape, dtype, ndim = (4, 3), np.dtype(float), 2

            def __getitem__(self, rows):
                raise KeyboardInterrupt

            def __array__(self, dtype=None, copy=None):
                raise KeyboardInterrupt

        path = npz(tmp_path / "a.npz", logits=LOGITS, labels=LABELS)
        before = path.read_bytes()
        with pytest.raises(KeyboardInterrupt):
            save_predictions(calkit.Predictions(Breaks(), LABELS, kind="logits"), path)
        assert path.read_bytes() == before
        assert [f.name for f in tmp_path.iterdir()] == ["a.npz"]


class TestBadFiles:
    def test_missing_folder_empty_unknown(self, tmp_path):
        with pytest.raises(FileFormatError, match="does not exist"):
            load_predictions(tmp_path / "a.npz")
        with pytest.raises(FileFormatError, match="does not exist|is a folder"):
            load_predictions(tmp_path / "none")
        (tmp_path / "a.npz").touch()
        with pytest.raises(FileFormatError, match="is empty"):
            load_predictions(tmp_path / "a.npz")
        (tmp_path / "a.xyz").write_text("1")
        with pytest.raises(FileFormatError, match=r"no format is known.*\.npz"):
            load_predictions(tmp_path / "a.xyz")

    @pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
    @pytest.mark.parametrize("suffix", ["npz", "npy"])
    def test_truncated(self, tmp_path, share, suffix):
        path = tmp_path / f"logits.{suffix}"
        if suffix == "npz":
            np.savez_compressed(path, logits=np.random.default_rng(0).random((100, 5)), labels=np.zeros(100, int))
        else:
            np.save(path, LOGITS)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        np.save(tmp_path / "y.npy", LABELS)
        with pytest.raises(FileFormatError, match=r"logits\.np"):
            load_predictions(path, labels=None if suffix == "npz" else tmp_path / "y.npy")

    def test_another_format_under_this_suffix(self, tmp_path):
        (tmp_path / "a.npz").write_text("hello")
        with pytest.raises(FileFormatError, match="not a readable"):
            load_predictions(tmp_path / "a.npz")


def test_containers_tell_what_is_inside(tmp_path):
    path = npz(tmp_path / "a.npz", logits=LOGITS.astype(np.float32), labels=LABELS, note=np.array("x"))
    assert open_container(path).listing() == "logits (4×3 float32), labels (4 int64), note (scalar text)"


def test_real_files(data_folder):
    records = load_predictions(data_folder / "netcal-records" / "lenet-5-cifar-100.npz", kind="probs")
    # Accuracy, ECE and NLL as recomputed independently in the data's README.
    found = calkit.evaluate(records, ["accuracy", "ece", "nll"])
    assert [round(100 * v, 2) for v in found.values()] == [12.46, 1.49, 381.31]
    eight = data_folder / "imagenet-top1" / "imagenet-val-8-models-top1.npz"
    net = load_predictions(eight, split="timm.efficientnet_b3a")
    found = calkit.evaluate(net, ["accuracy", "ece"])
    assert [round(100 * v, 2) for v in found.values()] == [81.87, 12.38]
