"""The folder of a run as training writes it: one writer at a time, and no file half-written."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from calkit._version import __version__
from calkit.atomic import atomic_write
from calkit.errors import FileFormatError, UsageError
from calkit.predictions import Predictions
from calkit.runs import is_run_folder, read_history
from calkit_torch.training.recipe import Recipe

if sys.platform != "win32":  # Windows has no flock; there only the file itself tells.
    import fcntl

__all__ = ["RunWriter", "check_free", "check_same_recipe", "plain", "write_splits"]


#: Splits whose arrays have another name.
_WORDS = {"validation": "val"}


class RunWriter:
    """Writes the folder of a run. Make one with :func:`RunWriter.opened`.

    Parameters
    ----------
    path : Path
        The folder.

    Attributes
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    @contextmanager
    def opened(cls, path: str | Path, recipe: Recipe, *, resume: bool = False) -> Iterator[RunWriter]:
        """Make the folder of a run, or go on with one, and keep it for this process.

        Parameters
        ----------
        path : str or Path
            A folder that does not exist or is empty; with ``resume``, one that holds a run of the same recipe, too.
        recipe : Recipe
        resume : bool
            Whether a run that is there is to be continued.

        Raises
        ------
        UsageError
            If another process is training there; if there is a run and ``resume`` is not asked for, or it has another
            recipe; if the folder holds other things.
        FileFormatError
            If the folder cannot be made.
        """
        folder = Path(path)
        check_free(folder, resume=resume)
        try:
            (folder / "logits").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileFormatError(f"cannot make the folder {folder}: {error.strerror}.") from None
        with _locked(folder):
            # Only now is it certain that no other process has begun here since.
            check_free(folder, resume=resume)
            if is_run_folder(folder):
                there = (folder / "recipe.toml").read_text(encoding="utf-8")
                check_same_recipe(Recipe.from_toml(there), recipe, folder)
            writer = cls(folder)
            writer._remove_leftovers()
            writer._write("recipe.toml", recipe.to_toml())
            yield writer

    @property
    def checkpoint_path(self) -> Path:
        """Where the checkpoint is."""
        return self.path / "checkpoint.pt"

    def logits_path(self, epoch: int | None = None) -> Path:
        """Return where logits are kept, of an epoch counted from 1 or of the final network."""
        return self.path / "logits" / ("final.npz" if epoch is None else f"epoch-{epoch:04d}.npz")

    def write_logits(self, splits: Mapping[str, Predictions], epoch: int | None = None) -> Path:
        """Keep logits and labels of splits, of an epoch counted from 1 or of the final network; return the file."""
        return write_splits(self.logits_path(epoch), splits)

    def write_versions(self, device: torch.device) -> None:
        """Say with which versions and on what the run was made."""
        found = {
            "calkit": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "machine": platform.machine(),
            "system": platform.system(),
            "threads": torch.get_num_threads(),
        }
        self._write("versions.json", json.dumps(found, indent=2) + "\n")

    def keep_history(self, epochs: int) -> None:
        """Leave out of the history what comes after some epochs: it will be made again."""
        path = self.path / "history.jsonl"
        records = read_history(path)[:epochs]
        if len(records) < epochs:
            raise FileFormatError(
                f"{path} holds {len(records)} epochs, but the checkpoint is of epoch {epochs}; the two do not belong "
                "together. Begin again in another folder."
            )
        self._write(path.name, "".join(_line(record) for record in records))

    def append_history(self, record: Mapping[str, Any]) -> None:
        """Add a line to the history."""
        path = self.path / "history.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(_line(record))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise FileFormatError(f"cannot write {path}: {error.strerror}.") from None

    def _write(self, name: str, text: str) -> None:
        with atomic_write(self.path / name, durable=True) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def _remove_leftovers(self) -> None:
        """Remove the temporary files of a process that was killed while it wrote."""
        for folder in (self.path, self.path / "logits"):
            for item in folder.glob(".*-*"):
                if item.is_file() and item.suffix in (".pt", ".npz", ".jsonl", ".json", ".toml"):
                    item.unlink(missing_ok=True)


def write_splits(path: Path, splits: Mapping[str, Predictions]) -> Path:
    """Write logits and labels of some splits to one ``.npz``, and return its path.

    The arrays are named ``val_logits``, ``val_labels``, ``test_logits`` and so on, beside ``class_names``.
    """
    arrays = {}
    for split, predictions in splits.items():
        word = _WORDS.get(split, split)
        arrays[f"{word}_logits"] = np.asarray(predictions.scores)
        arrays[f"{word}_labels"] = np.asarray(predictions.named_labels)
        if predictions.class_names is not None:
            arrays["class_names"] = np.asarray(list(predictions.class_names), dtype=np.str_)
    with atomic_write(path, durable=True) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]
    return path


def check_same_recipe(there: Recipe, given: Recipe, folder: Path) -> None:
    """Refuse to go on with a run of another recipe.

    Raises
    ------
    UsageError
        Names the keys that differ, with both values.
    """
    keys = there.differences(given)
    if keys:
        which = "; ".join(f"{key} = {getattr(there, key)!r} there, {getattr(given, key)!r} here" for key in keys)
        raise UsageError(
            f"{folder} holds a run of another recipe: {which}. Resume it without these, or train in another folder."
        )


def plain(value: Any) -> Any:
    """Return numbers of NumPy and torch as those of Python, tuples as lists, and paths as text.

    Examples
    --------
    >>> plain({"ece": np.float64(0.25), "n": (np.int64(3), None)})
    {'ece': 0.25, 'n': [3, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().tolist()
    return str(value) if isinstance(value, Path) else value


def _line(record: Mapping[str, Any]) -> str:
    # JSON knows no NaN and no infinity.
    return json.dumps(_finite(plain(record)), allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check_free(folder: Path, *, resume: bool) -> None:
    """Refuse a folder in which no run can begin, or, with ``resume``, go on.

    Raises
    ------
    UsageError
        If it holds a run that is not to be resumed, or other things.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder for the run (--out DIR).")
    if is_run_folder(folder):
        if not resume:
            raise UsageError(
                f"{folder} holds a run already; continue it with --resume (resume=True), or name another folder "
                "(--out DIR)."
            )
    elif folder.is_dir() and any(
        item.name not in ("lock", "logits") and not item.name.startswith(".") for item in folder.iterdir()
    ):
        raise UsageError(f"{folder} holds files, but no run; name a new folder (--out DIR).")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep the folder for this process. The operating system ends the lock with the process, however that ends."""
    path = folder / "lock"
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise FileFormatError(f"cannot write {path}: {error.strerror}.") from None
    with file:
        _lock(file, folder)
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()} on {platform.node()}\n")
        file.flush()
        yield


def _lock(file: IO[str], folder: Path) -> None:
    if sys.platform == "win32":  # pragma: no cover
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        who = file.read().strip() or "unknown"
        raise UsageError(
            f"another process is training in {folder} (process {who}); wait for it, or name another folder (--out DIR)."
        ) from None
    except OSError:
        # A file system without locks: what is left is that a run that is there must be resumed on purpose.
        return
