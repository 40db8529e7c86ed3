"""Does recalibration help or harm? Every registered calibrator, over tasks made from data that scikit-learn carries.

A task is data set x classifier x calibration rows x seed. Classifiers are trained on rows of their own (cross-fitted
where the set is small); of the rest, n rows are for calibration, and up to 4,000 for the test. What was before is the
softmax of the scores, with probabilities of at least 1e-7. Tasks of one data set are not independent: means are of data
sets' means, and intervals are by bootstrap over data sets.

    python benchmarks/bench_calibrators.py                     # about 150 tasks; writes results/calibrators.json
    python benchmarks/bench_calibrators.py --fast              # a few, in a minute
    python benchmarks/bench_calibrators.py --table             # the page of the documentation, from that file
    python benchmarks/bench_calibrators.py --folder logits/    # also npz files with arrays `logits` and `labels`
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.special import log_softmax
from sklearn import datasets, ensemble, linear_model, naive_bayes, neighbors, neural_network, svm
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from calkit import Predictions
from calkit.calibrators import CALIBRATORS, available_calibrators, get_calibrator
from calkit.labels import TrueColumns

RESULTS = Path(__file__).parent / "results" / "calibrators.json"
TABLE = Path(__file__).parent.parent / "docs" / "user_guide" / "calibrators_table.inc"

SIZES = (50, 200, 1000)
FLOOR = 1e-7
TEST_ROWS = 4000
# Those that are fitted to something else than labelled rows.
OTHERS = ("prior", "teacher", "by-column")
# Options of those above that deserve a row.
VARIANTS = ("temperature:prior=0.5",)


def scaled(model):
    return make_pipeline(StandardScaler(), model)


CLASSIFIERS = {
    "logistic regression": lambda: scaled(linear_model.LogisticRegression(max_iter=200)),
    "random forest": lambda: ensemble.RandomForestClassifier(60, random_state=0),
    "extra trees": lambda: ensemble.ExtraTreesClassifier(60, min_samples_leaf=2, random_state=0),
    "boosting": lambda: ensemble.HistGradientBoostingClassifier(max_iter=60, random_state=0),
    "network": lambda: scaled(neural_network.MLPClassifier((64,), max_iter=60, random_state=0)),
    "support vectors": lambda: scaled(svm.SVC()),
    "naive Bayes": naive_bayes.GaussianNB,
    "neighbours": lambda: neighbors.KNeighborsClassifier(15),
}
# Arguments of make_classification, the number of classes first, and training rows.
FAMILIES = {
    "binary": (2, {}, 800),
    "imbalanced": (2, {"weights": [0.9]}, 1000),
    "rare": (2, {"weights": [0.97]}, 2000),
    "noisy": (2, {"flip_y": 0.3}, 800),
    "few": (2, {}, 80),
    "easy": (2, {"class_sep": 2.5, "flip_y": 0.0}, 500),
    "three": (3, {}, 800),
    "five noisy": (5, {"flip_y": 0.3}, 1000),
    "seven few": (7, {}, 200),
    "ten": (10, {"n_informative": 10}, 1500),
    "thirty": (30, {"n_informative": 12}, 3000),
}


def sets():
    """Yield name, features, labels and training rows (0: cross-fit)."""
    for name in ("digits", "breast_cancer", "wine", "iris"):
        yield name, *getattr(datasets, f"load_{name}")(return_X_y=True), 500 if name == "digits" else 0
    X, target = datasets.load_diabetes(return_X_y=True)
    yield "diabetes", X, (target > np.median(target)).astype(int), 0
    for i, (name, (k, options, rows)) in enumerate(FAMILIES.items()):
        given = {"n_samples": rows + 6000, "n_features": 20, "n_informative": 8, "flip_y": 0.02, "random_state": i}
        yield name, *datasets.make_classification(n_classes=k, **{**given, **options}), rows


def scores(model, X):
    if hasattr(model, "predict_proba"):
        return np.log(np.maximum(model.predict_proba(X), FLOOR))
    found = model.decision_function(X)
    return np.stack([-found / 2, found / 2], axis=1) if found.ndim == 1 else found


def sources(folder, per_set):
    """Yield data set, classifier, logits and labels of rows the classifier has not seen."""
    names = list(CLASSIFIERS) * 2
    for i, (name, X, y, rows) in enumerate(sets()):
        for classifier in names[i % 8 : i % 8 + per_set]:
            make = CLASSIFIERS[classifier]
            if rows:
                yield name, classifier, scores(make().fit(X[:rows], y[:rows]), X[rows:]), y[rows:]
                continue
            logits = np.empty((len(y), y.max() + 1))
            for train, test in StratifiedKFold(3, shuffle=True, random_state=0).split(X, y):
                logits[test] = scores(make().fit(X[train], y[train]), X[test])
            yield name, classifier, logits, y
    for path in sorted(Path(folder).glob("*.npz")) if folder else ():
        with np.load(path) as data:
            yield path.stem, "given", data["logits"], data["labels"]


def floored(log_proba):
    return log_softmax(np.maximum(log_proba, np.log(FLOOR)), axis=1)


def measured(log_proba, y):
    """Return log-loss, Brier score and ECE of 15 bins."""
    p, rows = np.exp(log_proba), np.arange(len(y))
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    bins = np.clip(np.ceil(confidence * 15).astype(int) - 1, 0, 14)
    ece = np.abs(np.bincount(bins, right - confidence, 15)).sum() / len(y)
    return -log_proba[rows, y].mean(), ((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1).mean(), ece


def methods(k):
    """Return the specs of all calibrators that take this number of classes, what they are compared with first."""
    names = [name for name in available_calibrators() if name not in ("identity", *OTHERS)]
    usable = [name for name in names if k == 2 or not CALIBRATORS[name].binary_only]
    return ["identity", *usable, *VARIANTS]


def run(folder, sizes, per_set):
    tasks = []
    for name, classifier, logits, y in sources(folder, per_set):
        logits = floored(log_softmax(logits, axis=1))
        for n in sizes:
            if len(y) - n < max(len(y) // 4, 60):
                continue
            order = np.random.default_rng(n).permutation(len(y))
            fit, test = order[:n], order[n : n + TEST_ROWS]
            task = {"data": name, "classifier": classifier, "n": n, "n_classes": logits.shape[1], "results": {}}
            for method in methods(logits.shape[1]):
                task["results"][method] = one(method, logits, y, fit, test)
            tasks.append(task)
        print(f"{name}, {classifier}: {len(tasks)} tasks", flush=True)
    return tasks


def one(method, logits, y, fit, test):
    start = time.process_time()
    data = Predictions(logits[fit], TrueColumns(y[fit]), kind="logits")
    calibrator = get_calibrator(method).fit_predictions(data)
    seconds = time.process_time() - start
    log_proba = floored(calibrator.predict_log_proba(logits[test]))
    return [float(f"{value:.6g}") for value in (*measured(log_proba, y[test]), seconds)]


def summary(tasks, few):
    """Return rows of the table of the tasks of two classes, or of more, the least rank first."""
    tasks = [task for task in tasks if (task["n_classes"] == 2) == few]
    names = list(tasks[0]["results"])
    values = np.array([[task["results"][name] for name in names] for task in tasks])
    loss = values[:, :, 0]
    below = (loss[:, None, :] < loss[:, :, None] - 1e-12).sum(axis=2)
    ties = (np.abs(loss[:, None, :] - loss[:, :, None]) <= 1e-12).sum(axis=2) - 1
    rank = (below + ties / 2) / (len(names) - 1)
    before = loss[:, :1]
    columns = np.stack(
        [
            loss > before + 1e-9,
            loss > 1.01 * before,
            loss < before - 1e-9,
            rank,
            np.log(loss / before),
            values[:, :, 1] / values[:, :1, 1] - 1,
            values[:, :, 2],
            values[:, :, 3],
        ],
        axis=2,
    )
    where = np.array([task["data"] for task in tasks])
    means = np.stack([columns[where == name].mean(axis=0) for name in np.unique(where)])
    picked = np.random.default_rng(0).integers(0, len(means), (2000, len(means)))
    low, high = np.quantile(means[picked].mean(axis=1), [0.025, 0.975], axis=0)
    rows = [(name, means.mean(axis=0)[j], low[j], high[j]) for j, name in enumerate(names)]
    return sorted(rows, key=lambda row: row[1][3]), len(tasks), len(means)


def table(tasks):
    lines = []
    for few, title in ((True, "Two classes"), (False, "Three to thirty classes")):
        rows, n_tasks, n_sets = summary(tasks, few)
        lines += [f"### {title}: {n_tasks} tasks from {n_sets} data sets", ""]
        lines += [
            "| calibrator | harm | by > 1 % | win | rank | log-loss | Brier | ECE % | ms |",
            "| --- | --- | --: | --: | --- | --: | --: | --: | --: |",
        ]
        for name, mean, low, high in rows:
            harm, much, win, rank, loss, brier, ece, seconds = mean
            lines.append(
                f"| `{name}` | {harm:.2f} [{low[0]:.2f}, {high[0]:.2f}] | {much:.2f} | {win:.2f} "
                f"| {rank:.2f} [{low[3]:.2f}, {high[3]:.2f}] | {100 * np.expm1(loss):+.1f} % | {100 * brier:+.1f} % "
                f"| {100 * ece:.1f} | {1000 * seconds:.0f} |"
            )
        lines.append("")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--folder")
    parser.add_argument("--per-set", type=int, default=4)
    options = parser.parse_args()
    if options.table:
        TABLE.write_text(table(json.loads(RESULTS.read_text())), encoding="utf-8")
        return
    warnings.filterwarnings("ignore")
    tasks = run(options.folder, (50, 200), 1) if options.fast else run(options.folder, SIZES, options.per_set)
    print(table(tasks))
    if not options.fast:
        RESULTS.write_text(json.dumps(tasks, indent=None) + "\n")


if __name__ == "__main__":
    main()
