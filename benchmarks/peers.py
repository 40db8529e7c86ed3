"""calkit beside the other libraries of its field, in one run: seconds, ratios, and what each finds.

    python benchmarks/peers.py [--sizes 10,000x10 …] [--markdown FILE] [--json FILE]

It runs in an environment that has calkit and as many of the peers as can be had (those missing are left out, and said
so); ``benchmarks/peers.txt`` lists them. Everybody gets the same float32 logits and one thread, and turns them
into what they take themselves. Contestants run in turns; the median of the repeats is compared with calkit's.
"""

import argparse
import contextlib
import importlib.metadata
import io
import json
import logging
import os
import platform
import resource
import subprocess
import sys
import warnings

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
from core import plain_ece, plain_grid, race, sklearn_ece, sklearn_temperature, synthetic  # noqa: E402
from scipy.special import softmax  # noqa: E402

import calkit  # noqa: E402
from calkit.calibrators import TemperatureScaling  # noqa: E402

PEERS = ("torchmetrics", "netcal", "probmetrics", "relplot", "uncertainty-calibration", "scikit-learn")
SIZES = {
    "10,000x10": (10_000, 10),
    "10,000x100": (10_000, 100),
    "50,000x1,000": (50_000, 1000),
    "1,000,000x100": (1_000_000, 100),
}
# Beyond so many seconds in one turn, a contestant's job at a size runs once and no more.
BUDGET = 20.0


class Data:
    """Logits and labels in all the forms that are asked for."""

    def __init__(self, n, k):
        self.logits, self.y = synthetic(n, k)
        self.predictions = calkit.Predictions(self.logits, self.y, kind="logits")

    @property
    def probs(self):
        return softmax(self.logits, axis=1)

    @property
    def tensors(self):
        import torch

        return torch.from_numpy(self.logits), torch.from_numpy(self.y)


def torchmetrics_ece(data):
    from torchmetrics.functional.classification import multiclass_calibration_error

    logits, y = data.tensors
    return multiclass_calibration_error(logits, y, logits.shape[1], n_bins=15, validate_args=False).item()


def netcal_ece(data):
    from netcal.metrics import ECE

    return float(ECE(15).measure(data.probs, data.y))


def probmetrics_ece(data):
    from probmetrics.metrics import CalibrationError

    logits, y = data.tensors
    return next(iter(CalibrationError(15).compute_all_from_labels_logits(y, logits).values())).item()


def uncertainty_calibration_ece(data):
    from calibration import get_ece

    return float(get_ece(data.probs, data.y, num_bins=15))


def netcal_temperature(data):
    from netcal.scaling import TemperatureScaling as Netcal

    method = Netcal()
    # In float32 its optimiser stays where it starts.
    method.fit(data.probs.astype(np.float64), data.y, tensorboard=False)
    return float(1 / np.ravel(method.temperature)[0])  # its temperature is 1 / T


def probmetrics_temperature(data):
    from probmetrics.calibrators import get_calibrator
    from probmetrics.distributions import CategoricalLogits

    logits, y = data.tensors
    method = get_calibrator("temp-scaling")
    method.fit_torch(CategoricalLogits(logits), y)
    found = method.predict_proba_torch(CategoricalLogits(logits[:1])).get_logits()[0].double().numpy()
    given = logits[0].double().numpy()
    return float((given.max() - given.min()) / (found.max() - found.min()))


def torchmetrics_grid(data):
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    logits, y = data.tensors
    grid = np.arange(1, 101) / 10
    values = [
        multiclass_calibration_error(logits / t, y, logits.shape[1], n_bins=15, validate_args=False) for t in grid
    ]
    return float(grid[int(torch.stack(values).argmin())])


def relplot_smece(data):
    import relplot

    probs = data.probs
    return float(relplot.smECE(probs.max(axis=1).astype(np.float64), (probs.argmax(axis=1) == data.y).astype(float)))


def plain_classwise(data):
    probs, total = data.probs.astype(np.float64), 0.0
    for k in range(probs.shape[1]):
        p, right = probs[:, k], data.y == k
        index = np.clip(np.ceil(p * 15).astype(int) - 1, 0, 14)
        total += np.abs(np.bincount(index, p - right, 15)).sum()
    return float(total / probs.size)


JOBS = {
    "ECE": {
        "calkit": lambda d: calkit.ece(d.y, d.logits, from_logits=True),
        "plain NumPy": lambda d: plain_ece(d.logits, d.y),
        "scikit-learn": lambda d: sklearn_ece(d.logits, d.y),
        "torchmetrics": torchmetrics_ece,
        "netcal": netcal_ece,
        "probmetrics": probmetrics_ece,
        "uncertainty-calibration": uncertainty_calibration_ece,
    },
    "all default metrics": {"calkit": lambda d: calkit.evaluate(d.predictions)["ece"]},
    "smooth ECE": {
        "calkit": lambda d: calkit.evaluate(d.predictions, ["smece"])["smece"],
        "relplot": relplot_smece,
    },
    "classwise ECE": {
        "calkit": lambda d: calkit.evaluate(d.predictions, ["classwise_ece"])["classwise_ece"],
        "plain NumPy": plain_classwise,
    },
    "temperature by NLL": {
        "calkit": lambda d: TemperatureScaling().fit_predictions(d.predictions).temperature_,
        "scikit-learn": lambda d: sklearn_temperature(d.logits, d.y),
        "netcal": netcal_temperature,
        "probmetrics": probmetrics_temperature,
    },
    "temperature by ECE, grid of 100": {
        "calkit": lambda d: TemperatureScaling("ece").fit_predictions(d.predictions).temperature_,
        "plain NumPy": lambda d: plain_grid(d.logits, d.y),
        "torchmetrics": torchmetrics_grid,
    },
    "temperature by AdaECE, grid of 100": {
        "calkit": lambda d: TemperatureScaling("adaece").fit_predictions(d.predictions).temperature_,
    },
}


def quiet(job, data):
    """Run a contestant without its prints and warnings; None if it fails."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        return job(data)


def available(contestants, data):
    """Return the contestants that can be had, and say of the others why not."""
    found = {}
    for who, job in contestants.items():
        try:
            quiet(job, data)
        except Exception as error:
            print(f"  left out: {who}: {type(error).__name__}: {str(error)[:200]}")
            continue
        found[who] = lambda job=job: quiet(job, data)
    return found


def measure(size, job):
    """Rows of the table for one job at one size."""
    data = Data(*SIZES[size])
    small = Data(1000, min(10, SIZES[size][1]))
    able = available(JOBS[job], small)
    contestants = {who: (lambda who=who: quiet(JOBS[job][who], data)) for who in able}
    found = race(contestants, repeats=5, budget=BUDGET)
    return [
        {"size": size, "job": job, "who": who, "seconds": s, "ratio": s / found["calkit"][0], "found": value}
        for who, (s, value) in found.items()
    ]


def in_own_process(size, job):
    """The same in a process of its own: what one library loads or caches is not to help or hinder another's job."""
    command = [sys.executable, __file__, "--one", size, job]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        return []
    *said, last = done.stdout.strip().splitlines()
    print("\n".join(said), end="\n" if said else "")
    return json.loads(last)


def markdown(rows):
    lines = ["| size | job | who | seconds | ratio | found |", "| --- | --- | --- | ---: | ---: | ---: |"]
    lines += [
        f"| {r['size']} | {r['job']} | {r['who']} | {r['seconds']:.4g} | {r['ratio']:.1f} | {r['found']:.9g} |"
        for r in rows
    ]
    return "\n".join(lines) + "\n"


def versions():
    listed = []
    for name in ("numpy", "numba", "torch", *PEERS):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            listed.append(f"{name} {importlib.metadata.version(name)}")
    return ", ".join(listed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--jobs", nargs="*", default=list(JOBS), choices=list(JOBS))
    parser.add_argument("--markdown", help="write the table to this file")
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        rows = measure(*options.one)
        print(json.dumps(rows))
        return
    kernels = os.environ.get("CALKIT_KERNELS") or "chosen by calkit"
    print(f"{platform.machine()}, one thread, kernels {kernels}; {versions()}")
    rows = []
    for size in options.sizes:
        for job in options.jobs:
            for row in in_own_process(size, job):
                rows.append(row)
                print(
                    f"{row['size']:>14}  {row['job']:36} {row['who']:24} {row['seconds'] * 1e3:10.2f} ms "
                    f"{row['ratio']:8.2f} x   {row['found']:.12g}",
                    flush=True,
                )
    print(f"peak of memory of a child: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6:.2f} GB")
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as stream:  # noqa: PTH123
            stream.write(markdown(rows))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as stream:  # noqa: PTH123
            json.dump({"versions": versions(), "rows": rows}, stream, indent=1)


if __name__ == "__main__":
    main()
