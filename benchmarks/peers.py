"""calkit beside the other libraries of its field, in one run: seconds, ratios, memory, and what each finds.

    python benchmarks/peers.py [--sizes 10,000x10 …] [--jobs "ECE from logits" …] [--memory] [--results FILE]
    python benchmarks/peers.py --table docs/user_guide/peers_table.inc

It runs in an environment that has calkit and as many of the peers as can be had (those missing are left out, and said
so); ``benchmarks/peers.txt`` lists them. Everybody gets the same float32 logits and one thread, and turns them
into what they take themselves. Each size of each job is a process of its own, in which contestants run in turns; the
median of the repeats counts. Results are put into a file by size and job, so that a long run can be made in parts, and
the table is made of that file.
"""

import argparse
import contextlib
import ctypes
import gc
import importlib.metadata
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "CALKIT_NUM_THREADS", "NUMBA_NUM_THREADS")
for variable in ONE_THREAD:
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
from contestants import JOBS, TEMPERATURES, Data, Pairs, newton_step, quiet  # noqa: E402
from core import race, synthetic  # noqa: E402
from machine import processor  # noqa: E402

LIBRARIES = (
    "calkit-calibration",
    "numpy",
    "scipy",
    "numba",
    "scikit-learn",
    "torch",
    "torchmetrics",
    "torch-uncertainty",
    "probmetrics",
    "netcal",
    "uncertainty-calibration",
    "relplot",
)
MAPPED = "2 GB mapped"
SIZES = {
    "1,000x10": (1000, 10),
    "10,000x10": (10_000, 10),
    "10,000x100": (10_000, 100),
    "50,000x1,000": (50_000, 1000),
    "1,000,000x100": (1_000_000, 100),
    MAPPED: (5_000_000, 100),
    "1,000,000 pairs": (1_000_000, None),
}
SMALL = ("ECE of a small array, checks and all", "predict_proba")
GRIDS = ("temperature by ECE, grid of 100", "temperature by AdaECE, grid of 100")
MIDDLE = ("AdaECE from logits", "classwise ECE")
LARGE = ("ECE from logits", "all sums", "temperature by NLL")
PLAN = {
    "1,000x10": SMALL,
    "10,000x10": (*LARGE, *MIDDLE, *GRIDS),
    "10,000x100": (*LARGE, *MIDDLE, *GRIDS),
    "50,000x1,000": (*LARGE, *MIDDLE, "predict_proba"),
    "1,000,000x100": LARGE,
    MAPPED: LARGE,
    "1,000,000 pairs": ("smooth ECE of pairs",),
}
# Who takes many minutes there.
TOO_LONG = {
    ("1,000,000x100", "temperature by NLL"): {"netcal", "torch-uncertainty"},
    (MAPPED, "temperature by NLL"): {"netcal", "torch-uncertainty", "probmetrics"},
}
# Seconds in all after which a contestant's job at a size runs no further.
BUDGET = 15.0
RESULTS = Path(__file__).with_name("results") / "peers.json"
MEMORY = "memory"


def data_of(size, folder=None):
    n, k = SIZES[size]
    if k is None:
        return Pairs(n)
    if size != MAPPED:
        return Data(*synthetic(n, k))
    path = Path(folder or tempfile.gettempdir()) / "calkit-peers-2gb.npy"
    labels = path.with_suffix(".labels.npy")
    if not labels.is_file():
        logits, y = np.lib.format.open_memmap(path, "w+", np.float32, (n, k)), np.empty(n, np.int64)
        for number, start in enumerate(range(0, n, 100_000)):
            rows = slice(start, start + 100_000)
            logits[rows], y[rows] = synthetic(100_000, k, seed=number)
        logits.flush()
        np.save(labels, y)
    return Data(np.load(path, mmap_mode="r"), np.load(labels))


def available(contestants, data):
    """Return the contestants that can be had, and say of the others why not."""
    found = {}
    for who, job in contestants.items():
        try:
            with quiet():
                job(data)
        except Exception as error:
            print(f"  left out: {who}: {type(error).__name__}: {str(error)[:200]}")
            continue
        found[who] = job
    return found


def chosen(size, job, who=None):
    """The contestants of a job, tried on little data, so that they have loaded and compiled what they need."""
    wanted = {name: run for name, run in JOBS[job].items() if name not in TOO_LONG.get((size, job), ())}
    small = Pairs(1000) if SIZES[size][1] is None else Data(*synthetic(1000, min(10, SIZES[size][1])))
    return available({name: run for name, run in wanted.items() if who in (None, name)}, small)


def measure(size, job, folder):
    """Rows of the table for one job at one size."""
    contestants, data = chosen(size, job), data_of(size, folder)

    def turn(run):
        with quiet():
            return run(data)

    runs = {name: (lambda run=run: turn(run)) for name, run in contestants.items()}
    found = race(runs, repeats=101 if size == "1,000x10" else 7, budget=BUDGET)
    rows = [{"size": size, "job": job, "who": who, "seconds": s, "found": value} for who, (s, value) in found.items()]
    if job in TEMPERATURES:
        exact = newton_step(data.logits, data.y, found["calkit"][1])
        for row in rows:
            row["error"] = abs(row["found"] / exact - 1)
    return rows


def anonymous(field):
    """Megabytes of this process that are no mapped file: now, or at the most since the last reset."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(rf"{field}:\s+(\d+)", status).group(1)) / 1000


WATCH = """
import re, sys, time
peak, end = 0, time.monotonic() + 240
print("ready", flush=True)
try:
    while time.monotonic() < end:
        text = open(f"/proc/{sys.argv[1]}/status").read()
        peak = max(peak, int(re.search(r"RssAnon:\\s+(\\d+)", text).group(1)))
        time.sleep(0.002)
except KeyboardInterrupt:
    print(peak / 1000, flush=True)
"""


def measure_memory(size, job, who, folder):
    """What a job takes beyond what was there before it, as another process sees it every two milliseconds."""
    import signal

    contestants = chosen(size, job, who)
    if who not in contestants:
        return []
    run, data = contestants[who], data_of(size, folder)
    # What the allocator has kept of former arrays would hide new ones.
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    before = anonymous("RssAnon")
    command = [sys.executable, "-c", WATCH, str(os.getpid())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        watcher.stdout.readline()
        with quiet():
            run(data)
        watcher.send_signal(signal.SIGINT)
        peak = float(watcher.stdout.readline())
    whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return [{"size": size, "job": job, "who": who, "extra_mb": max(0.0, peak - before), "process_mb": whole}]


def in_own_process(*arguments, folder=None):
    """What one library loads or caches is not to help or hinder another's job."""
    command = [sys.executable, __file__, "--folder", folder or tempfile.gettempdir(), "--one", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        return []
    *said, last = done.stdout.strip().splitlines()
    print("\n".join(said), end="\n" if said else "")
    return json.loads(last)


def machine():
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    compiler = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=False).stdout.strip()
    return {"cpu": processor(), "python": platform.python_version(), "gcc": compiler, "versions": found}


def put(path, rows):
    """Replace in the file what was found before for the same size, job and kind of measurement."""
    old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"rows": []}

    def key(row):
        return row["size"], row["job"], "extra_mb" in row, row["who"] if "extra_mb" in row else None

    new = {key(row) for row in rows}
    order = {(size, job): (a, b) for a, (size, jobs) in enumerate(PLAN.items()) for b, job in enumerate(jobs)}
    kept = [row for row in old["rows"] if key(row) not in new] + rows
    kept.sort(key=lambda row: order.get((row["size"], row["job"]), (99, 99)))
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "rows": kept}, indent=1) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--jobs", nargs="*", default=list(JOBS), choices=list(JOBS))
    parser.add_argument("--memory", action="store_true", help="memory in place of time")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where results are kept (default: %(default)s)")
    parser.add_argument("--table", type=Path, help="write the results as Markdown to this file, and measure nothing")
    parser.add_argument("--folder", help="where the mapped file is made, and left for the next run")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        kind, *arguments = options.one
        print(json.dumps((measure_memory if kind == MEMORY else measure)(*arguments, options.folder)))
        return
    if options.table:
        from peers_table import tables

        options.table.write_text(tables(json.loads(options.results.read_text(encoding="utf-8"))), encoding="utf-8")
        return
    for size in options.sizes:
        for job in (job for job in PLAN[size] if job in options.jobs):
            contestants = list(JOBS[job]) if options.memory else [None]
            for who in contestants:
                if who in TOO_LONG.get((size, job), ()):
                    continue
                what = (MEMORY, size, job, who) if who else ("time", size, job)
                rows = in_own_process(*what, folder=options.folder)
                put(options.results, rows)
                for row in rows:
                    print(
                        f"{size:>15}  {job:34} {row['who']:24}",
                        *(f"{k}={row[k]:.6g}" for k in list(row)[3:]),
                        flush=True,
                    )


if __name__ == "__main__":
    main()
