"""Draw two pictures of the user guide: what estimators of calibration error make of few rows.

python examples/plot_estimators.py [FOLDER]

The first simulates forecasts of an event, calibrated and over-confident, and shows each estimator's mean and standard
deviation by the number of rows, beside what it would show with a million. The second shows that ECE prefers a constant
forecast to the true probabilities at 100 rows.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import calkit
from calkit.datasets import make_binary

ESTIMATORS = {
    "ece": "ECE, 15 bins",
    "adaece": "AdaECE",
    "ece-sweep": "ECE sweep",
    "l1-debiased": "ECE, debiased",
    "kde-ece": "KDE-ECE",
    "ls-ece": "Logit-smoothed ECE",
    "rmsce": "RMSCE, 15 bins",
    "l2-debiased": "root of debiased l2",
    "smece": "Smooth ECE",
    "smcal": "Smooth calibration error",
    "ks": "KS",
    "mmce": "MMCE",
}
SLOPES = {"calibrated": (1.0, "#1f6fb4"), "over-confident": (0.7, "#d1601f")}
SIZES = np.array([100, 300, 1000, 3000, 10_000])
# Its pairs of rows are too many beyond.
LARGEST = {"kde-ece": 1000}
REPEATS = 200


def root(name, values):
    """Squares are shown as their roots, with their signs."""
    return np.sign(values) * np.sqrt(np.abs(values)) if name == "l2-debiased" else values


def values(n, slope, names, repeats=REPEATS):
    rows = []
    for seed in range(repeats):
        made = make_binary(n, slope=slope, random_state=seed)
        rows.append(list(calkit.evaluate(made.predictions, names, floors=False).values()))
    return dict(zip(names, np.array(rows).T, strict=True))


def by_rows():
    """Mean and standard deviation of each estimator by n; and its value for very many rows."""
    figure = Figure(figsize=(9.6, 6.6), layout="constrained")
    grid = figure.subplots(3, 4, sharex=True, sharey=True)
    for label, (slope, colour) in SLOPES.items():
        truth = values(1_000_000, slope, [name for name in ESTIMATORS if name not in LARGEST], repeats=1)
        truth["kde-ece"] = np.array([make_binary(1_000_000, slope=slope).true_error])
        found = [values(n, slope, [m for m in ESTIMATORS if n <= LARGEST.get(m, n)]) for n in SIZES]
        for name, axes in zip(ESTIMATORS, grid.flat, strict=True):
            sizes = SIZES[: np.searchsorted(SIZES, LARGEST.get(name, np.inf), side="right")]
            mean, sd = np.array([(each[name].mean(), each[name].std()) for each in found[: len(sizes)]]).T
            low, mean, high = (root(name, part) for part in (mean - sd, mean, mean + sd))
            axes.fill_between(sizes, low, high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(sizes, mean, color=colour, marker="o", markersize=3, label=label)
            target = 0.0 if slope == 1 else float(root(name, truth[name])[0])
            axes.axhline(target, color=colour, linestyle=":", linewidth=1.2)
    for name, axes in zip(ESTIMATORS, grid.flat, strict=True):
        axes.set_title(ESTIMATORS[name], fontsize=10)
        axes.set(xscale="log", ylim=(-0.04, 0.2))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("rows")
    for axes in grid[:, 0]:
        axes.set_ylabel("value")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure


def constant_against_truth(n=100, repeats=4000):
    """ECE and the averaged two-bin error of true probabilities, and of saying 1/2 always, of the same outcomes."""
    names = ["ece", "atb"]
    found = {"true probabilities": [], "1/2 always": []}
    for seed in range(repeats):
        made = make_binary(n, random_state=seed)
        y = made.predictions.y_true
        constant = calkit.Predictions(np.full(n, 0.5), y, kind="probs")
        for row, predictions in zip(found.values(), (made.predictions, constant), strict=True):
            row.append(list(calkit.evaluate(predictions, names, floors=False).values()))
    figure = Figure(figsize=(8.2, 3.2), layout="constrained")
    titles = {"ece": "ECE, 15 bins", "atb": "Averaged two-bin error"}
    for i, (name, axes) in enumerate(zip(names, figure.subplots(1, 2), strict=True)):
        for (label, rows), colour in zip(found.items(), ("#1f6fb4", "#8a8a8a"), strict=True):
            drawn = np.array(rows)[:, i]
            edges = np.linspace(0, 0.25 if name == "ece" else 0.012, 50)
            axes.hist(np.minimum(drawn, edges[-1]), edges, color=colour, alpha=0.55)
            text = f"{label}: mean {drawn.mean():.3f}" if name == "ece" else f"{label}: mean {drawn.mean():.4f}"
            axes.axvline(drawn.mean(), color=colour, linewidth=2, label=text)
            print(name, text)
        axes.set(title=titles[name], xlabel=f"value at {n} rows", yticks=[])
        axes.legend(frameon=False, fontsize=9)
        axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    constant_against_truth().savefig(folder / "constant-forecast.png", dpi=100)
    by_rows().savefig(folder / "bias-by-rows.png", dpi=100)
    print(f"wrote two pictures to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "_static" / "estimators")
