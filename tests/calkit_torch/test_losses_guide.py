"""The page on losses says what is so."""

from __future__ import annotations

import re
from pathlib import Path

from calkit_torch.losses import PAPER_NAMES, available_losses, get_loss
from calkit_torch.losses._base import LOSSES
from calkit_torch.losses.catalogue import markdown

PAGE = (Path(__file__).parents[2] / "docs" / "user_guide" / "losses.md").read_text(encoding="utf-8")


def first_cells(heading: str, text: str = PAGE) -> list[str]:
    table = text[text.index(heading) :].split("\n\n")[0]
    return [row.split("|")[1] for row in table.splitlines()[2:]]


def test_the_examples_run() -> None:
    """One after the other, as a reader would type them."""
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, names)


def test_the_table_is_the_registry_and_its_strings_print_back() -> None:
    assert "```{include} losses_table.inc" in PAGE
    table = markdown()
    strings = [cell.strip().strip("`") for cell in first_cells("| string |", table)]
    assert all(LOSSES[name].formula in table for name in available_losses())
    assert [name for name in available_losses() if not LOSSES[name].formula] == []
    assert [string.partition(":")[0] for string in strings] == available_losses()
    for string in strings:
        assert str(get_loss(string)) == string


def test_the_names_of_the_paper_are_all_there() -> None:
    names = [name for cell in first_cells("| name |") for name in re.findall(r"`(.*?)`", cell)]
    assert names == list(PAPER_NAMES)
    for name, string in PAPER_NAMES.items():
        assert f"`{string}`" in PAGE, name
