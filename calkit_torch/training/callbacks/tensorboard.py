"""The history as TensorBoard shows it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calkit.errors import MissingDependencyError, UsageError
from calkit_torch.training.callbacks.base import Callback

if TYPE_CHECKING:
    from calkit_torch.training.state import TrainingState

__all__ = ["TensorBoard"]

_EPOCH = "epoch"
_HISTOGRAM = "gradient_norms"


class TensorBoard(Callback):
    """Write all numbers of each epoch's record for TensorBoard, by names such as ``validation/ece``.

    It shows what callbacks before it in the list have measured. A histogram of gradient norms is written as such.

    Parameters
    ----------
    folder : str or Path, optional
        Where to write; by default ``tensorboard`` in the run folder.

    Raises
    ------
    MissingDependencyError
        If the package tensorboard is not installed.
    UsageError
        On the start of training, if there is neither a folder nor a run folder.

    Notes
    -----
    A run that is resumed goes on in the same curves.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingDependencyError(
                "the callback TensorBoard needs tensorboard: pip install 'calkit-calibration[tensorboard]'."
            ) from error
        self.folder = None if folder is None else Path(folder)
        self._make_writer = SummaryWriter
        self._writer: Any = None

    def on_start(self, state: TrainingState) -> None:
        """Open the file; what an interrupted run has written of epochs to come is hidden."""
        if not state.is_main:
            return
        if self.folder is None and state.run is None:
            raise UsageError("TensorBoard needs a folder when there is no run folder: TensorBoard('logs').")
        folder = self.folder if self.folder is not None else state.run.path / "tensorboard"  # type: ignore[union-attr]
        self._writer = self._make_writer(str(folder), purge_step=state.epoch + 1)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Write the numbers of the epoch."""
        if self._writer is None:
            return
        step = state.epoch + 1
        for name, value in _numbers(state.record):
            self._writer.add_scalar(name, value, step)
        if _HISTOGRAM in state.record:
            self._add_histogram(state.record[_HISTOGRAM], step)
        self._writer.flush()

    def on_end(self, state: TrainingState) -> None:  # noqa: ARG002 (a hook)
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _add_histogram(self, found: Mapping[str, Any], step: int) -> None:
        edges, counts = np.array(found["edges"]), np.array(found["counts"])
        centres = (edges[:-1] + edges[1:]) / 2
        self._writer.add_histogram_raw(
            _HISTOGRAM,
            min=edges[0],
            max=edges[-1],
            num=int(counts.sum()),
            sum=found["mean"] * counts.sum(),
            sum_squares=(counts * centres**2).sum(),
            bucket_limits=edges[1:].tolist(),
            bucket_counts=counts.tolist(),
            global_step=step,
        )


def _numbers(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield all finite numbers of a record, under the names of the mappings that hold them."""
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and key != _EPOCH:
            yield prefix + key, value
