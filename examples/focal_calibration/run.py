"""Train the cells of grid.toml, one after the other: python examples/focal_calibration/run.py

It can be stopped and started again, and several may run beside each other: a cell that is done is skipped, one that
was interrupted goes on from its last epoch, and each is locked while it is trained. As a cell ends, its logits and its
history go to results/. --list says how far all are.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from calkit import load_predictions
from calkit.atomic import atomic_write
from calkit.runs import RunFolder, read_history
from calkit_torch.data import DataSet, get_dataset
from calkit_torch.training import Callback, Recipe, get_recipe, train
from calkit_torch.training.callbacks import CalibrationHistory, GradientNorms, SaveLogits

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Cell:
    """One network: what is trained, with which loss and seed."""

    experiment: str
    loss: str
    seed: int

    @property
    def name(self) -> str:
        """Its path below results/, without ending."""
        return f"{self.experiment}/{self.loss}-{self.seed}"


def cells(grid: dict[str, Any]) -> list[Cell]:
    """Return all cells, in the order in which they are trained."""
    found = [
        Cell(step["experiment"], loss, seed)
        for step in grid["order"]
        for seed in step["seeds"]
        for loss in step.get("losses", grid["losses"])
    ]
    return list(dict.fromkeys(found))


def recipe_of(cell: Cell, grid: dict[str, Any], data: Path) -> Recipe:
    """Return the recipe of a cell: that of the paper for its data set, but for what the grid sets."""
    chosen = grid["experiments"][cell.experiment]
    dataset = chosen["dataset"].format(data=data)
    return get_recipe(dataset=dataset, model=chosen["model"], loss=cell.loss, seed=cell.seed, **chosen.get("set", {}))


@cache
def data_of(dataset: str, folder: Path, split_seed: int) -> DataSet:
    """Return a data set, read once."""
    return get_dataset(dataset, folder=folder, split_seed=split_seed)


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Tell whether the lock was free; it is held until the end, and the system frees it if the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def train_cell(cell: Cell, grid: dict[str, Any], data: Path, work: Path, device: str) -> RunFolder:
    """Train a cell, from its last epoch if it was begun."""
    chosen = grid["experiments"][cell.experiment]
    recipe = recipe_of(cell, grid, data)
    watched = chosen if cell.seed == 0 else {}
    kept = watched.get("training_logits", {}).get(cell.loss, ())
    counted = watched.get("gradient_norms", {}).get(cell.loss, ())
    callbacks: list[Callback] = [
        CalibrationHistory(train=cell.loss in watched.get("history_of_training", ())),
        SaveLogits(kept, train=bool(kept)),
    ]
    if counted:
        callbacks.append(GradientNorms(counted))
    return train(
        recipe,
        data_of(recipe.dataset, data / chosen["folder"], recipe.split_seed),
        out=work / cell.name,
        resume=True,
        device=device,
        callbacks=callbacks,
        progress=False,
        checkpoint_epochs=chosen.get("checkpoint_epochs", 1),
    )


def keep(cell: Cell, run: RunFolder, results: Path) -> None:
    """Write what the tables and figures are made of: logits as float32, training logits as float16, the history."""
    target = results / f"{cell.name}.npz"
    target.parent.mkdir(parents=True, exist_ok=True)
    for path in sorted((run.path / "logits").glob("epoch-*.npz")):
        with atomic_write(target.with_name(f"{target.stem}-{path.name}")) as temporary:
            np.savez_compressed(temporary, **arrays_of(path, ["train"], np.float16))
    about = {
        "recipe": Recipe.from_toml((run.path / "recipe.toml").read_text()).to_dict(),
        "versions": json.loads((run.path / "versions.json").read_text()),
        "history": read_history(run.path / "history.jsonl"),
    }
    with atomic_write(target.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(rounded(about), indent=0) + "\n")
    # The logits come last: a cell that has them is done.
    with atomic_write(target) as temporary:
        np.savez_compressed(temporary, **arrays_of(run.logits(), ["val", "test"], np.float32))


def arrays_of(path: Path, splits: list[str], dtype: type) -> dict[str, Any]:
    """Return logits and labels, as places among the classes, of a file that training wrote."""
    found = {}
    for split in splits:
        predictions = load_predictions(path, split=split)
        found[f"{split}_logits"] = np.asarray(predictions.scores, dtype)
        found[f"{split}_labels"] = np.asarray(predictions.y_true, np.uint8)
    return found


def rounded(value: Any) -> Any:
    """Return numbers with seven digits, to keep the files small."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value


def progress(all_cells: list[Cell], work: Path, results: Path) -> None:
    """Print how far each cell is."""
    for cell in all_cells:
        history = work / cell.name / "history.jsonl"
        done = (results / f"{cell.name}.npz").exists()
        records = read_history(history) if history.exists() else []
        last = records[-1] if records else {}
        test = last.get("test", {})
        state = "done" if done else f"epoch {len(records)}" if records else "-"
        line = f"{cell.name:32} {state:10}"
        if test:
            best = last.get("best_epoch", len(records))
            line += f" best {best:2}  test error {test['error']:.4f}  ECE {test['ece']:.4f}"
        print(line)


def main() -> None:
    """Train what is left of the grid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of sst/, 20newsgroups/, …")
    parser.add_argument("--work", type=Path, default=HERE / "runs", help="run folders, with checkpoints")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="what is kept of each cell")
    parser.add_argument("--only", default="", help="cells whose name begins with this")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--list", action="store_true", help="only say how far all cells are")
    args = parser.parse_args()
    grid = tomllib.loads((HERE / "grid.toml").read_text())
    chosen = [cell for cell in cells(grid) if cell.name.startswith(args.only)]
    if args.list:
        progress(chosen, args.work, args.results)
        return
    for cell in chosen:
        with locked(args.work / f"{cell.name}.lock") as free:
            if not free or (args.results / f"{cell.name}.npz").exists():
                continue
            begun = time.monotonic()
            run = train_cell(cell, grid, args.data, args.work, args.device)
            keep(cell, run, args.results)
            (run.path / "checkpoint.pt").unlink(missing_ok=True)
            print(f"{cell.name}: {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
