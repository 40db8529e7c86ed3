"""How often intervals cover a known truth, and how often tests reject a calibrated model: over classes, rows, worlds.

``OMP_NUM_THREADS=1 python benchmarks/coverage_grid.py [--classes 2] [--rows 500] [--groups top] [--samples 1000]``.
Each world is a finite population of rows, with what is said of each class and what is true of it, so every truth is
exact: samples are rows drawn with replacement, with labels drawn from what is true. Results are kept in one file per
cell, and a later run with more --samples adds to them. ``--table`` writes the docs' table.
"""

import argparse
import itertools
import json
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

import calkit
from calkit.estimators.corp import isotonic_curve
from calkit.estimators.cumulative import averaged_two_bin, kolmogorov_smirnov, kuiper
from calkit.estimators.decisions import v_shaped_regret
from calkit.estimators.ranked import ranked
from calkit.evaluation import judgements_of
from calkit.inference.bounds import brier_miscalibration
from calkit.inference.cells import CellSums
from calkit.inference.label_bins import LabelSums
from calkit.inference.means import MeanInference, ProportionInference
from calkit.inference.resampling import Resampling
from calkit.inference.tests import run_tests
from calkit.metrics import get_metric
from calkit.metrics.smooth import fixed_point
from calkit.stats import ConfidencePairs
from calkit.stats.binning import bin_index, uniform_edges
from calkit.stats.folds import FoldSums, sum_folds
from calkit.stats.forecasts import Forecasts
from calkit.stats.pairs import equal_mass_bins
from calkit.stats.smoothing import Residuals
from calkit.stats.statistic import fewer_folds

# What is said, of logits whose softmax is true: a factor, and how much it differs from row to row.
WORLDS = {
    "calibrated": lambda z, _: z,
    "over": lambda z, _: 1.3 * z,
    "under": lambda z, _: 0.8 * z,
    "mixed": lambda z, rng: z * np.where(rng.random((len(z), 1)) < 0.5, 1.5, 0.7),
    # Only what is sure is too sure: all of the error lies in the last of the bins.
    "sure": lambda z, _: z * np.where(softmax(z).max(axis=1, keepdims=True) > 1 - 1 / N_BINS, 1.5, 1),
}
CLASSES, ROWS = (2, 10, 100, 1000), (500, 2000, 10_000)
TOP = ["ece", "adaece", "ks", "kuiper"]
SQUARES = ["l2-debiased"]
SMOOTH = ["smece", "atb"]
CURVE = ["corp-mcb", "ucal", "ece-sweep", "kde-ece"]
TESTS = ["cox", "spiegelhalter", "hosmer-lemeshow", "ks", "kuiper", "smece", "t-cal"]
N_BINS = 15
RESULTS = Path(__file__).with_name("results") / "coverage"
TABLE = Path(__file__).parents[1] / "docs" / "user_guide" / "coverage_table.inc"
LEVEL, DRAWS = 0.95, 400
# Samples after which a file is written.
CHUNK = 100
# From as many classes on, rows are not counted anew for each sample.
MANY = 1000
# Coverage in percent below which a cell is named in the docs.
LEAST = 93


class World:
    """A population of rows."""

    def __init__(self, k, name):
        rng = np.random.default_rng([k, list(WORLDS).index(name)])
        self.k, self.n = k, max(10_000, min(200_000, 10_000_000 // k))
        z = rng.normal(size=(self.n, k))
        z[np.arange(self.n), rng.integers(0, k, self.n)] += rng.gamma(2, 3, self.n)
        true, self.said = softmax(z), softmax(WORLDS[name](z, rng))
        best = self.said.argmax(axis=1)
        self.p, self.right = (part[np.arange(self.n), best] for part in (self.said, true))
        self.best = best
        self.squares = (self.said**2).sum(axis=1)
        self.truth = self._top_truth() | self._mean_truth(true) | self._classwise_truth(true)
        # Cumulative probabilities of row i rise from i to i + 1, so that one search finds labels of any rows.
        true.cumsum(axis=1, out=true)
        true[:, -1] = 1
        true += np.arange(self.n)[:, None]
        self.cumulative = true.ravel()

    def _top_truth(self):
        bins = (np.bincount(bin_index(self.p, uniform_edges(N_BINS)), v, N_BINS) for v in (None, self.p - self.right))
        weight, gap = bins
        filled = weight > 0
        squares = float((gap[filled] ** 2 / weight[filled]).sum() / self.n)
        mass = equal_mass_bins(ConfidencePairs(self.p, self.right), N_BINS)
        forecasts = ranked(self.p, self.right)
        # In all worlds the frequency rises with the confidence, but for single rows.
        without_bins = float(
            (forecasts.weight * np.abs(isotonic_curve(forecasts) - forecasts.probability)).sum() / self.n
        )
        grid = Residuals().count(Forecasts(self.p, self.right, None, np.dtype(np.float64)))
        return {
            "ece": float(np.abs(gap).sum() / self.n),
            "adaece": float(np.abs(mass.confidence - mass.correct).sum() / self.n),
            "rmsce": squares**0.5,
            "l2-debiased": squares,
            "ks": kolmogorov_smirnov(forecasts),
            "kuiper": kuiper(forecasts),
            "atb": averaged_two_bin(forecasts),
            "smece": fixed_point(grid),
            "corp-mcb": brier_miscalibration(forecasts),
            "ucal": float(v_shaped_regret(forecasts)),
            "ece-sweep": without_bins,
            "kde-ece": without_bins,
        }

    def _mean_truth(self, true):
        likely = float((true * -np.log(self.said)).sum() / self.n)
        brier = float((self.squares + 1 - 2 * (true * self.said).sum(axis=1)).mean())
        return {"nll": likely, "brier": brier, "accuracy": float(self.right.mean())}

    def _classwise_truth(self, true):
        gap = np.stack(
            [
                np.bincount(bin_index(p, uniform_edges(N_BINS)), p - q, N_BINS)
                for p, q in zip(self.said.T, true.T, strict=True)
            ]
        )
        pooled = np.abs(gap.sum(axis=0)).sum()
        return {"classwise_ece": float(np.abs(gap).sum() / self.n / self.k), "pooled": float(pooled / self.n / self.k)}

    def event(self, n, seed):
        """Confidences of rows, and whether the top label is right."""
        rng = np.random.default_rng([n, seed])
        rows = rng.integers(0, self.n, n)
        return self.p[rows], rng.random(n) < self.right[rows]

    def sample(self, n, seed):
        """Rows and their labels."""
        rng = np.random.default_rng([n, seed])
        rows = rng.integers(0, self.n, n)
        place = np.searchsorted(self.cumulative, rows + rng.random(n), side="right")
        return rows, np.clip(place - rows * self.k, 0, self.k - 1)


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    e /= e.sum(axis=1, keepdims=True)
    return e


class OfTopLabel:
    """Intervals and p-values of metrics of the top label, as of forecasts of an event: that it is right."""

    def __init__(self, metrics):
        layout = calkit.Predictions([0.5], [1], kind="probs")
        self.metrics = [get_metric(name).bind(layout, "positive") for name in metrics]
        self.statistics = {m.statistic for m in self.metrics}
        for metric in self.metrics:
            self.statistics |= set(metric.inference.statistics(Resampling(LEVEL, DRAWS)))

    def __call__(self, world, n, seed):
        p, right = world.event(n, seed)
        forecasts = Forecasts(p, right, None, p.dtype)
        summaries = {statistic: statistic.count(forecasts) for statistic in self.statistics}
        values = {metric.spec: metric.value(summaries[metric.statistic]) for metric in self.metrics}
        judged = judgements_of(self.metrics, values, summaries, Resampling(LEVEL, DRAWS, seed))
        return {m.name: (*judged[m.spec].interval, judged[m.spec].p_value) for m in self.metrics}


def means(world, n, seed):
    """NLL, Brier score and accuracy from what the metrics would count."""
    rows, y = world.sample(n, seed)
    said = world.said[rows, y]
    resampling = Resampling(LEVEL, DRAWS, seed)
    fold = resampling.folds.of(np.arange(len(rows)))
    hits = float((world.best[rows] == y).sum())
    found = {"accuracy": ProportionInference(None, lambda parts: parts).judge(0, ((hits, n), (hits, n)), resampling)}
    for name, value in {"nll": -np.log(said), "brier": world.squares[rows] + 1 - 2 * said}.items():
        sums = sum_folds(fold, resampling.folds.n_folds, None, value)
        found[name] = MeanInference(None).judge(float(value.mean()), (sums,), resampling)
    return {name: (*judged.interval, None) for name, judged in found.items()}


class OfClasses:
    """What `evaluate` counts of the probabilities of all classes: rows of a population are binned once."""

    def __init__(self, world):
        self.k, self.said = world.k, world.said
        row, column = np.nonzero(world.said > uniform_edges(N_BINS)[1])
        value = world.said[row, column]
        self.cell, self.value = column * N_BINS + bin_index(value, uniform_edges(N_BINS)), value
        self.first = np.searchsorted(row, np.arange(world.n + 1))
        self.low = world.said.copy()
        self.low[row, column] = 0
        self.low_squares, self.low_logs = self.low**2, np.log1p(-self.low)
        of_bins = np.bincount(row * N_BINS + self.cell % N_BINS, value, world.n * N_BINS)
        self.of_bins = of_bins.reshape(world.n, N_BINS)
        self.of_bins[:, 0] += self.low.sum(axis=1)
        layout = calkit.Predictions(world.said[:1], [0], kind="probs")
        self.metric = get_metric("classwise_ece").bind(layout, "top")

    def judge(self, rows, y, resampling):
        counted = self.cells(rows, y), LabelSums.of(self.of_bins[rows], None), self.folds(rows, y, resampling.folds)
        value = float(np.abs(counted[0].gap).sum() / counted[0].weight.sum())
        return self.metric.inference.judge(value, counted, resampling).within(self.metric.bounds)

    def listed(self, rows):
        """Places in the list of what lies above the first edge, and how often each row is in it."""
        often = self.first[rows + 1] - self.first[rows]
        return np.repeat(self.first[rows + 1] - often.cumsum(), often) + np.arange(often.sum()), often

    def truth(self, rows, y):
        return y * N_BINS + bin_index(self.said[rows, y], uniform_edges(N_BINS))

    def cells(self, rows, y):
        place, _ = self.listed(rows)
        cell, value, times = self.cell[place], self.value[place], np.bincount(rows, minlength=len(self.said))

        def sums(of_list, of_low):
            found = np.bincount(cell, of_list, self.k * N_BINS).astype(float)
            found[::N_BINS] += of_low
            return found

        count = sums(None, 0)
        count[::N_BINS] += len(rows) - count.reshape(self.k, -1).sum(axis=1)
        probability, squares = sums(value, times @ self.low), sums(value**2, times @ self.low_squares)
        truth = self.truth(rows, y)
        outcome = np.bincount(truth, minlength=len(count)).astype(float)
        residual = squares + np.bincount(truth, 1 - 2 * self.said[rows, y], len(count))
        spread, none = probability - squares, sums(np.log1p(-np.minimum(value, 1 - 1e-12)), times @ self.low_logs)
        zero = np.zeros(len(count))
        return CellSums(count, count, count, probability, outcome, spread, spread, residual, none, zero)

    def folds(self, rows, y, folds):
        n_folds = fewer_folds(folds.n_folds, self.k * N_BINS)
        fold = folds.of(np.arange(len(rows))) % n_folds
        shape, (place, often) = (n_folds, self.k, N_BINS), self.listed(rows)
        gaps = np.bincount(
            np.repeat(fold, often) * self.k * N_BINS + self.cell[place], self.value[place], np.prod(shape)
        )
        gaps -= np.bincount(fold * self.k * N_BINS + self.truth(rows, y), minlength=len(gaps))
        gaps = gaps.reshape(shape)
        gaps[:, :, 0] += csr_array((np.ones(len(rows)), (fold, rows)), (n_folds, len(self.said))) @ self.low
        return FoldSums(np.bincount(fold, minlength=n_folds).astype(float), gaps, self.k)


@lru_cache(maxsize=1)
def of_classes(world):
    return OfClasses(world)


def classwise(world, n, seed):
    rows, y = world.sample(n, seed)
    found = []
    if world.k >= MANY:
        found.append(of_classes(world).judge(rows, y, Resampling(LEVEL, DRAWS, seed)))
    if world.k < MANY or seed % CHUNK == 0:
        predictions = calkit.Predictions(world.said[rows], y, kind="probs")
        asked = {"confidence_level": LEVEL, "n_resamples": DRAWS, "random_state": seed}
        found.append(calkit.evaluate(predictions, ["classwise_ece"], **asked).judgement("classwise_ece"))
    # Two classes have one gap.
    pooled = [each.p_value if each.pooled is None else each.pooled.p_value for each in found]
    rows = [(*each.interval, each.p_value, p_value) for each, p_value in zip(found, pooled, strict=True)]
    # What is counted otherwise is checked now and then.
    np.testing.assert_allclose(rows[0], rows[-1], rtol=1e-9)
    return {"classwise_ece": rows[0][:3], "pooled": (None, None, rows[0][3])}


def tests(world, n, seed):
    found = run_tests(*world.event(n, seed), tests=TESTS, n_resamples=199, random_state=seed)
    return {f"test {name}": (None, None, result.p_value) for name, result in found.items()}


#: What is found together: the metrics, how, and whether only of a calibrated world.
GROUPS = {
    "top": (TOP, OfTopLabel(TOP), False),
    "squares": (SQUARES, OfTopLabel(SQUARES), False),
    "means": (["nll", "brier", "accuracy"], means, False),
    "tests": ([f"test {name}" for name in TESTS], tests, True),
    "classwise": (["classwise_ece", "pooled"], classwise, False),
    "smooth": (SMOOTH, OfTopLabel(SMOOTH), False),
    "curve": (CURVE, OfTopLabel(CURVE), False),
}


def run(world, n, group, seeds):
    """Shares of the samples whose interval lies below or above the truth, whose p-value is at most 5 %; mean width."""
    names, find, _ = GROUPS[group]
    found = {name: [] for name in names}
    for seed in seeds:
        for name, row in find(world, n, seed).items():
            found[name].append(row)
    for name, values in found.items():
        low, high, p_value = np.array(values, dtype=float).T
        row, truth = {"samples": len(values)}, world.truth.get(name)
        if not np.isnan(low).any():
            row |= {"truth": truth, "below": (high < truth - 1e-9).mean(), "above": (low > truth + 1e-9).mean()}
            row["width"] = (high - low).mean()
        if not np.isnan(p_value).any():
            row["rejected"] = (p_value <= 0.05).mean()
        yield name, {key: int(value) if key == "samples" else float(value) for key, value in row.items()}


def together(one, two):
    """Shares and means of two sets of samples."""
    n = one["samples"] + two["samples"]
    means = {key: (one["samples"] * one[key] + two["samples"] * two[key]) / n for key in two}
    return means | {"samples": n} | ({"truth": two["truth"]} if "truth" in two else {})


@lru_cache(maxsize=1)
def world_of(k, name):
    return World(k, name)


def fill(k, name, n, group, samples):
    """Run what is missing of a cell, and keep it as it comes."""
    path = RESULTS / f"{name}-{k}-{n}.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    names, _, only_calibrated = GROUPS[group]
    done = min(kept.get(metric, {}).get("samples", 0) for metric in names)
    if only_calibrated and name != "calibrated":
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for first in range(done, samples, CHUNK):
        found = dict(run(world_of(k, name), n, group, range(first, min(first + CHUNK, samples))))
        kept |= {metric: together(kept[metric], row) if first else row for metric, row in found.items()}
        path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    if done < samples:
        shares = {metric: covered(row) if "below" in row else 100 * row["rejected"] for metric, row in kept.items()}
        text = ", ".join(f"{metric} {shares[metric]:.1f}" for metric in names)
        print(f"{name} K={k} n={n} {samples} samples: {text}", flush=True)


def cells():
    """What is in the files: (world, K, n, metric, row)."""
    for name, k, n in itertools.product(WORLDS, CLASSES, ROWS):
        path = RESULTS / f"{name}-{k}-{n}.json"
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            for metric in (each for names, _, _ in GROUPS.values() for each in names if each in kept):
                yield name, k, n, metric, kept[metric]


def covered(row):
    return 100 * (1 - row["below"] - row["above"])


def table_of(shares):
    """Lines of a table of the least and the largest share over the cells, from (metric, K) to (share, samples)."""
    yield f"| | {' | '.join(f'K = {k:,}' for k in CLASSES)} | samples a cell |"
    yield f"| --- |{' --: |' * (len(CLASSES) + 1)}"
    for metric in dict.fromkeys(metric for metric, _ in shares):
        found = [shares.get((metric, k), []) for k in CLASSES]
        words = [
            f"{min(share for share, _ in each):.1f}–{max(share for share, _ in each):.1f}" if each else ""
            for each in found
        ]
        counts = [counted({n for _, n in each}) for each in found]
        if len({count for count in counts if count}) > 1:
            words = [f"{word} ({count})" if word else "" for word, count in zip(words, counts, strict=True)]
        yield f"| `{metric}` | {' | '.join(words)} | {counted({n for each in found for _, n in each})} |"


def counted(samples):
    """Return how many samples cells had."""
    least, most = min(samples, default=0), max(samples, default=0)
    return "" if not most else f"{most:,}" if least == most else f"{least:,} to {most:,}"


def tables():
    """Markdown: how often intervals cover, where less than 93 %, and how often tests reject a calibrated model."""
    shares, levels, short = {}, {}, []
    for world, k, n, metric, row in cells():
        if "below" in row:
            shares.setdefault((metric, k), []).append((covered(row), row["samples"]))
            if covered(row) < LEAST:
                # Of the true coverage 95 %, as few would be seen in one cell of a thousand.
                clear = covered(row) < 95 - 3.1 * 100 * (0.95 * 0.05 / row["samples"]) ** 0.5
                short.append(
                    (
                        clear,
                        f"`{metric}` {covered(row):.1f} ({world}, K = {k:,}, n = {n:,}, {row['samples']:,} samples)",
                    )
                )
        elif world == "calibrated":
            name = metric.removeprefix("test ") if metric != "pooled" else "classwise_ece, classes pooled"
            levels.setdefault((name, k), []).append((100 * row["rejected"], row["samples"]))
    yield "How often 95 % intervals cover, in percent: the least and the most over the rows and the worlds; in"
    yield "parentheses samples a cell, where they differ.\n"
    yield from table_of(shares)
    for clear, text in (
        (True, "Less than 93 %, by more than chance"),
        (False, "Less than 93 %, as chance may have it with so few samples"),
    ):
        found = [words for is_clear, words in short if is_clear == clear]
        if found or clear:
            yield f"\n{text}: {'; '.join(found) or 'none'}."
    yield "\nHow often tests at 5 % reject a calibrated model, in percent: the least and the most over the rows.\n"
    yield from table_of(levels)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, nargs="+", default=CLASSES)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--worlds", nargs="+", default=WORLDS, choices=WORLDS)
    parser.add_argument("--groups", nargs="+", default=GROUPS, choices=GROUPS)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--table", action="store_true", help="write the table of the docs, and simulate nothing")
    options = parser.parse_args()
    if options.table:
        TABLE.write_text("\n".join(tables()) + "\n", encoding="utf-8")
        return
    for k, name, n, group in itertools.product(options.classes, options.worlds, options.rows, options.groups):
        fill(k, name, n, group, options.samples)


if __name__ == "__main__":
    main()
