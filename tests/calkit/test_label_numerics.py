"""Masked logits, probabilities of 0, rounded probabilities, extreme weights and soft labels: numbers by hand."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax

import calkit
from calkit import Predictions, TemperatureScaling, evaluate
from calkit.errors import InputError
from calkit.evaluation import DEFAULT_METRICS
from calkit.metrics import available_metrics
from calkit.stats.kernels import Workspace, choose_kernels


@pytest.fixture(params=["numpy", "numba"], autouse=True)
def kernels(request, monkeypatch):
    if request.param == "numba":
        pytest.importorskip("numba")
    monkeypatch.setenv("CALKIT_KERNELS", request.param)


def least_nll_temperature(logits, y):
    """The root of the slope of the NLL in 1/T, by bisection on a plain formula."""
    logits, rows = np.asarray(logits, float), np.arange(len(y))

    def slope(beta):
        p = np.exp(log_softmax(beta * logits, axis=1))
        mean = np.where(p > 0, p * np.where(p > 0, logits, 0), 0).sum(axis=1)
        return float((mean - logits[rows, y]).sum())

    return 1 / brentq(slope, 1e-3, 1e3, xtol=1e-14)


class TestMaskedLogits:
    Y = (0, 0, 0, 1, 0, 1, 1, 1, 1, 0)
    PAIRS = np.repeat([[2.0, 1.0], [0.0, 3.0]], 5, axis=0)

    @pytest.mark.parametrize("mask", [-1e4, -1e9, -1e38, -1e77, -1e100, -1e154, -1e200, -1e300, -np.inf])
    def test_temperature(self, mask):
        masked = np.column_stack([self.PAIRS, np.full(10, mask)])
        fitted = TemperatureScaling().fit(masked, self.Y)
        assert fitted.temperature_ == pytest.approx(1.7093246520, abs=1e-10)
        assert fitted.temperature_ == pytest.approx(least_nll_temperature(self.PAIRS, self.Y), rel=1e-10)
        assert fitted.objective_value_ == pytest.approx(
            calkit.nll(self.Y, self.PAIRS / fitted.temperature_, from_logits=True), rel=1e-12
        )

    @pytest.mark.parametrize("mask", [-1e4, -1e9, -1e38, -np.inf])
    def test_float32(self, mask):
        masked = np.column_stack([self.PAIRS, np.full(10, mask)]).astype(np.float32)
        assert TemperatureScaling().fit(masked, self.Y).temperature_ == pytest.approx(1.7093246520, abs=1e-9)

    @pytest.mark.parametrize("size", [1e3, 1e10, 1e100, 1e200, 1e300, 1.7e308])
    def test_one_huge_row_that_is_right(self, size):
        rng = np.random.default_rng(0)
        z = rng.standard_normal((40, 3))
        y = np.where(rng.random(40) < 0.6, z.argmax(axis=1), rng.integers(0, 3, 40))
        expected = least_nll_temperature(z, y)
        fitted = TemperatureScaling().fit(np.vstack([z, [[size, 0, 0]]]), [*y, 0])
        assert fitted.temperature_ == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("size", [1e50, 1e100, 1e200, 1e290])
    def test_the_largest_logits_decide_where_they_are_wrong(self, size):
        """Where rows of a huge scale are wrong at times, small ones are noise beside them."""
        rng = np.random.default_rng(1)
        z = rng.standard_normal((40, 3))
        y = np.where(rng.random(40) < 0.7, z.argmax(axis=1), rng.integers(0, 3, 40))
        expected = size * least_nll_temperature(z, y)
        small = rng.standard_normal((100, 3))
        fitted = TemperatureScaling().fit(np.vstack([size * z, small]), [*y, *small.argmax(axis=1)])
        assert fitted.temperature_ == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("mask", [-1e9, -1e100, -np.inf])
    def test_separable_data_are_sharpened(self, mask):
        masked = np.column_stack([self.PAIRS, np.full(10, mask)])
        with pytest.warns(calkit.errors.CalibrationWarning, match="largest logit"):
            fitted = TemperatureScaling().fit(masked, [0] * 5 + [1] * 5)
        assert fitted.temperature_ < 1

    def test_a_true_class_of_probability_0(self):
        logits, y = [[1.0, -np.inf], [0.0, 1.0]], [1, 1]
        assert calkit.nll(y, logits, from_logits=True) == math.inf
        # Squared distances of (1, 0) from (0, 1) and of (.27, .73).
        p = 1 / (1 + math.e)
        assert calkit.brier(y, logits, from_logits=True) == pytest.approx((2 + 2 * p * p) / 2)
        assert calkit.accuracy(y, logits, from_logits=True) == 0.5
        with pytest.raises(InputError, match="true class of row 0 has the logit -inf"):
            TemperatureScaling().fit(logits, y)
        assert TemperatureScaling(objective="ece").fit(logits, y).temperature_ > 0

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    @pytest.mark.parametrize("k", [3, 40, 100])
    def test_every_metric_of_masked_classes(self, k, dtype):
        """Masked by -inf, classes count for nothing (but in means over classes)."""
        rng = np.random.default_rng(k)
        z = (3 * rng.standard_normal((200, k))).astype(dtype)
        y = rng.integers(0, k, 200)
        wider = np.column_stack([z, np.full((200, 2), -np.inf, dtype)])
        names = [*DEFAULT_METRICS, "smece"]
        found = [evaluate(Predictions(scores, y, kind="logits"), names) for scores in (z, wider)]
        for name in names:
            assert found[1][name] == pytest.approx(found[0][name], rel=1e-6, abs=1e-9, nan_ok=True), name

    @pytest.mark.parametrize("z", [[[-np.inf, -np.inf]], [[np.inf, 0.0]], [[np.nan, 0.0]], [[-np.inf, np.inf]]])
    def test_impossible_rows(self, z):
        for refused in (
            lambda: calkit.nll([0], z, from_logits=True),
            lambda: calkit.ece([0], z, from_logits=True),
            lambda: TemperatureScaling().fit(z, [0]),
            lambda: TemperatureScaling().fit(self.PAIRS, self.Y).predict_proba(z),
        ):
            with pytest.raises(InputError, match="row 0"):
                refused()

    @pytest.mark.parametrize("k", [3, 70])
    @pytest.mark.parametrize("orders", [2, 4])
    @pytest.mark.parametrize("mask", [-1e100, -1e300, -np.inf])
    def test_moments(self, k, mask, orders):
        rng = np.random.default_rng(0)
        z = rng.standard_normal((30, k))
        wider = np.column_stack([z, np.full(30, mask)])
        y = rng.integers(0, k, 30)
        loops = choose_kernels(1)
        plain, masked = (loops.nll_moments(s, y, 0.7, 0, np.float64, Workspace(), orders) for s in (z, wider))
        np.testing.assert_allclose(masked.moments, plain.moments, rtol=1e-13)
        np.testing.assert_allclose(masked.rest, plain.rest, rtol=1e-13)
        np.testing.assert_array_equal(masked.true, plain.true)
        if mask == -np.inf:
            np.testing.assert_allclose(masked.mean, plain.mean, rtol=1e-13)


class TestProbabilitiesOf0:
    def test_half_precision_is_not_raised(self):
        p = np.array([[1 - 2e-6, 2e-6], [0.5, 0.5]], np.float16)
        assert p[0, 1] == pytest.approx(2e-6, rel=0.03)
        assert calkit.nll([1, 0], p) == pytest.approx((-math.log(p[0, 1]) + math.log(2)) / 2, rel=1e-12)
        assert calkit.nll([1, 0], p) == pytest.approx(6.9, abs=0.02)

    @pytest.mark.parametrize(
        ("dtype", "smallest"), [(np.float16, 2.0**-24), (np.float32, 2.0**-149), (np.float64, 2.0**-1074)]
    )
    def test_only_0_is_floored(self, dtype, smallest):
        assert calkit.nll([1], np.array([[1, 0]], dtype)) == pytest.approx(-math.log(smallest))
        assert calkit.nll([1], np.array([[1, smallest]], dtype)) == pytest.approx(-math.log(smallest))
        twice = np.array([[1, 2 * smallest]], dtype)
        assert calkit.nll([1], twice) == pytest.approx(-math.log(smallest) - math.log(2))


class TestWeights:
    P, Y = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]), [0, 0, 1]

    @pytest.mark.parametrize("size", [5e-324, 1e-200, 1e200, 1.7e308])
    def test_sizes_whose_sums_are_not_exact_are_refused(self, size):
        with pytest.raises(InputError, match="multiply all weights by one number"):
            calkit.ece(self.Y, self.P, sample_weight=[size] * 3)

    @pytest.mark.parametrize("size", [1e-90, 1e90])
    def test_others_give_the_value_of_weights_of_1(self, size):
        for name in ("ece", "nll", "brier", "accuracy", "adaece"):
            value = getattr(calkit, name)
            assert value(self.Y, self.P, sample_weight=[size] * 3) == pytest.approx(value(self.Y, self.P), rel=1e-13)

    def test_a_vanishing_weight_beside_others(self):
        expected = calkit.ece(self.Y[:2], self.P[:2])
        assert calkit.ece(self.Y, self.P, sample_weight=[1, 1, 5e-324]) == pytest.approx(expected)


class TestRoundedProbabilities:
    @pytest.mark.parametrize("k", [3, 10, 50])
    @pytest.mark.parametrize("unit", [1e3, 1e4, 255.0])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_the_tolerance_follows_the_printed_precision(self, k, unit, dtype):
        p = np.random.default_rng(0).dirichlet(np.ones(k), 300)
        rounded = (np.rint(p * unit) / unit).astype(dtype)
        y = p.argmax(axis=1)
        assert calkit.nll(y, rounded) == pytest.approx(-np.log(rounded[np.arange(300), y].astype(float)).mean())

    def test_integers_of_8_bits_after_division(self):
        p = np.rint(np.random.default_rng(0).dirichlet(np.ones(10), 50) * 255).astype(np.uint8)
        assert 0 <= calkit.ece(np.zeros(50, int), p / 255) <= 1

    def test_what_is_not_rounded_so_is_refused(self):
        for row in ([0.5, 0.4971, 0.0011], [0.33, 0.33, 0.3], [0.4, 0.4, 0.1]):
            with pytest.raises(InputError, match="must sum to 1"):
                calkit.ece([0], [row])

    def test_normalize(self):
        p = Predictions([[0.2, 0.2], [1.0, 3.0]], [0, 1], kind="probs", normalize=True)
        np.testing.assert_allclose(np.asarray(p.scores), [[0.5, 0.5], [0.25, 0.75]])
        assert evaluate(p, ["nll"])["nll"] == pytest.approx((math.log(2) - math.log(0.75)) / 2)
        for bad in ([[0.0, 0.0]], [[-0.1, 1.1]], [[np.nan, 1.0]]):
            with pytest.raises(InputError, match="normalize=True needs"):
                evaluate(Predictions(bad, [0], kind="probs", normalize=True))
        with pytest.raises(InputError, match="normalize=True is for probabilities"):
            Predictions([[0.0, 1.0]], [0], kind="logits", normalize=True)

    @pytest.mark.parametrize(
        ("row", "advice"),
        [
            ([0.5, 0.4, 0.08], "rounded.*normalize=True"),
            ([0.9, 0.8, 0.1], "sigmoid"),
            ([2.0, -1.0, 0.5], "logits.*from_logits=True"),
            ([50.0, 30.0, 20.0], "percent, divide by 100"),
            ([128.0, 100.0, 27.0], "8 bits, divide by 255"),
            ([5.0, 3.0, 1.0], "logits"),
        ],
    )
    def test_the_advice_names_what_is_likely(self, row, advice):
        with pytest.raises(InputError, match=advice):
            calkit.ece([0], [row])


class TestSoftLabels:
    """A row with shares q of the classes counts as one row per class, with the shares for weights."""

    P = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.4, 0.5, 0.1]])
    Q = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [0.2, 0.3, 0.5]])

    def expanded(self, scores, kind):
        rows, classes = np.nonzero(self.Q)
        return Predictions(scores[rows], classes, kind=kind, sample_weight=self.Q[rows, classes])

    def test_by_hand(self):
        nll = -(0.5 * math.log(0.7) + 0.5 * math.log(0.2) + math.log(0.6) + 0.2 * math.log(0.4))
        nll -= 0.3 * math.log(0.5) + 0.5 * math.log(0.1)
        assert calkit.nll(self.Q, self.P) == pytest.approx(nll / 3, rel=1e-14)
        assert calkit.nll(self.Q, np.log(self.P), from_logits=True) == pytest.approx(nll / 3, rel=1e-14)
        # The share of the votes for the predicted class.
        assert calkit.accuracy(self.Q, self.P) == pytest.approx((0.5 + 1 + 0.3) / 3)
        # Each in a bin of its own: |.7 - .5|, |.6 - 1|, |.5 - .3|.
        assert calkit.ece(self.Q, self.P, n_bins=10) == pytest.approx((0.2 + 0.4 + 0.2) / 3)
        brier = sum((p * p).sum() - 2 * (p * q).sum() + 1 for p, q in zip(self.P, self.Q, strict=True))
        assert calkit.brier(self.Q, self.P) == pytest.approx(brier / 3)

    @pytest.mark.parametrize("kind", ["probs", "logits"])
    @pytest.mark.parametrize("name", ["accuracy", "error", "ece", "nll", "brier", "mce", "classwise_ece", "s99"])
    def test_shares_are_weights(self, name, kind):
        scores = self.P if kind == "probs" else np.log(self.P)
        soft = Predictions(scores, self.Q, kind=kind)
        expected = evaluate(self.expanded(scores, kind), [name])[name]
        assert evaluate(soft, [name])[name] == pytest.approx(expected, rel=1e-12)

    def test_numbers_of_votes(self):
        counts = (self.Q * 10).astype(int)
        assert calkit.nll(counts, self.P) == pytest.approx(calkit.nll(self.Q, self.P), rel=1e-15)
        p = Predictions(self.P, counts, kind="probs")
        np.testing.assert_allclose(p.votes, self.Q)
        assert p.y_true.tolist() == [0, 2, 2]
        assert p.take([2]).votes.tolist() == [[0.2, 0.3, 0.5]]

    def test_temperature(self):
        logits = 3 * np.log(self.P)
        rows, classes = np.nonzero(self.Q)

        def slope(beta):
            p = np.exp(log_softmax(beta * logits, axis=1))
            return float(((p - self.Q) * logits).sum())

        expected = 1 / brentq(slope, 1e-3, 1e3, xtol=1e-14)
        assert TemperatureScaling().fit(logits, self.Q).temperature_ == pytest.approx(expected, rel=1e-10)
        weighted = TemperatureScaling().fit(logits[rows], classes, sample_weight=self.Q[rows, classes])
        assert weighted.temperature_ == pytest.approx(expected, rel=1e-10)

    def test_temperature_by_grid(self):
        rng = np.random.default_rng(3)
        logits = 2 * rng.standard_normal((200, 4))
        votes = np.array([rng.dirichlet(4 * p + 0.01) for p in np.exp(log_softmax(logits / 1.5, axis=1))])
        rows, classes = np.nonzero(votes)
        soft = TemperatureScaling(objective="ece").fit(logits, votes)
        hard = TemperatureScaling(objective="ece").fit(logits[rows], classes, sample_weight=votes[rows, classes])
        assert soft.temperature_ == hard.temperature_
        assert soft.objective_value_ == pytest.approx(hard.objective_value_, rel=1e-12)

    def test_masked_classes_without_votes(self):
        masked = np.column_stack([np.log(self.P), np.full(3, -np.inf)])
        votes = np.column_stack([self.Q, np.zeros(3)])
        found = calkit.nll(votes, masked, from_logits=True)
        assert found == pytest.approx(calkit.nll(self.Q, self.P), rel=1e-14)
        assert TemperatureScaling().fit(masked, votes).temperature_ == pytest.approx(
            TemperatureScaling().fit(np.log(self.P), self.Q).temperature_, rel=1e-10
        )


def test_shared_arguments_of_functions():
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(3), (2, 5)), rng.integers(1, 4, (2, 5))
    y[0, 1] = 255
    keep = y.reshape(-1) != 255
    expected = calkit.brier(y.reshape(-1)[keep] - 1, p.reshape(-1, 3)[keep])
    channels = np.moveaxis(2 * p, -1, 1)
    options = {"labels_from": 1, "ignore_label": 255, "class_axis": 1, "normalize": True, "by": y > 1}
    assert calkit.brier(y, channels, **options) == pytest.approx(expected, rel=1e-14)


# Unbiased estimates leave out the pairs of a row with itself, which are other pairs where a row counts as several; the
# area under the risk-coverage curve takes tied rows as one step, whose middle is elsewhere.
UNBIASED = {"skce", "kde-ece", "l1-debiased", "l2-debiased", "aurc", "e-aurc"}


@pytest.mark.parametrize("name", available_metrics())
def test_every_metric_takes_soft_labels_and_masked_logits(name):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (60, 4))
    y = np.array([rng.choice(4, p=softmax(row)) for row in logits])
    logits[np.arange(0, 60, 2), (y[::2] + 1) % 4] = -np.inf
    votes = np.array([rng.dirichlet(3 * p + 0.1) for p in softmax(logits, axis=1)]) * np.isfinite(logits)
    votes /= votes.sum(axis=1, keepdims=True)
    rows, classes = np.nonzero(votes)
    for truth in (y, votes):
        values = [
            evaluate(Predictions(scores, truth, kind=kind), [name])[name]
            for scores, kind in ((logits, "logits"), (softmax(logits, axis=1), "probs"))
        ]
        # Both spellings of a probability of 0; the bins of AdaECE may end at another digit.
        assert values[0] == pytest.approx(values[1], rel=1e-9, abs=1e-12, nan_ok=True)
    if name not in UNBIASED:
        expanded = Predictions(logits[rows], classes, kind="logits", sample_weight=votes[rows, classes])
        assert values[0] == pytest.approx(evaluate(expanded, [name])[name], rel=1e-9, abs=1e-12, nan_ok=True)


def test_a_one_hot_batch_of_soft_labels_has_the_numbers_of_hard_ones():
    # Of float32 logits, whose softmax runs in float32: the first batch alone would be one of hard labels.
    rng = np.random.default_rng(0)
    logits = (rng.standard_normal((400, 10)) * 3).astype(np.float32)
    shares = np.vstack([np.eye(10)[rng.integers(0, 10, 300)], rng.dirichlet(np.ones(10), 100)])
    specs = ["nll", "brier", "p_true", "nll_correct", "nll_misclassified", "d2-nll", "d2-brier", "ece", "accuracy"]
    whole = calkit.evaluate(calkit.Predictions(logits, shares, kind="logits"), specs, floors=False)
    stream = calkit.StreamingEvaluation(specs)
    for rows in (slice(300), slice(300, 400)):
        stream.update(logits[rows], shares[rows])
    assert dict(stream.result()) == pytest.approx(dict(whole), rel=1e-12)
