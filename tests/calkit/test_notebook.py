"""What notebooks show: the numbers of the objects, escaped."""

import numpy as np

import calkit
from calkit.datasets import load_digits_logits
from calkit.notebook import html_table


def test_values_intervals_and_floors():
    found = calkit.evaluate(load_digits_logits("test"), ["ece", "nll"], confidence_level=0.95)
    text = found._repr_html_()
    for metric in found.metrics:
        assert metric.format(found[metric.spec]) in text
        assert found.interval_text(metric) in text
    frame = found.frame()
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
