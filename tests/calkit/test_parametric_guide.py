"""The page on parametric calibrators says what is so."""

import re
from pathlib import Path

from calkit.calibrators import CALIBRATORS, available_calibrators

PAGE = (Path(__file__).parents[2] / "docs" / "user_guide" / "parametric_calibrators.md").read_text(encoding="utf-8")


def test_the_examples_run():
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, names)
    assert names["probabilities"].shape[1] == 10


def test_the_table_names_all_parametric_calibrators_and_whether_they_keep_the_order():
    rows = [line.split("|") for line in PAGE.partition("| --- |")[2].partition("\n\n")[0].splitlines()[1:]]
    listed = {name.partition(":")[0]: row[4].strip() for row in rows for name in re.findall(r"`(.*?)`", row[1])}
    parametric = {name for name in available_calibrators() if ".parametric." in CALIBRATORS[name].__module__}
    assert set(listed) == parametric | {"temperature"}
    for name, keeps in listed.items():
        assert (keeps == "yes") == CALIBRATORS[name].keeps_order, name
