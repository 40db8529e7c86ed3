"""Displays other than reliability diagrams: what is drawn is what was counted."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import calkit
from calkit.calibrators import temperature_curve
from calkit.datasets import load_digits_logits
from calkit.errors import InputError, NotFoundError
from calkit.plotting import (
    PLOTS,
    ConfidenceDisplay,
    HighConfidenceDisplay,
    ReliabilityDisplay,
    RiskCoverageDisplay,
    TemperatureDisplay,
    available_plots,
)


@pytest.fixture
def pairs():
    # By falling confidence: .9 right, .9 wrong, .6 right, .5 wrong with twice the weight.
    return calkit.Predictions.from_confidence([0.6, 0.9, 0.5, 0.9], [1, 1, 0, 0], sample_weight=[1, 1, 2, 1])


def test_risk_coverage_by_hand(pairs, no_pyplot_windows):
    display = RiskCoverageDisplay.from_predictions(pairs)
    # Equal confidences are answered together: 2 of 5 by weight, one wrong; then 3 with 1 wrong; then 5 with 3 wrong.
    np.testing.assert_allclose(display.line_.get_xdata(), [40, 60, 100])
    np.testing.assert_allclose(display.line_.get_ydata(), [50, 100 / 3, 60])
    np.testing.assert_allclose(display.columns()["threshold"], [0.9, 0.6, 0.5])


def test_risk_at_full_coverage_is_the_error(no_pyplot_windows):
    test = load_digits_logits("test")
    display = RiskCoverageDisplay.from_predictions(test, plot=False)
    assert 1 - display.accuracy[-1] == pytest.approx(calkit.error(test.y_true, test.scores, from_logits=True))
    assert display.coverage[-1] == 1


def test_high_confidence_is_s99_at_every_threshold(no_pyplot_windows):
    test = load_digits_logits("test")
    display = HighConfidenceDisplay.from_predictions(test)
    at = np.flatnonzero(display.threshold >= 0.99)[-1]
    s99 = calkit.high_confidence(test.y_true, test.scores, from_logits=True)
    assert display.coverage[at] == pytest.approx(s99.share)
    assert display.accuracy[at] == pytest.approx(s99.accuracy)
    assert display.ax_.get_lines()[0].get_label() == "accuracy = threshold"


def test_temperature_marks_the_least_value(no_pyplot_windows):
    validation = load_digits_logits("validation")
    grid = [1.0, 2.0, 2.5, 3.0, 5.0]
    display = TemperatureDisplay.from_predictions(validation, metric="nll", grid=grid, name="net")
    curve = temperature_curve(validation, ["nll"], grid=grid)["nll"]
    np.testing.assert_array_equal(display.line_.get_ydata(), curve)
    assert display.best_temperature == grid[int(np.argmin(curve))]
    assert display.best_.get_xdata()[0] == display.best_temperature
    assert display.ax_.get_ylabel() == "NLL"
    accuracy = TemperatureDisplay.from_predictions(validation, metric="accuracy", grid=grid, plot=False)
    assert accuracy.values[accuracy.best_index] == accuracy.values.max()


def test_confidence_of_right_and_wrong(pairs, no_pyplot_windows):
    display = ConfidenceDisplay.from_predictions(pairs, n_bins=5)
    frame = display.columns()
    # Bins (.4, .6] and (.8, 1]: right .6 and .9, wrong .5 (weight 2) and .9.
    np.testing.assert_allclose(frame["right"], [0, 0, 1, 0, 1])
    np.testing.assert_allclose(frame["wrong"], [0, 0, 2, 0, 1])
    np.testing.assert_allclose(display.right_.get_data().values, [0, 0, 50, 0, 50])
    np.testing.assert_allclose(display.wrong_.get_data().values, [0, 0, 200 / 3, 0, 100 / 3])


def test_all_right_draws_too(no_pyplot_windows):
    display = ConfidenceDisplay.from_predictions(calkit.Predictions.from_confidence([0.8, 0.9], [1, 1]))
    assert display.wrong_.get_data().values.sum() == 0
    display.figure_.canvas.draw()


@pytest.mark.parametrize("name", available_plots())
def test_every_plot_has_the_same_manners(name, no_pyplot_windows):
    kind = PLOTS[name]
    test = load_digits_logits("test")
    arrays = kind.from_predictions(test.y_true, test.scores, from_logits=True, plot=False)
    taken = kind.from_predictions(test, plot=False)
    for column, values in arrays.columns().items():
        np.testing.assert_array_equal(values, taken.columns()[column])
    figure = kind.figure({"a": arrays, "b": taken}, title="both", size=(7, 5))
    assert no_pyplot_windows.get_fignums() == []
    assert figure.get_size_inches().tolist() == [7, 5]
    figure.draw_without_rendering()
    assert len({len(values) for values in arrays.columns().values()}) == 1
    with pytest.raises(InputError, match="y_proba must be left out"):
        kind.from_predictions(test, test.scores)
    X = np.random.default_rng(0).standard_normal((60, 2))
    model = LogisticRegression().fit(X, np.where(X[:, 0] > 0, "up", "down"))
    assert kind.from_estimator(model, X, model.predict(X), plot=False).name == "LogisticRegression"


@pytest.mark.parametrize("kind", [RiskCoverageDisplay, HighConfidenceDisplay, TemperatureDisplay])
def test_curves_on_the_same_axes_stay_apart(kind, no_pyplot_windows):
    test = load_digits_logits("test")
    first = kind.from_predictions(test, name="a")
    second = kind.from_predictions(test, name="b", ax=first.ax_, curve_kwargs={"linewidth": 3})
    assert first.ax_ is second.ax_
    assert first.line_.get_color() != second.line_.get_color()
    assert second.line_.get_linewidth() == 3
    words = [text.get_text() for text in second.legend_.get_texts()]
    assert any("a" in word for word in words)
    assert any("b" in word for word in words)


def run(calkit_cli, *args):
    code, _, err = calkit_cli("plot", *args)
    return code, err


def test_the_command_draws_each(calkit_cli, tmp_path):
    test = load_digits_logits("test")
    calkit.save_predictions(test, tmp_path / "logits.npz")
    for name in available_plots():
        code, err = run(calkit_cli, str(tmp_path / "logits.npz"), "--what", name, "-o", str(tmp_path / f"{name}.png"))
        assert (code, err) == (0, "")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000


def test_the_command_refuses_what_does_not_apply(calkit_cli, tmp_path):
    test = load_digits_logits("test")
    file, out = str(tmp_path / "logits.npz"), str(tmp_path / "out.png")
    calkit.save_predictions(test, file)
    for args, text in (
        (["--what", "confidenc"], "Did you mean 'confidence'?"),
        (["--what", "confidence", "--style", "bars"], "--style does not apply to --what confidence"),
        (["--what", "risk-coverage", "--bins", "5"], "--bins does not apply to --what risk-coverage"),
        (["--what", "temperature:metrik=ece"], "unexpected keyword argument 'metrik'"),
        (["--size", "6"], "not WIDTHxHEIGHT"),
        (["--style", "bars", "--overlay"], ""),
        (["--history", "--overlay"], "--overlay does not apply to --history"),
    ):
        code, err = run(calkit_cli, file, *args, "-o", out)
        assert text in err
        assert code == (0 if not text else 2)


def test_size_dpi_title_and_dark(calkit_cli, tmp_path):
    from PIL import Image

    file, out = str(tmp_path / "logits.npz"), str(tmp_path / "out.png")
    calkit.save_predictions(load_digits_logits("test"), file)
    assert run(calkit_cli, file, "--size", "4x3", "--dpi", "100", "--dark", "--title", "T", "-o", out)[0] == 0
    with Image.open(out) as image:
        assert image.size == (400, 300)
        assert max(image.convert("L").getpixel((1, 1)) for _ in range(1)) < 50


def test_text_of_pdf_stays_text(calkit_cli, tmp_path):
    # Type 3 fonts are refused by many publishers; 42 is TrueType.
    file, out = str(tmp_path / "logits.npz"), tmp_path / "out.pdf"
    calkit.save_predictions(load_digits_logits("test"), file)
    assert run(calkit_cli, file, "-o", str(out))[0] == 0
    assert b"/Type3" not in out.read_bytes()


def test_one_column_is_drawn_as_the_event(no_pyplot_windows):
    # P(y = 1) of .2 and .8, right half of the time each: frequencies 1/2 at .2 and .8, not at a confidence of .8.
    p, y = [0.2, 0.2, 0.8, 0.8], [0, 1, 0, 1]
    display = ReliabilityDisplay.from_predictions(y, p, n_bins=5)
    np.testing.assert_allclose(display.line_.get_xydata(), [[0.2, 0.5], [0.8, 0.5]])
    assert display.ax_.get_ylabel() == "Observed frequency"
    assert display.share_ax_.get_xlabel() == "Predicted probability"
    top = ReliabilityDisplay.from_predictions(y, p, n_bins=5, target="top")
    np.testing.assert_allclose(top.line_.get_xydata(), [[0.8, 0.5]])
    assert top.ax_.get_ylabel() == "Accuracy"


def test_each_class_and_each_group(no_pyplot_windows):
    test = load_digits_logits("test")
    each = ReliabilityDisplay.each(test, target="classwise", n_bins=10)
    assert list(each) == [f"class {k}" for k in range(10)]
    alone = ReliabilityDisplay.from_predictions(test, target="positive:class=3", n_bins=10, plot=False)
    np.testing.assert_array_equal(each["class 3"].bins.correct, alone.bins.correct)
    assert each["class 3"].bins.correct.sum() == (test.y_true == 3).sum()
    grouped = calkit.Predictions(test.scores, test.y_true, kind="logits", columns={"half": np.arange(899) % 2})
    parts = ReliabilityDisplay.each(grouped, by="half")
    assert list(parts) == ["half = 0", "half = 1"]
    assert parts["half = 0"].bins.count.sum() == 450
    with pytest.raises(InputError, match="a diagram each"):
        ReliabilityDisplay.from_predictions(test, target="classwise")
    with pytest.raises(InputError, match="is one event"):
        ReliabilityDisplay.each(test, target="top")
    with pytest.raises(NotFoundError, match="Did you mean 'half'"):
        ReliabilityDisplay.each(grouped, by="hal")


def test_targets_on_the_command_line(calkit_cli, tmp_path):
    file, out = str(tmp_path / "logits.npz"), str(tmp_path / "out.png")
    calkit.save_predictions(load_digits_logits("test"), file)
    for args in (["--target", "classwise"], ["--target", "positive:class=3"], ["--target", "top-3"]):
        assert run(calkit_cli, file, *args, "-o", out) == (0, "")
    code, err = run(calkit_cli, file, "--what", "confidence", "--target", "classwise", "-o", out)
    assert code == 1
    assert "a diagram each" in err


def test_all_displays_take_the_arguments_that_go_with_arrays(no_pyplot_windows):
    """As `ece` does; what predictions hold already is refused, and so is a misspelt argument."""
    labels, probs = [1, 2, -100, 2], [[0.9, 0.1], [0.3, 0.7], [0.5, 0.5], [0.4, 0.6]]
    for display in (ReliabilityDisplay, ConfidenceDisplay):
        shown = display.from_predictions(labels, probs, labels_from=1, ignore_label=-100, plot=False)
        assert shown.bins.weight.sum() == 3
    with pytest.raises(InputError, match="labels_from: predictions hold it already"):
        ReliabilityDisplay.from_predictions(load_digits_logits("test"), labels_from=1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_bin'"):
        RiskCoverageDisplay.from_predictions(labels, probs, n_bin=3)
    display = ConfidenceDisplay.from_predictions([0, 1], probs[:2], curve_kwargs={"linewidth": 3})
    assert (display.right_.get_linewidth(), display.wrong_.get_linewidth()) == (3, 3)


def test_a_size_in_which_panels_would_hide_each_other_is_refused():
    from calkit.plotting import ConfidenceDisplay, plot_reliability

    test = load_digits_logits("test")
    both = {name: calkit.ReliabilityDisplay.from_predictions(test, plot=False) for name in ("a", "b")}
    with pytest.raises(InputError, match="overlay them, or make the figure 2.2 by 5.2 inches"):
        plot_reliability(both, size=(3.3, 3.2))
    plot_reliability(both, size=(3.3, 3.2), overlay=True)
    plot_reliability(both, size=(2.2, 5.2))
    histograms = {name: ConfidenceDisplay.from_predictions(test, plot=False) for name in ("a", "b")}
    with pytest.raises(InputError, match="make the figure 2.2 by 2.8 inches"):
        ConfidenceDisplay.figure(histograms, size=(3.3, 2))


@pytest.mark.parametrize("kind", ["risk-coverage", "high-confidence"])
def test_curves_over_ranks_of_one_event_say_so(no_pyplot_windows, kind):
    display = PLOTS[kind].from_predictions([0, 1, 1], [0.2, 0.6, 0.7])
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == PLOTS[kind].event_labels
    assert PLOTS[kind].from_predictions([0, 1], [[0.9, 0.1], [0.2, 0.8]]).ax_.get_ylabel() == PLOTS[kind].y_label
