"""The metrics beyond those of the paper: each against plain loops, for weights, targets, groups and any split."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import norm

import calkit
from calkit.errors import CalkitError, InputError, NotFoundError, UsageError
from calkit.estimators.corp import corp_decomposition
from calkit.estimators.cumulative import averaged_two_bin, kolmogorov_smirnov
from calkit.estimators.cumulative import kuiper as kuiper_of
from calkit.estimators.decisions import v_shaped_regret
from calkit.estimators.kernels import beta_kernel_error
from calkit.estimators.logits import logit_smoothed
from calkit.estimators.ranked import ranked
from calkit.estimators.selection import area_under_risk, least_area
from calkit.estimators.witness import lipschitz_witness
from calkit.metrics import METRICS, available_metrics
from tests import reference as ref


def example(n=300, k=4, seed=0):
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((n, k))
    y = np.where(rng.random(n) < 0.6, logits.argmax(1), rng.integers(0, k, n))
    probs = np.array([ref.softmax(row) for row in logits])
    return probs, y, rng.integers(1, 4, n).astype(float)


def table(pairs, weights, n_bins=15):
    """(weight, confidence, correct, rows' products) of the bins that hold rows."""
    weights = [1.0] * len(pairs) if weights is None else list(weights)
    bins = {}
    for (c, a), w in zip(pairs, weights, strict=True):
        bins.setdefault(ref.uniform_bin(c, n_bins), []).append((c, a, w))
    return list(bins.values())


def gaps(pairs, weights):
    out = []
    for rows in table(pairs, weights):
        w = math.fsum(w for _, _, w in rows)
        out.append((w, math.fsum(w * (c - a) for c, a, w in rows)))
    return out


def _sorted(pairs, weights):
    c, a = (np.array(part) for part in zip(*pairs, strict=True))
    return ranked(c.astype(float), a.astype(bool), None if weights is None else np.asarray(weights))


def counted(w):
    """Weights that add up to as many rows as would tell as much."""
    return None if w is None else np.asarray(w) * math.fsum(w) / math.fsum(x * x for x in w)


def rmsce(pairs, w):
    found = gaps(pairs, w)
    return math.sqrt(math.fsum(g * g / m for m, g in found) / math.fsum(m for m, _ in found))


def ace(pairs, w):
    found = gaps(pairs, w)
    return math.fsum(abs(g) / m for m, g in found) / len(found)


def part(pairs, w, sign):
    found = gaps(pairs, w)
    return math.fsum(max(sign * g, 0) for _, g in found) / math.fsum(m for m, _ in found)


def wrong_decisions(pairs, w):
    """Expected cost of equal costs."""
    weights = [1.0] * len(pairs) if w is None else w
    wrong = math.fsum(b * ((c >= 0.5) != y) for (c, y), b in zip(pairs, weights, strict=True))
    return wrong / math.fsum(weights)


def l2_debiased(pairs, w):
    total, found = 0.0, 0.0
    for rows in table(pairs, w):
        mass = math.fsum(w for _, _, w in rows)
        total += mass
        products = [
            (v * x, v * x * (a - b) * (c - d))
            for i, (a, b, v) in enumerate(rows)
            for j, (c, d, x) in enumerate(rows)
            if i != j
        ]
        if products:
            found += mass * math.fsum(p for _, p in products) / math.fsum(m for m, _ in products)
    return found / total


def l1_debiased(pairs, w):
    total, found = 0.0, 0.0
    for rows in table(pairs, w):
        mass = math.fsum(w for _, _, w in rows)
        rate = math.fsum(w * a for _, a, w in rows) / mass
        gap = math.fsum(w * c for c, _, w in rows) / mass - rate
        # A weighted mean varies as that of (Σw)² / Σw² rows.
        sd = math.sqrt(max(rate * (1 - rate), 0) * math.fsum(w * w for _, _, w in rows)) / mass
        redrawn = norm(gap, sd).expect(abs, epsabs=1e-13, limit=500) if sd > 1e-9 else abs(gap)
        total += mass
        found += mass * (2 * abs(gap) - redrawn)
    return found / total


def kernel_mean(pairs, w, width, *, own):
    w = [1.0] * len(pairs) if w is None else w
    rows = list(zip(pairs, w, strict=True))
    products = [
        (v * x, v * x * (a - b) * (c - d) * math.exp(-abs(a - c) / width))
        for i, ((a, b), v) in enumerate(rows)
        for j, ((c, d), x) in enumerate(rows)
        if own or i != j
    ]
    return math.fsum(p for _, p in products) / math.fsum(m for m, _ in products)


def sweep(pairs, w):
    w = [1.0] * len(pairs) if w is None else list(w)
    confidences = [c for c, _ in pairs]
    best = None
    for n_bins in range(1, len(set(confidences)) + 1):
        index = ref.equal_mass_indices(confidences, w, n_bins)
        rows = [r for r in ref.bins_of(index, confidences, [a for _, a in pairs], w, n_bins) if r[0] > 0]
        rates = [a / m for m, _, a in rows]
        if any(s > t + 1e-12 for s, t in itertools.pairwise(rates)):
            break
        best = ref.gap_mean(rows)
    return best


def kde(pairs, w):
    c, a = (np.array(x, dtype=float) for x in zip(*pairs, strict=True))
    return beta_kernel_error(c, a, np.ones(len(c)) if w is None else np.asarray(w), 0.01)


# Measures of ranked forecasts are compared with loops in test_estimators.py: here, that the metrics are them.
ORACLES = {
    "rmsce": rmsce,
    "ace": ace,
    "over-confidence": lambda p, w: part(p, w, 1),
    "under-confidence": lambda p, w: part(p, w, -1),
    "l2-debiased": l2_debiased,
    "l1-debiased": l1_debiased,
    "ece-sweep": sweep,
    "ks": lambda p, w: kolmogorov_smirnov(_sorted(p, w)),
    "kuiper": lambda p, w: kuiper_of(_sorted(p, w)),
    "atb": lambda p, w: averaged_two_bin(_sorted(p, w)),
    "skce": lambda p, w: kernel_mean(p, w, 0.1, own=False),
    "mmce": lambda p, w: math.sqrt(kernel_mean(p, w, 0.4, own=True)),
    "kde-ece": kde,
    "smcal": lambda p, w: lipschitz_witness(_sorted(p, w)),
    "ls-ece": lambda p, w: logit_smoothed(_sorted(p, w), 0.5),
    "corp-mcb": lambda p, w: corp_decomposition(_sorted(p, w)).miscalibration,
    "corp-dsc": lambda p, w: corp_decomposition(_sorted(p, w)).discrimination,
    "corp-unc": lambda p, w: corp_decomposition(_sorted(p, w)).uncertainty,
    "refinement": lambda p, w: corp_decomposition(_sorted(p, w)).refinement,
    "ucal": lambda p, w: v_shaped_regret(_sorted(p, w)),
    "decision-loss": wrong_decisions,
    "aurc": lambda p, w: area_under_risk(_sorted(p, counted(w))),
    "e-aurc": lambda p, w: area_under_risk(_sorted(p, counted(w))) - least_area(_sorted(p, counted(w))),
}


def classes(y, w, k):
    total = math.fsum(w)
    return [math.fsum(b for a, b in zip(y, w, strict=True) if a == c) / total for c in range(k)]


@pytest.mark.parametrize("weighted", [False, True])
def test_skill_scores_and_the_k_best(weighted):
    probs, y, weights = example()
    w = weights.tolist() if weighted else [1.0] * len(y)
    given = weights if weighted else None
    shares = classes(y, w, 4)
    brier = ref.mean(ref.brier_rows(probs, y), w) / (1 - math.fsum(p * p for p in shares))
    nll = ref.mean(ref.nll_rows(probs, y), w) / -math.fsum(p * math.log(p) for p in shares)
    assert calkit.metrics.d2_brier(y, probs, sample_weight=given) == pytest.approx(1 - brier, abs=1e-12)
    assert calkit.metrics.d2_nll(y, probs, sample_weight=given) == pytest.approx(1 - nll, abs=1e-12)
    event = classes([int(label == 2) for label in y], w, 2)[1]
    squared = ref.mean([(p[2] - (label == 2)) ** 2 for p, label in zip(probs, y, strict=True)], w)
    found = calkit.metrics.d2_brier(y, probs, sample_weight=given, target="positive:class=2")
    assert found == pytest.approx(1 - squared / (event * (1 - event)), abs=1e-12)
    assert calkit.metrics.d2_brier((y == 2).astype(int), probs[:, 2], sample_weight=given) == pytest.approx(
        found, abs=1e-12
    )
    inside = [int(sum(q > p[label] for q in p) < 2) for p, label in zip(probs, y, strict=True)]
    assert calkit.metrics.top_k(y, probs, k=2, sample_weight=given) == pytest.approx(ref.mean(inside, w), abs=1e-12)
    assert math.isnan(calkit.metrics.d2_nll([1, 1], [[0.4, 0.6], [0.3, 0.7]]))


# Numerical integrals of the oracle.
TOLERANCE = {"l1-debiased": 1e-9}


# With an oracle in a test of their own.
OUTCOMES = {
    f"{quantity}{part}"
    for quantity in ("nll", "entropy", "confidence", "p_true")
    for part in ("", "_correct", "_misclassified")
} - {"nll"}
MURPHY = {"murphy-res", "murphy-unc", "murphy-wbv", "murphy-wbc", "binned-refinement"}
OTHERS = {"d2-brier", "d2-nll", "top-k", "tace", "tl-ece", "murphy-rel", *MURPHY, *OUTCOMES}


def function(name):
    return getattr(calkit.metrics, METRICS[name].declared.__name__)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", sorted(ORACLES))
def test_equals_its_oracle(name, weighted):
    probs, y, weights = example()
    w = weights if weighted else None
    expected = ORACLES[name](ref.pairs(probs, y), w)
    assert function(name)(y, probs, sample_weight=w) == pytest.approx(expected, abs=TOLERANCE.get(name, 1e-12))


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_one_column_and_one_class_are_forecasts_of_an_event(name):
    probs, y, _ = example()
    event = (y == 2).astype(int)
    expected = ORACLES[name](list(zip(probs[:, 2].tolist(), event.tolist(), strict=True)), None)
    tolerance = TOLERANCE.get(name, 1e-12)
    assert function(name)(event, probs[:, 2]) == pytest.approx(expected, abs=tolerance)
    assert function(name)(y, probs, target="positive:class=2") == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("name", sorted(set(ORACLES) - {"l1-debiased", "kde-ece"}))
def test_classwise_is_the_mean_over_classes(name):
    probs, y, _ = example(80, 3)
    of_class = [
        ORACLES[name]([(p[k], int(label == k)) for p, label in zip(probs, y, strict=True)], None) for k in range(3)
    ]
    assert function(name)(y, probs, target="classwise") == pytest.approx(math.fsum(of_class) / 3, abs=1e-12)


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_groups_are_the_metric_of_their_rows(name):
    probs, y, _ = example(200)
    group = np.where(np.arange(200) % 3 == 0, "a", "b")
    value = function(name)(y, probs, by=group)
    for label in "ab":
        own = function(name)(y[group == label], probs[group == label])
        assert value.groups[label] == pytest.approx(own, abs=1e-12)


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_any_split_of_the_rows_gives_the_same(name, tmp_path):
    probs, y, w = example(240)
    whole = calkit.Predictions(probs, y, kind="probs", sample_weight=w)
    for i, (a, b) in enumerate([(0, 7), (7, 100), (100, 240)]):
        calkit.save_predictions(whole.take(slice(a, b)), tmp_path / f"part-{i}.npz")
    shards = calkit.Shards(str(tmp_path / "part-*.npz"))
    expected = calkit.evaluate(whole, [name])
    found = calkit.evaluate(shards, [name])
    assert found[name] == pytest.approx(expected[name], abs=1e-12)


def test_every_metric_has_a_floor_or_is_known_to_have_none():
    probs, y, _ = example()
    found = calkit.evaluate(calkit.Predictions(probs, y, kind="probs"), available_metrics())
    without = {name for name in available_metrics() if found.judgement(name).floor is None}
    scores = {"accuracy", "error", "nll", "brier", "s99", "s99_accuracy", "aurc", "e-aurc", "decision-loss"}
    scores |= {"corp-dsc", "corp-unc", "refinement", "d2-brier", "d2-nll", "top-k", *MURPHY, *OUTCOMES}
    assert without - scores <= {"l1-debiased", "kde-ece"}
    for name in set(available_metrics()) - without:
        judged = found.judgement(name)
        assert 0 < judged.p_value <= 1
        assert judged.floor.mean <= judged.floor.p95


class TestBinnings:
    def test_edges_of_ones_own(self):
        # (.5, 1 wrong), (.9, right), (.95, right) in bins (0, .5], (.5, .9], (.9, 1].
        value = calkit.ece([0, 1, 1], [0.5, 0.9, 0.95], binning=[0, 0.5, 0.9, 1])
        assert value == pytest.approx((0.5 + 0.1 + 0.05) / 3, abs=1e-15)
        found = calkit.evaluate(
            calkit.Predictions(np.array([0.5, 0.9, 0.95]), [0, 1, 1], kind="probs"), ["ece:binning=(0,.5,.9,1)"]
        )
        assert next(iter(found.values())) == value

    @pytest.mark.parametrize("edges", [[0, 0.5], [0.1, 1], [0, 0.5, 0.5, 1], ["a", "b"], "0,x,1"])
    def test_edges_that_are_none(self, edges):
        with pytest.raises(InputError, match="rise from 0 to 1"):
            calkit.ece([0, 1], [0.3, 0.6], binning=edges)

    def test_as_many_bins_as_the_cube_root(self):
        probs, y, _ = example(27 * 5)
        expected = ref.adaece_of_pairs(ref.pairs(probs, y), math.ceil(135 ** (1 / 3)))
        assert calkit.ece(y, probs, binning="cbrt") == pytest.approx(expected, abs=1e-12)
        # 27 rows are three bins, not four by the rounding of the root.
        probs, y, _ = example(27)
        expected = ref.adaece_of_pairs(ref.pairs(probs, y), 3)
        assert calkit.ece(y, probs, binning="cbrt") == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize("n", [1, 2, 8, 27, 64, 100, 341])
    @pytest.mark.parametrize("digits", [1, 2, 16])
    def test_sklearn_l2_has_the_bins_of_calibration_curve(self, n, digits):
        """L2 over ceil(n^(1/3)) quantile bins, as scikit-learn's pull requests 33856 and 34261 define it."""
        from sklearn.calibration import calibration_curve

        rng = np.random.default_rng(n + digits)
        p = np.round(rng.random(n), digits)
        y = (rng.random(n) < p**2).astype(int)
        n_bins = math.ceil(n ** (1 / 3))
        # Plain loops: percentiles by hand, bins (a, b], the first and the last open.
        ranked = sorted(p.tolist())
        places = [(n - 1) * (k / n_bins) for k in range(1, n_bins)]
        edges = [ranked[int(x)] + (x - int(x)) * (ranked[min(int(x) + 1, n - 1)] - ranked[int(x)]) for x in places]
        # Of tied data an edge can be a rounding away from the probability it stands for.
        edges = [min((q for q in ranked if abs(q - edge) < 1e-12), default=edge) for edge in edges]
        bins = {}
        for q, a in zip(p.tolist(), y.tolist(), strict=True):
            bins.setdefault(sum(q > edge for edge in edges), []).append((q, a))
        squares = [(math.fsum(q - a for q, a in rows) / len(rows)) ** 2 * len(rows) for rows in bins.values()]
        expected = math.sqrt(math.fsum(squares) / n)
        found = calkit.ece(y, p, convention="sklearn-l2")
        assert found == pytest.approx(expected, abs=1e-12)
        if 0 < y.sum() < n:
            true, predicted = calibration_curve(y, p, n_bins=n_bins, strategy="quantile")
            weights = [len(bins[k]) for k in sorted(bins)]
            assert len(true) == len(weights)
            gaps = math.fsum(w * (a - b) ** 2 for w, a, b in zip(weights, true, predicted, strict=True))
            assert found == pytest.approx(math.sqrt(gaps / n), abs=1e-12)

    def test_sklearn_l2_has_a_floor_and_knows_no_weights(self):
        probs, y, w = example()
        found = calkit.evaluate(calkit.Predictions(probs, y, kind="probs"), ["ece:convention=sklearn-l2"])
        judged = found.judgement("ece:convention=sklearn-l2")
        assert 0 < judged.floor.mean < judged.floor.p95
        with pytest.raises(InputError, match="sample_weight"):
            calkit.ece(y, probs, convention="sklearn-l2", sample_weight=w)

    # Answers of the releases of 2026, of which shared/facts.md keeps the record: (torchmetrics, netcal, right).
    @pytest.mark.parametrize(
        ("confidence", "correct", "n_bins", "torchmetrics", "netcal", "right"),
        [
            ([0.5, 0.5, 0.6, 0.6], [0, 0, 1, 1], 2, 0.05, 0.05, 0.45),
            ([0.95, 1.0], [1, 0], 10, 0.525, 0.475, 0.475),
            ([0.0, 0.0, 0.05], [1, 1, 0], 10, 0.65, 0.65, 0.65),
            ([k / 10 for k in range(1, 11)], [0, 1] * 5, 10, 0.39, 0.31, 0.45),
        ],
    )
    def test_conventions_give_the_answers_of_their_libraries(
        self, confidence, correct, n_bins, torchmetrics, netcal, right
    ):
        values = {
            name: calkit.ece(correct, confidence, n_bins=n_bins, convention=name) for name in ("torchmetrics", "netcal")
        }
        assert values["torchmetrics"] == pytest.approx(torchmetrics, abs=1e-6)
        assert values["netcal"] == pytest.approx(netcal, abs=1e-12)
        assert calkit.ece(correct, confidence, n_bins=n_bins) == pytest.approx(right, abs=1e-12)

    def test_norms_are_the_metrics_of_their_own(self):
        probs, y, w = example()
        for norm_, name in {
            "l2": "rmsce",
            "mean": "ace",
            "over": "over-confidence",
            "under": "under-confidence",
        }.items():
            assert calkit.ece(y, probs, norm=norm_, sample_weight=w) == function(name)(y, probs, sample_weight=w)
        assert calkit.ece(y, probs, norm="max") == calkit.mce(y, probs)
        whole = calkit.ece(y, probs)
        parts = function("over-confidence")(y, probs) + function("under-confidence")(y, probs)
        assert parts == pytest.approx(whole, abs=1e-15)

    def test_a_convention_says_all(self):
        with pytest.raises(UsageError, match="leave binning and norm out"):
            calkit.ece([0, 1], [0.3, 0.6], convention="r-cut", norm="l2")
        with pytest.raises(NotFoundError, match="Did you mean 'netcal'"):
            calkit.ece([0, 1], [0.3, 0.6], convention="netcall")
        with pytest.raises(NotFoundError, match="norm"):
            calkit.ece([0, 1], [0.3, 0.6], norm="l3")


@pytest.mark.parametrize("name", sorted(ORACLES))
@pytest.mark.parametrize(
    ("y", "p", "w"),
    [
        ([1], [0.3], None),
        ([1, 1, 1], [0.3, 0.4, 0.9], None),
        ([0, 1, 1], [0.5, 0.5, 0.5], None),
        ([0, 1, 1], [0.0, 1.0, 1.0], None),
        ([0, 1, 1], [0.2, 0.4, 0.6], [0.0, 1.0, 2.0]),
    ],
)
def test_few_rows_one_class_ties_and_weights_of_0_have_a_value(name, y, p, w):
    predictions = calkit.Predictions(np.array(p), y, kind="probs", sample_weight=w)
    found = calkit.evaluate(predictions, [name], confidence_level=0.95, n_resamples=50)
    value = found[name]
    assert math.isfinite(value) or (len(y) == 1 and name == "skce")
    limits = found.intervals[name]
    assert limits is None or limits[0] <= value <= limits[1]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("skce", {"width": 0}),
        ("skce", {"block": 1}),
        ("skce", {"estimator": "none"}),
        ("mmce", {"width": -1}),
        ("mmce", {"convention": "other"}),
        ("kde-ece", {"bandwidth": math.inf}),
        ("ls-ece", {"width": "wide"}),
        ("corp-mcb", {"score": "crps"}),
        ("decision-loss", {"fp": 0}),
        ("l2-debiased", {"convention": "x"}),
        ("l2-debiased", {"binning": "focal-calibration"}),
        ("ece-sweep", {"norm": "l9"}),
    ],
)
def test_impossible_parameters_have_one_clear_error(name, options):
    with pytest.raises(CalkitError, match=next(iter(options))):
        function(name)([0, 1], [0.3, 0.6], **options)


# Names of the models and question sets in the published table, and in the answers.
LIFEEVAL_MODELS = {
    "Claude-Haiku-3": "claude-3-haiku-20240307",
    "Claude-Sonnet-3.7": "claude-3-7-sonnet-20250219",
    "Claude-Sonnet-4": "claude-sonnet-4-20250514",
    "DeepSeek-R1": "deepseek-r1",
    "DeepSeek-V3": "deepseek-v3",
    "GPT-4o": "gpt-4o",
    "GPT-o3": "o3-2025-04-16",
    "Gemini-2.5-Flash": "gemini-2.5-flash",
    "Gemini-2.5-Pro": "gemini-2.5-pro",
    "Llama-70B": "Meta-Llama-3.1-70B-Instruct",
    "Llama-8B": "Meta-Llama-3.1-8B-Instruct",
}
LIFEEVAL_SETS = {
    "BoolQ": "boolq_valid",
    "HaluEval": "halu_eval_qa",
    "LSAT": "lsat_ar_test",
    "SAT": "sat_en",
    "SciQ": "sciq_test",
}


class TestPublishedValues:
    @pytest.mark.data
    @pytest.mark.parametrize(
        ("name", "squared"), [("fivethirtyeight-nba-games", 2.575e-3), ("fivethirtyeight-mlb-games", 3.855e-5)]
    )
    def test_debiased_squares_of_published_forecasts(self, data_folder, name, squared):
        data = np.load(data_folder / "forecasts" / f"{name}.npz")
        y = data["y"].astype(int)
        value = calkit.metrics.l2_debiased(y, data["prob"], convention="t-cal")
        assert f"{value:.3e}" == f"{squared:.3e}"
        assert calkit.metrics.l2_debiased(y, data["prob"]) > value

    @pytest.mark.data
    def test_all_printed_errors_of_lifeeval(self, data_folder):
        # Table 1 of LifeEval: 11 models, 5 sets, stated confidences, ten bins of R's cut.
        data = np.load(data_folder / "lifeeval" / "lifeeval-llm-confidence.npz")
        stated = data["stated_confidence"].astype(float)
        answered = ~np.isnan(stated)
        question = np.char.add(np.char.add(data["qset"].astype(str), "/"), data["question_id"].astype(str))
        names, inverse = np.unique(question, return_inverse=True)
        models = len(data["models"])
        seen = np.zeros((len(names), models), dtype=bool)
        seen[inverse[answered], data["llm"][answered]] = True
        kept = answered & seen.all(axis=1)[inverse]
        cell = [
            f"{data['models'][m]}|{data['qsets'][s]}"
            for m, s in zip(data["llm"][kept], data["qset"][kept], strict=True)
        ]
        value = calkit.ece(
            data["correct"][kept].astype(int), stated[kept], n_bins=10, convention="r-cut", by=np.array(cell)
        )
        lines = (data_folder / "lifeeval" / "lifeeval-table1.csv").read_text().splitlines()
        published = {
            tuple(line.split(",")[:2]): float(line.split(",")[3])
            for line in lines[1:]
            if not line.startswith("LifeEval")
        }
        assert len(value.groups) == len(published) == 55
        for (qset, llm), printed in published.items():
            found = value.groups[f"{LIFEEVAL_MODELS[llm]}|{LIFEEVAL_SETS[qset]}"]
            assert found == pytest.approx(printed, abs=1e-12), (qset, llm)
