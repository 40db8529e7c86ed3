"""Folders that training leaves behind, read without torch: the recipe, the history, the logits."""

from __future__ import annotations

import json
import re
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any

from calkit.errors import FileFormatError
from calkit.registry import unknown_name

__all__ = ["RunFolder", "is_run_folder", "read_history"]

_EPOCH = re.compile(r"epoch-(\d+)\.npz$")


def is_run_folder(path: str | Path) -> bool:
    """Return whether a path is the folder of a training run: one that holds ``recipe.toml``.

    Examples
    --------
    >>> is_run_folder("no/such/folder")
    False
    """
    return (Path(path) / "recipe.toml").is_file()


class RunFolder:
    r"""The folder of a training run.

    It holds ``recipe.toml`` (what was trained and how), ``history.jsonl`` (a line an epoch), ``versions.json``,
    ``logits/*.npz`` and ``checkpoint.pt``, which only ``calkit_torch`` reads.

    Parameters
    ----------
    path : str or Path
        The folder that ``calkit train --out`` wrote.

    Attributes
    ----------
    path : Path

    Raises
    ------
    FileFormatError
        If there is no such folder, or it holds no recipe.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "recipe.toml").write_text('dataset = "digits"\nmodel = "mlp"\nloss = "FLA-53"\n')
    ...     _ = (Path(folder) / "history.jsonl").write_text('{"epoch": 1, "train_loss": 0.5}\n')
    ...     run = RunFolder(folder)
    ...     run.label, run.history
    ('digits mlp FLA-53', [{'epoch': 1, 'train_loss': 0.5}])
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise FileFormatError(f"{path} is no folder. Name one that 'calkit train --out' wrote.")
        if not is_run_folder(self.path):
            raise FileFormatError(f"{path} is not the folder of a training run: it holds no recipe.toml.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.path.resolve().name

    @property
    def label(self) -> str:
        """Data set, model and loss, for titles: ``"cifar10 resnet50 FLA-53"``."""
        return " ".join(str(self.recipe[key]) for key in ("dataset", "model", "loss") if key in self.recipe)

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """What was trained and how, as ``recipe.toml`` says.

        Raises
        ------
        FileFormatError
            If the file cannot be read.
        """
        path = self.path / "recipe.toml"
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise FileFormatError(f"{path} cannot be read: {error}.") from None

    @property
    def history(self) -> list[dict[str, Any]]:
        """A mapping for each epoch so far, the first first; empty before the first has ended.

        Raises
        ------
        FileFormatError
            If a line is damaged.
        """
        return read_history(self.path / "history.jsonl")

    @property
    def logits_epochs(self) -> list[int]:
        """The epochs, counted from 1, whose logits were kept."""
        found = (_EPOCH.match(item.name) for item in (self.path / "logits").glob("epoch-*.npz"))
        return sorted(int(match.group(1)) for match in found if match)

    def logits(self, epoch: int | None = None) -> Path:
        """Return the file of logits of an epoch, counted from 1; by default of the final network.

        It holds ``val_logits``, ``val_labels``, ``test_logits``, ``test_labels`` and ``class_names``.

        Raises
        ------
        FileFormatError
            If the run has not ended yet, so that there is no final network.
        NotFoundError
            If the logits of that epoch were not kept; the message lists those there are.
        """
        if epoch is not None:
            epochs = self.logits_epochs
            if epoch not in epochs:
                raise unknown_name("epoch", str(epoch), map(str, epochs), of=self.path / "logits")
            return next(p for p in (self.path / "logits").glob("epoch-*.npz") if _number(p) == epoch)
        path = self.path / "logits" / "final.npz"
        if not path.is_file():
            raise FileFormatError(f"{path} does not exist: the run has not ended ({self._so_far()}")
        return path

    def _so_far(self) -> str:
        """Return what a run that has not ended has, and what can be done with it."""
        done, kept = len(self.history), self.logits_epochs
        words = [f"{done} epoch{'' if done == 1 else 's'} done)."]
        if kept:
            words.append(f"Logits of epoch {kept[-1]}: {self.logits(kept[-1])}.")
        if done:
            words.append(f"Its history so far: calkit plot {self.path} --history.")
        words.append(f"Unless it is running, continue it: calkit train --resume --out {self.path}")
        return " ".join(words)


def read_history(path: str | Path) -> list[dict[str, Any]]:
    """Return the records of a ``history.jsonl``: a JSON object a line; a last line that was cut off is left out.

    Raises
    ------
    FileFormatError
        If any other line is damaged.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} cannot be read: {error}.") from None
    records = []
    # A line counts once its end is there: the last may have been cut off by a crash, or be half written right now.
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise FileFormatError(
                f"{path}, line {number}, is damaged: {error.msg} (column {error.colno}). Correct the line or delete it."
            ) from None
        if not isinstance(record, dict):
            raise FileFormatError(
                f"{path}, line {number}, is damaged: a JSON object is wanted. Correct it or delete it."
            )
        records.append(record)
    return records


def _number(path: Path) -> int:
    match = _EPOCH.match(path.name)
    return int(match.group(1)) if match else -1
