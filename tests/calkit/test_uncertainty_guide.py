"""The guide to floors, intervals and tests is true: its examples run, its figures are those of the code."""

import re
from pathlib import Path

import calkit
from calkit.inference.tests import TESTS

PAGE = Path(__file__).parents[2] / "docs" / "user_guide" / "uncertainty.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_examples_and_the_figure_of_the_page():
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    assert len(blocks) == 3
    for block in blocks:
        exec(block, names)
    evaluation, judged = names["evaluation"], names["judged"]
    (metric,) = (m for m in evaluation.metrics if m.spec == "ece")
    shown = f"ECE {metric.format(evaluation['ece'])} {evaluation.floor_text(metric)}"
    assert f"`{shown}`" in TEXT
    assert judged.p_value < 0.001
    assert names["found"]["cox"].finding
    assert names["comparison"].differences["nll"]["after"].is_clear
    pooled = calkit.evaluate(names["predictions"], ["classwise_ece"]).judgement("classwise_ece").pooled
    assert pooled.value <= evaluation["classwise_ece"]


def test_every_test_is_in_the_table():
    table = TEXT[TEXT.index("| test | sees |") : TEXT.index("Any metric that has a floor")]
    assert set(TESTS) == set(re.findall(r"`([a-z-]+)`", table))
