"""Watch calibration drift over days of production traffic, from a summary of a few kB a day.

Each day, predictions are counted in batches as they arrive and the sums are stored; no row is kept. Later, days are
loaded and added at will: here each day, the seven days up to it, and the first and the last week as reliability
diagrams. The traffic is synthetic: the classifier is calibrated at first, and from day 10 on ever more over-confident.

Run it with ``python examples/drift_over_days.py --output drift.png``.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import reduce
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from calkit import ReliabilityDisplay
from calkit.streaming import StreamingEvaluation

DAYS = 28
WEEK = 7


def traffic(day, rows, rng, n_classes=10):
    """Batches of logits and of the labels that turned out to be true; over-confident by a factor that drifts."""
    drift = 1 + 0.05 * max(0, day - 10)
    for _ in range(rows // 500):
        logits = 2.5 * rng.standard_normal((500, n_classes))
        probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        labels = (rng.random((500, 1)) > probs.cumsum(axis=1)[:, :-1]).sum(axis=1)
        yield logits * drift, labels


def count_days(folder, rows, seed):
    """What runs in production: a file a day."""
    rng = np.random.default_rng(seed)
    for day in range(1, DAYS + 1):
        stream = StreamingEvaluation(["ece", "nll", "accuracy"], kind="logits")
        for logits, labels in traffic(day, rows, rng):
            stream.update(logits, labels)
        stream.save(folder / f"day-{day:02d}.npz")


def plot(days, weeks):
    """ECE by day and by week, and the reliability of the first and the last week."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.4))
    axes = top.subplots()
    numbers = np.arange(1, DAYS + 1)
    axes.plot(numbers, [100 * day.result()["ece"] for day in days], "o", color="0.6", label="one day")
    axes.plot(numbers, [100 * week.result()["ece"] for week in weeks], color="#c8504a", label="seven days")
    axes.set(xlabel="Day", ylabel="ECE, %", ylim=(0, None))
    axes.legend(frameon=False)
    columns = bottom.subplots(2, 2, height_ratios=(3, 1), sharex=True)
    for column, (name, week) in enumerate({"first week": weeks[WEEK - 1], "last week": weeks[-1]}.items()):
        display = ReliabilityDisplay.from_bins(week.summary("ece"), name=name, plot=False)
        display.plot(columns[0, column], share_ax=columns[1, column])
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("drift.png"), help="figure to write (default: drift.png)")
    parser.add_argument("--folder", type=Path, help="where to keep the days (default: a temporary folder)")
    parser.add_argument("--rows", type=int, default=5000, help="rows a day (default: 5000)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        count_days(folder, arguments.rows, arguments.seed)
        days = [StreamingEvaluation.load(path) for path in sorted(folder.glob("day-*.npz"))]
    weeks = [reduce(StreamingEvaluation.merge, days[max(0, last - WEEK) : last]) for last in range(1, DAYS + 1)]
    plot(days, weeks).savefig(arguments.output, dpi=120)
    for name, week in {"first": weeks[WEEK - 1], "last": weeks[-1]}.items():
        result = week.result()
        print(f"{name} week: ECE {100 * result['ece']:.2f} %, NLL {result['nll']:.4f}, n = {result.n_samples:,}")
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
