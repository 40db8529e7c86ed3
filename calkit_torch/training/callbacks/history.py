"""The course of calibration over the epochs: the data of the paper's Figures 1 to 3."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import Tensor, nn

from calkit.evaluation import choose_metrics
from calkit.metrics import Metric
from calkit.metrics.outcomes import outcome_metrics
from calkit.shards import Layout
from calkit_torch.bridge.statistics import is_summable
from calkit_torch.training.callbacks._epochs import as_period
from calkit_torch.training.callbacks.base import Callback

if TYPE_CHECKING:
    from calkit_torch.training.state import TrainingState

__all__ = ["CalibrationHistory"]

_METRICS = ("error", "ece", "adaece", "mce")


class CalibrationHistory(Callback):
    """Add to each epoch's record what the network is worth on the training, validation and test sets.

    For each: NLL, entropy, confidence and probability of the true class, of all samples (``"nll"``), the correct
    (``"nll_correct"``) and the misclassified ones (``"nll_misclassified"``); error, ECE, AdaECE and MCE. For the record
    itself: ``"last_layer_norm"``, the L2 norm of the weights of the last layer.

    Parameters
    ----------
    train : bool, default=True
        Whether to go over the training set as well, without augmentation and in evaluation mode: about a quarter of
        the time of an epoch of training.
    metrics : iterable of str or Metric
        More metrics of calkit.
    every : int, default=1
        Number of epochs between measurements; the last epoch is always measured.

    Raises
    ------
    InputError
        If `every` is not a positive whole number.
    NotFoundError
        If a metric is unknown.

    Notes
    -----
    All but AdaECE is counted where the network is, and summed over ranks; for AdaECE the logits come to the host. A
    mean over no samples is NaN, and null in the history. Networks without a linear layer ``classifier`` have no
    ``"last_layer_norm"``.

    Examples
    --------
    >>> callback = CalibrationHistory(metrics=["smece"])  # train(recipe, callbacks=[callback, SaveLogits()])
    """

    def __init__(self, *, train: bool = True, metrics: Iterable[str | Metric] = (), every: int = 1) -> None:
        self.splits = ("train", "validation", "test") if train else ("validation", "test")
        self.every = as_period(every)
        chosen = choose_metrics([*_METRICS, *outcome_metrics(), *metrics], Layout("logits", None, None))
        self.metrics = chosen
        self._sums = [metric for metric in chosen if is_summable(metric)]
        self._others = [metric for metric in chosen if not is_summable(metric)]

    def on_epoch_end(self, state: TrainingState) -> None:
        """Measure all splits."""
        done = state.epoch + 1
        if done % self.every and done != state.recipe.epochs:
            return
        weight = getattr(getattr(state.model, "classifier", None), "weight", None)
        if isinstance(weight, Tensor | nn.Parameter):
            state.record["last_layer_norm"] = weight.detach().double().norm().item()
        for split in self.splits:
            state.record.setdefault(split, {}).update(self.measure(state, split))

    def measure(self, state: TrainingState, split: str) -> dict[str, float]:
        """Return the metrics of a split, over all ranks; call it on all.

        Parameters
        ----------
        state : TrainingState
        split : {"train", "validation", "test"}

        Returns
        -------
        dict
            From spec to value.
        """
        found = dict(state.evaluate(split, self._sums))
        if self._others:
            found |= state.evaluate(split, self._others)
        return {metric.spec: found[metric.spec] for metric in self.metrics}
