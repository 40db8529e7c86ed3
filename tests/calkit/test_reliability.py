"""Reliability diagrams: what is drawn is what was counted, and nothing global changes."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression

import calkit
from calkit.datasets import load_digits_logits
from calkit.errors import InputError, NotFoundError
from calkit.plotting import ReliabilityDisplay, plot_reliability
from calkit.plotting.reliability_bands import consistency_band
from calkit.stats import BinSums


def drawn(axes, label):
    """(left, bottom, height) of the bars of one colour."""
    container = next(c for c in axes.containers if c.get_label() == label)
    return [(bar.get_x(), bar.get_y(), bar.get_height()) for bar in container]


def test_bars_are_accuracy_and_gap(no_pyplot_windows):
    # Two bins of 4 hold samples: (0.25, 0.5]: confidence .4, accuracy 1/2; (0.75, 1]: .9, accuracy 1/3.
    pairs = calkit.Predictions.from_confidence([0.4, 0.4, 0.9, 0.9, 0.9], [1, 0, 1, 0, 0])
    display = ReliabilityDisplay.from_predictions(pairs, n_bins=4, style="bars")
    assert np.allclose(drawn(display.ax_, "accuracy"), [(0.25, 0, 0.5), (0.75, 0, 1 / 3)])
    assert np.allclose(drawn(display.ax_, "over-confident by"), [(0.75, 1 / 3, 0.9 - 1 / 3)])
    assert np.allclose(drawn(display.ax_, "under-confident by"), [(0.25, 0.4, 0.1)])
    shares = [bar.get_height() for bar in display.share_ax_.patches]
    assert np.allclose(shares, [40, 60])
    assert display.ece == pytest.approx((2 * 0.1 + 3 * (0.9 - 1 / 3)) / 5)
    assert display.legend_.get_title().get_text() == "ECE 38.00 %, 4 bins, n = 5"
    legend = [text.get_text() for text in display.legend_.get_texts()]
    assert legend[-2:] == ["accuracy 40.00 %", "mean confidence 70.00 %"]


def test_negative_heights_never_appear(no_pyplot_windows):
    display = ReliabilityDisplay.from_predictions(load_digits_logits("test"), n_bins=25, style="bars")
    for container in display.ax_.containers:
        for bar in container:
            assert bar.get_height() >= 0


def test_all_ways_in_count_the_same(no_pyplot_windows):
    test = load_digits_logits("test")
    arrays = ReliabilityDisplay.from_predictions(test.y_true, test.scores, from_logits=True, plot=False)
    assert arrays.ece == calkit.ece(test.y_true, test.scores, from_logits=True)
    from_bins = ReliabilityDisplay.from_bins(arrays.bins, name="again", plot=False)
    assert from_bins.ece == arrays.ece
    calibrator = calkit.TemperatureScaling().fit_predictions(test)
    estimator = ReliabilityDisplay.from_estimator(calibrator, test.scores, test.y_true, plot=False)
    assert estimator.name == "TemperatureScaling"
    assert estimator.ece == pytest.approx(calkit.ece(test.y_true, calibrator.predict_proba(test.scores)))


def test_multiclass_and_string_classes_from_an_estimator(no_pyplot_windows):
    X = np.random.default_rng(0).standard_normal((90, 2))
    y = np.array(["x", "y", "z"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > 1)]
    model = LogisticRegression().fit(X, y)
    display = ReliabilityDisplay.from_estimator(model, X, y, n_bins=10)
    columns = np.searchsorted(model.classes_, y)
    assert display.ece == calkit.ece(columns, model.predict_proba(X), n_bins=10)
    with pytest.raises(InputError, match="'w' in row 0, which is not one of the classes"):
        ReliabilityDisplay.from_estimator(model, X[:1], ["w"])
    with pytest.raises(InputError, match="no predict_proba"):
        ReliabilityDisplay.from_estimator(object(), X, y)


def test_side_by_side_is_not_a_pyplot_figure(no_pyplot_windows):
    test = load_digits_logits("test")
    display = ReliabilityDisplay.from_predictions(test, plot=False)
    figure = plot_reliability({"before": display, "after": display}, title="digits")
    assert isinstance(figure, Figure)
    assert no_pyplot_windows.get_fignums() == []
    assert [axes.get_title() for axes in figure.axes[:2]] == ["before", "after"]
    with pytest.raises(InputError, match="empty"):
        plot_reliability({})


def test_into_axes_of_ones_own(no_pyplot_windows):
    figure, axes = no_pyplot_windows.subplots()
    display = ReliabilityDisplay.from_predictions(load_digits_logits("test"), ax=axes)
    assert display.ax_ is axes
    assert display.figure_ is figure
    assert display.share_ax_ is not axes
    figure.canvas.draw()


def test_settings_stay_as_they_were(no_pyplot_windows):
    # relplot resets the user's rcParams when it plots.
    with mpl.rc_context({"axes.titlesize": 31, "font.size": 9.5}):
        before = dict(mpl.rcParams)
        display = ReliabilityDisplay.from_predictions(load_digits_logits("test"))
        plot_reliability([display, display])
        assert dict(mpl.rcParams) == before


def test_equal_mass_bins_and_ties(no_pyplot_windows):
    pairs = calkit.Predictions.from_confidence([1.0] * 50 + [0.5] * 20, [1] * 70)
    display = ReliabilityDisplay.from_predictions(pairs, binning="quantile", n_bins=4, style="bars")
    assert display.bins.count.sum() == 70
    assert (display.bins.count > 0).sum() == 2
    assert display.legend_.get_title().get_text() == "AdaECE 14.29 %, 4 bins, n = 70"
    with pytest.raises(InputError, match="drops samples"):
        ReliabilityDisplay.from_predictions(pairs, binning="focal-calibration")


def test_narrow_bars_have_no_border_that_would_cover_them(no_pyplot_windows):
    confidence = np.concatenate([np.linspace(0.2, 0.9, 50), np.linspace(0.99, 1, 450)])
    pairs = calkit.Predictions.from_confidence(confidence, np.arange(500) % 2)
    display = ReliabilityDisplay.from_predictions(pairs, binning="quantile", n_bins=10, style="bars")
    assert [bar.get_linewidth() > 0 for bar in display.bars_] == [True] + [False] * 9


def test_weights_are_repeated_rows(no_pyplot_windows):
    # scikit-learn's calibration_curve knows no weights.
    test = load_digits_logits("test").take(slice(300))
    weights = np.random.default_rng(0).integers(0, 4, 300)
    repeated = test.take(np.repeat(np.arange(300), weights))
    weighted = ReliabilityDisplay.from_predictions(
        test.y_true, test.scores, from_logits=True, sample_weight=weights, n_bins=10, style="bars"
    )
    plain = ReliabilityDisplay.from_predictions(repeated, n_bins=10, style="bars")
    for label in ("accuracy", "over-confident by"):
        np.testing.assert_allclose(drawn(weighted.ax_, label), drawn(plain.ax_, label), atol=1e-12)
    heights = [[bar.get_height() for bar in display.share_ax_.patches] for display in (weighted, plain)]
    np.testing.assert_allclose(*heights)
    assert weighted.ece == pytest.approx(plain.ece, abs=1e-12)


def test_two_classes_in_one_column_and_class_names(no_pyplot_windows):
    p = np.array([0.9, 0.2, 0.6, 0.55])
    names = ["no", "yes"]
    display = ReliabilityDisplay.from_predictions(["yes", "no", "no", "yes"], p, class_names=names, n_bins=5)
    assert display.ece == calkit.ece([1, 0, 0, 1], p, n_bins=5)


def rows(figure):
    return [axes for axes in figure.axes if axes.get_ylabel() == "Accuracy"]


def test_many_make_rows_of_four_and_equal_names_stay_apart(no_pyplot_windows):
    display = ReliabilityDisplay.from_predictions(load_digits_logits("test"), plot=False)
    figure = plot_reliability([display] * 6)
    figure.draw_without_rendering()
    assert len(figure.axes) == 12
    assert len(rows(figure)) == 2
    assert len(rows(plot_reliability([display] * 6, n_columns=2))) == 3
    with pytest.raises(InputError, match="n_columns must be at least 1"):
        plot_reliability([display], n_columns=0)
    assert len({axes.get_ylim() for axes in figure.axes if axes.get_xlabel() == "Confidence"}) == 1


def test_a_title_of_ones_own_stays(no_pyplot_windows):
    _, axes = no_pyplot_windows.subplots()
    axes.set_title("mine")
    ReliabilityDisplay.from_predictions(load_digits_logits("test"), ax=axes)
    assert axes.get_title() == "mine"


@pytest.mark.parametrize("style", ["line", "bars"])
def test_what_is_written_does_not_overlap(no_pyplot_windows, style):
    # Before and after, 25 bins, long titles: no text leaves its axes or touches another's.
    test = load_digits_logits("test")
    display = ReliabilityDisplay.from_predictions(test, n_bins=25, plot=False)
    name = "temperature:objective=adaece\nT = 2.515"
    displays = [ReliabilityDisplay(display.bins, name=name) for _ in range(3)]
    figure = plot_reliability(displays, title="digits (test)", style=style)
    figure.draw_without_rendering()
    written = [text for axes in figure.axes for text in (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts)]
    written += [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    boxes = [item.get_window_extent() for item in written if not hasattr(item, "get_text") or item.get_text()]
    for i, box in enumerate(boxes):
        assert figure.bbox.containsx(box.x0)
        assert figure.bbox.containsx(box.x1)
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_bad_input():
    grid = np.zeros((3, 4), int)
    with pytest.raises(InputError, match="one row of bins"):
        ReliabilityDisplay(BinSums(grid, grid * 1.0, grid * 1.0, grid * 1.0))
    test = load_digits_logits("test")
    with pytest.raises(InputError, match="y_proba must be left out"):
        ReliabilityDisplay.from_predictions(test, test.scores)


def test_lines_show_what_was_counted(no_pyplot_windows):
    # Two bins hold samples: (0.25, 0.5]: confidence .4, accuracy 1/2 of 2; (0.75, 1]: .9, accuracy 1/3 of 3.
    pairs = calkit.Predictions.from_confidence([0.4, 0.4, 0.9, 0.9, 0.9], [1, 0, 1, 0, 0])
    display = ReliabilityDisplay.from_predictions(pairs, n_bins=4, name="m")
    np.testing.assert_allclose(display.line_.get_xydata(), [[0.4, 0.5], [0.9, 1 / 3]])
    assert display.line_.get_label() == "m (ECE\xa038.00\xa0%,\xa0n\xa0=\xa05)"
    # Clopper-Pearson, by SciPy's exact interval of a proportion.
    limits = [binomtest(k, n).proportion_ci(0.95, "exact") for k, n in ((1, 2), (1, 3))]
    segments = display.errorbar_.lines[2][0].get_segments()
    np.testing.assert_allclose([[a[1], b[1]] for a, b in segments], [[c.low, c.high] for c in limits], atol=1e-12)
    frame = display.columns()
    assert frame["count"].tolist() == [2, 3]
    np.testing.assert_allclose(frame["accuracy_low"], [c.low for c in limits])
    # The band is made of binomial quantiles: Binomial(2, .4) and Binomial(3, .9), here summed by hand.
    band = display.band_.get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(0)
    assert band[:, 1].max() == pytest.approx(1)


def test_consistency_band_holds_95_percent_of_calibrated_bins():
    rows, p = 400, 0.3
    bins = BinSums(np.array([rows]), np.array([400.0]), np.array([rows * p]), np.array([120.0]))
    low, high = consistency_band(bins)
    # By simulation: at most 2.5 % of draws lie beyond either limit, and one step further in it would be more.
    drawn_hits = np.random.default_rng(0).binomial(rows, p, 100_000) / rows
    assert 0.94 < np.mean((drawn_hits >= low) & (drawn_hits <= high)) < 0.97


def test_second_model_on_the_same_axes(no_pyplot_windows):
    test = load_digits_logits("test")
    calibrator = calkit.TemperatureScaling().fit_predictions(test)
    first = ReliabilityDisplay.from_predictions(test, name="before")
    second = ReliabilityDisplay.from_predictions(calibrator.apply(test), name="after", ax=first.ax_)
    assert second.share_ax_ is first.share_ax_
    assert len(first.figure_.axes) == 2
    assert first.line_.get_color() != second.line_.get_color()
    assert first.line_.get_marker() != second.line_.get_marker()
    labels = [text.get_text() for text in second.legend_.get_texts()]
    assert len(labels) == 3
    assert labels[1].startswith("before (ECE")
    assert labels[2].startswith("after (ECE")
    with pytest.raises(InputError, match="bars hide each other"):
        second.plot(first.ax_, style="bars")
    with pytest.raises(NotFoundError, match="Did you mean 'bars'"):
        second.plot(style="bar")


def test_the_histogram_of_equal_mass_bins_is_not_a_constant(no_pyplot_windows):
    test = load_digits_logits("test")
    display = ReliabilityDisplay.from_predictions(test, binning="quantile")
    assert display.histogram.n_bins == 25
    assert np.ptp(display.histogram.share) > 0.1
    assert display.bins.count.sum() == display.histogram.count.sum()


def test_one_full_bin_makes_the_histogram_logarithmic(no_pyplot_windows):
    pairs = calkit.Predictions.from_confidence([0.99] * 95 + [0.2] * 5, [1] * 100)
    display = ReliabilityDisplay.from_predictions(pairs)
    assert display.share_ax_.get_yscale() == "log"
    assert display.share_ax_.get_ylim()[0] < 5


def test_long_names_stay_within_the_figure(no_pyplot_windows):
    name = "runs/2026-11-27/cifar10-resnet50-focal-sample-dependent-53-seed-0/logits-of-the-last-epoch.npz"
    display = ReliabilityDisplay.from_predictions(load_digits_logits("test"), plot=False)
    figure = plot_reliability({name: display, name + "2": display})
    figure.draw_without_rendering()
    for axes in figure.axes[:2]:
        box = axes.title.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1


def test_overlay_in_one_figure(no_pyplot_windows):
    display = ReliabilityDisplay.from_predictions(load_digits_logits("test"), plot=False)
    figure = plot_reliability({"a": display, "b": display, "c": display}, overlay=True)
    assert len(figure.axes) == 2
    assert [text.get_text()[0] for text in figure.axes[1].get_legend().get_texts()] == ["a", "b", "c"]


@pytest.mark.parametrize(("probs", "marked"), [([[0.3, 0.7]] * 4, True), ([[0.3, 0.7], [0.1, 0.9]] * 2, False)])
def test_a_corp_curve_of_one_point_is_seen(no_pyplot_windows, probs, marked):
    display = ReliabilityDisplay.from_predictions([1, 0, 1, 1], probs, style="corp")
    assert (display.line_.get_marker() not in ("", "None", None)) == marked
