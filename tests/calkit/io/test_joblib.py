"""What joblib dumps, arrays beside their pickle and compressed or not, read where the user trusts the file."""

import warnings

import numpy as np
import pytest

from calkit.errors import FileFormatError
from calkit.io import load_predictions

LOGITS = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 3, 40)


@pytest.mark.parametrize("name", ["a.joblib", "a.pkl", "a.pkl.gz", "a.joblib.z", "a.joblib.bz2", "a.joblib.xz"])
def test_dumps(name, tmp_path):
    joblib = pytest.importorskip("joblib")
    joblib.dump({"test": {"logits": LOGITS, "labels": LABELS}}, tmp_path / name)
    with pytest.raises(FileFormatError, match=r"is a pickle, and reading one may run any code.*--trust-pickle"):
        load_predictions(tmp_path / name)
    p = load_predictions(tmp_path / name, trust_pickle=True)
    np.testing.assert_array_equal(np.asarray(p.scores), LOGITS)
    np.testing.assert_array_equal(p.y_true, LABELS)
    assert p.scores.dtype == np.float32


def test_compressed_whatever_the_name(tmp_path):
    joblib = pytest.importorskip("joblib")
    joblib.dump({"logits": LOGITS, "labels": LABELS}, tmp_path / "a.joblib", compress=3)
    assert load_predictions(tmp_path / "a.joblib", trust_pickle=True).n_samples == 40


def test_damaged(tmp_path):
    joblib = pytest.importorskip("joblib")
    joblib.dump({"logits": LOGITS, "labels": LABELS}, tmp_path / "a.joblib")
    data = (tmp_path / "a.joblib").read_bytes()
    for share in (0.1, 0.5, 0.9):
        (tmp_path / "a.joblib").write_bytes(data[: int(share * len(data))])
        with pytest.raises(FileFormatError, match=r"a\.joblib is not a readable \.pkl file"):
            load_predictions(tmp_path / "a.joblib", trust_pickle=True)


def test_arrays_that_python_2_pickled(tmp_path):
    # What Python 2.7's pickle.dumps((np.array([[0.5, 1.5]]), np.array([1])), 2) gives, its text not being UTF-8.
    bits = np.array([[0.5, 0.0062255859375]])
    raw = bits.tobytes()
    assert max(raw) > 127
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87R(K\x01K\x01K\x02\x86"
        b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"U" + bytes([len(raw)]) + raw + b"tb"
    )
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02}(U\x06logits" + array + b"U\x06labels](K\x01eu.")
    with warnings.catch_warnings():
        # NumPy has moved what old pickles name.
        warnings.simplefilter("ignore", DeprecationWarning)
        p = load_predictions(tmp_path / "a.pkl", trust_pickle=True)
    np.testing.assert_array_equal(np.asarray(p.scores), bits)
