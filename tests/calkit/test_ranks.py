"""Bins of equal mass by counting against bins of equal mass by sorting, and against a plain loop."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import calkit
from calkit.errors import InputError
from calkit.inference.counts import cells_of_pairs
from calkit.stats import BinSums, ConfidencePairs, Pairs, summarize
from calkit.stats.pairs import equal_mass_bins
from calkit.stats.rank_counts import InnerKeys, OddsKeys, Ranges, RankCounts, _ordinal
from calkit.stats.ranks import EqualMass
from tests import reference as ref


def by_counting(predictions, n_bins, max_rows, **options):
    statistic = EqualMass(n_bins, max_rows)
    return statistic.to_bins(summarize(predictions, [statistic], **options)[statistic])


def by_sorting(predictions, n_bins):
    return equal_mass_bins(summarize(predictions, [Pairs()])[Pairs()], n_bins)


def assert_same_bins(a, b):
    assert a.count.tolist() == b.count.tolist()
    for name in ("weight", "confidence", "correct"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-12, atol=1e-12, err_msg=name)
    # The smallest and the largest confidence of each bin, exactly; NaN for an empty bin.
    np.testing.assert_array_equal(a.lower, b.lower)
    np.testing.assert_array_equal(a.upper, b.upper)


# Crowded and spread, tied and neighbouring, at both ends and a little beyond them, as rounding leaves probabilities.
confidences = st.one_of(
    st.floats(0, 1),
    st.sampled_from([0.0, -0.0, 1.0, 0.5, 0.25, np.nextafter(0.5, 1), np.nextafter(1, 0), 1 + 2**-52, 1e-300, 5e-324]),
    st.floats(0, 60).map(lambda e: 1 - 2.0**-e),
    st.floats(0, 1000).map(lambda e: 2.0**-e),
    st.integers(0, 30).map(lambda k: 0.7 + k * np.spacing(0.7)),
    st.floats(-1e-3, 1.001),
)
rows = st.lists(st.tuples(confidences, st.booleans(), st.integers(0, 3)), min_size=1, max_size=80)


@given(
    rows=rows, n_bins=st.sampled_from([1, 2, 7, 15, 100]), max_rows=st.integers(1, 30), block_rows=st.integers(1, 50)
)
@pytest.mark.parametrize("scale", [None, 1.0, 0.1])
def test_counting_equals_sorting(rows, n_bins, max_rows, block_rows, scale):
    confidence, correct, weight = (np.array(column) for column in zip(*rows, strict=True))
    weight = None if scale is None else weight * scale
    assume(weight is None or weight.any())
    predictions = calkit.Predictions.from_confidence(confidence, correct, sample_weight=weight)
    counted = by_counting(predictions, n_bins, max_rows, block_rows=block_rows)
    assert_same_bins(counted, by_sorting(predictions, n_bins))


@given(rows=rows, n_bins=st.sampled_from([1, 3, 15]), weighted=st.booleans())
def test_counting_equals_the_plain_loop(rows, n_bins, weighted):
    confidence, correct, weight = zip(*rows, strict=True)
    assume(any(weight))
    weight = [float(w) for w in weight] if weighted else None
    predictions = calkit.Predictions.from_confidence(confidence, correct, sample_weight=weight)
    bins = by_counting(predictions, n_bins, 5, block_rows=7)
    expected = ref.adaece_of_pairs(list(zip(confidence, correct, strict=True)), n_bins, weight)
    assert np.abs(bins.correct - bins.confidence).sum() / bins.total_weight == pytest.approx(expected, abs=1e-12)


@given(numbers=hnp.arrays(np.float64, st.integers(2, 50), elements=confidences))
def test_keys_keep_the_order(numbers):
    numbers = np.sort(numbers)
    assert (np.diff(OddsKeys().of(numbers)) >= 0).all()
    ordinal = _ordinal(numbers)
    assert ((np.diff(ordinal) > 0) == (np.diff(numbers) > 0)).all()
    # Neighbouring numbers are one apart, also across 0.
    assert (_ordinal(np.nextafter(numbers, np.inf)) - ordinal == 1).all()


@given(numbers=hnp.arrays(np.float64, st.integers(4, 50), elements=confidences), bits=st.integers(1, 20))
def test_inner_keys_keep_the_order_and_the_intervals(numbers, bits):
    numbers = np.unique(numbers + 0.0)
    assume(len(numbers) >= 4)
    keys = InnerKeys(((numbers[0], numbers[1]), (numbers[2], numbers[-1])), bits)
    inside = keys.inside(numbers)
    assert inside.tolist() == [True] * len(numbers)
    found = keys.of(numbers)
    assert (np.diff(found) >= 0).all()
    assert found[1] < found[2]
    assert found.max() < 2 ** max(bits, 3)
    between = (numbers[1] + numbers[2]) / 2
    if numbers[1] < between < numbers[2]:
        assert not keys.inside(np.array([between, 2.0, -2.0])).any()


def test_odds_resolve_confidences_close_to_one():
    # 1 - 2^-k for k = 1..53 and 1 itself are told apart, as is each step of 0.2 % of 1 - c beside them.
    close = 1 - 2.0 ** -np.arange(1, 54)
    assert len(np.unique(OddsKeys().of(np.append(close, 1.0)))) == 54
    steps = 1 - 1e-6 * 1.002 ** np.arange(100)
    assert len(np.unique(OddsKeys().of(steps))) == 100


class Passes:
    """Confidences that count how often they are read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim
        self.has_random_access, self.reads = True, 0

    def __getitem__(self, rows):
        self.reads += rows.stop - rows.start
        return self.array[rows]


def long_data(n, seed=0):
    rng = np.random.default_rng(seed)
    confidence = 1 / (1 + np.exp(-rng.gumbel(3, 2, n)))
    # Two in five are exactly 1, as in float32 outputs of over-confident networks.
    confidence[rng.random(n) < 0.4] = 1.0
    return confidence, rng.random(n) < confidence


def test_few_rows_take_one_pass_and_many_take_two():
    confidence, correct = long_data(100_000)
    for max_rows, passes in ((100_000, 1), (99_999, 2), (1000, 2)):
        scores = Passes(confidence)
        predictions = calkit.Predictions.from_confidence(scores, correct)
        counted = by_counting(predictions, 15, max_rows)
        assert scores.reads == passes * 100_000
        assert_same_bins(counted, by_sorting(predictions, 15))


def test_the_memory_is_bounded():
    confidence, correct = long_data(200_000)
    statistic = RankCounts(max_rows=1000)
    sizes = []
    for n in (50_000, 100_000, 200_000):
        predictions = calkit.Predictions.from_confidence(confidence[:n], correct[:n])
        held = summarize(predictions, [statistic], block_rows=500)[statistic].held
        assert isinstance(held, Ranges)
        assert held.count.sum() == n
        sizes.append(len(held))
    # Ranges that hold something: at most 1024 for each doubling of the odds, of which this data has about 60.
    assert max(sizes) < 60 * 1024


def test_confidences_all_equal_take_one_look():
    # One range with all rows, and nothing in it to divide: no further pass, and one bin.
    scores = Passes(np.full(5000, 0.8))
    predictions = calkit.Predictions.from_confidence(scores, np.arange(5000) % 2)
    bins = by_counting(predictions, 15, 100)
    assert scores.reads == 5000
    assert (bins.count[0], bins.count.sum()) == (5000, 5000)


def test_neighbouring_numbers_around_every_border_are_told_apart():
    # More rows than are kept, on 40 adjacent floating-point numbers: passes go on until each number is a range.
    rng = np.random.default_rng(0)
    confidence = 0.3 + np.spacing(0.3) * rng.integers(0, 40, 20_000)
    predictions = calkit.Predictions.from_confidence(confidence, rng.random(20_000) < 0.5)
    assert_same_bins(by_counting(predictions, 15, 50), by_sorting(predictions, 15))


def test_scores_that_change_between_passes_are_noticed():
    class Moody(Passes):
        def __getitem__(self, rows):
            again = self.reads >= len(self.array)
            return super().__getitem__(rows) - (1e-4 if again else 0)

    confidence = np.random.default_rng(0).uniform(0.2, 0.9, 3000)
    predictions = calkit.Predictions.from_confidence(Moody(confidence), np.ones(3000))
    with pytest.raises(InputError, match="differ from one pass to the next"):
        by_counting(predictions, 15, 100)


def test_the_statistic_measured_in_one_pass_is_pairs():
    # What cannot be read twice (a stream, another machine's share) adds up as pairs do.
    confidence, correct = long_data(500)
    parts = [
        summarize(calkit.Predictions.from_confidence(c, a), [EqualMass()])[EqualMass()]
        for c, a in zip(np.split(confidence, 2), np.split(correct, 2), strict=True)
    ]
    assert all(isinstance(part, ConfidencePairs) for part in parts)
    whole = calkit.Predictions.from_confidence(confidence, correct)
    assert_same_bins(EqualMass().to_bins(parts[0] + parts[1]), by_sorting(whole, 15))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_several_bin_numbers_share_the_first_pass(n_jobs):
    confidence, correct = long_data(30_000)
    scores = Passes(confidence)
    predictions = calkit.Predictions.from_confidence(scores, correct)
    statistics = [EqualMass(15, 1000), EqualMass(10, 1000), Pairs()]
    found = summarize(predictions, statistics, block_rows=1000, n_jobs=n_jobs)
    assert scores.reads == 2 * 30_000
    assert list(found) == statistics
    for statistic in statistics[:2]:
        assert isinstance(found[statistic], BinSums)
        assert_same_bins(found[statistic], equal_mass_bins(found[Pairs()], statistic.n_bins))


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
def test_adaece_of_five_million_rows(weighted):
    # More than are kept by default, so that the metric itself takes the second pass.
    confidence, correct = long_data(5_000_000)
    weight = np.random.default_rng(1).uniform(0.1, 2, 5_000_000) if weighted else None
    predictions = calkit.Predictions.from_confidence(Passes(confidence), correct, sample_weight=weight)
    value = calkit.evaluate(predictions, ["adaece"], floors=False)["adaece"]
    assert predictions.scores.reads == 10_000_000
    bins = equal_mass_bins(ConfidencePairs(confidence, correct, weight), 15)
    expected = np.abs(bins.correct - bins.confidence).sum() / bins.weight.sum()
    # Sorting adds a third of a million terms a bin one by one, so it is the one that errs.
    assert value == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("outcome", ["labels", "votes"])
@pytest.mark.parametrize("n", [1, 7, 40, 300])
@pytest.mark.parametrize("n_bins", [1, 2, 15, 40])
def test_bins_of_equal_mass_are_those_of_the_definition(n, n_bins, weighted, outcome):
    rng = np.random.default_rng(n)
    # Ties, and what rounding puts past 0 and 1.
    confidence = np.round(rng.random(n), 2) + rng.choice([0, 0, 1e-4, -1e-4], n)
    correct = rng.random(n) < confidence if outcome == "labels" else rng.random(n)
    weight = rng.integers(1, 4, n) / 2 if weighted else None
    pairs = ConfidencePairs(confidence, correct, weight)
    found, cells = equal_mass_bins(pairs, n_bins), cells_of_pairs(pairs, n_bins)
    weights = [1.0] * n if weight is None else weight.tolist()
    rows = [[] for _ in range(n_bins)]
    for row, k in enumerate(ref.equal_mass_indices(confidence.tolist(), weights, n_bins)):
        rows[k].append(row)
    for k, inside in enumerate(rows):
        sums = [math.fsum(weights[i] * values[i] for i in inside) for values in ([1] * n, confidence, correct)]
        assert [found.weight[k], found.confidence[k], found.correct[k]] == pytest.approx(sums, abs=1e-12)
        ends = [min(confidence[inside]), max(confidence[inside])] if inside else [math.nan, math.nan]
        assert [found.lower[k], found.upper[k]] == pytest.approx(ends, abs=0, nan_ok=True)
    assert found.count.tolist() == [len(inside) for inside in rows]
    filled = found.count > 0
    assert cells.gap == pytest.approx((found.confidence - found.correct)[filled], abs=1e-12)
    assert cells.count.tolist() == found.count[filled].tolist()
