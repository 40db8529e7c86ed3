"""How often intervals of class-wise ECE, and of ECE of many classes, cover a known truth.

``OMP_NUM_THREADS=1 python benchmarks/classwise_coverage.py [--classes 10] [--rows 500 2000] [--repeats 100]``. The
truth of each world is exact in the outcomes: the gap of a bin is the mean of what was said minus what is true, over
many rows. The share of p-values below 2.5 % is the level of the test where the model is calibrated.
"""

import argparse
import json
from pathlib import Path

import numpy as np

import calkit

# What is said, of logits whose softmax is true: a factor, and how much it differs from row to row.
WORLDS = {
    "calibrated": lambda z, _: z,
    "over": lambda z, _: 1.3 * z,
    "under": lambda z, _: 0.8 * z,
    "mixed": lambda z, rng: z * np.where(rng.random((len(z), 1)) < 0.5, 1.5, 0.7),
}


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def rows(rng, n, k, said):
    z = rng.normal(size=(n, k))
    z[np.arange(n), rng.integers(0, k, n)] += rng.gamma(2, 3, n)
    return softmax(z), softmax(said(z, rng))


def truth(k, said, n=20_000, blocks=20, n_bins=15):
    """Class-wise ECE and ECE of the top label, the outcomes replaced by their probabilities."""
    classwise, top = np.zeros(k * n_bins), np.zeros(n_bins)
    for seed in range(blocks):
        true, p = rows(np.random.default_rng([99, seed]), n, k, said)
        index = np.clip(np.ceil(p * n_bins).astype(int) - 1, 0, n_bins - 1)
        classwise += np.bincount((index + n_bins * np.arange(k)).ravel(), (p - true).ravel(), k * n_bins)
        best = p.argmax(axis=1)
        row = np.arange(n)
        top += np.bincount(index[row, best], (p - true)[row, best], n_bins)
    return {"classwise_ece": np.abs(classwise).sum() / (n * blocks * k), "ece": np.abs(top).sum() / (n * blocks)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, nargs="+", default=[10])
    parser.add_argument("--rows", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results") / "classwise_coverage.json")
    options = parser.parse_args()
    found = []
    for k in options.classes:
        for name, said in WORLDS.items():
            exact = dict.fromkeys(("classwise_ece", "ece"), 0.0) if name == "calibrated" else truth(k, said)
            for n in options.rows:
                held, rejected = dict.fromkeys(exact, 0), dict.fromkeys(exact, 0)
                for seed in range(options.repeats):
                    rng = np.random.default_rng([n, k, seed])
                    true, p = rows(rng, n, k, said)
                    y = np.minimum((true.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1), k - 1)
                    predictions = calkit.Predictions(p, y, kind="probs")
                    result = calkit.evaluate(predictions, list(exact), confidence_level=0.95, n_resamples=500)
                    for metric, value in exact.items():
                        low, high = result.intervals[metric]
                        held[metric] += low - 1e-12 <= value <= high + 1e-12
                        rejected[metric] += result.judgement(metric).p_value < 0.025
                for metric in exact:
                    row = {"classes": k, "world": name, "rows": n, "metric": metric, "truth": float(exact[metric])}
                    row |= {
                        "covered": held[metric] / options.repeats,
                        "p_below_.025": rejected[metric] / options.repeats,
                    }
                    found.append(row | {"repeats": options.repeats})
                    print(json.dumps(found[-1]), flush=True)
    options.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
