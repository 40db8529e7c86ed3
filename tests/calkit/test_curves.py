"""Curves as numbers: against plain loops, and equal to the metrics and the plots that are made of them."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

import calkit
from calkit import curves
from calkit.errors import InputError
from calkit.plotting import CumulativeDisplay, HighConfidenceDisplay, RiskCoverageDisplay
from calkit.stats import Pairs, summarize
from tests import reference as ref

ALL = {
    "risk": (curves.risk_coverage_curve, curves.RiskCoverageCurve),
    "s99": (curves.high_confidence_curve, curves.HighConfidenceCurve),
    "s": (curves.cumulative_curve, curves.CumulativeCurve),
    "corp": (curves.corp_curve, curves.CorpCurve),
}


def example(n=200, k=4, seed=0):
    rng = np.random.default_rng(seed)
    # Rounded, so that confidences are tied.
    logits = np.round(2 * rng.standard_normal((n, k)))
    y = np.where(rng.random(n) < 0.6, logits.argmax(1), rng.integers(0, k, n))
    return np.array([ref.softmax(row) for row in logits]), y, rng.integers(1, 4, n).astype(float)


@pytest.mark.parametrize("weighted", [False, True])
def test_each_point_equals_the_loop(weighted):
    probs, y, weights = example()
    w = weights if weighted else np.ones(len(y))
    given = weights if weighted else None
    rows = [(c, a, v) for (c, a), v in zip(ref.pairs(probs, y), w, strict=True)]
    total = math.fsum(w)
    levels = sorted({c for c, _, _ in rows})
    risk = curves.risk_coverage_curve(y, probs, sample_weight=given)
    high = curves.high_confidence_curve(y, probs, sample_weight=given)
    s = curves.cumulative_curve(y, probs, sample_weight=given)
    assert risk.threshold.tolist() == high.threshold.tolist() == levels[::-1]
    assert s.probability.tolist() == levels
    for i, t in enumerate(levels[::-1]):
        kept = [(a, v) for c, a, v in rows if c >= t]
        mass = math.fsum(v for _, v in kept)
        right = math.fsum(a * v for a, v in kept) / mass
        assert risk.coverage[i] == pytest.approx(mass / total, abs=1e-12)
        assert risk.risk[i] == pytest.approx(1 - right, abs=1e-12)
        assert (high.share[i], high.accuracy[i]) == pytest.approx((mass / total, right), abs=1e-12)
    for i, q in enumerate(levels):
        below = math.fsum(v * (a - c) for c, a, v in rows if c <= q) / total
        assert s.value[i] == pytest.approx(below, abs=1e-12)
        assert s.share[i] == pytest.approx(math.fsum(v for c, _, v in rows if c <= q) / total, abs=1e-12)
    assert s.sd == pytest.approx(math.sqrt(math.fsum(v * v * c * (1 - c) for c, _, v in rows)) / total, abs=1e-12)


@pytest.mark.parametrize("target", [None, "positive:class=2", "top-2"])
def test_curves_sum_up_to_the_metrics_of_their_name(target):
    probs, y, weights = example()
    data = calkit.Predictions(probs, y, kind="probs", sample_weight=weights)
    names = ["aurc", "ks", "kuiper", "corp-mcb", "corp-dsc", "corp-unc"]
    values = list(calkit.evaluate(data, names, target=target, floors=False).values())
    s, corp = curves.cumulative_curve(data, target=target), curves.corp_curve(data, target=target)
    parts = corp.decomposition
    found = [curves.risk_coverage_curve(data, target=target).aurc, s.ks, s.kuiper]
    found += [parts.miscalibration, parts.discrimination, parts.uncertainty]
    assert found == pytest.approx(values, abs=1e-15)


def test_s99_is_a_point_of_its_curve():
    probs, y, weights = example(scale := 400)
    high = curves.high_confidence_curve(y, probs, sample_weight=weights)
    for threshold in (0.5, 0.9, 0.99):
        i = int((high.threshold >= threshold).sum()) - 1
        options = {"threshold": threshold, "sample_weight": weights}
        assert high.share[i] == pytest.approx(calkit.metrics.s99(y, probs, **options), abs=1e-12)
        assert high.accuracy[i] == pytest.approx(calkit.metrics.s99_accuracy(y, probs, **options), abs=1e-12)
    assert scale == len(y)


def test_the_corp_curve_is_the_isotonic_regression():
    from sklearn.isotonic import IsotonicRegression

    probs, y, weights = example()
    c, a = (np.array(part, float) for part in zip(*ref.pairs(probs, y), strict=True))
    expected = IsotonicRegression().fit(c, a, weights)
    found = curves.corp_curve(y, probs, sample_weight=weights)
    assert found.recalibrated == pytest.approx(expected.predict(found.probability), abs=1e-12)
    assert found.weight.sum() == weights.sum()
    assert (np.diff(found.recalibrated) >= 0).all()


@pytest.mark.parametrize("name", ALL)
def test_summaries_of_parts_add_up_and_frames_have_columns(name):
    function, kind = ALL[name]
    probs, y, weights = example()
    data = calkit.Predictions(probs, y, kind="probs", sample_weight=weights)
    parts = [summarize(data.take(slice(a, b)), [Pairs()])[Pairs()] for a, b in ((0, 1), (1, 90), (90, 200))]
    whole, added = function(data).columns(), kind.from_pairs(parts[2] + parts[0] + parts[1]).columns()
    assert list(whole) == list(added)
    for column, values in whole.items():
        assert values.shape == next(iter(whole.values())).shape
        assert added[column] == pytest.approx(values, abs=1e-12)


def test_plots_draw_these_points():
    probs, y, weights = example()
    data = calkit.Predictions(probs, y, kind="probs", sample_weight=weights)
    risk, high = curves.risk_coverage_curve(data), curves.high_confidence_curve(data)
    for display in (RiskCoverageDisplay, HighConfidenceDisplay):
        drawn = display.from_predictions(data, plot=False)
        assert drawn.threshold.tolist() == high.threshold.tolist()
        assert drawn.coverage.tolist() == risk.coverage.tolist()
        assert drawn.accuracy.tolist() == (1 - risk.risk).tolist()


class TestCumulativeDisplay:
    def test_the_band_is_the_floor_of_ks(self):
        # Of many steps and events; of few, the floor is drawn.
        rng = np.random.default_rng(0)
        probs, y, weights = rng.dirichlet(np.ones(3), 300), rng.integers(0, 3, 300), rng.random(300)
        data = calkit.Predictions(probs, y, kind="probs", sample_weight=weights)
        floor = calkit.evaluate(data, ["ks"]).judgement("ks").floor
        display = CumulativeDisplay.from_predictions(data, plot=False)
        assert display.band == pytest.approx(floor.p95, rel=1e-9)
        frame = display.columns()
        assert frame["value"].tolist() == curves.cumulative_curve(data).value.tolist()
        assert set(frame["high"]) == {display.band}
        assert set(frame["low"]) == {-display.band}

    def test_thousands_of_points_are_thinned_but_not_the_extremes(self):
        p = np.linspace(0.01, 0.99, 30_000)
        y = np.random.default_rng(0).random(30_000) < p
        figure = Figure()
        display = CumulativeDisplay.from_predictions(calkit.Predictions(p, y, kind="probs"), ax=figure.subplots())
        drawn = np.abs(display.line_.get_ydata())
        assert len(drawn) < 2100
        assert drawn.max() == pytest.approx(100 * display.curve.ks, rel=1e-12)
        assert display.ax_.get_legend().get_texts()[0].get_text() == f"KS {100 * display.curve.ks:.2f} %"

    def test_several_models_have_a_band_each_and_no_axis_of_one_of_them(self):
        probs, y, _ = example()
        one = CumulativeDisplay.from_predictions(calkit.Predictions(probs, y, kind="probs"), plot=False)
        figure = CumulativeDisplay.figure({"one": one})
        assert [t.get_text() for t in figure.axes[0].child_axes[0].get_xticklabels()][-1] == f"{probs.max():.3g}"
        few = CumulativeDisplay.from_predictions(calkit.Predictions(probs[:50], y[:50], kind="probs"), plot=False)
        ax = CumulativeDisplay.figure({"one": one, "few": few}).axes[0]
        assert not ax.child_axes
        assert few.band > one.band
        assert few.band_ is not one.band_

    def test_soft_labels_have_no_band(self):
        probs, _, _ = example()
        soft = calkit.Predictions(probs, np.tile([0.25, 0.25, 0.25, 0.25], (len(probs), 1)), kind="probs")
        display = CumulativeDisplay.from_predictions(soft, plot=False)
        assert display.band is None
        assert np.isnan(display.columns()["high"]).all()
        CumulativeDisplay.figure({"soft": display})
        assert display.band_ is None


def test_one_clear_error():
    data = calkit.Predictions([[0.3, 0.7]], [1], kind="probs")
    with pytest.raises(InputError, match="name one class"):
        curves.corp_curve(data, target="classwise")
    with pytest.raises(InputError, match="must be left out"):
        curves.corp_curve(data, [[0.3, 0.7]])
    with pytest.raises(InputError, match="sample_weight: predictions hold it already"):
        curves.corp_curve(data, sample_weight=[1])
    with pytest.raises(TypeError, match="take no groups"):
        curves.corp_curve([1], [[0.3, 0.7]], by=["a"])
    assert curves.risk_coverage_curve([1], [0.3]).risk.tolist() == [0.0]
