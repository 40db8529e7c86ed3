"""The paper's experiments: tables from what is committed, figures, and a cell trained from end to end."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "focal_calibration"
MODULES = ("run", "networks", "tables", "figures", "claims", "linear_model")


@pytest.fixture(scope="module")
def example() -> Iterator[Any]:
    """The modules of the example, which import each other by their plain names."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield {name: importlib.import_module(name) for name in MODULES}
    finally:
        sys.path.remove(str(FOLDER))
        for name in MODULES:
            sys.modules.pop(name, None)


def without_intervals(text: str) -> str:
    return re.sub(r" \[-?[\d.]+, -?[\d.]+\]", "", text)


def test_a_table_rebuilt_from_what_is_committed_is_that_of_the_page(example: dict[str, ModuleType]) -> None:
    """Without the authors' logits, whose figures are kept; our own are computed from their logits."""
    tables, nets = example["tables"], example["networks"]
    found = nets.rows(Path("no such folder"), FOLDER / "results" / "authors.json")
    page = without_intervals((ROOT / "docs" / "paper.md").read_text(encoding="utf-8"))
    for number in (1, 10):
        assert without_intervals(tables.text_of(number, found)).strip() in page


def test_the_printed_figures_are_all_there(example: dict[str, ModuleType]) -> None:
    """1,100 of Tables 1 to 5 and 7 to 13, 24 of Table 6; those of section 6's text: ResNet-50, CIFAR-10, T = 2.5."""
    published = example["networks"].published()
    assert sum(len(row) for row in published.values()) == 1100 + 24
    assert published["CIFAR-10", "ResNet 50", "CE"]["ece_temperature"] == 2.5
    assert set(example["tables"].TABLES) == set(range(1, 14))


@pytest.mark.data
def test_the_authors_networks_give_the_printed_figures(example: dict[str, ModuleType], data_folder: Path) -> None:
    tables, nets = example["tables"], example["networks"]
    for network in nets.networks(data_folder):
        if network.seed is not None:
            continue
        figures = nets.measured(network, n_resamples=1)
        for name, value in nets.published()[network.row].items():
            expected = "different" if name.startswith("s99_") else "exact"
            if name != "s99_accuracy_pre":
                assert tables.verdict(value, figures[name], name, authors=True) == expected, (network.row, name)


def test_verdicts_by_hand(example: dict[str, ModuleType]) -> None:
    verdict, figure = example["tables"].verdict, example["networks"].Figure
    assert verdict(5.0, None, "error", authors=False) == "not run"
    assert verdict(5.0, figure(5.009), "error", authors=True) == "exact"
    assert verdict(5.0, figure(5.02), "error", authors=True) == "different"
    # Half a width of 1 above, widened by the root of 2.
    assert verdict(6.4, figure(5.0, 4.0, 6.0), "error", authors=False) == "close"
    assert verdict(6.5, figure(5.0, 4.0, 6.0), "error", authors=False) == "different"
    assert verdict(1.5, figure(1.6), "ece_temperature", authors=False) == "close"


def test_the_grid_has_the_papers_losses_and_recipes(example: dict[str, ModuleType]) -> None:
    run = example["run"]
    grid = tomllib.loads((FOLDER / "grid.toml").read_text())
    cells = run.cells(grid)
    assert {c.loss for c in cells if c.experiment == "sst"} == set(example["networks"].LOSSES)
    recipes = {c: run.recipe_of(c, grid, Path("data")) for c in cells}
    mmce = recipes[run.Cell("sst", "MMCE", 0)]
    assert (mmce.loss, mmce.reduction, mmce.epochs) == ("mmce-w:8,scaling=code", "per-input", 25)
    assert recipes[run.Cell("20newsgroups", "FLS-531", 0)].loss == "focal-scheduled:5,3,1@5,11"


def test_a_cell_from_end_to_end(
    example: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained, kept, listed; the second time nothing is left to do."""
    run = example["run"]
    (tmp_path / "grid.toml").write_text(
        """losses = ["CE"]
[experiments.digits]
dataset = "digits:noise=6"
folder = "digits"
model = "mlp:hidden=8"
set = { epochs = 2, select = "accuracy" }
history_of_training = ["CE"]
training_logits = { CE = [1] }
gradient_norms = { CE = [2] }
[[order]]
experiment = "digits"
seeds = [0]
"""
    )
    monkeypatch.setattr(run, "HERE", tmp_path)
    folders = ["--data", str(tmp_path), "--work", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    for expected in (1, 0):
        monkeypatch.setattr(sys, "argv", ["run.py", *folders, "--device", "cpu"])
        run.main()
        assert capsys.readouterr().out.count("digits/CE-0: ") == expected
    monkeypatch.setattr(sys, "argv", ["run.py", *folders, "--list"])
    run.main()
    assert "digits/CE-0" in (out := capsys.readouterr().out)
    assert "done" in out
    with np.load(tmp_path / "results" / "digits" / "CE-0.npz") as found:
        assert found["test_logits"].shape == (500, 10)
        assert found["test_labels"].dtype == np.uint8
    with np.load(tmp_path / "results" / "digits" / "CE-0-epoch-0001.npz") as found:
        assert found["train_logits"].dtype == np.float16


@pytest.mark.parametrize("name", ["4a", "7"])
def test_figures_of_theory(example: dict[str, ModuleType], name: str, tmp_path: Path) -> None:
    example["figures"].FIGURES[name][0]().savefig(tmp_path / "x.png", dpi=30)
    assert (tmp_path / "x.png").stat().st_size > 1000


def test_the_gradient_of_the_linear_model(example: dict[str, ModuleType]) -> None:
    """One step from zero, by hand: p = 1/2, g(1/2, 1) = 1/2 + log(2)/2 ... as a difference quotient of the loss."""
    model = example["linear_model"]
    x, y = model.sample(0, 50)

    def loss(w: Any) -> float:
        p = 1 / (1 + np.exp(-y * (x @ w)))
        return float(np.mean(-(1 - p) * np.log(p)))

    w, h = np.array([0.3, -0.2]), 1e-6
    numeric = [(loss(w + h * e) - loss(w - h * e)) / (2 * h) for e in np.eye(2)]
    p = 1 / (1 + np.exp(-y * (x @ w)))
    step = ((model.gradient_ratio(p, 1) * (1 - p) * y) @ x) / len(x)
    np.testing.assert_allclose(-step, numeric, rtol=1e-6)
