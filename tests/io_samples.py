"""The same predictions in every format, written by the libraries that own the formats, not by calkit."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Sample:
    """A way to write predictions, and what reading them back needs to be told."""

    write: Callable[[Path, np.ndarray, np.ndarray], Path]
    options: dict[str, Any] = field(default_factory=dict)
    library: str | None = None


SAMPLES: dict[str, Sample] = {}


def sample(name: str, library: str | None = None, **options: Any) -> Callable[[Any], Any]:
    def store(write: Any) -> Any:
        SAMPLES[name] = Sample(write, options, library)
        return write

    return store


def _columns(logits: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    return {**{f"logit_{k}": np.ascontiguousarray(c) for k, c in enumerate(logits.T)}, "label": labels}


@sample("npz")
def _npz(folder, logits, labels):
    np.savez(folder / "a.npz", logits=logits, labels=labels)
    return folder / "a.npz"


@sample("npz-compressed")
def _npz_compressed(folder, logits, labels):
    np.savez_compressed(folder / "a.npz", logits=logits, labels=labels)
    return folder / "a.npz"


@sample("npz-column-major")
def _npz_column_major(folder, logits, labels):
    np.savez_compressed(folder / "a.npz", logits=np.asfortranarray(logits), labels=labels)
    return folder / "a.npz"


@sample("npz-big-endian")
def _npz_big_endian(folder, logits, labels):
    np.savez(folder / "a.npz", logits=logits.astype(logits.dtype.newbyteorder(">")), labels=labels.astype(">i4"))
    return folder / "a.npz"


@sample("npz-records")
def _npz_records(folder, logits, labels):
    rows = np.zeros(len(labels), dtype=[("logits", logits.dtype, (logits.shape[1],)), ("labels", "<i4")])
    rows["logits"], rows["labels"] = logits, labels
    np.savez_compressed(folder / "a.npz", run=rows)
    return folder / "a.npz"


@sample("npy")
def _npy(folder, logits, labels):
    np.save(folder / "logits.npy", logits)
    np.save(folder / "labels.npy", labels)
    return folder / "logits.npy"


SAMPLES["npy"].options["labels"] = "labels.npy"


@sample("npy-folder")
def _npy_folder(folder, logits, labels):
    (folder / "run").mkdir()
    _npy(folder / "run", logits, labels)
    return folder / "run"


def _csv_text(logits, labels, delimiter=","):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    names = [f"class {k}" for k in range(logits.shape[1])]
    writer.writerow(["id", *(f"logit_{name}" for name in names), "label"])
    for i, (row, label) in enumerate(zip(logits.tolist(), labels.tolist(), strict=True)):
        writer.writerow([f'row "{i}"', *row, names[label]])
    return text.getvalue().encode()


@sample("csv")
def _csv(folder, logits, labels):
    (folder / "a.csv").write_bytes(_csv_text(logits, labels))
    return folder / "a.csv"


@sample("csv-crlf-bom")
def _csv_crlf(folder, logits, labels):
    (folder / "a.csv").write_bytes(b"\xef\xbb\xbf" + _csv_text(logits, labels).replace(b"\n", b"\r\n"))
    return folder / "a.csv"


@sample("tsv.gz")
def _tsv_gz(folder, logits, labels):
    (folder / "a.tsv.gz").write_bytes(gzip.compress(_csv_text(logits, labels, "\t")))
    return folder / "a.tsv.gz"


@sample("csv.xz")
def _csv_xz(folder, logits, labels):
    text = _csv_text(logits, labels)
    # Two streams one after the other are one file.
    (folder / "a.csv.xz").write_bytes(lzma.compress(text[:500]) + lzma.compress(text[500:]))
    return folder / "a.csv.xz"


@sample("csv.bz2")
def _csv_bz2(folder, logits, labels):
    (folder / "a.csv.bz2").write_bytes(bz2.compress(_csv_text(logits, labels)))
    return folder / "a.csv.bz2"


def _records(logits, labels):
    return [
        {"id": i, "logits": row, "label": label}
        for i, (row, label) in enumerate(zip(logits.tolist(), labels.tolist(), strict=True))
    ]


@sample("json")
def _json(folder, logits, labels):
    document = {"run": {"logits": logits.tolist(), "labels": labels.tolist()}, "temperature": 1.5}
    (folder / "a.json").write_text(json.dumps(document))
    return folder / "a.json"


@sample("json-records")
def _json_records(folder, logits, labels):
    (folder / "a.json").write_text(json.dumps(_records(logits, labels), indent=1))
    return folder / "a.json"


@sample("jsonl")
def _jsonl(folder, logits, labels):
    (folder / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in _records(logits, labels)))
    return folder / "a.jsonl"


@sample("jsonl.gz-options")
def _jsonl_options(folder, logits, labels):
    names = [chr(ord("A") + k) for k in range(logits.shape[1])]
    lines = [
        json.dumps({"question": "?", "logprobs": dict(zip(names, row, strict=True)), "answer": names[label]})
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    (folder / "a.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return folder / "a.jsonl.gz"


@sample("jsonl-harness")
def _jsonl_harness(folder, logits, labels):
    lines = [
        json.dumps({"doc": {"q": "?"}, "target": str(label), "filtered_resps": [[repr(v), "False"] for v in row]})
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    (folder / "a.jsonl").write_text("\n".join(lines))
    return folder / "a.jsonl"


@sample("parquet", "pyarrow")
def _parquet(folder, logits, labels):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(_columns(logits, labels)), folder / "a.parquet", row_group_size=17)
    return folder / "a.parquet"


@sample("parquet-lists", "pyarrow")
def _parquet_lists(folder, logits, labels):
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.array([f"c{k}" for k in labels]).dictionary_encode()
    lists = pa.array(logits.tolist(), pa.list_(pa.from_numpy_dtype(logits.dtype)))
    table = pa.table({"logits": lists, "label": labels})
    pq.write_table(table.append_column("text", text), folder / "a.parquet", compression="zstd", row_group_size=100)
    return folder / "a.parquet"


@sample("feather", "pyarrow")
def _feather(folder, logits, labels):
    import pyarrow as pa
    from pyarrow import feather

    table = pa.table(_columns(logits, labels))
    feather.write_feather(table, str(folder / "a.feather"), compression="lz4", chunksize=19)
    return folder / "a.feather"


@sample("arrow", "pyarrow")
def _arrow(folder, logits, labels):
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(logits).reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(flat, logits.shape[1])
    table = pa.table({"logits": lists, "label": labels, "word": [f"w{k}" for k in labels]})
    with pa.ipc.new_stream(folder / "a.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=23)
    return folder / "a.arrow"


@sample("datasets", "pyarrow")
def _datasets(folder, logits, labels):
    import pyarrow as pa

    run = folder / "run" / "test"
    run.mkdir(parents=True)
    (folder / "run" / "dataset_dict.json").write_text('{"splits": ["test"]}')
    names = [f"data-{i:05d}-of-00002.arrow" for i in range(2)]
    (run / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    classes = [f"class {k}" for k in range(logits.shape[1])]
    features = {"logits": {"_type": "Sequence"}, "label": {"names": classes, "_type": "ClassLabel"}}
    (run / "dataset_info.json").write_text(json.dumps({"features": features}))
    half = len(labels) // 2
    for name, part in zip(names, (slice(None, half), slice(half, None)), strict=True):
        lists = pa.array(logits[part].tolist(), pa.list_(pa.from_numpy_dtype(logits.dtype)))
        table = pa.table({"logits": lists, "label": labels[part]})
        with pa.ipc.new_stream(run / name, table.schema) as writer:
            writer.write_table(table)
    return folder / "run"


@sample("hdf5", "h5py")
def _hdf5(folder, logits, labels):
    import h5py

    with h5py.File(folder / "a.h5", "w") as file:
        group = file.create_group("test")
        group.create_dataset("logits", data=logits, chunks=(13, 2), compression="gzip", shuffle=True)
        group["labels"] = labels
        group["class_names"] = [f"class {k}" for k in range(logits.shape[1])]
        group["link"] = h5py.SoftLink("/test/logits")
    return folder / "a.h5"


@sample("hdf5-latest", "h5py")
def _hdf5_latest(folder, logits, labels):
    import h5py

    with h5py.File(folder / "a.hdf5", "w", libver="latest") as file:
        file["logits"] = logits
        file.create_dataset("labels", data=labels, chunks=(7,), fletcher32=True)
    return folder / "a.hdf5"


@sample("safetensors", "safetensors")
def _safetensors(folder, logits, labels):
    from safetensors.numpy import save_file

    save_file({"logits": np.ascontiguousarray(logits), "labels": labels}, folder / "a.safetensors")
    return folder / "a.safetensors"


@sample("torch", "torch")
def _torch(folder, logits, labels):
    import torch

    run = {"logits": torch.from_numpy(logits), "labels": torch.from_numpy(labels)}
    torch.save({"test": run, "epoch": 3, "name": "net"}, folder / "a.pt")
    return folder / "a.pt"


@sample("torch-tuple", "torch", kind="logits")
def _torch_tuple(folder, logits, labels):
    import torch

    torch.save((torch.from_numpy(logits), torch.from_numpy(labels)), folder / "a.pth")
    return folder / "a.pth"


@sample("torch-batches", "torch")
def _torch_batches(folder, logits, labels):
    import torch

    parts = {"logits": list(torch.from_numpy(logits).split(9)), "labels": list(torch.from_numpy(labels).split(9))}
    torch.save(parts, folder / "a.pt")
    return folder / "a.pt"


@sample("torch-legacy", "torch")
def _torch_legacy(folder, logits, labels):
    import torch

    tree = {"logits": torch.from_numpy(logits), "labels": torch.from_numpy(labels)}
    torch.save(tree, folder / "a.pt", _use_new_zipfile_serialization=False)
    return folder / "a.pt"


@sample("pickle", trust_pickle=True, kind="logits", split="test")
def _pickle(folder, logits, labels):
    # The nesting of the logits that "On Calibration of Modern Neural Networks" is reproduced from.
    with (folder / "a.p").open("wb") as stream:
        pickle.dump(((logits[:3], labels[:3, None]), (logits, labels[:, None])), stream)
    return folder / "a.p"


@sample("joblib", trust_pickle=True)
def _joblib(folder, logits, labels):
    import joblib

    joblib.dump({"logits": logits, "labels": labels}, folder / "a.joblib", compress=3)
    return folder / "a.joblib"


@sample("json-split")
def _json_split(folder, logits, labels):
    columns = [f"logit_{k}" for k in range(logits.shape[1])]
    rows = [[*row, label] for row, label in zip(logits.tolist(), labels.tolist(), strict=True)]
    (folder / "a.json").write_text(json.dumps({"columns": [*columns, "label"], "data": rows}))
    return folder / "a.json"


@sample("matlab")
def _matlab(folder, logits, labels):
    from scipy.io import savemat

    savemat(folder / "a.mat", {"logits": logits, "labels": labels[:, None]}, do_compression=True)
    return folder / "a.mat"


@sample("matlab-row")
def _matlab_row(folder, logits, labels):
    from scipy.io import savemat

    names = np.array([f"class {k}" for k in range(logits.shape[1])], dtype=object)
    savemat(folder / "a.mat", {"logits": logits, "labels": labels[None, :], "class_names": names})
    return folder / "a.mat"


@sample("matlab-4")
def _matlab_4(folder, logits, labels):
    from scipy.io import savemat

    savemat(folder / "a.mat", {"logits": logits.astype(np.float64), "labels": labels[:, None]}, format="4")
    return folder / "a.mat"


@sample("matlab-7.3", "h5py")
def _matlab_hdf5(folder, logits, labels):
    import h5py

    with h5py.File(folder / "a.mat", "w", userblock_size=512) as file:
        file.create_dataset("logits", data=logits.T, chunks=(2, 11), compression="gzip")
        file["labels"] = labels[None, :].astype(np.float64)
    with (folder / "a.mat").open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\x02IM")
    return folder / "a.mat"


@sample("zarr", "zarr")
def _zarr(folder, logits, labels):
    import zarr

    group = zarr.open_group(str(folder / "a.zarr"), mode="w")
    group.create_array("test/logits", data=logits, chunks=(11, 2))
    group.create_array("test/labels", data=labels, chunks=(50,))
    return folder / "a.zarr"


@sample("zarr-2", "zarr")
def _zarr_2(folder, logits, labels):
    import zarr

    group = zarr.open_group(str(folder / "a.zarr"), mode="w", zarr_format=2)
    group.create_array("logits", data=logits, chunks=(11, logits.shape[1]))
    group.create_array("labels", data=labels, chunks=(50,))
    return folder / "a.zarr"


@sample("shards")
def _shards(folder, logits, labels):
    (folder / "run").mkdir()
    for i, start in enumerate(range(0, len(labels), 4)):
        part = slice(start, start + 4)
        np.savez(folder / "run" / f"part-{i}.npz", logits=logits[part], labels=labels[part])
    return folder / "run"


def options_of(name: str, folder: Path) -> dict[str, Any]:
    """Return the options that load_predictions needs for a sample written to a folder."""
    options = dict(SAMPLES[name].options)
    if "labels" in options:
        options["labels"] = folder / options["labels"]
    return options
