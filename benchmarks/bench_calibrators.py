"""Does recalibration help or harm? Every registered calibrator, over trials made from data that scikit-learn carries.

The protocol is that of ``calkit bench-calibrators``, which runs it on files; here the scores come from classifiers that
are trained on rows of their own (cross-fitted where the set is small).

    python benchmarks/bench_calibrators.py                # about 160 trials; writes results/calibrators.json
    python benchmarks/bench_calibrators.py --untouched    # sets on which `auto` was not set; calibrators_untouched.json
    python benchmarks/bench_calibrators.py --fast         # a few trials, in a minute; writes nothing
    python benchmarks/bench_calibrators.py --table        # tables of the documentation, from those files
"""

import argparse
import io
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.stats import rankdata
from sklearn import datasets, ensemble, linear_model, naive_bayes, neighbors, neural_network, svm
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from calkit import Predictions
from calkit.calibrators import CalibratorBenchmark
from calkit.calibrators.choice.benchmark import trials_of, usable_calibrators
from calkit.cli.bench_calibrators import BENCH_FORMATS
from calkit.labels import TrueColumns

RESULTS = Path(__file__).parent / "results" / "calibrators.json"
TABLE = Path(__file__).parent.parent / "docs" / "user_guide" / "calibrators_table.inc"

UNTOUCHED = RESULTS.with_name("calibrators_untouched.json")
UNTOUCHED_TABLE = TABLE.with_name("calibrators_untouched.inc")
DATA = Path(__file__).parent.parent.parent / "shared" / "data"

SIZES = (50, 200, 1000)
FLOOR = 1e-7
# Options that deserve a row.
VARIANTS = ("temperature:prior=0.5",)
# What `auto` is compared with on untouched data sets: for two classes, and for more.
COMPARED = {
    "temperature": ("temperature", "temperature"),
    "ets": ("ets", "ets"),
    "platt / svs": ("affine", "svs"),
    "beta / sms": ("beta", "sms"),
    "quadratic / sms": ("quadratic", "sms:strength=1.0"),
    "isotonic": ("isotonic", "isotonic"),
    "centred-isotonic": ("centred-isotonic", "centred-isotonic"),
    "histogram": ("histogram", "histogram"),
    "auto": ("auto", "auto"),
}


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


def untouched_sets():
    """Yield the same of data sets on which nothing of ``auto`` was set."""
    draw = {"random_state": 0}
    yield "moons", *datasets.make_moons(6800, noise=0.35, **draw), 300
    yield "circles", *datasets.make_circles(6800, noise=0.25, factor=0.6, **draw), 300
    X, y = datasets.make_hastie_10_2(7000, **draw)
    yield "hastie", X, (y > 0).astype(int), 800
    for k, d in ((3, 5), (6, 4)):
        yield (
            f"quantiles {k}",
            *datasets.make_gaussian_quantiles(n_samples=7000, n_features=d, n_classes=k, **draw),
            600,
        )
    for k in (4, 12):
        yield f"blobs {k}", *datasets.make_blobs(7000, n_features=5, centers=k, cluster_std=5.0, **draw), 500
    for name, make, k in (
        ("friedman 1", datasets.make_friedman1, 4),
        ("friedman 2", datasets.make_friedman2, 2),
        ("friedman 3", datasets.make_friedman3, 3),
        ("sparse", datasets.make_sparse_uncorrelated, 2),
        ("s curve", datasets.make_s_curve, 5),
        ("swiss roll", datasets.make_swiss_roll, 8),
    ):
        noise = {} if name == "sparse" else {"noise": 0.5 if "friedman" not in name else 1.0}
        X, target = make(n_samples=7000, **noise, **draw)
        yield name, X, np.digitize(target, np.quantile(target, np.arange(1, k) / k)), 500
    X, y = cifar100_pixels()
    for first, last in ((0, 2), (2, 4), (4, 6), (6, 9), (9, 14), (14, 24), (24, 44), (44, 100)):
        chosen = (y >= first) & (y < last)
        yield f"cifar100 {first}-{last - 1}", X[chosen], y[chosen] - first, 100 * (last - first)


def cifar100_pixels():
    """Return the training images of CIFAR-100 (../shared/data, lossy) as means of 4 x 4 pixels, and their labels."""
    with np.load(DATA / "cifar100" / "cifar100-train.npz") as data:
        parts = np.split(data["blob"], data["ends"][:-1])
        images = [np.asarray(Image.open(io.BytesIO(part.tobytes())).convert("RGB")) for part in parts]
        sheets = [image.reshape(25, 8, 4, 40, 8, 4, 3).mean(axis=(2, 5)) for image in images]
        return np.concatenate([s.transpose(0, 2, 1, 3, 4).reshape(1000, -1) for s in sheets]), data["labels"].astype(
            int
        )


def top1_records():
    """Yield data set, network, logits of (wrong, right) and right of networks whose confidences alone are known."""
    for path in sorted((DATA / "imagenet-top1").glob("*.npz")):
        with np.load(path) as data:
            names = [key.removesuffix("conf") for key in data.files if key.endswith("conf")]
            for name in names:
                p = np.clip(data[f"{name}conf"].astype(float), FLOOR, 1 - FLOOR)
                right = (data[f"{name}pred"] == data["labels"]).astype(int)
                data_set = "imagenet" if "imagenet" in path.stem else path.stem.rsplit("-", 2)[1]
                yield data_set, f"{path.stem} {name}".strip(), np.log(np.stack([1 - p, p], axis=1)), right


def scores(model, X):
    if hasattr(model, "predict_proba"):
        return np.log(np.maximum(model.predict_proba(X), FLOOR))
    found = model.decision_function(X)
    return np.stack([-found / 2, found / 2], axis=1) if found.ndim == 1 else found


def sources(per_set, given=None):
    """Yield data set, classifier, logits and labels of rows the classifier has not seen."""
    names = list(CLASSIFIERS) * 2
    for i, (name, X, y, rows) in enumerate(given or sets()):
        for classifier in names[i % 8 : i % 8 + per_set]:
            make = CLASSIFIERS[classifier]
            if rows:
                yield name, classifier, scores(make().fit(X[:rows], y[:rows]), X[rows:]), y[rows:]
                continue
            logits = np.empty((len(y), y.max() + 1))
            for train, test in StratifiedKFold(3, shuffle=True, random_state=0).split(X, y):
                logits[test] = scores(make().fit(X[train], y[train]), X[test])
            yield name, classifier, logits, y


def untouched_sources(per_set):
    yield from top1_records()
    yield from sources(per_set, untouched_sets())


def methods_of(k, *, untouched):
    """Return the specs to try: all that take this number of classes, or the ones that ``auto`` is compared with."""
    if untouched:
        return [binary if k == 2 else multi for binary, multi in COMPARED.values()]
    return [*usable_calibrators(k), *VARIANTS]


def run(sizes, per_set, *, untouched):
    trials = []
    for name, classifier, logits, y in (untouched_sources if untouched else sources)(per_set):
        predictions = Predictions(logits, TrueColumns(y), kind="logits")
        methods = methods_of(logits.shape[1], untouched=untouched)
        found = trials_of(name, classifier, predictions, methods, sizes=sizes)
        trials.extend(renamed(trial) if untouched else trial for trial in found)
        print(f"{name}, {classifier}: {len(trials)} trials", flush=True)
    return CalibratorBenchmark(tuple(trials))


def renamed(trial):
    """Return a trial with one name for the calibrators of two classes and of more that take each other's place."""
    names = ["identity", *COMPARED]
    return replace(trial, results=dict(zip(names, trial.results.values(), strict=True)))


def rank_differences(found):
    """Return, for each calibrator, the rank of ``auto`` less its own, with a 95 % interval by bootstrap."""
    names = list(found.trials[0].results)
    loss = np.array([[trial.results[name].log_loss for name in names] for trial in found.trials])
    rank = rankdata(loss.round(12), axis=1)
    rank = (rank - 1) / (len(names) - 1)
    where = np.array([trial.data for trial in found.trials])
    means = np.stack([rank[where == data].mean(axis=0) for data in np.unique(where)])
    difference = means[:, [names.index("auto")]] - means
    picked = np.random.default_rng(0).integers(0, len(means), (2000, len(means)))
    low, high = np.quantile(difference[picked].mean(axis=1), [0.025, 0.975], axis=0)
    middle = difference.mean(axis=0)
    return {name: [middle[i], low[i], high[i]] for i, name in enumerate(names) if name != "auto"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--untouched", action="store_true")
    parser.add_argument("--per-set", type=int, default=4)
    options = parser.parse_args()
    if options.table:
        TABLE.write_text(markdown(CalibratorBenchmark.from_dict(json.loads(RESULTS.read_text()))), encoding="utf-8")
        found = CalibratorBenchmark.from_dict(json.loads(UNTOUCHED.read_text()))
        UNTOUCHED_TABLE.write_text(markdown(found), encoding="utf-8")
        return
    warnings.filterwarnings("ignore")
    sizes, per_set = ((50, 200), 1) if options.fast else (SIZES, options.per_set)
    found = run(sizes, per_set, untouched=options.untouched)
    print(BENCH_FORMATS["table"](found))
    document = {"trials": rounded(found)}
    if options.untouched:
        document["rank_of_auto_less_theirs"] = rank_differences(found)
        print(json.dumps(document["rank_of_auto_less_theirs"], indent=1))
    if not options.fast:
        (UNTOUCHED if options.untouched else RESULTS).write_text(json.dumps(document, indent=None) + "\n")


def markdown(found):
    return BENCH_FORMATS["md"](found)


def rounded(found):
    trials = found.to_dict()["trials"]
    for trial in trials:
        for scores in trial["results"].values():
            scores.update({key: float(f"{value:.6g}") for key, value in scores.items()})
    return trials


if __name__ == "__main__":
    main()
