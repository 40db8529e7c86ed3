"""What notebooks show: the numbers of the objects, escaped."""

import numpy as np
import pytest

import calkit
from calkit.datasets import load_digits_logits
from calkit.errors import MissingDependencyError, NotFoundError
from calkit.notebook import html_table
from calkit.plotting import HistoryDisplay


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
