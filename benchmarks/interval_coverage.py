"""How often intervals cover a known truth: simulated predictions whose calibration is known, beside plain percentiles.

``OMP_NUM_THREADS=1 python benchmarks/interval_coverage.py [--repeats 200] [--results FILE]``. The truth of each world
is the value on four million rows; of the calibrated world it is 0. Below and above are the shares of intervals that lie
wholly below and wholly above the truth; width is the median. The percentile bootstrap of ECE, which many packages
offer, is there for comparison.
"""

import argparse
import json
from pathlib import Path

import numpy as np

import calkit

METRICS = ["ece", "adaece", "rmsce", "smece", "ks", "kuiper", "mce", "accuracy", "nll"]
SIZES = [100, 500, 2000, 20_000]
RESULTS = Path(__file__).with_name("results") / "interval_coverage.json"

# How often an answer of some confidence is right.
WORLDS = {
    "calibrated": lambda c: c,
    "1 % over": lambda c: c - 0.01,
    "5 % over": lambda c: c - 0.05,
    "15 % over": lambda c: c - 0.15,
    "wavy": lambda c: np.clip(c + 0.08 * np.sin(12 * c), 0, 1),
}


def draw(rng, n, right):
    """Two-class predictions, so that NLL has a meaning; the confidence is that of class 0."""
    confidence = 1 - 0.5 * rng.beta(0.6, 2, n)
    y = (rng.random(n) >= right(confidence)).astype(int)
    return calkit.Predictions(np.stack([confidence, 1 - confidence], axis=1), y, kind="probs")


def percentiles(predictions, n_resamples=300, seed=0):
    """The bootstrap of rows, and percentiles of ECE over it."""
    bins = np.clip(np.ceil(predictions.scores[:, 0] * 15).astype(int) - 1, 0, 14)
    gap = predictions.scores[:, 0] - (predictions.y_true == 0)
    rng = np.random.default_rng(seed)
    n = len(gap)
    values = []
    for _ in range(n_resamples):
        rows = rng.integers(0, n, n)
        values.append(np.abs(np.bincount(bins[rows], gap[rows], 15)).sum() / n)
    return np.quantile(values, [0.025, 0.975])


def coverage(n, right, truth, repeats):
    limits = {name: [] for name in [*METRICS, "ece, percentiles"]}
    for seed in range(repeats):
        predictions = draw(np.random.default_rng([n, seed]), n, right)
        found = calkit.evaluate(predictions, METRICS, confidence_level=0.95, n_resamples=500).intervals
        for name in METRICS:
            limits[name].append(found[name])
        limits["ece, percentiles"].append(percentiles(predictions))
    for name, pairs in limits.items():
        low, high = np.array(pairs).T
        target = truth[name.split(",")[0]]
        below, above = float((high < target - 1e-12).mean()), float((low > target + 1e-12).mean())
        yield {
            "metric": name,
            "covered": round(1 - below - above, 6),
            "below": below,
            "above": above,
            "width": float(np.median(high - low)),
        }


def table(rows):
    """The least and the most coverage over the sizes, in percent, as Markdown."""
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    yield f"| confidence | {' | '.join(metrics)} |"
    yield f"| --- |{' --: |' * len(metrics)}"
    for world in WORLDS:
        cells = []
        for name in metrics:
            found = [100 * row["covered"] for row in rows if (row["world"], row["metric"]) == (world, name)]
            cells.append(f"{min(found):.0f}–{max(found):.0f}")
        yield f"| {world} | {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where figures are kept (default: %(default)s)")
    parser.add_argument("--table", action="store_true", help="print the table of the docs, and simulate nothing")
    options = parser.parse_args()
    if options.table:
        print("\n".join(table(json.loads(options.results.read_text(encoding="utf-8")))))
        return
    rows = []
    for world, right in WORLDS.items():
        truth = dict(calkit.evaluate(draw(np.random.default_rng(0), 4_000_000, right), METRICS, floors=False))
        if world == "calibrated":
            truth.update(dict.fromkeys(("ece", "adaece", "rmsce", "smece", "ks", "kuiper", "mce"), 0.0))
        for n in options.sizes:
            for row in coverage(n, right, truth, options.repeats):
                rows.append({"world": world, "rows": n, "truth": truth[row["metric"].split(",")[0]], **row})
                print(
                    f"{world:11} {n:7,} {row['metric']:17} covered {row['covered']:.3f} "
                    f"(below {row['below']:.3f}, above {row['above']:.3f})  width {row['width']:.4f}",
                    flush=True,
                )
    options.results.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
