"""ECE and both temperature fits: calkit beside scikit-learn and plain NumPy, interleaved in one run, as ratios.

Run it on a quiet machine: ``OMP_NUM_THREADS=1 python benchmarks/core.py [--large] [--json FILE]``. Each job is timed
round robin with its rivals, and the median of the repeats is compared with calkit's. What each finds is printed beside
its time, so that speed is not bought with error.
"""

import argparse
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


def race(contestants, repeats=5, budget=60.0):
    """Median seconds and last result of each, run in turns; what exceeds its budget runs less often."""
    times = {name: [] for name in contestants}
    results = {}
    for _ in range(repeats + 1):
        for name, job in contestants.items():
            if sum(times[name]) > budget:
                continue
            start = time.perf_counter()
            results[name] = job()
            times[name].append(time.perf_counter() - start)
    # The first round warms caches and lazy imports up.
    return {name: (statistics.median(t[1:] or t), results[name]) for name, t in times.items()}


def plain_ece(logits, y, temperature=1.0, bins=15):
    """What one writes without a library."""
    p = softmax(logits.astype(np.float64) / temperature, axis=1)
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == y
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(index, confidence - correct, bins)
    return float(np.abs(gaps).sum() / len(y))


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
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    rows = []
    for size, (n, k) in {**SIZES, **(LARGE if options.large else {})}.items():
        logits, y = synthetic(n, k)
        for job, contestants in jobs(logits, y).items():
            found = race(contestants, options.repeats)
            for name, (seconds, result) in found.items():
                ratio = seconds / found["calkit"][0]
                rows.append(
                    {"size": size, "job": job, "who": name, "seconds": seconds, "ratio": ratio, "found": result}
                )
                print(f"{size:>15}  {job:34} {name:13} {seconds * 1e3:10.2f} ms {ratio:8.2f} x   {result:.12g}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as stream:  # noqa: PTH123
            json.dump(rows, stream, indent=1)


if __name__ == "__main__":
    main()
