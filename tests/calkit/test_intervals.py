"""Intervals: coverage of a known truth, exact limits, and independence of how the rows are split."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import beta, binomtest
from scipy.stats import t as student

import calkit
from calkit.cli import cli
from calkit.errors import InputError, UsageError
from calkit.inference.means import skewed_limits
from calkit.metrics import available_metrics, get_metric
from calkit.metrics.base import METRICS as DEFINITIONS
from calkit.metrics.catalogue import about
from calkit.stats import Folded, Folds, UniformBins, summarize
from calkit.stats.bins import KnownBins
from calkit.stats.classwise import ClasswiseBins
from calkit.stats.ranks import EqualMassFolds
from calkit.stats.smoothing import Residuals
from calkit.streaming import StreamingEvaluation
from tests.summaries import assert_equal_summaries

# Errors whose sampling law is not known well enough for an interval.
WITHOUT = {"murphy-res", "murphy-wbv", "murphy-wbc", "binned-refinement"}
MORE = ["ece:n_bins=7", "mce:binning=quantile", "s99:threshold=0.5"]
METRICS = [*(name for name in available_metrics() if name not in WITHOUT), *MORE]
# One of each kind, for tests that count the rows again and again.
KINDS = [
    "ece",
    "adaece",
    "mce",
    "classwise_ece",
    "rmsce",
    "l2-debiased",
    "ks",
    "smece",
    "nll",
    "accuracy",
    "s99",
    "s99_accuracy",
]


def example(n=500, k=5, seed=0, weighted=False):
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((n, k))
    y = np.where(rng.random(n) < 0.6, logits.argmax(1), rng.integers(0, k, n))
    weight = rng.integers(0, 3, n) * 0.7 if weighted else None
    return calkit.Predictions(logits, y, kind="logits", sample_weight=weight)


def intervals(predictions, metrics=KINDS, **options):
    return calkit.evaluate(predictions, metrics, **({"confidence_level": 0.95} | options)).intervals


@pytest.mark.parametrize("weighted", [False, True])
def test_every_metric_has_an_interval_around_its_value(weighted):
    evaluation = calkit.evaluate(example(weighted=weighted), METRICS, confidence_level=0.9)
    for spec, value in evaluation.items():
        limits = evaluation.intervals[spec]
        assert limits is not None, spec
        lowest, highest = get_metric(spec).bounds
        assert lowest <= limits[0] <= value <= limits[1] <= highest
        assert limits[0] < limits[1] or spec == "corp-unc"
    assert not set(calkit.evaluate(example(), WITHOUT, confidence_level=0.9).intervals.values()) - {None}


@pytest.mark.parametrize("name", available_metrics())
def test_the_catalogue_says_how_intervals_are_found_or_why_there_are_none(name):
    said = about(DEFINITIONS[name])["interval"]
    assert said.startswith("none: ") == (name in WITHOUT)
    assert len(said) > 15


def test_the_interval_of_the_variance_of_the_outcomes_is_that_of_their_rate():
    # 5 of 10: the rate is in [0.1871, 0.8129] (Clopper & Pearson, tables), which holds 1/2; 9 of 10: [0.5550, 0.9975].
    for came, expected in ((5, (0.1871 * 0.8129, 0.25)), (9, (0.9975 * 0.0025, 0.5550 * 0.4450))):
        rows = calkit.Predictions(np.full(10, 0.3), np.arange(10) < came, kind="probs")
        assert intervals(rows, ["murphy-unc"])["murphy-unc"] == pytest.approx(expected, abs=1e-4)


def test_without_a_level_there_are_none():
    evaluation = calkit.evaluate(example())
    assert evaluation.confidence_level is None
    assert evaluation.intervals == {}
    assert "intervals" not in evaluation.to_dict()
    assert "[" not in str(evaluation)


def test_a_higher_level_is_wider_and_another_seed_differs_a_little():
    predictions = example()
    for spec in KINDS:
        narrow, wide = (intervals(predictions, [spec], confidence_level=c)[spec] for c in (0.8, 0.99))
        assert wide[0] <= narrow[0]
        assert narrow[1] <= wide[1]
    assert intervals(predictions) == intervals(predictions, random_state=0)
    other = intervals(predictions, ["aurc"], random_state=1)["aurc"]
    assert other != intervals(predictions, ["aurc"])["aurc"]
    assert other == pytest.approx(intervals(predictions, ["aurc"])["aurc"], rel=0.1)
    assert intervals(predictions, ["aurc"], random_state=None)["aurc"] == pytest.approx(other, rel=0.1)
    # Nothing is drawn for means.
    assert intervals(predictions, ["nll"], random_state=1) == intervals(predictions, ["nll"])


@pytest.mark.parametrize(("right", "n"), [(0, 10), (10, 10), (7, 10), (930, 1000)])
def test_proportions_are_those_of_clopper_and_pearson(right, n):
    pairs = calkit.Predictions.from_confidence(np.full(n, 0.995), np.arange(n) < right)
    found = intervals(pairs, ["accuracy", "error", "s99", "s99_accuracy"])
    exact = binomtest(right, n).proportion_ci(0.95, "exact")
    assert found["accuracy"] == pytest.approx((exact.low, exact.high), rel=1e-12, abs=1e-15)
    assert found["s99_accuracy"] == pytest.approx((exact.low, exact.high), rel=1e-12, abs=1e-15)
    assert found["error"] == pytest.approx((1 - exact.high, 1 - exact.low), rel=1e-9, abs=1e-15)
    assert found["s99"] == pytest.approx((0.025 ** (1 / n), 1), rel=1e-12)


def test_weights_count_by_how_many_equal_ones_tell_as_much():
    # Korn & Graubard: (1 + 1 + 4)^2 / (1 + 1 + 16) = 2 rows, of which 5/6 are right.
    pairs = calkit.Predictions.from_confidence([0.9, 0.9, 0.9], [0, 1, 1], sample_weight=[1, 1, 4])
    low, high = intervals(pairs, ["accuracy"])["accuracy"]
    assert low == pytest.approx(beta.ppf(0.025, 5 / 3, 1 / 3 + 1), rel=1e-12)
    assert high == pytest.approx(beta.ppf(0.975, 5 / 3 + 1, 1 / 3), rel=1e-12)
    # Weights tell how much a row counts, not how often it was seen: their scale tells nothing.
    predictions = example(weighted=True)
    scaled = predictions.replace(sample_weight=4 * predictions.sample_weight)
    for spec, limits in intervals(predictions, ["accuracy", "nll", "ece", "mce", "smece"]).items():
        assert intervals(scaled, [spec])[spec] == pytest.approx(limits, rel=1e-9)


def test_largest_gap_by_hand():
    # One bin of ten rows at 0.75, six right: the accuracy is in [0.2624, 0.8784] (Clopper & Pearson, tables).
    pairs = calkit.Predictions.from_confidence(np.full(10, 0.75), np.arange(10) < 6)
    assert intervals(pairs, ["mce"])["mce"] == pytest.approx((0, 0.75 - 0.26238), abs=1e-4)


def test_what_cannot_be_told_is_none():
    single = calkit.Predictions([[2.0, 0.0]], [0], kind="logits")
    found = intervals(single)
    assert found["ece"] is found["nll"] is found["smece"] is found["s99_accuracy"] is None
    assert found["accuracy"] == pytest.approx((0.025, 1))
    spec = "adaece:convention=focal-calibration"
    assert intervals(example(), [spec])[spec] is None


def hall(rows, level):
    """Return the limits by Hall's cubic (1992, Equation 3), solved by bisection."""
    n, mean = len(rows), np.mean(rows)
    variance = sum((x - mean) ** 2 for x in rows) / n
    skewness = sum((x - mean) ** 3 for x in rows) / n / variance**1.5 / n**0.5

    def transformed(t):
        return t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / 6

    tails = [student.ppf(tail, n - 1) for tail in ((1 + level) / 2, (1 - level) / 2)]
    return [mean - brentq(lambda t, z=z: transformed(t) - z, -1e3, 1e3) * (variance / (n - 1)) ** 0.5 for z in tails]


@pytest.mark.parametrize(("n", "level"), [(12, 0.9), (400, 0.95)])
def test_means_equal_halls_transformation_by_hand(n, level):
    # Up to 1,024 rows each is a fold of its own.
    predictions = example(n)
    rows = -np.log(_true_probabilities(predictions))
    found = intervals(predictions, ["nll"], confidence_level=level)
    assert found["nll"] == pytest.approx(hall(rows, level), rel=1e-9)


def test_skill_scores_have_the_jackknife_of_theirs():
    y = np.arange(40) % 4 == 0
    p = np.where(y, 0.6, 0.3) + 0.01 * (np.arange(40) % 7)
    found = calkit.evaluate(calkit.Predictions(p, y, kind="probs"), ["d2-brier"], confidence_level=0.9)

    def skill(p, y):
        return 1 - ((p - y) ** 2).mean() / (y.mean() * (1 - y.mean()))

    without = np.array([skill(np.delete(p, i), np.delete(y, i)) for i in range(40)])
    # Pseudo-values: their mean and spread are those of a mean.
    limits = hall(skill(p, y) + 39 * (without.mean() - without), 0.9)
    assert found.intervals["d2-brier"] == pytest.approx(limits, rel=1e-9)


def test_means_of_skewed_rows_are_covered():
    rng = np.random.default_rng(3)
    rows = rng.exponential(size=(400, 30)) ** 2
    covered = [skewed_limits(x.mean(), (x - x.mean()) / 30, 0.95) for x in rows]
    share = np.mean([low <= 2 <= high for low, high in covered])
    # Student's t and percentiles of the bootstrap cover 85 %, Hall's transformation 93 %.
    assert share > 0.9


def test_losses_without_end_have_no_interval():
    logits = np.array([[0.0, -np.inf], [0.0, 1.0], [2.0, 0.0]])
    found = intervals(calkit.Predictions(logits, [1, 1, 0], kind="logits"), ["nll", "accuracy"])
    assert found["nll"] is None
    assert found["accuracy"] is not None


def test_groups_of_many_rows_give_the_normal_interval_of_a_mean():
    predictions = example(30_000)
    rows = -np.log(_true_probabilities(predictions))
    error = 1.96 * rows.std() / np.sqrt(len(rows))
    low, high = intervals(predictions, ["nll"], n_resamples=4000)["nll"]
    assert (high - low) / 2 == pytest.approx(error, rel=0.1)


def _true_probabilities(predictions):
    e = np.exp(predictions.scores - predictions.scores.max(1, keepdims=True))
    return (e / e.sum(1, keepdims=True))[np.arange(len(e)), predictions.y_true]


def simulated(rng, n, shift):
    confidence = 1 - 0.5 * rng.beta(0.6, 2, n)
    return calkit.Predictions.from_confidence(confidence, rng.random(n) < np.clip(confidence - shift, 0, 1))


@pytest.mark.parametrize("shift", [0.0, 0.03, 0.15])
def test_intervals_cover_the_truth(shift):
    """A small version of benchmarks/coverage_grid.py; the truth is the value on very many rows."""
    specs = ["ece", "adaece", "smece", "accuracy", "mce"]
    truth = calkit.evaluate(simulated(np.random.default_rng(0), 300_000, shift), specs)
    if shift == 0:
        truth = {spec: 0.0 if spec != "accuracy" else truth[spec] for spec in specs}
    covered = dict.fromkeys(specs, 0)
    for seed in range(40):
        found = intervals(simulated(np.random.default_rng([seed, 7]), 500, shift), specs, n_resamples=200)
        for spec in specs:
            low, high = found[spec]
            covered[spec] += low - 1e-12 <= truth[spec] <= high + 1e-12
    # Of 40 with a probability of 0.95, fewer than 33 come up once in two thousand times; plain percentiles cover none
    # of the 40 where the truth is 0.
    assert min(covered.values()) >= 33, covered


class TestGroups:
    def test_early_rows_have_groups_of_their_own(self):
        fold = Folds(3).of(np.arange(1024))
        assert sorted(fold.tolist()) == list(range(1024))

    def test_later_rows_are_dealt_evenly_and_by_their_place_alone(self):
        folds = Folds(3)
        fold = folds.of(np.arange(200_000))
        counts = np.bincount(fold[1024:], minlength=1024)
        # A sum of squares of 1,023 degrees of freedom, within 5 standard deviations.
        expected = len(fold[1024:]) / 1024
        assert ((counts - expected) ** 2 / expected).sum() == pytest.approx(1023, abs=5 * np.sqrt(2 * 1023))
        np.testing.assert_array_equal(folds.of(np.arange(5000, 6000)), fold[5000:6000])
        assert (Folds(4).of(np.arange(200_000)) == fold).mean() < 0.01

    @given(block_rows=st.integers(1, 700), weighted=st.booleans())
    def test_sums_do_not_depend_on_blocks(self, block_rows, weighted):
        predictions = example(600, weighted=weighted)
        folds = Folds(1, 64)
        kept = UniformBins(5), Residuals(64, 32), ClasswiseBins(4), KnownBins((0.5, 0.8, 1.0))
        statistics = [Folded(statistic, folds) for statistic in kept]
        whole = summarize(predictions, statistics, block_rows=600)
        assert_equal_summaries(summarize(predictions, statistics, block_rows=block_rows, n_jobs=2), whole)

    def test_groups_add_to_the_whole(self):
        predictions = example(weighted=True)
        for statistic in (UniformBins(15), ClasswiseBins(15)):
            grouped = Folded(statistic, Folds(0))
            found = summarize(predictions, [statistic, grouped])
            bins, sums = found[statistic], found[grouped]
            np.testing.assert_allclose(sums.total.sum(axis=0), bins.confidence - bins.correct, atol=1e-12)
            assert sums.weight.sum() == pytest.approx(predictions.sample_weight.sum(), rel=1e-13)

    def test_equal_mass_in_more_passes_has_the_bins_of_one(self):
        predictions = example(3000)
        few, many = (EqualMassFolds(7, Folds(0), max_rows) for max_rows in (1 << 20, 50))
        found = summarize(predictions, [few, many])
        a, b = few.to_folds(found[few]), many.to_folds(found[many])
        np.testing.assert_allclose(a.total, b.total, atol=1e-12)

    def test_fewer_groups_for_many_classes(self):
        predictions = example(300, 400)
        statistic = Folded(ClasswiseBins(15), Folds(0))
        assert summarize(predictions, [statistic])[statistic].total.shape == (128, 400, 15)
        assert intervals(predictions, ["classwise_ece"])["classwise_ece"] is not None


def test_shards_and_executors_give_the_same_intervals(tmp_path):
    predictions = example(2500)
    expected = intervals(predictions)
    for i, (start, stop) in enumerate([(0, 700), (700, 710), (710, 2500)]):
        calkit.save_predictions(predictions.take(slice(start, stop)), tmp_path / f"part-{i}.npz")
    for source in (calkit.Shards(str(tmp_path / "part-*.npz")), calkit.load_predictions(tmp_path / "part-*.npz")):
        for executor in ("serial", "threads:3"):
            found = intervals(source, executor=executor)
            assert {s: pytest.approx(limits, rel=1e-9, abs=1e-12) for s, limits in found.items()} == expected


def test_workers_of_a_cluster_give_the_same_intervals(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setenv("CALKIT_NUM_THREADS", "1")
    predictions = example(2500)
    for i, (start, stop) in enumerate([(0, 700), (700, 2500)]):
        calkit.save_predictions(predictions.take(slice(start, stop)), tmp_path / f"part-{i}.npz")
    with calkit.executors.use_executor("dask:local"):
        found = intervals(calkit.Shards(str(tmp_path / "part-*.npz")))
    assert {s: pytest.approx(v, rel=1e-9, abs=1e-12) for s, v in found.items()} == intervals(predictions)


def test_streams_have_the_intervals_of_the_whole(tmp_path):
    predictions = example(3000)
    options = {"keep_pairs": True, "confidence_level": 0.95, "random_state": 0}
    streams = [StreamingEvaluation(KINDS, **options) for _ in range(2)]
    for start in range(0, 3000, 70):
        streams[0].update(predictions.scores[start : start + 70], predictions.y_true[start : start + 70])
    expected = intervals(predictions)
    assert {s: pytest.approx(v, rel=1e-9, abs=1e-12) for s, v in streams[0].result().intervals.items()} == expected
    streams[0].save(tmp_path / "day.npz")
    loaded = StreamingEvaluation.load(tmp_path / "day.npz")
    assert loaded.result().intervals == streams[0].result().intervals
    # Days are dealt to folds by seeds of their own; added, they tell more.
    day = StreamingEvaluation(["nll", "ece"], confidence_level=0.95).update(predictions.scores, predictions.y_true)
    more = example(3000, seed=1)
    other = StreamingEvaluation(["nll", "ece"], confidence_level=0.95).update(more.scores, more.y_true)
    both, one = day.merge(other).result().intervals, day.result().intervals
    assert (both["nll"][1] - both["nll"][0]) / (one["nll"][1] - one["nll"][0]) == pytest.approx(0.5**0.5, rel=0.2)
    with pytest.raises(InputError, match="different confidence levels"):
        day.merge(StreamingEvaluation(["nll", "ece"]))


class TestCommandLine:
    def run(self, *arguments):
        result = CliRunner().invoke(cli, ["evaluate", str(calkit.datasets.digits_path()), *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    def test_all_formats(self):
        options = ("--split", "test", "--metrics", "ece,nll", "--confidence-level", "0.9")
        test = calkit.datasets.load_digits_logits("test")
        low, high = calkit.evaluate(test, ["ece"], confidence_level=0.9).intervals["ece"]
        text = f"12.96 [{low * 100:.2f}, {high * 100:.2f}]"
        (data,) = json.loads(self.run(*options, "--format", "json"))
        assert data["intervals"]["ece"] == [low, high]
        assert data["confidence_level"] == 0.9
        for form in ("table", "md"):
            output = self.run(*options, "--format", form)
            assert text in output
            assert "90 % intervals" in output
        header, row = self.run(*options, "--format", "csv").splitlines()
        cells = dict(zip(header.split(","), row.split(","), strict=True))
        assert (float(cells["ece_low"]), float(cells["ece_high"])) == (low, high)

    def test_seed_and_number_of_replicates(self):
        options = ("--split", "test", "--metrics", "aurc", "--confidence-level", "0.9", "--format", "csv")
        first = self.run(*options)
        assert self.run(*options, "--random-state", "0", "--resamples", "1000") == first
        assert self.run(*options, "--random-state", "1") != first
        assert self.run(*options, "--resamples", "50") != first

    def test_intervals_of_calibrated_predictions_too(self):
        (before, after) = json.loads(self.run("-m", "temperature", "--confidence-level", "0.95", "--format", "json"))
        assert before["intervals"]["ece"][0] > after["intervals"]["ece"][1]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"confidence_level": 95}, InputError, "between 0 and 1, such as 0.95, but is 95"),
        ({"confidence_level": True}, InputError, "between 0 and 1"),
        ({"confidence_level": 0.9, "n_resamples": 0}, InputError, "n_resamples must be a positive"),
        ({"confidence_level": 0.9, "random_state": -1}, UsageError, "random_state must be"),
        ({"confidence_level": 0.9, "random_state": "x"}, UsageError, "random_state must be"),
    ],
)
def test_one_clear_error(options, error, message):
    with pytest.raises(error, match=message):
        calkit.evaluate(example(20), ["nll"], **options)


def test_printing():
    text = str(
        calkit.evaluate(example(), ["error", "nll", "adaece:convention=focal-calibration"], confidence_level=0.95)
    )
    first, error, nll, adaece = text.splitlines()
    assert first == "500 samples, 5 classes; 95 % intervals"
    assert "[" in error
    assert "[" in nll
    assert "[" not in adaece


def test_the_floor_of_squared_gaps_by_class():
    made = calkit.datasets.make_multiclass(400, 2, temperature=1.5)
    event = calkit.Predictions(made.predictions.scores[:, 1], made.predictions.y_true, kind="probs")
    two = calkit.evaluate(made.predictions, ["l2-debiased:target=classwise"], confidence_level=0.95)
    one = calkit.evaluate(event, ["l2-debiased"], confidence_level=0.95)
    both, single = two.judgement("l2-debiased:target=classwise"), one.judgement("l2-debiased")
    # The gaps of two classes are the same.
    assert both.p_value == pytest.approx(single.p_value)
    assert both.interval == pytest.approx(single.interval)
    values, floors = [], []
    for seed in range(60):
        sample = calkit.datasets.make_multiclass(500, 4, random_state=seed).predictions
        found = calkit.evaluate(sample, ["l2-debiased:target=classwise"])
        values.append(found["l2-debiased:target=classwise"])
        floors.append(found.judgement("l2-debiased:target=classwise").floor.p95)
    # Of 60 calibrated samples, 3 are expected above.
    assert np.count_nonzero(np.array(values) > np.array(floors)) <= 9


@pytest.mark.parametrize(("slope", "error"), [(1.0, 0.0), (0.5, 1.75e-3)])
def test_the_interval_of_the_unbiased_kernel_error(slope, error):
    # The error of slope 0.5 is that of 1,000,000 rows, within 2e-5.
    for seed in range(5):
        made = calkit.datasets.make_binary(800, slope=slope, random_state=seed)
        found = calkit.evaluate(made.predictions, ["skce"], confidence_level=0.99, n_resamples=400)
        low, high = found.intervals["skce"]
        assert low <= error <= high
