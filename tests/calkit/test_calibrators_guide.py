"""The guide to calibrators is true: its examples are executed, and its table has every calibrator."""

import doctest
import re
from pathlib import Path

from calkit.calibrators import CALIBRATORS, available_calibrators
from calkit.calibrators.catalogue import markdown

PAGE = Path(__file__).parents[2] / "docs" / "user_guide" / "calibrators.md"


def test_examples():
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) > 6
    runner = doctest.DocTestRunner()
    try:
        for number, block in enumerate(blocks):
            test = doctest.DocTestParser().get_doctest(block, names, f"{PAGE.name}, block {number}", str(PAGE), 0)
            runner.run(test, clear_globs=False)
            names = test.globs
    finally:
        # The one that the page registers is not for other tests.
        CALIBRATORS._items.pop("shrink", None)
    assert runner.failures == 0
    assert runner.tries > 20


def test_the_table_has_every_calibrator():
    table = markdown()
    assert all(f"| `{name}`" in table for name in available_calibrators())
    assert table.count("\n") == len(available_calibrators()) + 2
