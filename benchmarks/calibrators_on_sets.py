"""Every calibrator on real sets, fitted on one half and judged on the other: the table of the user guide.

    python benchmarks/calibrators_on_sets.py DATA [--sets NAME …] [--calibrators SPEC …] [--results FILE]
    python benchmarks/calibrators_on_sets.py --table docs/user_guide/calibrators_on_sets.inc [--results FILE]

DATA is the folder with the real sets. Where a set has no validation half of its own, a random half is fitted on. What
takes more than half a minute of the processor is left out, and said so. The results are put into a file by set, so that
a long run can be made in parts; so can some calibrators alone, whose rows are replaced. The table is made of that file.
"""

import argparse
import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from calkit import Predictions, ece
from calkit.calibrators import CALIBRATORS, get_calibrator

RESULTS = Path(__file__).parent / "results" / "calibrators_on_sets.json"
SECONDS = 30

# These need something else than labelled rows, or are made of others.
LEFT_OUT = {"by-column", "identity", "one-vs-rest", "prior", "teacher", "top-label"}
# Named beside the default.
MORE = ("sms:off_diagonal=1", "ets:objective=mse")

PAPER = ("cifar10-densenet121-brier", "cifar10-resnet50-brier", "cifar10-resnet50-focal-sd53",
         "cifar10-wide-resnet-focal-sd53", "cifar100-resnet50-brier", "cifar100-resnet110-brier")  # fmt: skip
NETCAL = ("wideresnet-16-4-cifar-10", "wideresnet-16-4-cifar-100", "lenet-5-cifar-100")
ERRORS = ("imdb", "mnist", "cifar10", "20news")
EVENTS = ("nba-games", "mlb-games")


def paper(folder, name):
    file = np.load(folder / "focal-calibration-logits" / f"{name}.npz")
    parts = [(file[f"{part}_logits"], file[f"{part}_labels"].astype(int)) for part in ("val", "test")]
    return [Predictions(scores, y, kind="logits") for scores, y in parts]


def halves(probs, y):
    """Two random halves."""
    order = np.random.default_rng(0).permutation(len(y))
    whole = Predictions(probs, y.astype(int), kind="probs")
    return [whole.take(order[: len(y) // 2]), whole.take(order[len(y) // 2 :])]


def netcal(folder, name):
    file = np.load(folder / "netcal-records" / f"{name}.npz")
    return halves(file["predictions"], file["ground_truth"])


def label_errors(folder, name):
    file = np.load(folder / "label-errors" / f"label-errors-{name}.npz")
    return halves(file["probs"], file["labels"])


def events(folder, name):
    file = np.load(folder / "forecasts" / f"fivethirtyeight-{name}.npz")
    return halves(file["prob"], file["y"])


def hpc(folder, name):
    file = np.load(folder / "forecasts" / f"yardstick-{name}.npz")
    return halves(file["probs"], file["labels"])


SETS = {
    **{f"fivethirtyeight/{name}": (events, name) for name in EVENTS},
    **{f"label-errors/{name}": (label_errors, name) for name in ERRORS},
    "yardstick/hpc-cv": (hpc, "hpc-cv"),
    **{f"focal-calibration/{name}": (paper, name) for name in PAPER},
    **{f"netcal/{name}": (netcal, name) for name in NETCAL},
}


class TooLongError(Exception):
    pass


def stop(*_):
    raise TooLongError


def losses(log_proba, y):
    """Log-losses of rows, those of probability 0 infinite."""
    return -log_proba[np.arange(len(y)), y]


def judged(spec, fit_on, test):
    """Log-losses of the test half, its ECE, and the seconds of the fit."""
    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        start = time.process_time()
        calibrator = get_calibrator(spec).fit_predictions(fit_on)
        seconds = time.process_time() - start
        probs = calibrator.predict_proba(test.logits().scores)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    y = np.asarray(test.y_true)
    with np.errstate(divide="ignore"):
        found = losses(np.log(probs.astype(np.float64)), y)
    return found, ece(y, probs.astype(np.float64), target="top"), seconds


def run(folder, name, specs):
    read, argument = SETS[name]
    fit_on, test = read(folder, argument)
    rows = {}
    before, error, _ = judged("identity", fit_on, test)
    rows["uncalibrated"] = {"nll": float(before.mean()), "ece": float(error)}
    for spec in specs:
        if CALIBRATORS[spec.partition(":")[0]].binary_only and (test.n_classes or 0) > 2:
            continue
        try:
            after, error, seconds = judged(spec, fit_on, test)
        except TooLongError:
            rows[spec] = {"slow": True}
            continue
        change = after - before
        half = 1.96 * float(change.std(ddof=1) / np.sqrt(len(change))) if np.isfinite(change).all() else None
        rows[spec] = {"nll": _number(after.mean()), "change": _number(change.mean()), "half_width": half,
                      "ece": float(error), "seconds": seconds}  # fmt: skip
        print(f"{name:45} {spec:24} {rows[spec]}", flush=True)
    return {"n_classes": test.n_classes, "n_fit": len(fit_on), "n_test": len(test), "rows": rows}


def _number(value):
    return float(value) if np.isfinite(value) else None


def table(results):
    """Return the pages' tables: sets by their number of classes."""
    groups = {"Two classes": [], "Three to twenty classes": [], "A hundred classes": []}
    for name, found in results.items():
        k = found["n_classes"]
        groups["Two classes" if k == 2 else "Three to twenty classes" if k <= 20 else "A hundred classes"].append(name)
    lines = []
    for title, names in groups.items():
        methods = list(dict.fromkeys(method for name in names for method in results[name]["rows"]))
        methods.sort(key=lambda method: (method != "uncalibrated", method))
        lines += [f"### {title}", "", "| method | " + " | ".join(_short(name, results[name]) for name in names) + " |"]
        lines.append("| --- |" + " --: |" * len(names))
        for method in methods:
            cells = [_cell(results[name]["rows"].get(method)) for name in names]
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _short(name, found):
    return f"{name.partition('/')[2]} ({found['n_fit']:,} + {found['n_test']:,})"


def _cell(row):
    if row is None:
        return "–"
    if row.get("slow"):
        return "> 30 s"
    if row["nll"] is None:
        return f"∞; {100 * row['ece']:.2f}"
    change = "" if "change" not in row else f" ({100 * row['change']:+.2f} ± {100 * row['half_width']:.2f})"
    return f"{100 * row['nll']:.2f}{change.replace('-', '−')}; {100 * row['ece']:.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    every = sorted(set(CALIBRATORS) - LEFT_OUT) + list(MORE)
    parser.add_argument("--calibrators", nargs="+", choices=every, default=every)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    results = json.loads(arguments.results.read_text(encoding="utf-8")) if arguments.results.is_file() else {}
    if arguments.data:
        for name in arguments.sets:
            found = run(arguments.data, name, arguments.calibrators)
            known = results.get(name, {}).get("rows", {}) if arguments.calibrators != every else {}
            results[name] = {**found, "rows": {**known, **found["rows"]}}
            results = {key: results[key] for key in SETS if key in results}
            arguments.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if arguments.table:
        arguments.table.write_text(table(results), encoding="utf-8")
    if not (arguments.data or arguments.table):
        sys.exit(parser.format_usage())


if __name__ == "__main__":
    main()
