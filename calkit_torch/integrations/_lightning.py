"""The hooks of the Lightning callback, the same for both packages Lightning is published as."""

# ruff: noqa: ARG002 (hooks are called with all of these)

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from calkit.calibrators import Calibrator
from calkit.errors import UsageError
from calkit.metrics import Metric
from calkit.predictions import Predictions
from calkit_torch.bridge.distributed import Share, real_samples
from calkit_torch.integrations._record import DEFAULT_METRICS, CalibrationRecord
from calkit_torch.integrations._rows import RowCollector

__all__ = ["LightningHooks"]

Output = Callable[[Any, Any], tuple[Tensor, Tensor]]


class LightningHooks:
    """Log calibration while a Lightning Trainer validates and tests; fit a temperature and save logits at the end.

    At the end of each validation epoch ``val_ece``, ``val_adaece``, ``val_nll`` and ``val_s99`` are logged (for the
    test ``test_ece``, …), so that ModelCheckpoint and EarlyStopping can monitor them. When ``fit`` ends, and after each
    ``trainer.validate`` or ``trainer.test``, a calibrator is fitted on the latest validation logits, and written with
    all logits.

    Parameters
    ----------
    folder : str or Path, optional
        Where ``logits.npz`` (for ``calkit evaluate``) and ``calibrator.json`` are written; by default nowhere.
    metrics : iterable of str or Metric
        What to log: any metrics of calkit.
    output : callable, optional
        Takes what ``validation_step`` returned and the batch, returns logits and labels. By default the step returns a
        mapping with ``"logits"`` and ``"labels"`` (beside ``"loss"``, if there is one).
    calibrator : str, default="temperature"
        What is fitted: ``"temperature"``, ``"temperature:objective=ece"``.
    class_names : sequence of str, optional
        A name per class, kept with the logits.
    ignore_index : int, default=-100
        Label of rows that do not count.

    Attributes
    ----------
    predictions : dict
        The latest predictions of each split: ``"val"``, ``"test"``; of further loaders ``"val_1"``, ….
    calibrator : Calibrator or None
        The fitted calibrator, once there is one.

    Raises
    ------
    NotFoundError, UsageError, InputError
        If a metric or the calibrator is unknown.

    Notes
    -----
    On several ranks, the rows of all of them are put together, those of rank 0 first; what DistributedSampler repeats
    is left out. The checks before training (``num_sanity_val_steps``) are not logged. Logits are kept on the host: 40
    bytes a row for ten classes.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        metrics: Iterable[str | Metric] = DEFAULT_METRICS,
        output: Output | None = None,
        calibrator: str = "temperature",
        class_names: Sequence[str] | None = None,
        ignore_index: int = -100,
    ) -> None:
        super().__init__()
        self.output = output
        self.ignore_index = ignore_index
        self._record = CalibrationRecord(folder, metrics=metrics, calibrator=calibrator, class_names=class_names)
        self._rows: dict[int, RowCollector] = {}
        self._shares: dict[int, Iterator[Share]] = {}

    @property
    def predictions(self) -> dict[str, Predictions]:
        """The latest predictions of each split."""
        return self._record.predictions

    @property
    def calibrator(self) -> Calibrator | None:
        """The fitted calibrator, once there is one."""
        return self._record.calibrator

    def on_validation_epoch_start(self, *_: Any) -> None:
        """Forget the rows of the epoch before."""
        self._start()

    def on_test_epoch_start(self, *_: Any) -> None:
        """Forget the rows of the epoch before."""
        self._start()

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Collect the logits of a batch."""
        if not trainer.sanity_checking:
            self._collect("validation_step", trainer.val_dataloaders, outputs, batch, dataloader_idx)

    def on_test_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Collect the logits of a batch."""
        self._collect("test_step", trainer.test_dataloaders, outputs, batch, dataloader_idx)

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Log the metrics; when only validation was asked for, fit and write as well."""
        self._log("val", pl_module)
        if not trainer.sanity_checking and str(trainer.state.fn) != "fit":
            self._finish(trainer)

    def on_test_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Log the metrics, and write."""
        self._log("test", pl_module)
        self._finish(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Fit the calibrator and write."""
        self._finish(trainer)

    def _start(self) -> None:
        self._rows, self._shares = {}, {}

    def _collect(self, step: str, loaders: Any, outputs: Any, batch: Any, index: int) -> None:
        if index not in self._rows:
            self._rows[index] = RowCollector(self.ignore_index)
            self._shares[index] = real_samples(loaders[index] if isinstance(loaders, list | tuple) else loaders)
        logits, y = _logits_and_labels(outputs, step) if self.output is None else self.output(outputs, batch)
        self._rows[index].add(logits, y, next(self._shares[index]))

    def _log(self, split: str, pl_module: Any) -> None:
        for index, rows in sorted(self._rows.items()):
            name = f"{split}_{index}" if index else split
            predictions = rows.predictions(pl_module.device, self._record.class_names)
            self._record.keep(name, predictions)
            values = {f"{name}_{spec}": value for spec, value in self._record.measure(predictions).items()}
            # All ranks have the same values; averaging them keeps Lightning from warning that they may differ.
            pl_module.log_dict(values, sync_dist=True, add_dataloader_idx=False)
        self._start()

    def _finish(self, trainer: Any) -> None:
        if self.predictions:
            self._record.finish(write=trainer.is_global_zero)


def _logits_and_labels(outputs: Any, step: str) -> tuple[Tensor, Tensor]:
    if isinstance(outputs, Mapping) and "logits" in outputs and "labels" in outputs:
        return outputs["logits"], outputs["labels"]
    found = f"a mapping with {', '.join(map(str, outputs))}" if isinstance(outputs, Mapping) else type(outputs).__name__
    where = "outputs" if isinstance(outputs, tuple | list) and len(outputs) == 2 else "(outputs['scores'], batch[1])"
    raise UsageError(
        f"{step} must return {{'logits': ..., 'labels': ...}}, but returned {found}. Or say where they are: "
        f"CalibrationCallback(output=lambda outputs, batch: {where})."
    )
