"""Everything a training run is at one moment, as the loop and the callbacks see it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from calkit.errors import CalkitError
from calkit.evaluation import Evaluation, evaluate
from calkit.labels import TrueColumns
from calkit.metrics import Metric, get_metric
from calkit.predictions import Predictions
from calkit_torch.bridge import DeviceMetrics
from calkit_torch.bridge.loop import Run
from calkit_torch.bridge.shapes import working_dtype
from calkit_torch.bridge.statistics import is_summable
from calkit_torch.data import DataSet, Loader
from calkit_torch.data.order import share_of_rank
from calkit_torch.losses import Loss
from calkit_torch.training.distributed import Processes
from calkit_torch.training.recipe import Recipe

if TYPE_CHECKING:
    from calkit_torch.training.run_folder import RunWriter

__all__ = ["Best", "DivergedError", "TrainingInterrupted", "TrainingState"]

#: Rows of a batch in evaluation, where there are no activations to keep, unless those of training are more.
_EVALUATION_BATCH = 512
#: Logits of a split that every process may hold.
_GATHERED_SCORES = 1 << 24


class DivergedError(CalkitError):
    """The loss or a weight is no longer a number."""


class TrainingInterrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C or a signal, after a checkpoint was written; the message says how to go on."""


@dataclass
class Best:
    """The network that was best on the validation set so far.

    Attributes
    ----------
    value : float
        Of the metric that selects.
    epoch : int
        Counted from 1.
    model : dict
        Its parameters and buffers.
    """

    value: float
    epoch: int
    model: dict[str, Tensor]


@dataclass(eq=False)
class TrainingState:
    """A training run at one moment.

    Attributes
    ----------
    recipe : Recipe
    data : DataSet
    model : nn.Module
        The network itself, for its weights and for evaluation.
    network : nn.Module
        What is called in training: the model, compiled or wrapped for several processes if so wanted.
    full_loss : Loss
        The loss of the recipe, with what it learns (AdaFocal).
    loss : Loss
        The loss of this epoch.
    optimiser : Optimizer
    processes : Processes
        This process among those that train together.
    run : RunWriter or None
        The run folder, on rank 0.
    autocast : torch.dtype or None
        What the network computes in where that is safe; None for float32.
    epoch : int
        The present epoch, counted from 0; after the last, the number of epochs done.
    batch : int
        Batches done in this epoch.
    step : int
        Batches done in all epochs.
    record : dict
        This epoch's line of the history.
    stop : str or None
        Why training should end after this epoch.
    batch_loss : Tensor or None
        Loss of the last batch, as it was minimised, without gradient; the same on every rank.
    best : Best or None
        The best network so far, if the recipe selects one.
    total_loss, n_labels : Tensor
        Sum of the losses of this epoch's samples so far, and how many there were.
    seconds : float
        What this epoch has taken so far.
    """

    recipe: Recipe
    data: DataSet
    model: nn.Module
    network: nn.Module
    full_loss: Loss
    loss: Loss
    optimiser: Optimizer
    processes: Processes = field(default_factory=Processes)
    run: RunWriter | None = None
    autocast: torch.dtype | None = None
    scaler: torch.amp.GradScaler | None = None
    epoch: int = 0
    batch: int = 0
    step: int = 0
    record: dict[str, Any] = field(default_factory=dict)
    stop: str | None = None
    batch_loss: Tensor | None = None
    best: Best | None = None
    total_loss: Tensor = field(init=False)
    n_labels: Tensor = field(init=False)
    seconds: float = 0.0
    _scores: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict, init=False, repr=False)
    _loaders: dict[tuple[str, bool], Loader] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.clear_epoch()

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self.processes.device

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return self.processes.rank

    @property
    def world_size(self) -> int:
        """Number of processes."""
        return self.processes.world_size

    @property
    def is_main(self) -> bool:
        """Whether this process writes and prints."""
        return self.processes.is_main

    @property
    def n_batches(self) -> int:
        """Number of batches of an epoch."""
        return len(self.loader("train", train=True))

    @property
    def batch_inputs(self) -> int:
        """Number of inputs of the present batch, over all ranks."""
        loader = self.loader("train", train=True)
        return min(loader.batch_size, loader.n_samples - self.batch * loader.batch_size)

    @property
    def loss_scale(self) -> float:
        """What the loss of a batch is multiplied by before it is minimised."""
        return 1 / self.batch_inputs if self.recipe.reduction == "per-input" else 1.0

    @property
    def learning_rate(self) -> float:
        """The present learning rate."""
        return float(self.optimiser.param_groups[0]["lr"])

    def loader(self, split: str, train: bool = False) -> Loader:
        """Return the batches of a split, this rank's part of them.

        Parameters
        ----------
        split : str
        train : bool
            Whether to shuffle and augment.
        """
        if (split, train) not in self._loaders:
            self._loaders[split, train] = self.data.loader(
                split,
                batch_size=self.recipe.batch_size if train else self._evaluation_batch,
                train=train,
                seed=self.recipe.seed,
                device=self.device,
                rank=self.rank,
                world_size=self.world_size,
                pipeline=self.recipe.pipeline,
                channels_last=self.recipe.channels_last,
                num_workers=self.recipe.workers,
            )
        return self._loaders[split, train]

    def scores(self, split: str) -> tuple[Tensor, Tensor]:
        """Return logits and labels of this rank's rows of a split, on the device; computed once a step.

        Returns
        -------
        logits : Tensor of float32, shape (m, K)
            Of the K classes that are judged.
        labels : Tensor of int64, shape (m,)
        """
        if split not in self._scores:
            logits = [torch.empty(0, len(self.data.judged), device=self.device)]
            labels = [torch.empty(0, dtype=torch.int64, device=self.device)]

            def collect(scores: Tensor, y: Tensor, _: Tensor | None) -> None:
                scores, y = self.data.only_judged(scores, y)
                logits.append(scores.float())
                labels.append(y)

            run = Run(self.model, device=self.device, autocast=self.autocast, progress=False)
            run.over(self.loader(split), collect)
            self._scores[split] = torch.cat(logits), torch.cat(labels)
        return self._scores[split]

    def all_scores(self, split: str) -> tuple[Tensor, Tensor]:
        """Return logits and labels of all rows of a split that count, in their order, on every rank; call it on all.

        Rows whose label the loss ignores do not count.
        """
        logits, labels = self.scores(split)
        if self.world_size == 1:
            return self._counted(logits, labels)
        n = self.loader(split).n_samples
        places = [share_of_rank(n, self._evaluation_batch, r, self.world_size).places for r in range(self.world_size)]
        counts = [len(part) for part in places]
        order = torch.from_numpy(np.argsort(np.concatenate(places))).to(self.device)
        logits, labels = (torch.cat(self.processes.gather(part, counts))[order] for part in (logits, labels))
        return self._counted(logits, labels)

    def predictions(self, split: str) -> Predictions:
        """Return what the network says of a split, all rows in their order, on every rank; call it on all."""
        logits, labels = self.all_scores(split)
        names = self.data.judged_names
        y = TrueColumns(labels.cpu().numpy())
        return Predictions(logits.cpu().numpy(), y, kind="logits", class_names=names)

    def evaluate(self, split: str, metrics: Iterable[str | Metric]) -> Evaluation:
        """Return metrics of a split over all ranks; call it on all.

        Metrics that are functions of sums are counted on the device. Several processes gather the logits of a small
        split, so that its metrics are those of one process to the last bit; of a large one, each counts its rows and
        the sums are added. Metrics that are no functions of sums (AdaECE) gather logits of any size, on the host.
        """
        chosen = [get_metric(metric) for metric in metrics]
        if not all(is_summable(metric) for metric in chosen):
            return evaluate(self.predictions(split), chosen)
        found = DeviceMetrics(chosen).to(self.device)
        gathered = len(self.data.split(split)) * self.data.n_classes <= _GATHERED_SCORES
        logits, labels = self.all_scores(split) if gathered else self._counted(*self.scores(split))
        if len(labels):
            found.update(logits, labels)
        return found.compute(sync=not gathered)

    def clear_epoch(self) -> None:
        """Begin the counts and the record of an epoch anew."""
        self.batch, self.seconds, self.record = 0, 0.0, {}
        self.total_loss = torch.zeros((), dtype=working_dtype(self.device), device=self.device)
        self.n_labels = torch.zeros((), dtype=torch.int64, device=self.device)

    def changed(self) -> None:
        """Forget what was computed with the weights as they were."""
        self._scores.clear()

    def _counted(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Leave out the rows whose label the loss ignores."""
        kept = labels != self.full_loss.ignore_index
        return (logits, labels) if bool(kept.all()) else (logits[kept], labels[kept])

    @property
    def _evaluation_batch(self) -> int:
        return max(self.recipe.batch_size, _EVALUATION_BATCH)
