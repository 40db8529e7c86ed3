"""Memory and time of evaluating files that should not be read at once: by default 2 GB, 5,000,000 x 100 float32.

    python benchmarks/large_file.py [--rows N] [--classes K] [--formats npy npz …] [--folder DIR]

Each job runs in a process of its own. Its peak of memory is what ``/usr/bin/time -v`` reports less the file where it is
mapped (pages that the system takes back when it needs them), and, sampled from /proc, what cannot be taken back.
At the end the mapped file is raced, warm and in one process, against reading it and taking the maximum of each row.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import calkit
from calkit.io import load_predictions, save_predictions
from calkit.metrics import available_metrics, get_metric

BLOCK = 50_000
MAPPED = ("npy", "npz", "safetensors", "arrow", "parquet")
FORMATS = (*MAPPED, "npz-compressed", "hdf5", "hdf5-gzip", "feather-lz4", "csv", "csv.gz", "jsonl")
# Numbers as text take five times their bytes, and their parsing takes the time: fewer rows show as much.
TEXT_SHARE = {"csv": 20, "csv.gz": 20, "jsonl": 20}


def blocks(rows, classes):
    """Yield logits and labels: right two times out of three, and too sure of it."""
    rng = np.random.default_rng(0)
    for start in range(0, rows, BLOCK):
        n = min(BLOCK, rows - start)
        labels = rng.integers(0, classes, n)
        logits = 3 * rng.standard_normal((n, classes), dtype=np.float32)
        logits[np.arange(n), labels] += 8
        yield logits, labels.astype(np.int16)


def write_npy(folder, rows, classes):
    logits = np.lib.format.open_memmap(folder / "logits.npy", "w+", np.float32, (rows, classes))
    labels = np.lib.format.open_memmap(folder / "labels.npy", "w+", np.int16, (rows,))
    start = 0
    for z, y in blocks(rows, classes):
        logits[start : start + len(z)], labels[start : start + len(z)] = z, y
        start += len(z)
    logits.flush()
    return folder / "logits.npy"


def write(name, folder, rows, classes):
    """Write a file in a format, block by block; return its path."""
    rows //= TEXT_SHARE.get(name, 1)
    if name == "npy":
        return write_npy(folder, rows, classes)
    base = load_predictions(folder / "logits.npy", labels=folder / "labels.npy")
    source = calkit.Predictions(base.scores[:rows], base.y_true[:rows], kind="logits")
    if name in ("npz", "safetensors", "parquet", "csv", "csv.gz"):
        save_predictions(source, folder / f"a.{name}")
        return folder / f"a.{name}"
    path = folder / f"{name}.{ {'npz-compressed': 'npz', 'feather-lz4': 'feather'}.get(name, name.split('-')[0]) }"
    if name == "npz-compressed":
        np.savez_compressed(path, logits=source.scores, labels=source.y_true)
    elif name.startswith("hdf5"):
        import h5py

        with h5py.File(path, "w") as file:
            packed = {"compression": "gzip", "compression_opts": 1} if name.endswith("gzip") else {}
            logits = file.create_dataset("logits", (rows, classes), "f4", chunks=(2048, classes), **packed)
            file["labels"] = source.y_true
            for start in range(0, rows, BLOCK):
                logits[start : start + BLOCK] = source.scores[start : start + BLOCK]
    elif name in ("arrow", "feather-lz4"):
        import pyarrow as pa

        options = pa.ipc.IpcWriteOptions(compression="lz4" if name.endswith("lz4") else None)
        schema = pa.schema({**{f"logit_{k}": pa.float32() for k in range(classes)}, "label": pa.int16()})
        with pa.ipc.new_file(path, schema, options=options) as writer:
            for start in range(0, rows, BLOCK):
                part = source.scores[start : start + BLOCK]
                columns = [np.ascontiguousarray(column) for column in part.T]
                writer.write_batch(pa.record_batch([*columns, source.y_true[start : start + BLOCK]], schema=schema))
    elif name == "jsonl":
        with path.open("w") as stream:
            for start in range(0, rows, BLOCK):
                part = source.scores[start : start + BLOCK].tolist()
                for row, label in zip(part, source.y_true[start : start + BLOCK].tolist(), strict=True):
                    stream.write(json.dumps({"logits": row, "label": label}) + "\n")
    return path


def summable():
    return [m for m in available_metrics() if get_metric(m).statistic.is_sum]


def report(p):
    """Make a report with all figures, before and after a temperature fitted on the same rows; return its length."""
    from calkit.report import Entry, make_report, render_report

    return len(render_report(make_report([Entry.from_predictions("run", p, p)])))


JOBS = {
    "read labels": lambda p: p.n_samples,
    "all default metrics": lambda p: calkit.evaluate(p)["ece"],
    "all summable metrics": lambda p: calkit.evaluate(p, summable())["ece"],
    "AdaECE, exact, two passes": lambda p: calkit.evaluate(p, ["adaece"])["adaece"],
    "temperature by NLL": lambda p: calkit.TemperatureScaling().fit_predictions(p).temperature_,
    "report with figures": report,
    "temperature by ECE, grid": lambda p: calkit.TemperatureScaling("ece").fit_predictions(p).temperature_,
}


def child(job, path):
    """Do a job and print what it found, its seconds, and the peak of memory that cannot be taken back."""
    peak = [0]
    done = threading.Event()

    def sample():
        while not done.wait(0.01):
            status = Path("/proc/self/status").read_text()
            peak[0] = max(peak[0], 1024 * int(re.search(r"RssAnon:\s+(\d+)", status)[1]))

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    start = time.perf_counter()
    labels = Path(path).parent / "labels.npy" if path.endswith(".npy") else None
    value = JOBS[job](load_predictions(path, labels=labels))
    seconds = time.perf_counter() - start
    done.set()
    print(json.dumps({"value": float(value), "seconds": seconds, "anonymous": peak[0]}))


def row_maximum(path):
    """Read a file and take the maximum of each row, by NumPy on one thread: what any look at all scores costs."""
    scores = np.load(path, mmap_mode="r")
    return sum(float(scores[start : start + BLOCK].max(axis=1).sum()) for start in range(0, len(scores), BLOCK))


def race(path, repeats=4):
    """Print the seconds of metrics beside those of the row maximum, taken in turns on one thread."""
    predictions = load_predictions(path, labels=path.parent / "labels.npy")
    jobs = {
        "row maximum": lambda: row_maximum(path),
        "ECE": lambda: calkit.evaluate(predictions, ["ece"], executor="serial"),
        "all default metrics": lambda: calkit.evaluate(predictions, executor="serial"),
        "all summable metrics": lambda: calkit.evaluate(predictions, summable(), executor="serial"),
    }
    best = dict.fromkeys(jobs, float("inf"))
    for _ in range(repeats):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            best[name] = min(best[name], time.perf_counter() - start)
    print("warm, one thread, one process:")
    for name, seconds in best.items():
        print(f"  {name:<26} {seconds:6.2f} s  {seconds / best['row maximum']:5.2f} x the row maximum", flush=True)


def measure(job, path):
    command = ["/usr/bin/time", "-v", sys.executable, __file__, "--child", job, str(path)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise SystemExit(finished.stderr)
    found = json.loads(finished.stdout)
    found["resident"] = 1024 * int(re.search(r"Maximum resident set size \(kbytes\): (\d+)", finished.stderr)[1])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--formats", nargs="*", default=["npy", "npz", "parquet", "npz-compressed"], choices=FORMATS)
    parser.add_argument("--jobs", nargs="*", default=list(JOBS)[1:], choices=list(JOBS))
    parser.add_argument("--folder", help="where there is room for the files; they are removed at the end")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return child(*arguments.child)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        write("npy", folder, arguments.rows, arguments.classes)
        for form in arguments.formats:
            path = folder / "logits.npy" if form == "npy" else write(form, folder, arguments.rows, arguments.classes)
            rows = arguments.rows // TEXT_SHARE.get(form, 1)
            size = path.stat().st_size
            print(f"{form}: {rows:,} x {arguments.classes}, {size / 1e6:,.0f} MB")
            for job in arguments.jobs:
                found = measure(job, path)
                beyond = found["resident"] - (min(size, found["resident"]) if form in MAPPED else 0)
                print(
                    f"  {job:<26} {found['value']:.12g}  {found['seconds']:6.1f} s  "
                    f"{rows * arguments.classes * 4 / 1e6 / found['seconds']:6.0f} MB/s  "
                    f"beyond the mapped file {beyond / 1e6:5.0f} MB, anonymous {found['anonymous'] / 1e6:4.0f} MB",
                    flush=True,
                )
            if form != "npy":
                path.unlink()
        race(folder / "logits.npy")
    return None


if __name__ == "__main__":
    main()
