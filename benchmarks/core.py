"""Errors, intervals and temperatures: calkit beside scikit-learn and plain NumPy, interleaved in one run, as ratios.

Run it on a quiet machine: ``OMP_NUM_THREADS=1 python benchmarks/core.py [--large] [--json FILE]``. Each job is timed
round robin with its rivals, and the median of the repeats is compared with calkit's. What each finds is printed beside
its time, so that speed is not bought with error.
"""

import argparse
import importlib.util
import json
import statistics
import time
import warnings

import numpy as np
from scipy.special import softmax
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.frozen import FrozenEstimator

import calkit
from calkit.calibrators import TemperatureScaling

SIZES = {"10,000 x 10": (10_000, 10), "10,000 x 100": (10_000, 100)}
LARGE = {"50,000 x 1,000": (50_000, 1000)}


def synthetic(n, k, seed=0, temperature=2.0):
    """Over-confident float32 logits: labels are drawn from softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((n, k), dtype=np.float32)
    logits[np.arange(n), rng.integers(0, k, n)] += rng.gamma(5, 1.75, n).astype(np.float32)
    cumulated = softmax(logits, axis=1).cumsum(axis=1)
    y = (rng.random((n, 1)) * cumulated[:, -1:] > cumulated).sum(axis=1)
    return logits * np.float32(temperature), y


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def race(contestants, repeats=5, budget=60.0, clock=time.perf_counter):
    """Median seconds and last result of each, run in turns; what exceeds its budget runs less often."""
    times = {name: [] for name in contestants}
    results = {}
    for _ in range(repeats + 1):
        for name, job in contestants.items():
            if sum(times[name]) > budget:
                continue
            start = clock()
            results[name] = job()
            times[name].append(clock() - start)
    # The first round warms caches and lazy imports up.
    return {name: (statistics.median(t[1:] or t), results[name]) for name, t in times.items()}


def plain_ece(logits, y, temperature=1.0, bins=15):
    """What one writes without a library."""
    p = softmax(logits.astype(np.float64) / temperature, axis=1)
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == y
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(index, confidence - correct, bins)
    return float(np.abs(gaps).sum() / len(y))


def plain_classwise_ece(logits, y, bins=15):
    """All classes at once, with a one-hot matrix."""
    p = softmax(logits, axis=1)
    n, k = p.shape
    index = np.clip(np.ceil(p * bins).astype(np.intp) - 1, 0, bins - 1) + bins * np.arange(k)
    gaps = p - np.eye(k, dtype=np.float32)[y]
    return float(np.abs(np.bincount(index.ravel(), gaps.ravel(), bins * k)).sum() / n / k)


def sklearn_classwise_ece(logits, y, bins=15):
    """scikit-learn's curve of each class, weighted by hand."""
    p = softmax(logits, axis=1)
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    total = 0.0
    for k in range(p.shape[1]):
        truth, predicted = calibration_curve(y == k, p[:, k], n_bins=bins)
        counts = np.bincount(np.searchsorted(edges, p[:, k]), minlength=bins)
        total += (np.abs(truth - predicted) * counts[counts > 0]).sum()
    return float(total / p.size)


def plain_bootstrap(logits, y, resamples=1000, bins=15):
    """Percentiles of ECE over resampled rows; the softmax is computed once. Its lower limit is shown."""
    p = softmax(logits.astype(np.float64), axis=1)
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == y
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap, rng, values = confidence - correct, np.random.default_rng(0), []
    for _ in range(resamples):
        rows = rng.integers(0, len(y), len(y))
        values.append(np.abs(np.bincount(index[rows], gap[rows], bins)).sum() / len(y))
    return float(np.quantile(values, 0.025))


def smooth_pairs(n=1_000_000):
    """Smooth ECE of ``n`` (confidence, correct) pairs: calkit, and relplot where it is installed."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.4, 1, n)
    correct = rng.random(n) < confidence - 0.02
    pairs = calkit.Predictions.from_confidence(confidence, correct)
    contestants = {"calkit": lambda: calkit.evaluate(pairs, ["smece"], n_jobs=1)["smece"]}
    if importlib.util.find_spec("relplot") is not None:
        relplot = importlib.import_module("relplot")
        contestants["relplot"] = lambda: float(relplot.smECE(confidence, correct.astype(float)))
    return contestants


def sklearn_ece(logits, y, bins=15):
    """scikit-learn's curve of the top label, weighted by hand (its curve does not return counts)."""
    p = softmax(logits.astype(np.float64), axis=1)
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == y
    truth, predicted = calibration_curve(correct, confidence, n_bins=bins)
    edges = np.linspace(0, 1, bins + 1)
    counts = np.bincount(np.searchsorted(edges[1:-1], confidence), minlength=bins)
    return float((np.abs(truth - predicted) * counts[counts > 0]).sum() / len(y))


class Logits:
    """A 'fitted classifier' whose decision function is its input: what scikit-learn's calibration asks for."""

    def __init__(self, n_classes):
        self.classes_ = np.arange(n_classes)
        self.n_features_in_ = n_classes

    def fit(self, X, y):
        return self

    def decision_function(self, X):
        return X

    def predict(self, X):
        return self.classes_[X.argmax(axis=1)]

    def __sklearn_tags__(self):
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression().__sklearn_tags__()

    def get_params(self, deep=True):
        return {}


def sklearn_temperature(logits, y):
    model = CalibratedClassifierCV(FrozenEstimator(Logits(logits.shape[1])), method="temperature")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(logits, y)
    return float(1 / model.calibrated_classifiers_[0].calibrators[0].beta_)


def plain_grid(logits, y):
    values = [plain_ece(logits, y, t) for t in np.arange(1, 101) / 10]
    return float((np.arange(1, 101) / 10)[int(np.argmin(values))])


def jobs(logits, y):
    predictions = calkit.Predictions(logits, y, kind="logits")
    return {
        "ECE": {
            "calkit": lambda: calkit.ece(y, logits, from_logits=True),
            "plain NumPy": lambda: plain_ece(logits, y),
            "scikit-learn": lambda: sklearn_ece(logits, y),
        },
        "ECE, 95 % interval": {
            "calkit": lambda: calkit.evaluate(predictions, ["ece"], confidence_level=0.95).intervals["ece"][0],
            "plain NumPy": lambda: plain_bootstrap(logits, y),
        },
        "classwise ECE": {
            "calkit": lambda: calkit.classwise_ece(y, logits, from_logits=True),
            "plain NumPy": lambda: plain_classwise_ece(logits, y),
            "scikit-learn": lambda: sklearn_classwise_ece(logits, y),
        },
        "smooth ECE": {"calkit": lambda: calkit.smece(y, logits, from_logits=True)},
        "temperature by NLL": {
            "calkit": lambda: TemperatureScaling().fit_predictions(predictions).temperature_,
            "scikit-learn": lambda: sklearn_temperature(logits, y),
        },
        "temperature by ECE (grid of 100)": {
            "calkit": lambda: TemperatureScaling("ece").fit_predictions(predictions).temperature_,
            "plain NumPy": lambda: plain_grid(logits, y),
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="also 50,000 x 1,000 (minutes)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: of this process, on a busy machine")
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    rows = []
    tasks = {size: jobs(*synthetic(n, k)) for size, (n, k) in {**SIZES, **(LARGE if options.large else {})}.items()}
    tasks["1,000,000 pairs"] = {"smooth ECE": smooth_pairs()}
    for size, of_size in tasks.items():
        for job, contestants in of_size.items():
            found = race(contestants, options.repeats, clock=CLOCKS[options.clock])
            for name, (seconds, result) in found.items():
                ratio = seconds / found["calkit"][0]
                row = {"size": size, "job": job, "who": name, "clock": options.clock}
                rows.append({**row, "seconds": seconds, "ratio": ratio, "found": result})
                print(f"{size:>15}  {job:34} {name:13} {seconds * 1e3:10.2f} ms {ratio:8.2f} x   {result:.12g}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as stream:  # noqa: PTH123
            json.dump(rows, stream, indent=1)


if __name__ == "__main__":
    main()
