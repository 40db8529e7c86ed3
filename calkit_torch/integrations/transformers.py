"""The callback for the Trainer of Hugging Face's transformers.

>>> from calkit_torch.integrations.transformers import CalibrationCallback
>>> calibration = CalibrationCallback(metrics=["ece", "nll"])
>>> # Trainer(..., compute_metrics=calibration.compute_metrics, callbacks=[calibration])
"""

# ruff: noqa: ARG002 (hooks are called with all of these)

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.arrays import to_numpy
from calkit.calibrators import Calibrator
from calkit.errors import CalibrationWarning, InputError, MissingDependencyError, UsageError
from calkit.labels import TrueColumns
from calkit.metrics import Metric
from calkit.predictions import Predictions
from calkit_torch.integrations._record import DEFAULT_METRICS, CalibrationRecord

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise MissingDependencyError(
        "this callback needs transformers and accelerate: pip install 'calkit-calibration[transformers]'."
    ) from error

__all__ = ["CalibrationCallback"]

_Pair = tuple[NDArray[Any], NDArray[Any]]


class CalibrationCallback(TrainerCallback):  # type: ignore[misc]
    """Log calibration while a Hugging Face Trainer evaluates; fit a temperature and save logits at the end.

    A callback is not shown the logits; the function given as ``compute_metrics`` is. So the object goes into both
    places::

        calibration = CalibrationCallback("run")
        trainer = Trainer(..., compute_metrics=calibration.compute_metrics, callbacks=[calibration])

    Each evaluation logs ``eval_ece``, ``eval_adaece``, ``eval_nll`` and ``eval_s99``, which
    ``metric_for_best_model`` may name. When training ends, and after each ``trainer.evaluate`` or
    ``trainer.predict`` outside it, a calibrator is fitted on the latest validation logits, and written with all logits.

    Parameters
    ----------
    folder : str or Path, optional
        Where ``logits.npz`` (for ``calkit evaluate``) and ``calibrator.json`` are written; by default nowhere.
    metrics : iterable of str or Metric
        What to log: any metrics of calkit.
    output : callable, optional
        Takes the predictions of the Trainer and returns the logits, e.g. ``lambda found: found[0]`` where the model
        gives more than those. By default the predictions are the logits.
    compute_metrics : callable, optional
        A function of your own, as Trainer takes it; what it returns is logged as well.
    validation : str, default="eval"
        The prefix of the evaluation the calibrator is fitted on; ``"eval_NAME"`` if ``eval_dataset`` is a dictionary.
    calibrator : str, default="temperature"
        What is fitted: ``"temperature"``, ``"temperature:objective=ece"``.
    class_names : sequence of str, optional
        A name per class, kept with the logits.
    ignore_index : int, default=-100
        Label of rows that do not count.

    Attributes
    ----------
    predictions : dict
        The latest predictions of each split: ``"val"`` (of `validation`), ``"test"`` (of ``trainer.predict``); those
        of others by their prefix.
    calibrator : Calibrator or None
        The fitted calibrator, once there is one.

    Raises
    ------
    NotFoundError, UsageError, InputError
        If a metric or the calibrator is unknown.

    Notes
    -----
    Logits have the classes in their last axis: (n, K), or (n, length, K) for labels of tokens, each of which is a row.
    Half precision is widened to float32.
    With ``load_best_model_at_end`` the calibrator is fitted on the logits of the best model. Trainer itself gathers the
    logits of all processes.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        metrics: Iterable[str | Metric] = DEFAULT_METRICS,
        output: Callable[[Any], Any] | None = None,
        compute_metrics: Callable[[Any], Mapping[str, float]] | None = None,
        validation: str = "eval",
        calibrator: str = "temperature",
        class_names: Sequence[str] | None = None,
        ignore_index: int = -100,
    ) -> None:
        self.output = output
        self.validation = validation
        self.ignore_index = ignore_index
        self._others = compute_metrics
        self._record = CalibrationRecord(folder, metrics=metrics, calibrator=calibrator, class_names=class_names)
        self._batches: list[_Pair] = []
        self._latest: Predictions | None = None
        self._training = False
        # Validation logits of the latest step, and of the best so far.
        self._by_step: dict[int, Predictions] = {}

    @property
    def predictions(self) -> dict[str, Predictions]:
        """The latest predictions of each split."""
        return self._record.predictions

    @property
    def calibrator(self) -> Calibrator | None:
        """The fitted calibrator, once there is one."""
        return self._record.calibrator

    def compute_metrics(self, found: Any, compute_result: bool = True) -> dict[str, float]:
        """Return the metrics of an evaluation; Trainer calls this.

        Parameters
        ----------
        found : transformers.EvalPrediction
            Logits and labels of all samples; of one batch, with ``batch_eval_metrics``.
        compute_result : bool
            False for all batches but the last, with ``batch_eval_metrics``.

        Returns
        -------
        dict
            From spec to value; empty for all batches but the last.

        Raises
        ------
        UsageError
            If the predictions are no array of logits, or `compute_metrics` of your own is to see single batches.
        InputError
            If logits and labels do not fit each other.
        """
        self._batches.append(self._rows(found))
        if self._others is not None and not (compute_result and len(self._batches) == 1):
            raise UsageError("compute_metrics= cannot be combined with batch_eval_metrics; leave one of them out.")
        if not compute_result:
            return {}
        logits, y = (np.concatenate(part) for part in zip(*self._batches, strict=True))
        self._batches = []
        # Labels of one class each are columns of the logits; votes are checked.
        truth = TrueColumns(y) if y.ndim == 1 else y
        self._latest = Predictions(logits, truth, kind="logits", class_names=self._record.class_names)
        own = {} if self._others is None else dict(self._others(found))
        return own | dict(self._record.measure(self._latest))

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Wait for the end of training before anything is fitted."""
        self._training = True
        self._by_step = {}

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        """Keep the logits; outside training, fit and write."""
        self._keep(metrics or {}, state)

    def on_predict(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        """Keep the logits, if there were labels; outside training, fit and write."""
        if self._latest is not None:
            self._keep(metrics or {}, state)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Fit the calibrator on the logits of the model that remains, and write."""
        self._training = False
        if args.load_best_model_at_end and state.best_model_checkpoint is not None:
            self._take_best(state.best_global_step)
        self._by_step = {}
        self._finish(state)

    def _keep(self, metrics: Mapping[str, float], state: Any) -> None:
        predictions, self._latest = self._latest, None
        prefix = self._prefix(metrics)
        if predictions is None or prefix is None:
            raise UsageError(
                "the Trainer evaluated without this callback's metrics; pass them: "
                "Trainer(..., compute_metrics=calibration.compute_metrics, callbacks=[calibration])."
            )
        if prefix == self.validation:
            self._by_step = {step: kept for step, kept in self._by_step.items() if step == state.best_global_step}
            self._by_step[state.global_step] = predictions
        self._record.keep("val" if prefix == self.validation else prefix, predictions)
        if not self._training:
            self._finish(state)

    def _prefix(self, metrics: Mapping[str, float]) -> str | None:
        """Return the prefix the Trainer has put before this evaluation's metrics."""
        ending = f"_{self._record.metrics[0].spec}"
        prefixes = [name.removesuffix(ending) for name in metrics if name.endswith(ending)]
        return next((prefix for prefix in prefixes if f"{prefix}_runtime" in metrics), None)

    def _take_best(self, step: int | None) -> None:
        if step in self._by_step:
            self._record.keep("val", self._by_step[step])
        elif self.predictions.pop("val", None) is not None:
            warnings.warn(
                "the best model was validated before this run was resumed, so its logits are not known and no "
                "calibrator is fitted; call trainer.evaluate() to do so.",
                CalibrationWarning,
                stacklevel=2,
            )

    def _finish(self, state: Any) -> None:
        if self.predictions:
            self._record.finish(write=state.is_world_process_zero)

    def _rows(self, found: Any) -> _Pair:
        logits = found.predictions if self.output is None else self.output(found.predictions)
        if isinstance(logits, tuple | list | Mapping):
            who = "the predictions of the Trainer are" if self.output is None else "output= returned"
            raise UsageError(
                f"{who} a {type(logits).__name__} of {len(logits)}, not an array of logits; say which it is, for "
                "example CalibrationCallback(output=lambda found: found[0])."
            )
        scores, labels = to_numpy(logits), to_numpy(found.label_ids)
        soft = labels.shape == scores.shape
        if scores.ndim < 2 or not (soft or labels.shape == scores.shape[:-1]):
            raise InputError(
                f"labels must have the shape of the logits but for the classes, which are the last axis, or, if they "
                f"are soft, that of the logits, but have shape {labels.shape} for logits of shape {scores.shape}."
            )
        if scores.dtype.itemsize < 4:
            scores = scores.astype(np.float32)
        scores = scores.reshape(-1, scores.shape[-1])
        labels = labels.reshape(scores.shape if soft else -1)
        ignored = labels == self.ignore_index
        keep = ~(ignored.all(axis=-1) if soft else ignored)
        return scores[keep], labels[keep]
