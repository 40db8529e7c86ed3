"""How far a command has come, shown on a terminal, and nowhere else, where it takes longer than two seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calkit.io import Progress, watch
from calkit.predictions import Predictions

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import ProgressColumn, TaskID

__all__ = ["computing", "shown", "watched"]

# Seconds after which something is shown.
_DELAY = 2.0

# Where a command keeps what is shown after its passes.
_AFTER = "calkit.after_passes"


@contextmanager
def shown(text: str) -> Iterator[None]:
    """Show a text and the seconds gone, while something lasts that cannot tell how far it is; it must print nothing.

    Parameters
    ----------
    text : str
        What is done: ``"reading logits.csv"``.
    """
    if not sys.stderr.isatty():
        yield
        return
    waiting = _Waiting(text)
    try:
        yield
    finally:
        waiting.stop()


@contextmanager
def computing(text: str) -> Iterator[None]:
    """Show a text and the seconds gone after each pass over rows, while something is computed of what was counted.

    Nothing may be printed in the block.

    Parameters
    ----------
    text : str
        What is computed: ``"intervals and floors"``.
    """
    meta = click.get_current_context().find_root().meta
    after = meta[_AFTER] = _After(text)
    try:
        yield
    finally:
        del meta[_AFTER]
        after.stop()


class _After:
    """Shows that something is computed, from the end of one pass to the beginning of the next."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._waiting: _Waiting | None = None

    def begin(self, name: str) -> None:
        """Begin to wait: a pass has ended."""
        self.stop()
        self._waiting = _Waiting(f"{name}: {self._text}")

    def stop(self) -> None:
        """End it: another pass begins, or all is done."""
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None


class _Waiting:
    """Appears by itself after a while, unless it is stopped before."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._bars: Bars | None = None
        self._lock = threading.Lock()
        self._stopped = False
        self.appeared = threading.Event()
        self._timer = threading.Timer(_DELAY, self._appear)
        self._timer.daemon = True
        self._timer.start()

    def _appear(self) -> None:
        from rich import progress as rich_progress

        with self._lock:
            if self._stopped:
                return
            columns = (
                rich_progress.SpinnerColumn(),
                rich_progress.TextColumn("{task.description}", markup=False),
                rich_progress.TimeElapsedColumn(),
            )
            self._bars = _bars(*columns)
            self._bars.add_task(self._text, total=None)
            self._bars.start()
            self.appeared.set()

    def stop(self) -> None:
        """Take the text away, or let it not appear."""
        self._timer.cancel()
        with self._lock:
            self._stopped = True
            if self._bars is not None:
                self._bars.stop()


def _bars(*columns: ProgressColumn) -> Bars:
    """Return what draws on the terminal; output goes where it always goes."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)


def watched(predictions: Predictions, name: str) -> Predictions:
    """Return predictions whose reading is shown, with rate and time left, if stderr is a terminal."""
    if not sys.stderr.isatty():
        return predictions
    context = click.get_current_context()
    passes = _Passes(Path(name).name, context.find_root().meta)
    context.call_on_close(passes.stop)
    return watch(predictions, passes)


class _Passes:
    """Draws a bar for each pass that takes long; it goes away when the pass, or the command, ends."""

    def __init__(self, name: str, meta: Mapping[str, Any]) -> None:
        self._name = name
        self._meta = meta
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._pass = 0
        self._begun = 0.0

    def __call__(self, progress: Progress) -> None:
        after: _After | None = self._meta.get(_AFTER)
        if after is not None:
            after.stop()
        if progress.n_passes != self._pass:
            self.stop()
            self._pass, self._begun = progress.n_passes, time.monotonic()
        if self._bars is None and time.monotonic() - self._begun >= _DELAY:
            self._start(progress)
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=progress.n_read)
        if progress.n_read >= progress.n_samples:
            self.stop()
            if after is not None:
                after.begin(self._name)

    def _start(self, progress: Progress) -> None:
        from rich import progress as rich_progress
        from rich.text import Text

        class Rate(rich_progress.ProgressColumn):
            """Rows a second; nothing before the first block."""

            def render(self, task: rich_progress.Task) -> Text:
                return Text("" if task.speed is None else f"{task.speed:,.0f} rows/s")

        columns = (
            rich_progress.TextColumn("{task.description}", markup=False),
            rich_progress.BarColumn(),
            rich_progress.TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows"),
            Rate(),
            rich_progress.TimeRemainingColumn(),
        )
        self._bars = _bars(*columns)
        self._task = self._bars.add_task(f"{self._name}, pass {progress.n_passes}", total=progress.n_samples)
        self._bars.start()

    def stop(self) -> None:
        """Take the bar away."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
