"""Parametric calibrators beside the other libraries, in one run: processor seconds, ratios, and how far theirs is from
the optimum.

    python benchmarks/calibrators.py [--large] [--predictions] [--dirichletcal PYTHON] [--json FILE]

It runs in an environment that has calkit, probmetrics and scikit-learn (``benchmarks/peers.txt``). Everybody gets the
same numbers and one thread; contestants run in turns, and medians of the processor's time are compared. dirichletcal
needs an environment of its own, with releases of its time (jax 0.4.20, NumPy 1.26, scikit-learn 1.5): the option names
its interpreter.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "CALKIT_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
from bare_numpy import FORMULAS  # noqa: E402
from machine import machine  # noqa: E402
from scipy.special import log_softmax, softmax  # noqa: E402

from calkit.calibrators import get_calibrator  # noqa: E402

DIRICHLETCAL = """
import sys, time, warnings, numpy as np
warnings.simplefilter("ignore")
import scipy.linalg
from dirichletcal.calib import multinomial
# SciPy's function has another name now, and scikit-learn takes the classes by name.
scipy.linalg.pinv2 = scipy.linalg.pinv
multinomial.label_binarize = lambda y, classes: (y[:, None] == classes).astype(float)
from dirichletcal import FullDirichletCalibrator
data = np.load(sys.argv[1])
calibrator = FullDirichletCalibrator(reg_lambda=1e-2, reg_mu=1e-2)
start = time.process_time()
calibrator.fit(data["p"], data["y"])
print(time.process_time() - start)
"""


def synthetic(n, k):
    """Over-confident float32 logits with a scale and a bias for each class."""
    rng = np.random.default_rng(0)
    z = (2 * rng.normal(size=(n, k))).astype(np.float32)
    scale, bias = 0.5 + 0.2 * rng.random(k), 0.5 * rng.normal(size=k)
    return z, (z * scale + bias + rng.gumbel(size=(n, k))).argmax(axis=1)


PREDICTS = ", predict_proba"


def features(ours, z):
    p = softmax(z.astype(np.float64) * ours.inverse_temperature_, axis=1)
    return np.log((1 - ours.mix_) * p + ours.mix_ / z.shape[1])


def loss(u, y):
    return float(-log_softmax(u, axis=1)[np.arange(len(y)), y].mean())


def svs_value(ours, theirs, z, y):
    n, k = z.shape
    v, b = theirs.v_.astype(float), theirs.b_.astype(float)
    return loss(features(ours, z) * v + b, y) + k / n * float(((v - 1) ** 2).sum() + (b**2).sum())


def sms_value(ours, theirs, z, y):
    n, k = z.shape
    table = theirs.W_.astype(float)
    d = table - np.eye(k, k + 1)
    own = float((np.diag(d) ** 2).sum() + (d[:, -1] ** 2).sum())
    np.fill_diagonal(d, 0)
    penalty = k / n * own + k * (k - 1) / n * float((d[:, :-1] ** 2).sum())
    return loss(features(ours, z) @ table[:, :-1].T + table[:, -1], y) + penalty


def likelihood(_, theirs, z, y):
    p = np.asarray(theirs.predict_proba(theirs.seen(z)), dtype=float)
    return float(-np.log(p[np.arange(len(y)), y]).mean())


def of_probabilities(z):
    return softmax(z, axis=1)


def of_logarithms(z):
    return log_softmax(z.astype(np.float64), axis=1)


def newton_cg():
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=np.inf, solver="newton-cg", tol=1e-8, max_iter=1000)


def probmetrics(name):
    def make():
        from probmetrics import calibrators

        return getattr(calibrators, name)()

    return make


# Name, our spec, who, what makes theirs, what it takes, its objective, the sizes, and what we promise of the ratio.
JOBS = [
    ("SVS", "svs", "probmetrics", probmetrics("SVSCalibrator"), of_probabilities, svs_value,
     {(5000, 10): None, (5000, 100): 3.5, (25_000, 1000): 10}),
    ("SMS", "sms:off_diagonal=1", "probmetrics", probmetrics("SMSCalibrator"), of_probabilities, sms_value,
     {(5000, 10): 7, (5000, 100): 3}),
    ("vector", "vector", "probmetrics", probmetrics("VectorScalingCalibrator"), of_probabilities, likelihood,
     {(5000, 10): 10, (5000, 100): 10}),
    ("matrix", "matrix", "scikit-learn newton-cg", newton_cg, of_logarithms, likelihood, {(5000, 10): 5}),
]  # fmt: skip


def processor_seconds(job):
    start = time.process_time()
    result = job()
    return time.process_time() - start, result


def fit(make, takes, z, y):
    data = takes(z)
    theirs = make()
    seconds, theirs = processor_seconds(lambda: theirs.fit(data, y) or theirs)
    theirs.seen = takes
    return seconds, theirs


def row(job, shape, who, seconds, promised, bound=None, gap=None):
    ours, theirs = seconds
    size = " × ".join(f"{number:,}" for number in shape)
    return {"job": job, "size": size, "who": who, "ours": ours, "theirs": theirs, "ratio": theirs / ours,
            "promised": promised, "our_gap_bound": bound, "their_gap": gap}  # fmt: skip


def race(job, n, k, promised):
    name, spec, who, make, takes, value, _ = job
    z, y = synthetic(n, k)
    times = {"ours": [], "theirs": []}
    rounds = 1 if n * k > 5_000_000 else 4 if n * k > 100_000 else 8
    for _ in range(rounds):
        seconds, ours = processor_seconds(lambda: get_calibrator(spec).fit(z, y))
        times["ours"].append(seconds)
        seconds, theirs = fit(make, takes, z, y)
        times["theirs"].append(seconds)
    # The first round warms caches and lazy imports up.
    medians = [statistics.median(t[1:] or t) for t in times.values()]
    gap = value(ours, theirs, z, y) - ours.objective_
    return row(name, (n, k), who, medians, promised, ours.gap_bound_, gap)


def race_dirichletcal(python, n=2000, k=10):
    z, y = synthetic(n, k)
    get_calibrator("dirichlet:convention=dirichletcal").fit(z, y)
    ours_s, ours = processor_seconds(lambda: get_calibrator("dirichlet:convention=dirichletcal").fit(z, y))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npz"
        np.savez(path, p=softmax(z.astype(np.float64), axis=1), y=y)
        done = subprocess.run([python, "-c", DIRICHLETCAL, path], capture_output=True, text=True, check=True)
    return row("Dirichlet", (n, k), "dirichletcal", (ours_s, float(done.stdout.split()[-1])), 100, ours.gap_bound_)


def race_prediction(name, formula, z, y):
    """Race `predict_proba` of float32 logits against the same formula in bare NumPy: the least of eight times each."""
    ours = get_calibrator(name).fit(z[:4000], y[:4000])
    times = {"ours": [], "theirs": []}
    for _ in range(8):
        seconds, found = processor_seconds(lambda: ours.predict_proba(z))
        times["ours"].append(seconds)
        seconds, bare = processor_seconds(lambda: formula(ours, z))
        times["theirs"].append(seconds)
    if not np.allclose(found, bare, atol=1e-5):
        raise SystemExit(f"{name}: bare NumPy gives other probabilities, by {abs(found - bare).max():.1g}")
    return row(f"{name}{PREDICTS}", z.shape, "bare NumPy", [min(each) for each in times.values()], 1 / 1.2)


def race_isotonic(n=50_000, k=100):
    from sklearn.isotonic import IsotonicRegression

    z, y = synthetic(n, k)
    times = {"ours": [], "theirs": []}

    def loop():
        p = softmax(z.astype(np.float64), axis=1)
        return [IsotonicRegression(out_of_bounds="clip").fit(p[:, column], y == column) for column in range(k)]

    for _ in range(4):
        times["ours"].append(processor_seconds(lambda: get_calibrator("isotonic").fit(z, y))[0])
        times["theirs"].append(processor_seconds(loop)[0])
    medians = [statistics.median(t[1:]) for t in times.values()]
    return row("isotonic, one vs rest", (n, k), "a loop of scikit-learn", medians, 8)


def race_venn_abers(n=5000, k=100):
    from venn_abers.venn_abers import predict_proba_prefitted_va

    z, y = synthetic(2 * n, k)
    p = softmax(z.astype(np.float64), axis=1)
    times = []
    for _ in range(4):
        seconds, ours = processor_seconds(lambda: get_calibrator("venn-abers").fit(z[:n], y[:n]).predict_proba(
            z[n:].astype(np.float64)))  # fmt: skip
        times.append(seconds)
    seconds, (theirs, _) = processor_seconds(
        lambda: predict_proba_prefitted_va(p[:n], y[:n], p[n:], va_tpe="one_vs_rest")
    )
    found = row("Venn-Abers, one vs rest", (n, k), "venn-abers", (statistics.median(times[1:]), seconds), 40)
    return {**found, "their_gap": float(abs(ours - theirs).max())}


def show(line):
    gap = "" if line["their_gap"] is None else f"  theirs above ours {line['their_gap']:.0e}"
    promised = "" if line["promised"] is None else f" (promised {line['promised']:g})"
    print(f"{line['job']:22} {line['size']:>14} {line['ours']:8.4f} s  {line['who']} {line['theirs']:8.4f} s  "
          f"{line['ratio']:6.1f}×{promised}{gap}", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--large", action="store_true", help="the sizes that take many seconds, too")
    parser.add_argument("--predictions", action="store_true", help="predict_proba only; other rows of the file stay")
    parser.add_argument("--dirichletcal", help="an interpreter that has dirichletcal")
    parser.add_argument("--json", help="write the rows there")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    try:
        import torch

        torch.set_num_threads(1)
    except ImportError:
        sys.exit("probmetrics and torch are needed: see benchmarks/peers.txt")
    rows = []
    for shape in ((50_000, 10), (20_000, 100)):
        z, y = synthetic(*shape)
        for name, formula in FORMULAS.items():
            rows.append(race_prediction(name, formula, z, y))
            show(rows[-1])
    for job in [] if arguments.predictions else JOBS:
        for (n, k), promised in job[-1].items():
            if arguments.large or n * k <= 1_000_000:
                rows.append(race(job, n, k, promised))
                show(rows[-1])
    for other in () if arguments.predictions else (race_isotonic, race_venn_abers):
        rows.append(other())
        show(rows[-1])
    if arguments.dirichletcal:
        rows.append(race_dirichletcal(arguments.dirichletcal))
        show(rows[-1])
    if arguments.json:
        path = Path(arguments.json)
        if arguments.predictions and path.exists():
            before = json.loads(path.read_text(encoding="utf-8"))["rows"]
            rows = [line for line in before if not line["job"].endswith(PREDICTS)] + rows
        found = {"machine": machine("numpy", "scipy", "scikit-learn", "probmetrics", "torch"), "rows": rows}
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
