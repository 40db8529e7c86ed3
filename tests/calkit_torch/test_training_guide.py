"""The page on training and the README's section on it say what is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

from calkit.cli.app import run
from calkit.runs import RunFolder
from calkit_torch.cli import command
from calkit_torch.models import MODELS
from calkit_torch.training import Recipe, available_recipes, get_recipe
from calkit_torch.training import callbacks as all_callbacks

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "user_guide" / "training.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def run_lines(text: str) -> None:
    """Run commands in this process; training gets two epochs, which scales the schedules, and a smaller network."""
    for line in text.splitlines():
        program, *arguments = shlex.split(line.replace("small-resnet", "small-resnet:width=4"), comments=True)
        assert program == "calkit"
        short = ["--epochs", "2", "--device", "cpu"] if arguments[0] == "train" and "--resume" not in arguments else []
        assert run([*arguments, *short]) == 0, line


def test_the_commands_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (section,) = [block for block in blocks(README, "sh") if "calkit train" in block]
    run_lines(section)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for words in ("digits:noise=6 small-resnet:width=4 FLA-53", "uncalibrated", "T = ", "95 % intervals"):
        assert words in page
    assert (tmp_path / "history.png").stat().st_size > 10_000


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands and Python, one after the other, as a reader would type them; what is registered is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(MODELS, "_items", dict(MODELS._items))
    for block in blocks(PAGE, "sh"):
        run_lines(block)
    names: dict[str, object] = {}
    with torch.random.fork_rng():
        for block in blocks(PAGE, "python"):
            exec(block, names)
    assert RunFolder("runs/with-callbacks").logits().is_file()
    (tmp_path / "mine.toml").write_text(blocks(PAGE, "toml")[0])
    recipe = get_recipe("mine.toml")
    assert recipe.loss == "focal-scheduled:5,3,2@11,29"
    for row in re.findall(r"^\| `([\w./-]+)` \|", PAGE.partition("## The run folder")[2].partition("## ")[0], re.M):
        assert list((tmp_path / "runs").glob(f"*/{row}")) or "epoch-" in row, row


ELSEWHERE = [line for block in blocks(PAGE, "console") for line in block.splitlines() if " train " in line]


@pytest.mark.parametrize("line", [line for line in ELSEWHERE if "--import" not in line])
def test_commands_that_need_other_machines_name_a_recipe(line: str) -> None:
    words = shlex.split(line)
    given = words[words.index("train") + 1 :]
    params = command.make_context("train", given).params
    recipe = get_recipe(None, **{key: params[key] for key in ("dataset", "model", "loss", "precision")})
    assert isinstance(recipe, Recipe)


def test_recipes_and_callbacks_have_a_row() -> None:
    rows = set(re.findall(r"^\| `([\w-]+)` \|", PAGE, flags=re.MULTILINE))
    assert set(available_recipes()) <= rows
    assert set(all_callbacks.__all__) - {"Callback", "sample_gradient_norms"} <= rows
