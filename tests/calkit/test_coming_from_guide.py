"""What the page says of scikit-learn and torchmetrics is what they give, on the same data."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "user_guide" / "coming_from.md").read_text(encoding="utf-8")


def test_both_sides_agree():
    pytest.importorskip("torchmetrics")
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert sum(block.count("assert ") for block in blocks) >= 9
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "coming_from.md", "exec"), names)


def test_names_of_the_tables_exist():
    import calkit

    for path in set(re.findall(r"`(?:scoring=)?calkit\.([A-Za-z_.]+)", PAGE)):
        found = calkit
        for word in path.split("."):
            found = getattr(found, word)
    for spec in [*re.findall(r'CalibratedClassifier\(model, "([^"]+)"\)', PAGE), "one-vs-rest:calibrator=platt"]:
        calkit.calibrators.get_calibrator(spec)
