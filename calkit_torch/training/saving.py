"""When checkpoints are written, and what is looked at before."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from calkit.errors import InputError
from calkit.parameters import check_count
from calkit_torch.training.callbacks.base import Callback
from calkit_torch.training.checkpoint import snapshot, write_checkpoint
from calkit_torch.training.interruption import Interruption
from calkit_torch.training.state import DivergedError, TrainingInterrupted, TrainingState

__all__ = ["Saver"]

#: Batches between two looks at a loss that is on another device, or at the other ranks: a look waits for them.
_STRIDE = 20


class Saver:
    """Looks after each batch and each epoch whether all is well, and writes the checkpoints.

    Parameters
    ----------
    state : TrainingState
    callbacks : sequence of Callback
    folder : Path
        The run folder, for messages.
    every_batches, every_seconds : optional
        How often to write inside an epoch.
    every_epochs : int
        How often to write at the end of one.

    Attributes
    ----------
    interruption : Interruption
        Tells whether somebody wants training to end.

    Raises
    ------
    InputError
        If one of the periods is not positive.
    """

    def __init__(
        self,
        state: TrainingState,
        callbacks: Sequence[Callback],
        folder: Path,
        every_batches: int | None,
        every_seconds: float | None,
        every_epochs: int = 1,
    ) -> None:
        check_count(1, checkpoint_epochs=every_epochs)
        for name, value in (("checkpoint_batches", every_batches), ("checkpoint_seconds", every_seconds)):
            if value is not None and not value > 0:
                raise InputError(f"{name} must be positive, but is {value!r}; leave it out for none inside an epoch.")
        self.state = state
        self.callbacks = callbacks
        self.folder = folder
        self.interruption = Interruption()
        self.every_batches = every_batches
        self.every_seconds = every_seconds
        self.every_epochs = every_epochs
        self._n_batches = state.n_batches
        self._stride = 1 if state.device.type == "cpu" and state.world_size == 1 else _STRIDE
        self._written = time.monotonic()

    def after_batch(self) -> None:
        """Look at the loss now and then, write a checkpoint where one is due, and leave if that is wanted."""
        state = self.state
        if state.batch == self._n_batches:
            # The end of the epoch is at hand, with a checkpoint of its own.
            self._check()
            return
        wanted = False
        if state.batch % self._stride == 0:
            self._check_loss()
            wanted = state.processes.any(self.interruption.wanted)
        if wanted or self._is_due():
            self._write()
        if wanted:
            self._leave()

    def after_epoch(self) -> None:
        """Write the checkpoint of the epoch, if one is due, and leave if that is wanted."""
        state = self.state
        wanted = state.processes.any(self.interruption.wanted)
        last = state.epoch == state.recipe.epochs or state.stop is not None
        if wanted or last or state.epoch % self.every_epochs == 0:
            self._write()
        if wanted:
            self._leave()

    def _is_due(self) -> bool:
        if not self.state.is_main:
            return False
        if self.every_batches is not None and self.state.batch % self.every_batches == 0:
            return True
        return self.every_seconds is not None and time.monotonic() - self._written > self.every_seconds

    def _write(self) -> None:
        if self.state.run is None:
            return
        self._check()
        write_checkpoint(self.state.run.checkpoint_path, snapshot(self.state, self.callbacks))
        self._written = time.monotonic()

    def _check_loss(self) -> None:
        if not bool(torch.isfinite(self.state.total_loss)):
            loss = "nan" if self.state.batch_loss is None else f"{float(self.state.batch_loss):g}"
            raise self._diverged(f"the loss became {loss}")

    def _check(self) -> None:
        self._check_loss()
        floats = [p.detach() for p in self.state.model.state_dict().values() if p.is_floating_point()]
        if not bool(torch.stack([p.isfinite().all() for p in floats]).all()):
            raise self._diverged("a weight is no longer finite")

    def _diverged(self, what: str) -> DivergedError:
        state = self.state
        kept = (self.folder / "checkpoint.pt").exists()
        row = _first_not_finite(state.data.train.inputs)
        remedy = (
            "Lower the learning rate (--lr) or clip the gradient (clip_norm), in another folder. "
            if row is None
            else f"The training inputs hold NaN or infinity, first in row {row} (counted from 0): correct them. "
        )
        return DivergedError(
            f"{what} in epoch {state.epoch + 1}, batch {state.batch}, at a learning rate of {state.learning_rate:g}. "
            f"{remedy}"
            + (f"The last good checkpoint is still in {self.folder}." if kept else "There is no checkpoint yet.")
        )

    def _leave(self) -> None:
        state = self.state
        state.processes.barrier()
        where = f"before epoch {state.epoch + 1}" if state.epoch < state.recipe.epochs else "before the final logits"
        if state.batch:
            where = f"in epoch {state.epoch + 1}, after {state.batch} of {self._n_batches} batches"
        raise TrainingInterrupted(
            f"stopped {where}; nothing is lost. Continue with: calkit train --resume --out {self.folder}"
        )


def _first_not_finite(inputs: Any) -> int | None:
    """Return the first row of inputs that are a tensor of floats which holds NaN or infinity."""
    if not (isinstance(inputs, Tensor) and inputs.is_floating_point()):
        return None
    wrong = ~inputs.isfinite().flatten(1).all(dim=1) if inputs.ndim > 1 else ~inputs.isfinite()
    return int(wrong.nonzero()[0]) if bool(wrong.any()) else None
