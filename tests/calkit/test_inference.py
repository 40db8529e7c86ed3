"""Floors, intervals and tests of calibration: against sums over all outcomes and draws of rows."""

import itertools
import math
import pickle
from dataclasses import fields

import numpy as np
import pytest
from scipy.special import expit, logit, softmax
from scipy.stats import norm

import calkit
from calkit.errors import InputError, NotFoundError
from calkit.estimators.binned import NORMS
from calkit.estimators.cumulative import averaged_two_bin, kolmogorov_smirnov, kuiper
from calkit.estimators.ranked import ranked
from calkit.inference.cells import CellSums, draw_gaps, mean_absolute
from calkit.inference.counts import Cells
from calkit.inference.curves import averaged_two_bin_law, kolmogorov_smirnov_law, kuiper_law
from calkit.inference.floors import drawn_law, normal_law, sum_of_gaps_law
from calkit.inference.gaps import gap_limits, keyed_limits
from calkit.inference.label_bins import LabelBins
from calkit.inference.laws import largest_tail, quantile, range_tail
from calkit.inference.smooth import SmoothInference, smooth_error_and_law, smooth_law
from calkit.inference.squares import squared_gaps, squared_limits
from calkit.inference.tests import DEFAULT_TESTS, TESTS, available_tests, run_tests
from calkit.stats import UniformBins, summarize
from calkit.stats.binning import bin_index, uniform_edges
from calkit.stats.kernel_table import general_path
from calkit.stats.views import Classwise


def binary(n, seed=0, shift=0.0):
    random = np.random.default_rng(seed)
    p = 1 - 0.5 * random.beta(0.6, 2, n)
    return p, random.random(n) < p - shift


def uniform_cells(p, y, w=None, n_bins=15):
    return CellSums.of(bin_index(p, uniform_edges(n_bins)), n_bins, p, np.asarray(y), w)


def classwise_cells(probs, y, n_bins=15):
    n, k = probs.shape
    cell = bin_index(probs.ravel(), uniform_edges(n_bins)) + np.tile(np.arange(k) * n_bins, n)
    return cell, CellSums.of(cell, n_bins * k, probs.ravel(), (np.arange(k) == y[:, None]).ravel())


def softmax_rows(n, k, seed, factor=1.0):
    random = np.random.default_rng(seed)
    z = random.normal(size=(n, k)) + random.gamma(2, 3, (n, 1)) * (np.arange(k) == random.integers(0, k, (n, 1)))
    true = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    y = (true.cumsum(1) < random.random((n, 1))).sum(1).clip(0, k - 1)
    said = np.exp(factor * z)
    return said / said.sum(1, keepdims=True), y


class TestCells:
    def test_mean_absolute_gap_is_the_sum_over_outcomes(self):
        random = np.random.default_rng(0)
        n, q, at = random.integers(1, 40, 300), random.random(300) ** 3, random.random(300)
        expected = []
        for trials, rate, share in zip(n.tolist(), q.tolist(), at.tolist(), strict=True):
            terms = (
                math.comb(trials, c) * rate**c * (1 - rate) ** (trials - c) * abs(share * trials - c)
                for c in range(trials + 1)
            )
            expected.append(math.fsum(terms))
        found = mean_absolute(n.astype(float), q, at * n)
        rare = q < 1e-4  # there the Poisson law stands for the binomial one
        assert found[~rare] == pytest.approx(np.array(expected)[~rare], abs=1e-12)
        assert found[rare] == pytest.approx(np.array(expected)[rare], abs=1e-6)

    @pytest.mark.parametrize("p", [[0.1, 0.3, 0.25], [0.01, 0.02, 0.005, 0.1], [0.5, 0.9, 0.7, 0.2]])
    def test_moments_of_a_cell_are_close_to_the_sum_over_all_outcomes(self, p):
        absolute, covariance = 0.0, 0.0
        for y in itertools.product((0, 1), repeat=len(p)):
            chance = math.prod(a if b else 1 - a for a, b in zip(p, y, strict=True))
            absolute += chance * abs(math.fsum(p) - sum(y))
            covariance += chance * abs(math.fsum(p) - sum(y)) * (sum(y) - math.fsum(p))
        p = np.array(p)
        mean, cov = CellSums.of(np.zeros(len(p), dtype=int), 1, p, np.zeros(len(p))).null_moments
        exact = p.sum() < 1
        assert mean[0] == pytest.approx(absolute, abs=1e-12 if exact else 0.02)
        assert cov[0] == pytest.approx(covariance, abs=1e-12 if exact else 0.1)

    def test_parts_add_up_and_weights_of_one_are_no_weights(self):
        p, y = binary(300)
        whole = uniform_cells(p, y)
        parts = uniform_cells(p[:100], y[:100]) + uniform_cells(p[100:], y[100:])
        ones = uniform_cells(p, y, np.ones(300))
        for name in vars(whole):
            assert getattr(parts, name) == pytest.approx(getattr(whole, name), abs=1e-12)
            assert getattr(ones, name) == pytest.approx(getattr(whole, name), abs=1e-12)

    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize(("n", "k", "n_bins"), [(200, 2, 15), (90, 10, 1), (60, 40, 7), (30, 150, 40)])
    def test_cells_of_all_classes_by_the_kernel_are_those_of_each_by_itself(self, n, k, n_bins, weighted):
        random = np.random.default_rng([n, k])
        logits, y = random.normal(size=(n, k)) * 3, random.integers(0, k, n)
        weight = random.integers(0, 4, n) * 0.5 if weighted else None
        for kind, scores in {"logits": logits, "probs": softmax(logits, axis=1)}.items():
            predictions = calkit.Predictions(scores, y, kind=kind, sample_weight=weight)
            statistic = Cells(UniformBins(n_bins, Classwise()))
            fast = summarize(predictions, [statistic], block_rows=17)[statistic]
            with general_path():
                plain = summarize(predictions, [statistic])[statistic]
            for field in fields(CellSums):
                one, two = getattr(fast, field.name), getattr(plain, field.name)
                if field.name in ("gap_pairs", "weight_pairs"):
                    assert one is two is None
                    continue
                if field.name == "log_none":
                    # Only its exponential is used; of probabilities near 1 the logarithm carries rounding.
                    one, two = np.exp(one), np.exp(two)
                np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12)

    def test_draws_have_mean_0_and_the_variance_of_the_outcomes(self):
        p, y = binary(2000)
        sums = uniform_cells(p, y)
        sums = sums[sums.weight > 0]
        draws = draw_gaps(sums, 20_000, np.random.default_rng(0))
        # Five standard errors; the matched laws of sparse cells round their N.
        assert (np.abs(draws.mean(axis=0)) < 5 * np.sqrt(sums.variance / 20_000) + 1e-12).all()
        assert draws.var(axis=0) == pytest.approx(sums.variance, rel=0.1)

    @pytest.mark.parametrize("p", [1e-300, 1e-20, 1e-9, 0.019, 0.021, 0.5, 1 - 1e-9])
    def test_draws_of_few_rows_follow_the_law_of_their_number(self, p):
        sums = uniform_cells(np.full(20, p), np.zeros(20), n_bins=1)
        drawn = 20 * p - draw_gaps(sums, 20_000, np.random.default_rng(0)).ravel()
        # Numbers of positives, whose mean of 20,000 draws is within five standard deviations.
        assert drawn == pytest.approx(np.rint(drawn), abs=1e-9)
        assert drawn.min() > -0.5
        assert drawn.mean() == pytest.approx(20 * p, abs=5 * (20 * p * (1 - p) / 20_000) ** 0.5 + 1e-12)
        assert drawn.var() == pytest.approx(20 * p * (1 - p), rel=0.1, abs=1e-3)

    def test_the_scale_of_the_weights_does_not_matter(self):
        p, y = binary(800, shift=0.05)
        once, thrice = uniform_cells(p, y).filled, uniform_cells(p, y, np.full(800, 3.0)).filled
        assert thrice.null_moments[0] / 3 == pytest.approx(once.null_moments[0], rel=1e-12)
        assert squared_gaps(thrice) == pytest.approx(squared_gaps(once), abs=1e-15)


class TestFloors:
    def test_laws_of_brownian_motion_at_published_points(self):
        # Quantiles of sup|W| (Erdős & Kac) and of the range (Feller), as tables of Brownian motion give them.
        assert largest_tail(1.96) == pytest.approx(0.1, abs=1e-3)
        assert quantile(largest_tail, 0.05) == pytest.approx(2.2414, abs=1e-4)
        assert quantile(range_tail, 0.05) == pytest.approx(2.4977, abs=1e-4)

    @pytest.mark.parametrize("squared", [False, True])
    def test_the_tail_of_a_drawn_law_keeps_its_level(self, squared):
        # Values that a normal variable, or its square, exceeds as often as this.
        rng = np.random.default_rng(0)
        for level in (1e-3, 1e-4, 1e-5):
            value = norm.isf(level / 2) ** (2 if squared else 1)
            laws = [drawn_law(abs(rng.standard_normal(1000)) ** (2 if squared else 1)) for _ in range(200)]
            mean = np.mean([law.p_value(value) for law in laws])
            assert 0.8 * level < mean < (60 if level < 1e-4 else 12) * level
            assert laws[0].p_value(laws[0].critical(level)) == pytest.approx(level)
            assert np.diff([laws[0].p_value(v) for v in np.linspace(0, 2 * value, 400)]).max() <= 0

    def test_a_tail_of_equal_draws_is_counted(self):
        law = drawn_law(np.r_[np.zeros(500), np.ones(500)])
        assert law.p_value(2.0) == 1 / 1001
        assert law.critical(1e-6) == np.inf

    def test_a_drawn_law_counts_the_value_among_the_draws(self):
        law = drawn_law(np.arange(1, 40.0))
        assert law.p_value(100.0) == 1 / 40
        assert law.p_value(0.0) == 1
        assert law.critical(0.025) == 39
        assert math.isinf(law.critical(0.024))

    @pytest.mark.parametrize("probability", [0.025, 0.05, 0.5])
    def test_a_value_is_above_the_critical_one_if_its_p_value_is_small(self, probability):
        draws = np.random.default_rng(0).normal(size=999)
        law = drawn_law(draws)
        for value in np.concatenate([draws[:200], np.linspace(-3, 3, 50)]):
            assert (value > law.critical(probability)) == (law.p_value(value) <= probability)

    @pytest.mark.parametrize("norm", ["l1", "l2", "max", "mean", "over", "under"])
    def test_binned_floors_are_those_of_drawn_rows(self, norm):
        p, y = binary(3000)
        sums = uniform_cells(p, y)
        filled = sums.filled
        law = drawn_law(NORMS[norm](draw_gaps(filled, 4000, np.random.default_rng(1)), filled.weight))
        random = np.random.default_rng(2)
        rows = []
        for _ in range(1000):
            drawn = uniform_cells(p, random.random(len(p)) < p).filled
            rows.append(float(NORMS[norm](drawn.gap, drawn.weight)))
        error = np.std(rows) / math.sqrt(1000)
        assert law.mean == pytest.approx(np.mean(rows), abs=4 * error)
        assert law.floor.p95 == pytest.approx(np.quantile(rows, 0.95), rel=0.06)

    def test_the_closed_form_of_many_cells_is_that_of_drawn_rows(self):
        probs, y = softmax_rows(800, 30, 0)
        cell, sums = classwise_cells(probs, y)
        law = sum_of_gaps_law(sums, 800 * 30, one_label=True)
        random = np.random.default_rng(1)
        cumulative, values = probs.cumsum(1), []
        for _ in range(400):
            drawn = (cumulative < random.random((800, 1))).sum(1).clip(0, 29)
            hit = np.bincount(cell.reshape(800, 30)[np.arange(800), drawn], minlength=len(sums.weight))
            values.append(np.abs(sums.probability - hit).sum() / (800 * 30))
        error = np.std(values) / math.sqrt(400)
        assert law.mean == pytest.approx(np.mean(values), abs=4 * error + 0.003 * law.mean)
        assert law.floor.p95 == pytest.approx(np.quantile(values, 0.95), rel=0.02)

    @pytest.mark.parametrize(("n", "k", "weighted"), [(300, 4, False), (60, 200, True)])
    def test_sums_of_rows_of_one_label_are_those_of_a_plain_loop(self, n, k, weighted):
        probs, y = softmax_rows(n, k, 0)
        w = np.random.default_rng(1).uniform(0.5, 2, n) if weighted else None
        rows = calkit.Predictions(probs, y, kind="probs", sample_weight=w)
        statistic = LabelBins(UniformBins(15, Classwise()))
        found = summarize(rows, [statistic], block_rows=37)[statistic]
        with general_path():
            slow = summarize(rows, [statistic])[statistic]
        mass, squares, joint = np.zeros(15), np.zeros(15), np.zeros((15, 15))
        for p, weight in zip(probs, np.ones(n) if w is None else w, strict=True):
            q = [math.fsum(v for v in p if b < v * 15 <= b + 1 or (b == 0 and v == 0)) for b in range(15)]
            mass += weight**2 * np.array(q)
            squares += weight * np.square(q)
            joint += weight**2 * np.outer(q, q)
        for one in (found, slow):
            np.testing.assert_allclose(one.mass, mass, rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(one.squares, squares, rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(one.joint, joint, rtol=1e-12, atol=1e-14)

    @pytest.mark.parametrize(("n", "k", "more"), [(400, 5, 1.01), (400, 100, 1.1)])
    def test_the_floor_of_pooled_classes_is_that_of_drawn_rows(self, n, k, more):
        probs, y = softmax_rows(n, k, 0)
        pooled = calkit.evaluate(y, probs, ["classwise_ece"], n_resamples=4000).judgement("classwise_ece").pooled
        index, random = bin_index(probs, uniform_edges(15)), np.random.default_rng(2)
        q = np.stack([(probs * (index == b)).sum(1) for b in range(15)], axis=1)
        # The label's bin, which is all that the pooled gaps see of the label.
        came = (random.random((4000, n, 1)) > q.cumsum(axis=1)[:, :-1]).sum(axis=2)
        counts = np.stack([(came == b).sum(axis=1) for b in range(15)], axis=1)
        drawn = np.abs(q.sum(axis=0) - counts).sum(axis=1) / n / k
        # The mean of 4,000 draws is known to 1 %, the quantile to 2 %.
        assert pooled.floor.mean == pytest.approx(drawn.mean(), rel=0.03)
        assert pooled.floor.p95 == pytest.approx(np.quantile(drawn, 0.95), rel=0.06)
        # Cells that were independent would have a larger floor, above which a calibrated model never comes.
        independent = sum_of_gaps_law(classwise_cells(probs, y)[1].pooled(k), 1, one_label=True).mean / n / k
        assert independent > more * drawn.mean()

    def test_the_floor_of_pooled_bins_of_equal_mass_is_that_of_drawn_rows(self):
        n, k = 400, 30
        probs, y = softmax_rows(n, k, 0)
        pooled = calkit.evaluate(y, probs, ["adaece:target=classwise"], n_resamples=4000)
        pooled = pooled.judgement("adaece:target=classwise").pooled
        # Without ties, bins hold as many rows of each class, in the order of its probability.
        rank = probs.argsort(axis=0).argsort(axis=0)
        index = np.searchsorted(np.cumsum([len(part) for part in np.array_split(np.arange(n), 15)]), rank, side="right")
        q = np.stack([(probs * (index == b)).sum(1) for b in range(15)], axis=1)
        came = (np.random.default_rng(2).random((2000, n, 1)) > q.cumsum(axis=1)[:, :-1]).sum(axis=2)
        counts = np.stack([(came == b).sum(axis=1) for b in range(15)], axis=1)
        drawn = np.abs(q.sum(axis=0) - counts).sum(axis=1) / n / k
        assert pooled.floor.mean == pytest.approx(drawn.mean(), rel=0.04)
        assert pooled.floor.p95 == pytest.approx(np.quantile(drawn, 0.95), rel=0.06)

    @pytest.mark.parametrize("weighted", [False, True])
    def test_classes_that_share_a_bin_have_no_noise_and_no_gap_together(self, weighted):
        w = np.random.default_rng(0).uniform(0.5, 2, 99) if weighted else None
        rows = calkit.Predictions(np.full((99, 3), 1 / 3), np.arange(99) % 2, kind="probs", sample_weight=w)
        pooled = calkit.evaluate(rows, ["classwise_ece"], confidence_level=0.9).judgement("classwise_ece").pooled
        assert pooled.value == pytest.approx(0, abs=1e-12)
        assert pooled.floor.p95 == pytest.approx(0, abs=1e-12)
        assert pooled.p_value == 1

    def test_who_is_sure_and_wrong_is_refuted(self):
        probs = np.eye(3)[[0] * 50]
        found = calkit.evaluate([0] * 45 + [1] * 5, probs, ["classwise_ece"]).judgement("classwise_ece").pooled
        assert found.value == pytest.approx(2 * 5 / 50 / 3, abs=1e-12)
        assert found.floor.mean == pytest.approx(0, abs=1e-12)
        assert found.p_value < 0.01

    def test_floors_of_curves_are_those_of_drawn_rows(self):
        p, _ = binary(1500)
        random = np.random.default_rng(0)
        drawn = [ranked(p, random.random(1500) < p) for _ in range(400)]
        of = {kolmogorov_smirnov: kolmogorov_smirnov_law, kuiper: kuiper_law}
        for measure, law in of.items():
            values = [measure(d) for d in drawn]
            # Discrete curves miss the extremes of the Brownian motion between their points: the law is a bit large.
            assert np.mean(values) * 0.97 < law(drawn[0], 1, random).mean < np.mean(values) * 1.1
            assert law(drawn[0], 1, random).floor.p95 == pytest.approx(np.quantile(values, 0.95), rel=0.12)
        values = [averaged_two_bin(d) for d in drawn]
        found = averaged_two_bin_law(drawn[0], 2000, random)
        assert found.mean == pytest.approx(np.mean(values), rel=0.2)
        values = [smooth_error_and_law(d, 1, random)[0] for d in drawn[:60]]
        fine = uniform_cells(p, p > 2, n_bins=1024).filled
        assert smooth_law(fine, 1000, random).mean == pytest.approx(np.mean(values), rel=0.1)

    def test_a_model_that_is_sure_and_right_has_a_floor_of_0(self):
        p = np.array([0.0, 1.0, 1.0])
        forecasts = ranked(p, p > 0.5)
        for law in (kolmogorov_smirnov_law(forecasts, 9, None), kuiper_law(forecasts, 9, None), normal_law(0.0, 0.0)):
            assert law.mean == 0
            assert law.p_value(0.0) == 1


class TestIntervals:
    @pytest.mark.parametrize("shift", [0.0, 0.01, 0.02, 0.03, 0.1])
    @pytest.mark.parametrize("seed", range(4))
    def test_limits_and_p_value_never_contradict_each_other(self, shift, seed):
        p, y = binary(1500, seed, shift)
        sums = uniform_cells(p, y)
        filled = sums.filled
        law = drawn_law(np.abs(draw_gaps(filled, 1000, np.random.default_rng(0))).sum(axis=-1))
        found = gap_limits(sums, law)
        value = np.abs(sums.gap).sum()
        assert found.low <= value
        assert found.low <= found.high
        assert found.low == 0 or law.p_value(value) <= 0.025

    def test_limits_hold_a_known_error(self):
        # The true gap is 0.05 in every row, so the error is 0.05 exactly.
        held = 0
        for seed in range(60):
            p, y = binary(2000, seed, 0.05)
            sums = uniform_cells(p, y)
            law = sum_of_gaps_law(sums, 1, one_label=False)
            found = gap_limits(sums, law).divided(2000)
            held += found.low <= 0.05 <= found.high
        assert held >= 53  # 95 % asked: fewer than 53 of 60 has a chance of 1 %

    @pytest.mark.parametrize(("n", "k"), [(400, 10), (1000, 30)])
    def test_keyed_limits_hold_0_where_the_model_is_calibrated(self, n, k):
        held = 0
        for seed in range(20):
            probs, y = softmax_rows(n, k, seed)
            cell, sums = classwise_cells(probs, y)
            fold = np.repeat(np.arange(n) % 64, k)
            gap = probs.ravel() - (np.arange(k) == y[:, None]).ravel()
            folds = np.bincount(fold * len(sums.weight) + cell, gap, 64 * len(sums.weight)).reshape(64, -1)
            law = sum_of_gaps_law(sums, 1, one_label=True)
            pooled = sum_of_gaps_law(sums.pooled(k), 1, one_label=True)
            held += keyed_limits(sums, folds, k, law, (sums.pooled(k), pooled)).low == 0
        assert held >= 17

    @pytest.mark.parametrize("n", [500, 2000, 10_000])
    @pytest.mark.parametrize("off", [(4,), (6,), (4, -4), (8, -8), (3, 0) * 7, (1.5, -1.5) * 7, (2, -2) * 7, (3,) * 15])
    def test_limits_hold_wherever_the_error_is(self, n, off):
        """Gaps of the fullest bins, in units of their standard errors: in one of 15 bins, in two, in all."""
        rng = np.random.default_rng(0)
        p = rng.beta(3, 1.2, 100_000)
        bins = np.minimum(np.ceil(p * 15).astype(int), 15) - 1
        rows = np.bincount(bins, minlength=15)
        error = np.sqrt(np.bincount(bins, p * (1 - p)) / rows / (rows * n / len(p)))
        gap = np.zeros(15)
        gap[np.argsort(-rows)[: len(off)]] = off
        q = np.clip(p - (gap * error)[bins], 0, 1)
        truth = np.abs(np.bincount(bins, p - q)).sum() / len(p)
        held = 0
        for seed in range(150):
            random = np.random.default_rng(seed)
            row = random.integers(0, len(p), n)
            sums = uniform_cells(p[row], random.random(n) < q[row])
            found = gap_limits(sums, sum_of_gaps_law(sums, 1, one_label=False)).divided(n)
            held += found.low <= truth <= found.high
        assert held >= 138  # 95 % asked: fewer of 150 have a chance of 4 %

    @pytest.mark.parametrize(("n", "k"), [(2000, 3), (10_000, 3), (2000, 10), (10_000, 10)])
    def test_class_wise_limits_hold_where_only_sure_answers_are_wrong(self, n, k):
        rng = np.random.default_rng(0)
        z = rng.normal(size=(50_000, k))
        z[np.arange(len(z)), rng.integers(0, k, len(z))] += rng.gamma(2, 3, len(z))
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        q = p.copy()
        sure, best = p.max(axis=1) > 14 / 15, p.argmax(axis=1)
        q[sure] += 0.1 / k
        q[sure, best[sure]] -= 0.1
        bins = np.minimum(np.ceil(p * 15).astype(int), 15) - 1
        cell = bins + 15 * np.arange(k)
        truth = np.abs(np.bincount(cell.ravel(), (p - q).ravel())).sum() / p.size
        cumulative, held = q.cumsum(axis=1), 0
        for seed in range(40):
            random = np.random.default_rng(seed)
            row = random.integers(0, len(p), n)
            y = (random.random((n, 1)) > cumulative[row]).sum(axis=1).clip(0, k - 1)
            predictions = calkit.Predictions(p[row], y, kind="probs")
            low, high = calkit.evaluate(predictions, ["classwise_ece"], confidence_level=0.95).intervals[
                "classwise_ece"
            ]
            held += low <= truth <= high
        assert held >= 36  # 95 % asked: fewer of 40 have a chance of 5 %

    def test_debiased_squares_are_the_sum_over_pairs(self):
        p, y = binary(200, shift=0.05)
        w = np.random.default_rng(0).integers(1, 4, 200).astype(float)
        index = bin_index(p, uniform_edges(15))
        for weight in (np.ones(200), w):
            total = 0.0
            for b in range(15):
                rows = np.flatnonzero(index == b)
                if len(rows) > 1:
                    pairs = list(itertools.permutations(rows, 2))
                    products = math.fsum(weight[i] * weight[j] * (p[i] - y[i]) * (p[j] - y[j]) for i, j in pairs)
                    total += weight[rows].sum() * products / math.fsum(weight[i] * weight[j] for i, j in pairs)
            assert squared_gaps(uniform_cells(p, y, weight)) == pytest.approx(total / weight.sum(), abs=1e-13)

    def test_limits_of_the_debiased_square_hold_it(self):
        held = 0
        for seed in range(60):
            found = squared_limits(uniform_cells(*binary(2000, seed, 0.05)))
            held += found.low <= 0.05**2 <= found.high
        assert held >= 53

    def test_p_values_of_debiased_squares_do_not_round_to_0(self):
        p = np.full(400, 0.5)
        found = [squared_limits(uniform_cells(p, np.arange(400) < n)).p_value for n in (300, 320, 340)]
        assert 0 < found[2] < found[1] < found[0] < 1e-16

    def test_nothing_to_tell_from_bins_of_one_row(self):
        assert squared_limits(uniform_cells(np.array([0.1, 0.9]), np.array([False, True]))) is None


class TestTests:
    def test_every_test_keeps_its_level_and_the_recommended_ones_see_over_confidence(self):
        random = np.random.default_rng(0)
        rejected, seen, n = dict.fromkeys(TESTS, 0), dict.fromkeys(DEFAULT_TESTS, 0), 120
        for i in range(n):
            p = random.random(400)
            found = run_tests(p, random.random(400) < p, tests=list(TESTS), n_resamples=99, random_state=i)
            for name, result in found.items():
                rejected[name] += result.p_value <= 0.05
            found = run_tests(p, random.random(400) < expit(0.6 * logit(p)), n_resamples=99, random_state=i)
            for name, result in found.items():
                seen[name] += result.p_value <= 0.05
        # More than 14 of 120 at a level of 5 % has a chance of about 1 in 1,000.
        assert max(rejected.values()) <= 14, rejected
        assert min(seen.values()) >= 100, seen

    def test_cox_says_what_is_wrong(self):
        random = np.random.default_rng(1)
        p = random.random(3000)
        extreme = run_tests(p, random.random(3000) < expit(0.6 * logit(p)), tests="cox")["cox"]
        assert extreme.finding == "too extreme (slope below 1)"
        high = run_tests(p, random.random(3000) < expit(logit(p) - 0.5), tests="cox")["cox"]
        assert high.finding.startswith("too high by 0.0")

    def test_cox_is_the_score_test_of_its_regression(self):
        random = np.random.default_rng(2)
        p, y = random.random(50), random.random(50) < 0.5
        z, r, v = logit(p), y - p, p * (1 - p)
        scores = np.array([r.sum(), r @ z])
        information = np.array([[v.sum(), v @ z], [v @ z, v @ z**2]])
        expected = scores @ np.linalg.solve(information, scores)
        assert run_tests(p, y, tests="cox")["cox"].statistic == pytest.approx(expected, rel=1e-12)

    def test_spiegelhalter_worked_by_hand(self):
        # (.2 - .5)·0 … : z = Σ (y - p)(1 - 2p) / sqrt(Σ (1 - 2p)² p (1 - p)).
        found = run_tests([0.2, 0.9], [1, 1], tests="spiegelhalter")["spiegelhalter"]
        expected = (0.8 * 0.6 + 0.1 * -0.8) / math.sqrt(0.36 * 0.16 + 0.64 * 0.09)
        assert found.statistic == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("name", ["cox", "spiegelhalter", "hosmer-lemeshow", "e-value", "t-cal"])
    def test_what_had_no_chance_and_came_refutes(self, name):
        assert run_tests([0.0, 0.5], [1, 0], tests=name)[name].p_value == 0

    @pytest.mark.parametrize(
        ("p", "y"), [([0.3], [1]), ([0.5] * 9, [0, 1] * 4 + [1]), ([0.0, 1.0], [0, 1]), ([0.2, 0.4], [1, 1])]
    )
    def test_few_rows_ties_and_certainty_have_p_values(self, p, y):
        for result in run_tests(p, y, tests=list(TESTS), n_resamples=50).values():
            assert 0 < result.p_value <= 1

    def test_bad_input_is_refused(self):
        with pytest.raises(NotFoundError, match="Did you mean 'cox'"):
            run_tests([0.5], [1], tests="coxx")
        with pytest.raises(InputError, match=r"\[0, 1\]"):
            run_tests([1.5], [1])
        with pytest.raises(InputError, match="0 or 1"):
            run_tests([0.5], [0.5])
        with pytest.raises(InputError, match="one length"):
            run_tests([0.5, 0.5], [1])
        with pytest.raises(InputError, match="not all 0"):
            run_tests([0.5], [1], sample_weight=[0.0])
        with pytest.raises(InputError, match="n_resamples"):
            run_tests([0.5], [1], n_resamples=0)

    def test_every_test_says_what_it_sees(self):
        assert set(available_tests()) == set(TESTS)
        assert all(": " in text for text in available_tests().values())


def test_what_a_value_is_worth_is_found_when_it_is_asked_for(monkeypatch):
    """The draws of floors take longer than the pass, and whoever wants the value alone does not wait for them."""
    test = calkit.datasets.load_digits_logits("test")
    asked = []
    judge = SmoothInference.judge
    monkeypatch.setattr(SmoothInference, "judge", lambda *args: asked.append(1) or judge(*args))
    evaluation = calkit.evaluate(test, ["smece", "accuracy"])
    assert evaluation["smece"] == calkit.smece(test.y_true, test.scores, from_logits=True)
    assert not asked
    assert list(evaluation.judgements) == ["smece", "accuracy"]
    first = evaluation.judgement("smece").floor
    assert evaluation.judgement("smece").floor is first
    assert len(asked) == 1
    judgements = pickle.loads(pickle.dumps(evaluation.judgements))
    assert judgements["smece"].floor == first
    with pytest.raises(KeyError):
        evaluation.judgements["nll"]


@pytest.mark.parametrize("n_bins", [15, 255, 256, 1000, 1024])
@pytest.mark.parametrize("precision", [np.float16, np.float32, np.float64])
def test_bins_of_any_number_are_those_of_a_search(n_bins, precision):
    edges = uniform_edges(n_bins, precision)
    near = np.concatenate([np.nextafter(edges, -1), edges, np.nextafter(edges, 2)])
    values = np.concatenate([near, np.random.default_rng(0).random(1000).astype(precision).astype(float)])
    np.testing.assert_array_equal(bin_index(values, edges), np.searchsorted(edges[1:-1], values, side="left"))
