"""Checkpoints: all that an exact resume needs, in one file that is there whole or not at all."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from calkit.atomic import atomic_write
from calkit.errors import CalkitError, FileFormatError, UsageError
from calkit_torch.data.split import SPLITS
from calkit_torch.training.callbacks.base import Callback
from calkit_torch.training.recipe import Recipe
from calkit_torch.training.run_folder import check_same_recipe, plain
from calkit_torch.training.state import Best, TrainingState

__all__ = ["read_checkpoint", "restore", "snapshot", "write_checkpoint"]

_FORMAT = 1


def snapshot(state: TrainingState, callbacks: Sequence[Callback]) -> dict[str, Any]:
    """Return what :func:`restore` needs: tensors and plain values only.

    No state of a random generator is in it: the random numbers of a step depend on the seed and the step alone.
    """
    return {
        "format": _FORMAT,
        "recipe": state.recipe.to_dict(),
        "epoch": state.epoch,
        "batch": state.batch,
        "step": state.step,
        "sizes": _sizes(state),
        "model": state.model.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "scaler": state.scaler.state_dict() if state.scaler is not None else {},
        "loss": state.full_loss.state_dict(),
        "record": plain(state.record),
        "total_loss": state.total_loss,
        "n_labels": state.n_labels,
        "seconds": state.seconds,
        "stop": state.stop,
        "best": vars(state.best) if state.best is not None else None,
        "callbacks": {name: callback.state_dict() for name, callback in _named(callbacks)},
    }


def restore(state: TrainingState, callbacks: Sequence[Callback], found: Mapping[str, Any]) -> None:
    """Bring a run back to the moment of a snapshot.

    Raises
    ------
    FileFormatError
        If the weights in it are those of another network.
    UsageError
        If the data set has other sizes.
    """
    sizes = _sizes(state)
    if found.get("sizes", sizes) != sizes:
        raise UsageError(
            f"the run was trained on other data: its splits had {found['sizes']} samples, those of "
            f"{state.data.name} have {sizes}. Give it the same data, or train in another folder."
        )
    try:
        state.model.load_state_dict(found["model"])
        state.optimiser.load_state_dict(found["optimiser"])
        state.full_loss.load_state_dict(found["loss"])
        if state.scaler is not None:
            state.scaler.load_state_dict(found["scaler"])
        for key in ("epoch", "batch", "step", "record", "seconds", "stop"):
            setattr(state, key, found[key])
        state.total_loss = found["total_loss"].to(state.device)
        state.n_labels = found["n_labels"].to(state.device)
        state.best = Best(**found["best"]) if found["best"] is not None else None
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise FileFormatError(f"the checkpoint does not fit the network, the optimiser or the loss: {error}") from None
    for name, callback in _named(callbacks):
        if name in found["callbacks"]:
            callback.load_state_dict(found["callbacks"][name])
    state.changed()


def write_checkpoint(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint; the one that was there before stays until the new one is on the disk.

    Raises
    ------
    FileFormatError
        If the disk is full or cannot be written to.
    """
    path = Path(path)
    kept = "the checkpoint before it is untouched" if path.exists() else "there was none before it"
    try:
        with atomic_write(path, durable=True) as temporary:
            torch.save(dict(content), temporary)
    except CalkitError as error:
        raise FileFormatError(f"{error} ({kept}). Free some space and continue with --resume.") from None
    except RuntimeError as error:
        # torch reports a failed write in this way.
        raise FileFormatError(
            f"cannot write {path}: {str(error).splitlines()[0]} ({kept}). Free some space and continue with --resume."
        ) from None


def read_checkpoint(path: str | Path, recipe: Recipe | None = None) -> dict[str, Any] | None:
    """Read a checkpoint onto the CPU; nothing pickled is loaded but tensors and plain values.

    Parameters
    ----------
    path : str or Path
    recipe : Recipe, optional
        What it must be a checkpoint of.

    Returns
    -------
    dict or None
        None if there is no such file.

    Raises
    ------
    FileFormatError
        If the file is damaged or no checkpoint of a run.
    UsageError
        If it belongs to another recipe; the message names the keys that differ.
    """
    path = Path(path)
    if not path.exists():
        return None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileFormatError(f"the checkpoint {path} cannot be read: {reason}") from None
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise FileFormatError(f"{path} is not the checkpoint of a training run of this version of calkit.")
    if recipe is not None:
        check_same_recipe(Recipe.from_dict(found["recipe"]), recipe, path.parent)
    return found


def _sizes(state: TrainingState) -> dict[str, int]:
    """Return how many samples each split has."""
    return {split: len(state.data.split(split)) for split in SPLITS}


def _named(callbacks: Sequence[Callback]) -> list[tuple[str, Callback]]:
    """Return callbacks with the names of their classes, numbered where there are several of one."""
    words = [type(callback).__name__ for callback in callbacks]
    places = [words[: i + 1].count(word) for i, word in enumerate(words)]
    names = (word if place == 1 else f"{word}-{place}" for word, place in zip(words, places, strict=True))
    return list(zip(names, callbacks, strict=True))
