"""What floors, intervals and measures of whole curves cost, as ratios within one run.

``OMP_NUM_THREADS=1 python benchmarks/inference.py [--results FILE]``. Times are CPU seconds, the best of a few runs.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from machine import machine

import calkit
from calkit.datasets import load_digits_logits, make_multiclass

RESULTS = Path(__file__).with_name("results") / "inference.json"
WAYS = {"value": {"floors": False}, "floor": {}, "interval": {"confidence_level": 0.95}}


def seconds(run, repeats=5):
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best


def evaluations():
    """Values alone, with floors of 1,000 draws, and with intervals as well."""
    sets = {"digits, 899 x 10": load_digits_logits("test"), "10,000 x 100": make_multiclass(10_000, 100).predictions}
    metrics = {"defaults": None, "classwise_ece": ["classwise_ece"], "smece": ["smece"], "adaece": ["adaece"]}
    for label, predictions in sets.items():
        for name, chosen in metrics.items():
            found = {
                # Judgements are found when they are asked for.
                way: seconds(lambda w=what, c=chosen, p=predictions: calkit.evaluate(p, c, **w).to_dict())
                for way, what in WAYS.items()
            }
            yield f"{name} of {label}", found | {"floor / value": found["floor"] / found["value"]}


def whole_curves(n=1_000_000):
    """Measures of a million forecasts, in sorts of the array."""
    rng = np.random.default_rng(0)
    p = rng.random(n)
    event = calkit.Predictions(p, (rng.random(n) < p).astype(int), kind="probs")
    sort = seconds(lambda: np.sort(p))
    yield "sort of 1,000,000", {"value": sort}
    for name in ("ks", "kuiper", "atb", "smcal", "smece"):
        found = {
            way: seconds(lambda m=name, w=WAYS[way]: calkit.evaluate(event, [m], target="positive", **w).to_dict(), 3)
            for way in ("value", "floor")
        }
        yield f"{name} of 1,000,000", found | {"value / sort": found["value"] / sort}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    found = {"machine": machine("numpy", "scipy"), "rows": {}}
    for part in (evaluations(), whole_curves()):
        for label, row in part:
            found["rows"][label] = {key: round(value, 5) for key, value in row.items()}
            print(f"{label:32}", "  ".join(f"{key} {value:.4f}" for key, value in row.items()), flush=True)
    options.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
