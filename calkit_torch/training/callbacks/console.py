"""Progress on a terminal, and a line an epoch in a log."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console as Terminal
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from calkit.metrics import get_metric
from calkit_torch.training.callbacks.base import Callback

if TYPE_CHECKING:
    from calkit_torch.training.state import TrainingState

__all__ = ["Console"]

_SHOWN = ("error", "ece")
_BAR = 24
_SECONDS_BETWEEN = 0.1
_CLEAR = Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2))


class Console(Callback):
    """Show on standard error how far training is and when it will end, and a line for each epoch.

    Where standard error is no terminal there are the lines of the epochs only. Ranks other than 0 show nothing.

    Parameters
    ----------
    terminal : rich.console.Console, optional
        Where to draw; by default standard error.

    Notes
    -----
    An epoch's line shows error and ECE of the validation set if a callback before this one in the list has measured
    them. The line of progress is drawn over itself and keeps no thread and no hidden cursor, so an error needs no
    cleaning up.
    """

    def __init__(self, terminal: Terminal | None = None) -> None:
        self.terminal = Terminal(stderr=True) if terminal is None else terminal
        self._begun = self._drawn = 0.0
        self._first_step = 0

    def on_start(self, state: TrainingState) -> None:
        """Start the clock."""
        self._begun, self._first_step = time.monotonic(), state.step
        if state.is_main and state.step:
            at = f"resumed in epoch {state.epoch + 1} after {state.step} batches"
            ended = state.epoch >= state.recipe.epochs
            self._print(Text("all epochs are done already" if ended else at, "dim"))

    def on_batch_end(self, state: TrainingState) -> None:
        """Draw the line of progress, ten times a second at most."""
        now = time.monotonic()
        if state.is_main and self.terminal.is_terminal and now - self._drawn >= _SECONDS_BETWEEN:
            self._drawn = now
            self.terminal.control(_CLEAR)
            self.terminal.print(self._progress(state, now - self._begun), end="", no_wrap=True, overflow="crop")

    def on_epoch_end(self, state: TrainingState) -> None:
        """Print the line of the epoch."""
        if state.is_main:
            self._print(_epoch_line(state))

    def on_end(self, state: TrainingState) -> None:
        """Say how long it took, and why it stopped if before the last epoch."""
        if state.is_main:
            why = f"stopped: {state.stop}; " if state.stop else ""
            where = "" if state.run is None else f"; {state.run.path}"
            self._print(Text(f"{why}{_clock(time.monotonic() - self._begun)} in all{where}"))

    def _print(self, line: Text) -> None:
        if self.terminal.is_terminal:
            self.terminal.control(_CLEAR)
        self.terminal.print(line, soft_wrap=True)

    def _progress(self, state: TrainingState, elapsed: float) -> Text:
        total = state.recipe.epochs * state.n_batches
        steps = max(state.step - self._first_step, 1)
        left = (total - state.step) * elapsed / steps
        filled = round(_BAR * state.step / total)
        return Text.assemble(
            f"epoch {state.epoch + 1}/{state.recipe.epochs} ",
            ("━" * filled, "green"),
            ("━" * (_BAR - filled), "dim"),
            f" {state.step / total:4.0%}  {_clock(left)} left  {steps / max(elapsed, 1e-9):.1f} batches/s",
        )


def _epoch_line(state: TrainingState) -> Text:
    record, epochs = state.record, state.recipe.epochs
    parts = [f"epoch {state.epoch + 1:>{len(str(epochs))}}/{epochs}"]
    if isinstance(record.get("train_loss"), float):
        parts.append(f"loss {record['train_loss']:.4f}")
    parts += _validation(record.get("validation", {}))
    if isinstance(record.get("seconds"), float):
        parts.append(f"{record['seconds']:.1f} s")
    return Text("  ".join(parts))


def _validation(found: Mapping[str, Any]) -> list[str]:
    """Return what is shown of the validation set, as far as it was measured."""
    metrics = [get_metric(name) for name in _SHOWN if isinstance(found.get(name), float)]
    values = [f"{m.title} {m.format(found[m.name])} %" for m in metrics if not math.isnan(found[m.name])]
    return ["validation: " + ", ".join(values)] if values else []


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
