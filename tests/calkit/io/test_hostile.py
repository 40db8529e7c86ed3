"""Files that one should not trust end in one error, before they take memory, time or control."""

import gzip
import json
import lzma
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

import calkit
from calkit.errors import CalkitError, FileFormatError, InputError
from calkit.io import load_predictions, open_container, save_predictions

LOGITS = np.array([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [-1.0, 4.0, 0.0], [0.0, 0.0, 1.0]])
LABELS = np.array([0, 2, 1, 1])
NPY = b"\x93NUMPY\x01\x00"


class Bomb:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return (os.mkdir, (self.mark,))


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "it ran"


def npy_header(shape, descr="<f8"):
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return NPY + struct.pack("<H", len(text)) + text


def refused(path, match, **options):
    """Check that reading a file ends in one error that names it, in little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=match) as caught:
            calkit.evaluate(load_predictions(path, **options), ["nll"])
        assert tracemalloc.get_traced_memory()[1] < 250_000_000
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


class TestPickles:
    """None of these may run; each does run where the user says that the file is trusted."""

    def check(self, path, mark, match, **options):
        with pytest.raises(FileFormatError, match=match):
            load_predictions(path, **options)
        assert not mark.exists()
        with pytest.raises(FileFormatError, match="--trust-pickle"):
            load_predictions(path, **options)
        # The same file does run code where it is trusted: the test would notice.
        with pytest.raises(CalkitError):
            load_predictions(path, trust_pickle=True, **options)
        assert mark.exists()

    def test_npz(self, tmp_path, mark):
        np.savez(tmp_path / "a.npz", logits=np.array([Bomb(mark)], dtype=object), labels=LABELS[:1])
        self.check(tmp_path / "a.npz", mark, "a.npz:logits holds pickled Python objects")

    def test_npz_labels(self, tmp_path, mark):
        np.savez(tmp_path / "a.npz", logits=LOGITS, labels=np.array([Bomb(mark)] * 4, dtype=object))
        self.check(tmp_path / "a.npz", mark, "a.npz:labels holds pickled Python objects")

    def test_npy(self, tmp_path, mark):
        np.save(tmp_path / "logits.npy", np.array([Bomb(mark)], dtype=object))
        np.save(tmp_path / "y.npy", LABELS[:1])
        self.check(tmp_path / "logits.npy", mark, "holds pickled Python objects", labels=tmp_path / "y.npy")

    def test_torch(self, tmp_path, mark):
        torch = pytest.importorskip("torch")
        torch.save({"logits": torch.zeros(2, 2), "labels": Bomb(mark)}, tmp_path / "a.pt")
        self.check(tmp_path / "a.pt", mark, r"a\.pt holds Python objects \((posix|nt)\.mkdir\)")

    def test_old_torch(self, tmp_path, mark):
        torch = pytest.importorskip("torch")
        tree = {"logits": torch.zeros(2, 2), "labels": Bomb(mark)}
        torch.save(tree, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
        self.check(tmp_path / "a.pt", mark, r"a\.pt holds Python objects")

    @pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".p", ".bin"])
    def test_pickle(self, tmp_path, mark, suffix):
        (tmp_path / f"a{suffix}").write_bytes(pickle.dumps({"logits": LOGITS, "labels": Bomb(mark)}))
        self.check(tmp_path / f"a{suffix}", mark, "is a pickle, and reading one may run any code")

    def test_zarr(self, tmp_path, mark):
        zarr = pytest.importorskip("zarr")
        group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
        group.create_array("logits", data=LOGITS)
        group.create_array("labels", data=LABELS, compressors=None)
        metadata = json.loads((tmp_path / "a.zarr" / "labels" / ".zarray").read_text())
        metadata["filters"] = [{"id": "pickle", "protocol": 5}]
        metadata["dtype"] = "|O"
        (tmp_path / "a.zarr" / "labels" / ".zarray").write_text(json.dumps(metadata))
        (tmp_path / "a.zarr" / "labels" / "0").write_bytes(pickle.dumps(Bomb(mark)))
        with pytest.raises(FileFormatError):
            load_predictions(tmp_path / "a.zarr")
        assert not mark.exists()

    def test_an_object_beside_the_arrays_does_no_harm(self, tmp_path, mark):
        np.savez(tmp_path / "a.npz", logits=LOGITS, labels=LABELS, notes=np.array([Bomb(mark)], dtype=object))
        assert load_predictions(tmp_path / "a.npz").n_samples == 4
        assert "notes (1 pickled Python objects)" in open_container(tmp_path / "a.npz").listing()
        assert not mark.exists()

    def test_words_in_an_object_array_can_be_trusted(self, tmp_path):
        words = np.array(["ant", "cow", "bee", "bee"], dtype=object)
        np.savez(tmp_path / "a.npz", logits=LOGITS, labels=words, classes=["ant", "bee", "cow"])
        assert load_predictions(tmp_path / "a.npz", trust_pickle=True).y_true.tolist() == [0, 2, 1, 1]


class TestAbsurdHeaders:
    @pytest.mark.parametrize("shape", [(10**12, 10), (2**62, 4), (10**30, 2), (3, 10**6)])
    def test_npy_and_npz(self, tmp_path, shape):
        np.save(tmp_path / "y.npy", LABELS)
        data = npy_header(shape) + b"\0" * 96
        (tmp_path / "logits.npy").write_bytes(data)
        refused(tmp_path / "logits.npy", "is truncated: its header announces", labels=tmp_path / "y.npy")
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
                archive.writestr("logits.npy", data)
                archive.writestr("labels.npy", (tmp_path / "y.npy").read_bytes())
            refused(tmp_path / "a.npz", "logits is damaged: its header announces")

    @pytest.mark.parametrize(
        "header",
        [
            npy_header("(4, -3)"),
            npy_header("(4, True)"),
            npy_header("(4, 3", "<f8"),
            npy_header((4, 3), "|V0"),
            npy_header((10**12,), "<U0"),
            npy_header("(" * 200 + "1" + ")" * 200),
            npy_header("(" + "9" * 5000 + ",)"),
            NPY[:-2] + b"\x09\x00" + b"\0" * 100,
            NPY + b"\xff\xff",
            npy_header((4, 3)) + b"\0" * 97,
        ],
    )
    def test_odd_npy(self, tmp_path, header):
        (tmp_path / "logits.npy").write_bytes(header)
        np.save(tmp_path / "y.npy", LABELS)
        refused(tmp_path / "logits.npy", "damaged|not a readable|truncated", labels=tmp_path / "y.npy")

    def test_labels_are_compared_before_they_are_read(self, tmp_path):
        path = tmp_path / "labels.npy"
        with path.open("wb") as stream:
            stream.write(npy_header((10**11,), "|i1"))
            stream.truncate(stream.tell() + 10**11)
        np.savez(tmp_path / "a.npz", logits=LOGITS)
        with pytest.raises(InputError, match=r"a\.npz: y_true has 100000000000 rows, but the scores have 4"):
            load_predictions(tmp_path / "a.npz", labels=path)

    def test_a_million_columns(self, tmp_path):
        names = ",".join(f"logit_{k}" for k in range(1_000_000))
        (tmp_path / "a.csv").write_text(f"{names},label\n")
        refused(tmp_path / "a.csv", "holds 1,000,001 columns; more than 524,288 are not read")
        np.savez_compressed(tmp_path / "a.npz", logits=np.zeros((2, 1_000_000), np.float16), labels=[0, 1])
        refused(tmp_path / "a.npz", "holds 1,000,000 columns")

    @pytest.mark.parametrize(("name", "text"), [("a.csv", b"1,"), ("b.csv", b'a,b\n"x,'), ("a.jsonl", b'["')])
    def test_a_line_without_end(self, tmp_path, name, text):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text + b"xy" * 30_000_000, 1))
        refused(tmp_path / f"{name}.gz", "what begins at byte [0-9] is longer than 16.8 MB")

    def test_a_value_without_end(self, tmp_path):
        (tmp_path / "a.json").write_bytes(b'[["' + b"xy" * 10_000_000)
        refused(tmp_path / "a.json", "not a readable .json file: Unterminated string")

    def test_safetensors(self, tmp_path):
        def write(header, data=b"\0" * 96):
            text = json.dumps(header).encode()
            (tmp_path / "a.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
            return tmp_path / "a.safetensors"

        tensor = {"dtype": "F64", "shape": [4, 3], "data_offsets": [0, 96]}
        for change in (
            {"shape": [10**12, 3]},
            {"data_offsets": [0, 10**13], "shape": [10**12, 10]},
            {"data_offsets": [-96, 0]},
            {"data_offsets": [96, 0]},
            {"shape": [4, -3]},
            {"shape": ["4", 3]},
            {"dtype": ["F64"]},
            {"data_offsets": [0]},
        ):
            refused(write({"logits": tensor | change}), "not a readable .safetensors|values of type")
        refused(write({"logits": {}}), "not a readable")
        refused(write([1]), "not a readable")
        (tmp_path / "a.safetensors").write_bytes((10**15).to_bytes(8, "little") + b"{}")
        refused(tmp_path / "a.safetensors", "its header should have")

    def test_torch_tensors_without_data(self, tmp_path):
        torch = pytest.importorskip("torch")
        labels = torch.zeros(4, dtype=torch.int64)
        torch.save({"logits": torch.zeros(1).expand(10**11, 10), "labels": labels}, tmp_path / "a.pt")
        refused(tmp_path / "a.pt", "announces 4 TB of data, but holds")
        torch.save({"logits": torch.zeros(4, 3).to_sparse(), "labels": labels}, tmp_path / "b.pt")
        refused(tmp_path / "b.pt", "a sparse, quantized or empty tensor")
        torch.save({"logits": torch.zeros(4, 3, device="meta"), "labels": labels}, tmp_path / "c.pt")
        refused(tmp_path / "c.pt", "a sparse, quantized or empty tensor")
        with zipfile.ZipFile(tmp_path / "d.pt", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data.pkl", b"\0" * 10**6)
        refused(tmp_path / "d.pt", "its members are compressed")

    def test_hdf5(self, tmp_path):
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("logits", shape=(10**12, 10), dtype="f4", chunks=(10**4, 10))
            file["labels"] = LABELS
        refused(tmp_path / "a.h5", "announces 40 TB of data")
        with h5py.File(tmp_path / "b.h5", "w") as file:
            file.create_dataset("logits", data=np.zeros((40_000_000, 2), np.float32), chunks=(40_000_000, 2))
            file["labels"] = np.zeros(40_000_000, np.int8)
        refused(tmp_path / "b.h5", "b.h5:logits is stored in chunks of 320 MB")

    def test_chunks_without_number(self, tmp_path):
        h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("logits", shape=(10**6, 60), dtype="f4", chunks=(1, 1))
            file["labels"] = np.zeros(10**6, np.int8)
        refused(tmp_path / "a.h5", "logits announces 60,000,000 chunks, but .* are stored")
        group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
        group.create_array("logits", shape=(10**6, 60), dtype="f4", chunks=(1, 1))
        group.create_array("labels", data=np.zeros(10**6, np.int8))
        refused(tmp_path / "a.zarr", "logits announces 60,000,000 chunks, but .* are stored")

    def test_names_without_end(self, tmp_path):
        (tmp_path / "a.csv").write_text('"' + "p_" * 50_000 + '\n",label\n1,0\n')
        refused(tmp_path / "a.csv", "holds a name of 100,000 characters")
        np.savez(tmp_path / "a.npz", **{"x" * 2000: LOGITS})
        refused(tmp_path / "a.npz", "holds a name of 2,000 characters")
        (tmp_path / "a.jsonl").write_text(json.dumps({"logits": [1, 2], "p_" * 10**6 + "\n": 1}))
        refused(tmp_path / "a.jsonl", "holds a name of 2,000,001 characters")

    def test_more_arrays_than_anyone_has(self, tmp_path):
        names = [f"a{k}_p_{side}" for k in range(12_000) for side in "xy"]
        (tmp_path / "a.csv").write_text(f"{','.join(names)},label\n" + "1," * 24_000 + "0\n")
        refused(tmp_path / "a.csv", "holds 12,001 arrays; more than 10,000 are not read")

    def test_zarr(self, tmp_path):
        zarr = pytest.importorskip("zarr")
        group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
        group.create_array("logits", shape=(10**12, 10), dtype="f4", chunks=(10**4, 10))
        refused(tmp_path / "a.zarr", "announces 40 TB of data")
        big = zarr.open_group(str(tmp_path / "b.zarr"), mode="w")
        big.create_array("logits", shape=(4, 3), dtype="f4", chunks=(10**9, 3))
        big.create_array("labels", data=LABELS)
        refused(tmp_path / "b.zarr", "stored in chunks of 12 GB")

    def test_parquet_and_arrow(self, tmp_path):
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        constant = pa.table({"logit_0": pa.repeat(pa.scalar(0.0), 30_000_000), "logit_1": pa.repeat(1.0, 30_000_000)})
        pq.write_table(constant, tmp_path / "a.parquet", compression="zstd")
        refused(tmp_path / "a.parquet", "announces 480 MB of data, but holds")
        nested = pa.table({"logits": [{"a": {"b": [1.0]}}], "label": [0]})
        pq.write_table(nested, tmp_path / "b.parquet")
        refused(tmp_path / "b.parquet", r"b\.parquet:logits holds values of type struct<a: struct<b: list<")
        ragged = pa.table({"logits": [[1.0, 2.0], [1.0, 2.0, 3.0]], "label": [0, 1]})
        pq.write_table(ragged, tmp_path / "c.parquet")
        refused(tmp_path / "c.parquet", "must be of one length, but row 1 has 3 values and the first has 2")
        for column, match in (
            ([[1.0, 2.0], None], "row 1 of the column 'logits' is missing"),
            ([[1.0, 2.0], [1.0, None]], "row 1 of the column 'logits' has a missing value"),
        ):
            pq.write_table(pa.table({"logits": column, "label": [0, 1]}), tmp_path / "d.parquet")
            refused(tmp_path / "d.parquet", match)


class TestBombs:
    def test_a_zip_of_overlapping_members(self, tmp_path):
        path = tmp_path / "a.npz"
        np.savez_compressed(path, logits=np.zeros((1000, 100)), labels=np.zeros(1000, int))
        data = path.read_bytes()
        # The directory names the same member many times over.
        end = data.rindex(b"PK\x05\x06")
        (start,) = struct.unpack("<I", data[end + 16 : end + 20])
        first = data.index(b"PK\x01\x02", start + 4)
        entry = data[start:first]
        entries = b"".join(entry.replace(b"logits.npy", b"logit%d.npy" % k) for k in range(10))
        tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 10, 10, len(entries), start, 0)
        path.write_bytes(data[:start] + entries + tail)
        refused(path, "not a readable .npz")

    @pytest.mark.parametrize(
        ("method", "size"), [(zipfile.ZIP_DEFLATED, 10**8), (zipfile.ZIP_LZMA, 10**5), (zipfile.ZIP_BZIP2, 10**5)]
    )
    def test_a_member_that_unpacks_to_more_than_it_says(self, tmp_path, method, size):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", method, compresslevel=1) as archive:
            archive.writestr("logits.npy", npy_header((4, 3)) + bytes(size))
            archive.writestr("labels.npy", npy_header((4,), "|i1") + b"\0" * 4)
        refused(tmp_path / "a.npz", "logits is damaged|compressed as NumPy never does")

    def test_packed_text(self, tmp_path):
        (tmp_path / "a.csv.xz").write_bytes(lzma.compress(b"\n" * 20_000_000, preset=0))
        refused(tmp_path / "a.csv.xz", "holds no rows")

    def test_a_tree_of_the_same_lists(self, tmp_path):
        torch = pytest.importorskip("torch")
        arrays = {"logits": torch.zeros(4, 3), "labels": torch.zeros(4, dtype=torch.int64)}
        for leaf in (0.0, []):
            tree = [leaf]
            for _ in range(12):
                tree = [tree] * 20
            torch.save({**arrays, "tree": tree}, tmp_path / "a.pt")
            refused(tmp_path / "a.pt", "repeats the same lists over and over")
        torch.save({**arrays, "words": ["x" * 10**6] * 10**4}, tmp_path / "b.pt")
        refused(tmp_path / "b.pt", "holds 10,000 texts of up to 1,000,000 characters")
        # What is merely meant twice is read.
        torch.save({**arrays, "class_names": ["x", "y", "z"], "again": arrays}, tmp_path / "c.pt")
        assert load_predictions(tmp_path / "c.pt", scores="logits").class_names == ("x", "y", "z")

    def test_a_schema_at_which_pyarrow_aborts(self, tmp_path):
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        # The members of the lists are neither required, optional nor repeated, which the statistics do not fit: pyarrow
        # ends the process where it is asked for the column.
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table({"logits": [[1.0, 2.0], [3.0, 4.0]], "label": [0, 1]}), path)
        data = path.read_bytes()
        assert data.count(b"\x25\x02\x18\x07element") == 1
        path.write_bytes(data.replace(b"\x25\x02\x18\x07element", b"\x25\x0a\x18\x07element"))
        refused(path, "not a readable .parquet file")

    def test_zarr_shards(self, tmp_path):
        zarr = pytest.importorskip("zarr")
        group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
        logits = group.create_array("logits", shape=(1000, 2), dtype="f4", chunks=(100, 2), shards=(500, 2))
        logits[:] = np.arange(2000).reshape(1000, 2)
        logits[100:200] = 0
        group.create_array("labels", data=np.zeros(1000, np.int8))
        np.testing.assert_array_equal(load_predictions(tmp_path / "a.zarr").scores[:], logits[:])

    def test_nested_json(self, tmp_path):
        (tmp_path / "a.json").write_text('{"a":' * 10**5)
        refused(tmp_path / "a.json", "not a readable .json file: maximum recursion depth")
        (tmp_path / "b.json").write_text("[" * 10**6)
        refused(tmp_path / "b.json", "not a readable .json file: maximum recursion depth")
        (tmp_path / "c.json").write_text('{"a":' * 20 + "1" + "}" * 20)
        refused(tmp_path / "c.json", "nested more than 16 deep")


class TestOtherFiles:
    """What a file says may not lead to other files."""

    def test_hdf5_links(self, tmp_path):
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "secret.h5", "w") as file:
            file["logits"] = LOGITS
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["logits"] = h5py.ExternalLink("secret.h5", "/logits")
            file["labels"] = LABELS
        assert list(open_container(tmp_path / "a.h5").fields) == ["labels"]
        layout = h5py.VirtualLayout((4, 3), "f8")
        layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "logits", (4, 3))
        with h5py.File(tmp_path / "b.h5", "w") as file:
            file.create_virtual_dataset("logits", layout)
            file["labels"] = LABELS
        refused(tmp_path / "b.h5", "b.h5:logits holds data that lie in other files")
        (tmp_path / "raw").write_bytes(LOGITS.tobytes())
        with h5py.File(tmp_path / "c.h5", "w") as file:
            file.create_dataset("logits", (4, 3), "f8", external=[(str(tmp_path / "raw"), 0, 96)])
            file["labels"] = LABELS
        refused(tmp_path / "c.h5", "c.h5:logits holds data that lie in other files")

    def test_datasets(self, tmp_path):
        pytest.importorskip("pyarrow")
        (tmp_path / "run").mkdir()
        for name in ("../secret.arrow", "/etc/passwd", "..", ""):
            (tmp_path / "run" / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
            refused(tmp_path / "run", "which is outside of it")
        (tmp_path / "run" / "state.json").write_text(json.dumps({"_data_files": [{"filename": "a.arrow"}] * 2}))
        refused(tmp_path / "run", "refers to the same file more than once")

    def test_devices(self):
        with pytest.raises(FileFormatError, match="/dev/zero is neither a file nor a folder but a device"):
            load_predictions("/dev/zero")


def test_names_are_printable(tmp_path):
    np.savez(tmp_path / "a.npz", **{"x\x1b[31m\n": LOGITS})
    assert open_container(tmp_path / "a.npz").listing() == r"x\x1b[31m\n (4×3 float64)"
    with pytest.raises(CalkitError) as caught:
        load_predictions(tmp_path / "a.npz")
    assert str(caught.value).isprintable()


def test_no_code_of_ours_is_reached_by_a_name_in_a_file(tmp_path):
    # Column names go into messages only: braces and percent signs are not interpreted.
    p = calkit.Predictions(LOGITS, LABELS, kind="logits", class_names=["{0.__class__}", "%s", "a,b"])
    for suffix in (".csv", ".npz", ".safetensors"):
        save_predictions(p, tmp_path / f"a{suffix}")
        assert load_predictions(tmp_path / f"a{suffix}").class_names == p.class_names
