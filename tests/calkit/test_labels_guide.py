"""The guide to labels is true: its examples are executed."""

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "user_guide" / "labels.md"


def test_examples():
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) > 6
    runner = doctest.DocTestRunner()
    for number, block in enumerate(blocks):
        test = doctest.DocTestParser().get_doctest(block, names, f"{PAGE.name}, block {number}", str(PAGE), 0)
        runner.run(test, clear_globs=False)
        names = test.globs
    assert runner.failures == 0
    assert runner.tries > 12
