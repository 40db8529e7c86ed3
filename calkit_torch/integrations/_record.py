"""What all callbacks do with predictions: compute metrics, fit a calibrator at the end, write both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calkit.atomic import atomic_write
from calkit.calibrators import Calibrator, get_calibrator, save_calibrator
from calkit.errors import UsageError
from calkit.evaluation import Evaluation, choose_metrics, evaluate
from calkit.metrics import Metric
from calkit.predictions import Predictions
from calkit.shards import Layout

__all__ = ["DEFAULT_METRICS", "CalibrationRecord"]

#: What callbacks log unless told otherwise.
DEFAULT_METRICS = ("ece", "adaece", "nll", "s99")


class CalibrationRecord:
    """The latest predictions of each split, and what follows from them.

    Parameters
    ----------
    folder : str or Path, optional
        Where :meth:`finish` writes ``logits.npz`` and ``calibrator.json``; made if it is not there. None: nowhere.
    metrics : iterable of str or Metric
        What to compute of each split.
    calibrator : str
        What is fitted at the end, on the validation split: ``"temperature"``, ``"temperature:objective=ece"``.
    class_names : sequence of str, optional
        A name per class, kept with the logits.

    Attributes
    ----------
    predictions : dict
        The latest predictions of each split: "val", "test", ….
    calibrator : Calibrator or None
        The fitted calibrator, once there is one.

    Raises
    ------
    NotFoundError, UsageError, InputError
        If a metric or the calibrator is unknown.

    Examples
    --------
    >>> from calkit.datasets import load_digits_logits
    >>> record = CalibrationRecord()
    >>> validation = load_digits_logits("validation")
    >>> round(record.measure(validation)["ece"], 4)
    0.1118
    >>> record.keep("val", validation)
    >>> record.finish()
    >>> round(record.calibrator.temperature_, 3)
    2.515
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        metrics: Iterable[str | Metric] = DEFAULT_METRICS,
        calibrator: str = "temperature",
        class_names: Sequence[str] | None = None,
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.metrics = choose_metrics(metrics, Layout("logits", None, None))
        self.class_names = class_names
        self.predictions: dict[str, Predictions] = {}
        self.calibrator: Calibrator | None = None
        self._spec = calibrator
        get_calibrator(calibrator)  # a typo is reported now, not after the training

    def measure(self, predictions: Predictions) -> Evaluation:
        """Return the metrics of some predictions."""
        return evaluate(predictions, self.metrics)

    def keep(self, split: str, predictions: Predictions) -> None:
        """Keep the predictions of a split, in place of earlier ones."""
        self.predictions[split] = predictions

    def finish(self, *, write: bool = True) -> None:
        """Fit the calibrator on the validation split, and write what there is.

        Parameters
        ----------
        write : bool, default=True
            False on all ranks but one.

        Raises
        ------
        UsageError
            If there are no predictions yet.
        """
        if not self.predictions:
            raise UsageError(
                "there are no predictions yet: let the trainer validate (or test) with this callback first."
            )
        if "val" in self.predictions:
            self.calibrator = get_calibrator(self._spec).fit_predictions(self.predictions["val"])
        if write and self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write_logits(self.folder / "logits.npz")
            if self.calibrator is not None:
                save_calibrator(self.calibrator, self.folder / "calibrator.json")

    def _write_logits(self, path: Path) -> None:
        arrays: dict[str, Any] = {}
        for split, found in self.predictions.items():
            labels = found.named_labels if found.votes is None else found.votes
            arrays |= {f"{split}_logits": found.scores, f"{split}_labels": labels}
        if self.class_names is not None:
            arrays["class_names"] = np.array([str(name) for name in self.class_names])
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
