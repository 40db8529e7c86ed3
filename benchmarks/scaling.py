"""What rows, classes and threads cost, and what a block weighs once counted: the numbers of docs/user_guide/scaling.md.

Run it on a quiet machine: ``OMP_NUM_THREADS=1 python benchmarks/scaling.py [--dask]``. Contestants are timed in turns,
and the smallest of the repeats is taken, since other work on the machine can only add to it.
"""

import argparse
import os
import pickle
import platform
import tempfile
import time
from pathlib import Path

import numpy as np

import calkit
from calkit.executors import DaskExecutor, available_threads
from calkit.metrics import get_metric
from calkit.shards import Shards
from calkit.stats import NllDerivatives, Pairs, summarize
from calkit.stats.pairs import equal_mass_bins
from calkit.stats.ranks import EqualMass, RankCounts

ONE = ["ece"]
ALL = ["accuracy", "error", "ece", "mce", "nll", "brier", "s99", "s99_accuracy"]


def logits(n, k, seed=0):
    rng = np.random.default_rng(seed)
    scores = 3 * rng.standard_normal((n, k), dtype=np.float32)
    return calkit.Predictions(scores, rng.integers(0, k, n), kind="logits")


def pairs(n, seed=0):
    rng = np.random.default_rng(seed)
    confidence = 1 / (1 + np.exp(-rng.gumbel(3, 2, n)))
    return calkit.Predictions.from_confidence(confidence, rng.random(n) < confidence)


def race(jobs, repeats):
    """Smallest seconds of each job, run in turns."""
    best = dict.fromkeys(jobs, np.inf)
    for _ in range(repeats + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def threads(repeats):
    print("threads: 1,000,000 x 100 float32 logits, seconds with one and with two, ratio")
    predictions = logits(1_000_000, 100)
    tasks = {
        "ECE": lambda n: calkit.evaluate(predictions, ONE, n_jobs=n),
        "all sums": lambda n: calkit.evaluate(predictions, ALL, n_jobs=n),
        "slope of the NLL": lambda n: summarize(predictions, [NllDerivatives(0.5)], n_jobs=n),
    }
    for name, task in tasks.items():
        best = race({n: (lambda n=n, task=task: task(n)) for n in (1, 2)}, repeats)
        print(f"  {name:18} {best[1]:.3f} {best[2]:.3f}  {best[1] / best[2]:.2f}")


def costs(repeats):
    print("rows and classes, one thread: nanoseconds a score")
    for n, k in ((1_000_000, 2), (1_000_000, 10), (500_000, 100), (50_000, 1000), (5000, 10_000)):
        predictions = logits(n, k)
        tasks = {"ECE": ONE, "all sums": ALL}
        best = race(
            {t: (lambda m=m, p=predictions: calkit.evaluate(p, m, n_jobs=1)) for t, m in tasks.items()}, repeats
        )
        print(f"  {n:>9,} x {k:<6,}", *(f"{name} {seconds / (n * k) * 1e9:.2f}" for name, seconds in best.items()))


def ranks(repeats):
    print("AdaECE of pairs, one thread: nanoseconds a row by counting in two passes and by sorting")
    for n in (1_000_000, 10_000_000):
        predictions, counted = pairs(n), EqualMass(15, 100_000)
        best = race(
            {
                "counting": lambda p=predictions, s=counted: summarize(p, [s], n_jobs=1),
                "sorting": lambda p=predictions: equal_mass_bins(summarize(p, [Pairs()], n_jobs=1)[Pairs()], 15),
            },
            repeats,
        )
        print(f"  {n:>10,}", *(f"{name} {seconds / n * 1e9:.0f}" for name, seconds in best.items()))


def sizes():
    print("bytes of a pickled summary")
    predictions, statistics = pairs(1_000_000), RankCounts(max_rows=1000)
    for name, statistic in {"ECE": get_metric("ece").statistic, "S99": get_metric("s99").statistic}.items():
        print(f"  {name:10} {len(pickle.dumps(summarize(predictions, [statistic])[statistic])):,}")
    held = summarize(predictions, [statistics])[statistics].held
    print(f"  {'ranges':10} {len(pickle.dumps(held)):,} ({len(held):,} ranges)")


def dask(repeats):
    import distributed

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        tempfile.TemporaryDirectory() as folder,
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        executor = DaskExecutor(client)
        part = logits(100_000, 100)
        paths = [Path(folder) / f"part-{i:02d}.npz" for i in range(20)]
        for path in paths:
            np.savez(path, logits=part.scores, labels=part.y_true)
        shards = Shards(paths)
        best = race(
            {
                "serial": lambda: calkit.evaluate(shards, ALL, executor="serial"),
                "two workers": lambda: calkit.evaluate(shards, ALL, executor=executor),
            },
            repeats,
        )
        print("Dask: 20 shards of 100,000 x 100, seconds; and the overhead of a piece")
        print(" ", *(f"{name} {seconds:.2f}" for name, seconds in best.items()))
        n_pieces = 2000
        best = race({"empty pieces": lambda: executor.sum(abs, range(n_pieces))}, 2)
        print(f"  {best['empty pieces'] / n_pieces * 1e3:.2f} ms a piece")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dask", action="store_true", help="a cluster of two processes too")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {available_threads()} cores, NumPy {np.__version__}, load {os.getloadavg()[0]:.1f}")
    threads(arguments.repeats)
    costs(arguments.repeats)
    ranks(arguments.repeats)
    sizes()
    if arguments.dask:
        dask(arguments.repeats)


if __name__ == "__main__":
    main()
