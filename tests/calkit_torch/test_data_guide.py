"""The page on data says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from calkit_torch.data import DATASETS, available_datasets
from calkit_torch.data.newsgroups import split_sizes

PAGE = (Path(__file__).parents[2] / "docs" / "user_guide" / "data.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([\w:-]+)` \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|", PAGE, flags=re.MULTILINE)


def test_the_examples_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as a reader would type them."""
    # The page registers a data set; the registry forgets it afterwards.
    monkeypatch.setattr(DATASETS, "_items", dict(DATASETS._items))
    names: dict[str, object] = {}
    with torch.random.fork_rng():
        for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
            exec(block, names)


def test_every_data_set_has_a_row() -> None:
    assert sorted({row[0].partition(":")[0] for row in ROWS}) == available_datasets()


def test_the_sizes_of_20_newsgroups() -> None:
    sizes = {row[0]: tuple(int(cell.replace(",", "")) for cell in row[1:]) for row in ROWS}
    assert sizes["20newsgroups"] == split_sizes(19_997)
    assert "14,229, 848 and 3,769" in PAGE
    assert split_sizes(18_846) == (14_229, 848, 3_769)
