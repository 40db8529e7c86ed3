"""Pictures of models in two metrics, of formulas and of training runs."""

import json
from itertools import pairwise

import numpy as np
import pytest

import calkit
from calkit.datasets import load_digits_logits
from calkit.errors import InputError, NotFoundError, UsageError
from calkit.plotting import (
    OTHER_PLOTS,
    ConfidenceDisplay,
    CumulativeDisplay,
    FocalMinimiserDisplay,
    ForestDisplay,
    GradientNormsDisplay,
    GradientRatioDisplay,
    HighConfidenceDisplay,
    ScatterDisplay,
    TemperatureDisplay,
    available_other_plots,
    available_plots,
)
from calkit.theory import focal_posterior


def test_scatter_shows_the_evaluation(no_pyplot_windows):
    test = load_digits_logits("test")
    found = calkit.evaluate(test, ["accuracy", "ece", "nll"], confidence_level=0.95)
    display = ScatterDisplay.from_evaluation(found, name="digits")
    assert display.line_.get_xydata().tolist() == [[found["accuracy"] * 100, found["ece"] * 100]]
    drawn = display.errorbar_.lines[2]
    (horizontal,), (vertical,) = (bars.get_segments() for bars in drawn)
    np.testing.assert_allclose(horizontal[:, 0], np.array(found.intervals["accuracy"]) * 100)
    np.testing.assert_allclose(vertical[:, 1], np.array(found.intervals["ece"]) * 100)
    again = ScatterDisplay.from_predictions(test, metric="nll", ax=display.ax_, name="nll")
    assert (again.columns()["accuracy"], again.columns()["nll"]) == ([found["accuracy"]], [found["nll"]])
    assert again.line_.get_color() != display.line_.get_color()
    assert again.line_.get_marker() != display.line_.get_marker()
    with pytest.raises(NotFoundError, match="brier"):
        ScatterDisplay.from_evaluation(found, metric="brier")


def test_scatter_without_intervals(no_pyplot_windows):
    display = ScatterDisplay.from_evaluation(calkit.evaluate(load_digits_logits("test"), ["accuracy", "ece"]))
    assert np.isnan(display.columns()["ece_low"]).all()
    display.figure_.canvas.draw()


def test_forest_of_the_groups_of_an_evaluation(no_pyplot_windows):
    test = load_digits_logits("test")
    group = np.where(np.arange(test.n_samples) < 400, "first", "rest")
    found = calkit.evaluate(test.y_true, test.scores, ["ece"], from_logits=True, by=group, confidence_level=0.9)
    frame = ForestDisplay.from_evaluation(found).columns()
    assert frame["model"] == ["all", "by = first", "by = rest"]
    assert frame["value"] == [found["ece"], found.groups["first"]["ece"], found.groups["rest"]["ece"]]


def test_gradient_ratio_is_the_formula(no_pyplot_windows):
    display = GradientRatioDisplay.from_gamma(0, 3)
    p = display.lines_[1].get_xdata()[1:-1]
    # Proposition 1: (1 - p)^γ - γ p (1 - p)^(γ - 1) log p.
    expected = (1 - p) ** 3 - 3 * p * (1 - p) ** 2 * np.log(p)
    np.testing.assert_allclose(display.lines_[1].get_ydata()[1:-1], expected, rtol=1e-12)
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), 1)
    # The dot stands where the curve crosses 1.
    (at, height), *others = display.marks_.get_offsets()
    assert not others
    assert height == 1
    assert (1 - at) ** 3 - 3 * at * (1 - at) ** 2 * np.log(at) == pytest.approx(1)
    assert [text.get_text() for text in display.legend_.get_texts()] == ["γ = 0 (CE)", "γ = 3"]


def test_focal_minimiser_is_the_inverse_of_the_posterior(no_pyplot_windows):
    display = FocalMinimiserDisplay.from_gamma(2)
    np.testing.assert_allclose(focal_posterior(display.lines_[0].get_ydata(), 2), display.p, atol=1e-9)


def records(counts):
    norms = {"edges": [0.01, 0.1, 1.0, 10.0], "counts": counts}
    return [{"epoch": 1, "gradient_norms": norms}, {"epoch": 2}, {"epoch": 3, "gradient_norms": norms}]


def test_gradient_norms_are_the_recorded_shares(no_pyplot_windows):
    display = GradientNormsDisplay({"ce": records([1, 2, 1]), "focal": records([4, 0, 0])}).plot()
    assert display.epochs == [1, 3]
    for ax in display.axes_:
        heights = [patch.get_data().values.tolist() for patch in ax.patches if patch.get_label() in ("ce", "focal")]
        assert heights == [[25, 50, 25], [100, 0, 0]]
    assert display.columns()["share"].tolist() == [0.25, 0.5, 0.25] * 2 + [1, 0, 0] * 2
    with pytest.raises(InputError, match="no record holds gradient norms"):
        GradientNormsDisplay({"ce": [{"epoch": 1}]})
    with pytest.raises(InputError, match="only 1 Axes"):
        display.plot(display.axes_[:1])


@pytest.mark.parametrize("name", [name for name in available_other_plots() if name != "gradient-norms"])
def test_formulas_take_gammas_and_no_files(name, calkit_cli, tmp_path, no_pyplot_windows):
    display = OTHER_PLOTS[name].from_words([])
    assert display.gamma == OTHER_PLOTS[name].default
    assert {len(column) for column in display.columns().values()} == {len(display.p) * len(display.gamma)}
    figure = display.figure(title="theory", size=(3.3, 3.3))
    figure.draw_without_rendering()
    assert no_pyplot_windows.get_fignums() == []
    out = tmp_path / "theory.png"
    assert calkit_cli("plot", "--what", f"{name}:1,3", "-o", str(out))[0] == 0
    assert out.stat().st_size > 5000
    for arguments, message in (
        (["file.npz", "--what", name], "leave file.npz out"),
        (["--what", f"{name}:-1"], "gamma"),
        (["--what", name, "--bins", "5"], "--bins does not apply"),
        (["--what", "confidence"], "name at least one FILE"),
        (["--history"], "name at least one folder"),
    ):
        code, _, err = calkit_cli("plot", *arguments, "-o", str(tmp_path / "no.png"))
        assert code in (1, 2)
        assert message in err
    with pytest.raises(InputError, match="empty"):
        OTHER_PLOTS[name]([])


def test_the_command_draws_gradient_norms_of_runs(calkit_cli, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.toml").write_text('[data]\nname = "digits"\n[model]\nname = "linear"\n[loss]\nname = "ce"\n')
    (run / "history.jsonl").write_text("\n".join(json.dumps(record) for record in records([1, 2, 3])))
    code, _, err = calkit_cli("plot", str(run), "--what", "gradient-norms", "-o", str(tmp_path / "norms.png"))
    assert (code, err) == (0, "")
    code, _, err = calkit_cli("plot", "--what", "gradient-norms", "-o", str(tmp_path / "norms.png"))
    assert code == 2
    assert "name at least one folder" in err
    with pytest.raises(UsageError, match="no parameters"):
        GradientNormsDisplay.from_words([str(run)], 3)


def test_names_of_a_forest_stand_once_a_row(no_pyplot_windows):
    evaluation = calkit.evaluate(load_digits_logits("test"), ["ece", "nll"])
    figure = ForestDisplay.from_evaluations({"digits": evaluation}).figure_of()
    assert [ax.yaxis.get_tick_params()["labelleft"] for ax in figure.axes] == [True, False]


def test_an_unknown_plot_lists_all_that_the_command_draws(calkit_cli, tmp_path):
    code, _, err = calkit_cli("plot", "a.npz", "--what", "gradient-norm", "-o", str(tmp_path / "no.png"))
    assert code == 2
    assert "Did you mean 'gradient-norms'?" in err
    assert all(name in err for name in [*available_plots(), *available_other_plots()])


def test_long_numbers_of_a_forest_stay_apart():
    test = load_digits_logits("test")
    found = calkit.compare(
        {"a": test, "b": test.replace(scores=test.scores * np.float32(0.97))}, ["brier", "nll", "ece"]
    )
    figure = ForestDisplay.from_comparison(found).figure_of()
    figure.draw_without_rendering()
    for ax in figure.axes:
        low, high = ax.get_xlim()
        boxes = [
            label.get_window_extent()
            for place, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
            if low <= place <= high
        ]
        assert len(boxes) >= 2
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_both_outlines_of_confidences_stand_out_from_light_and_dark():
    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    display = ConfidenceDisplay.from_predictions(load_digits_logits("test"))
    red, green, blue, alpha = display.right_.get_facecolor()
    for ground in (0.0, 1.0):
        seen = [alpha * c + (1 - alpha) * ground for c in (red, green, blue)]
        low, high = sorted([luminance(seen), ground])
        # Web Content Accessibility Guidelines 2.1, 1.4.11: 3 to 1 for graphics.
        assert (high + 0.05) / (low + 0.05) >= 3


@pytest.mark.parametrize("rest", [0.0, 2e-16, 3e-12, 4e-7, 6e-5, 1.1e-4, 4e-4, 6e-4, 0.002, 0.2, 0.5])
def test_the_upper_axis_of_the_cumulative_plot_rounds_no_probability_to_1(rest):
    p = 1 - rest
    ax = CumulativeDisplay.from_predictions([1, 1, 0], [p, p, p]).ax_
    (upper,) = ax.child_axes
    texts = {tick.get_text() for tick in upper.get_xticklabels()}
    assert len(texts) == 1
    shown = texts.pop()
    read = 1 - float(shown.removeprefix("1−")) if shown.startswith("1−") else float(shown)
    assert read == pytest.approx(p, abs=max(5e-4 * (rest > 1e-3), 0.1 * rest))
    assert (shown == "1") == (rest == 0)


def test_the_band_of_a_single_row_stays_where_curves_can_be():
    display = CumulativeDisplay.from_predictions([0], [0.486])
    assert display.band > 1
    heights = display.band_.get_extents().transformed(display.ax_.transData.inverted())
    assert heights.y1 == pytest.approx(100)


TIED = calkit.Predictions(np.zeros((40, 4)), np.arange(40) % 4, kind="logits")


def test_rows_that_tie_are_seen_in_every_diagram():
    """Legends promise areas and steps; these have an extent even where all rows have one confidence."""
    display = calkit.ReliabilityDisplay.from_predictions(TIED)
    (band,) = display.ax_.collections[:1]
    assert np.ptp(band.get_paths()[0].vertices[:, 0]) > 0.01
    steps = HighConfidenceDisplay.from_predictions(TIED).ax_.lines[1:]
    assert len(steps) == 2
    for line in steps:
        assert np.ptp(line.get_xdata()) > 0.01


def test_no_temperature_is_best_where_all_values_are_equal():
    texts = [text.get_text() for text in TemperatureDisplay.from_predictions(TIED).ax_.get_legend().get_texts()]
    assert any(text.startswith("the same at every T (ECE") for text in texts)
    assert not any("best" in text for text in texts)
