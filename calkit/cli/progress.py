"""How far a pass over a long file has come, shown on a terminal and nowhere else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from calkit.io import Progress, watch
from calkit.predictions import Predictions

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

__all__ = ["watched"]

# Number of scores from which a pass takes long enough to be watched.
_LONG = 50_000_000


def watched(predictions: Predictions, name: str) -> Predictions:
    """Return predictions whose reading is shown, with rate and time left, if they are long and stderr is a terminal."""
    scores = predictions.n_samples * (predictions.n_classes or 1)
    if scores < _LONG or not sys.stderr.isatty():
        return predictions
    shown = _Shown(Path(name).name)
    click.get_current_context().call_on_close(shown.stop)
    return watch(predictions, shown)


class _Shown:
    """Draws a bar for each pass; it goes away when the pass, or the command, ends."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._pass = 0

    def __call__(self, progress: Progress) -> None:
        if progress.n_passes != self._pass:
            self.stop()
            self._pass = progress.n_passes
            self._start(progress)
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=progress.n_read)
        if progress.n_read >= progress.n_samples:
            self.stop()

    def _start(self, progress: Progress) -> None:
        from rich import progress as rich_progress
        from rich.console import Console
        from rich.text import Text

        class Rate(rich_progress.ProgressColumn):
            """Rows a second; nothing before the first block."""

            def render(self, task: rich_progress.Task) -> Text:
                return Text("" if task.speed is None else f"{task.speed:,.0f} rows/s")

        columns = (
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows"),
            Rate(),
            rich_progress.TimeRemainingColumn(),
        )
        self._bars = rich_progress.Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bars.add_task(f"{self._name}, pass {progress.n_passes}", total=progress.n_samples)
        self._bars.start()

    def stop(self) -> None:
        """Take the bar away."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
