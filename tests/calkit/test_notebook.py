"""What notebooks show: the numbers of the objects, escaped."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import calkit
from calkit.datasets import digits_path, load_digits_logits
from calkit.errors import InputError, MissingDependencyError, NotFoundError
from calkit.notebook import html_page, html_table
from calkit.plotting import OTHER_PLOTS, PLOTS, FocalMinimiserDisplay, ForestDisplay, HistoryDisplay
from calkit.report import TemperatureSlider, make_report


def test_values_intervals_and_floors():
    found = calkit.evaluate(load_digits_logits("test"), ["ece", "nll"], confidence_level=0.95)
    text = found._repr_html_()
    for metric in found.metrics:
        assert metric.format(found[metric.spec]) in text
        assert found.interval_text(metric) in text
    frame = found.columns()
    assert frame["metric"] == ["ece", "nll"]
    assert frame["value"] == [found["ece"], found["nll"]]
    assert (frame["low"][0], frame["high"][0]) == found.intervals["ece"]
    assert frame["floor"][0] > 0
    assert frame["floor"][1] is None


def test_differences():
    test = load_digits_logits("test")
    models = {"one": test, "<two>": test.replace(scores=test.scores / np.float32(2))}
    found = calkit.compare(models, ["ece"])
    text = found._repr_html_()
    assert "&lt;two&gt;" in text
    assert "<two>" not in text
    assert "baseline" in text


def test_control_characters_are_shown_as_escapes():
    assert "\x1b" not in html_table(["a\x1b[31m"], [["b\x00"]])


@pytest.mark.parametrize("library", [None, "pandas", "polars"])
def test_data_frames(library):
    module = pytest.importorskip(library or "pandas")
    test = load_digits_logits("test")
    found = calkit.evaluate(test, ["ece"], by="predicted class")
    for table in (
        found,
        calkit.compare({"a": test, "b": test}, ["ece"]),
        calkit.ReliabilityDisplay.from_predictions(test, plot=False),
        calkit.curves.cumulative_curve(test),
        HistoryDisplay({"run": [{"epoch": 1, "test": {"ece": 0.1}}, {"epoch": 2, "lr": 0.1}]}),
    ):
        frame, columns = table.frame(library), table.columns()
        assert isinstance(frame, module.DataFrame)
        assert list(frame.columns) == list(columns)
        assert len(frame) == len(next(iter(columns.values())))
    assert list(found.frame(library)["group"])[1:3] == ["0", "1"]
    assert list(table.columns()) == ["run", "epoch", "test.ece", "lr"]


def test_a_data_frame_needs_a_library(monkeypatch):
    found = calkit.evaluate(load_digits_logits("test"), ["ece"])
    with pytest.raises(NotFoundError, match="pandas"):
        found.frame("panda")
    monkeypatch.setattr("calkit.tabular.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pandas or polars"):
        found.frame()


@pytest.mark.parametrize("name", list(PLOTS))
def test_a_display_is_a_picture_until_it_is_drawn(name):
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

    display = PLOTS[name].from_predictions(load_digits_logits("test"), plot=False)
    numbers = plt.get_fignums()
    first, second = display._repr_html_(), display._repr_html_()
    assert first.startswith('<img src="data:image/png;base64,iVBOR')
    assert first == second
    # Nothing was drawn that a notebook would show as well.
    assert plt.get_fignums() == numbers
    display.plot(Figure().subplots())
    assert display._repr_html_() is None


def test_the_other_displays_are_pictures_too():
    evaluation = calkit.evaluate(load_digits_logits("test"), ["ece"])
    history = [{"epoch": 1, "test": {"nll": 1.0}}, {"epoch": 2, "test": {"nll": 0.5}}]
    norms = [{"epoch": 1, "gradient_norms": {"edges": [0.1, 1.0, 10.0], "counts": [3, 1]}}]
    shown = [
        ForestDisplay.from_evaluation(evaluation),
        HistoryDisplay({"run": history}),
        FocalMinimiserDisplay.from_gamma(plot=False),
        OTHER_PLOTS["gradient-norms"]({"run": norms}),
    ]
    assert all(display._repr_html_().startswith("<img ") for display in shown)


def test_a_page_is_escaped_within_its_frame():
    text = html_page("<!doctype html><html><head></head><p id=\"a\">'b' &lt;</p></html>", '"<t>"', "1rem")
    assert text.count("<") == 2
    assert 'title="&quot;&lt;t&gt;&quot;"' in text
    assert "&lt;p id=&quot;a&quot;&gt;&#x27;b&#x27; &amp;lt;" in text


def test_a_report_is_its_page_in_a_frame():
    from html import unescape

    from calkit.report import render_report

    report = make_report([digits_path()], metrics=["ece"], confidence_level=None)
    text = report._repr_html_()
    assert text.startswith('<iframe sandbox="allow-scripts')
    assert render_report(report).split("<head>")[1] in unescape(text)


def test_the_slider_has_the_values_of_python():
    test = load_digits_logits("test")
    slider = TemperatureSlider.from_predictions(test.y_true, test.scores, from_logits=True, temperature={"T": 2.5})
    columns = slider.columns()
    assert set(slider.fitted.values()) | {1.0} <= set(columns["temperature"])
    at = columns["temperature"].index(2.5)
    scaled = test.scores / np.float64(2.5)
    # The scores of the file are float32.
    assert columns["ece"][at] == pytest.approx(calkit.ece(test.y_true, scaled, from_logits=True), abs=1e-7)
    assert columns["nll"][at] == pytest.approx(calkit.nll(test.y_true, scaled, from_logits=True), abs=1e-7)


@pytest.mark.parametrize("temperature", [0, -1.0, float("inf"), float("nan")])
def test_a_slider_needs_possible_temperatures(temperature):
    with pytest.raises(InputError, match="temperature must be positive"):
        TemperatureSlider.from_predictions(load_digits_logits("test"), temperature=temperature)


def test_a_slider_of_what_has_no_temperature_says_so():
    pairs = calkit.Predictions([0.9, 0.6], [1, 0], kind="confidence")
    with pytest.raises(InputError, match="pairs have no temperature"):
        TemperatureSlider.from_predictions(pairs)
    with pytest.raises(InputError, match="is several events"):
        TemperatureSlider.from_predictions(load_digits_logits("test"), target="classwise")


ROOT = Path(__file__).parents[2]


def test_the_guide_runs(tmp_path, monkeypatch, no_pyplot_windows):
    page = (ROOT / "docs" / "user_guide" / "notebooks.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.S):
        exec(code, names)
    assert Path("slider.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_example_runs(no_pyplot_windows):
    cells = json.loads((ROOT / "examples" / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert names["after"].ax_ is names["before"].ax_
