"""From a torch model and a loader to calkit's predictions, or straight to its metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from calkit.errors import InputError
from calkit.evaluation import Evaluation
from calkit.labels import TrueColumns
from calkit.metrics import Metric
from calkit.predictions import Predictions
from calkit.stats import View
from calkit_torch.bridge.batches import BatchReader
from calkit_torch.bridge.loop import Run
from calkit_torch.bridge.metrics import DeviceMetrics
from calkit_torch.bridge.shapes import as_score_kind, read_batch

__all__ = ["evaluate_model", "predict"]


def predict(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    batch: BatchReader = None,
    output: Callable[[Any], Tensor] | None = None,
    kind: str = "logits",
    device: torch.device | str | None = None,
    autocast: torch.dtype | None = None,
    ignore_index: int = -100,
    class_names: Sequence[str] | None = None,
    meta: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Predictions:
    """Run a model over a loader and collect what it says, on the host.

    Parameters
    ----------
    model : nn.Module
        Run in evaluation mode and without gradients; afterwards, also after an error, it is as it was.
    loader : iterable of batches
        Usually a ``torch.utils.data.DataLoader``, without shuffling if the order of the rows matters.
    batch : tuple of str, or callable, optional
        How a batch becomes inputs and labels. By default batches are pairs (inputs, labels). Two or three strings are
        the keys of inputs, labels and weights. A function takes the batch and returns (inputs, labels) or (inputs,
        labels, weights). Inputs that are a mapping become keyword arguments of the model, a plain list or tuple
        positional ones.
    output : callable, optional
        Takes what the model returns and returns the scores, e.g. ``lambda found: found.logits``. By default the model
        returns the scores themselves, of shape (n, K), (n, K, ...) for pixels, or (n,) for the score of class 1 of two.
    kind : {"logits", "probs"}, default="logits"
        What the scores are. Never guessed.
    device : torch.device or str, optional
        Where the batches go; by default where the model is.
    autocast : torch.dtype, optional
        ``torch.bfloat16`` or ``torch.float16``: run the model in mixed precision. Scores in half precision are widened
        to float32, which is exact.
    ignore_index : int, default=-100
        Label of rows to leave out.
    class_names : sequence of str, optional
        A name per class.
    meta : mapping, optional
        Anything worth keeping with the data.
    progress : bool, default=True
        Show a progress bar, if standard error is a terminal.

    Returns
    -------
    Predictions
        A row per label: pixels become rows. In a distributed run, the rows of this rank, without the samples that
        ``DistributedSampler`` repeats.

    Raises
    ------
    InputError
        If shapes, types or labels do not fit, or the loader is empty.
    UsageError
        If a batch or an output is something else than `batch` and `output` say.

    Examples
    --------
    >>> import calkit
    >>> import torch
    >>> model = torch.nn.Linear(4, 3)
    >>> loader = [(torch.zeros(8, 4), torch.zeros(8, dtype=torch.long))]
    >>> predict(model, loader)
    Predictions(n_samples=8, n_classes=3, kind='logits')
    """
    score_kind = as_score_kind(kind)
    collected: list[tuple[Tensor, Tensor, Tensor | None, Tensor | None]] = []

    def collect(scores: Tensor, y: Tensor, weight: Tensor | None) -> None:
        rows = read_batch(scores, y, weight, kind=score_kind)
        flat = rows.scores.movedim(1, 2).flatten(0, 1)
        flat = flat.float() if flat.dtype.itemsize < 4 else flat
        weight = None if rows.weight is None else rows.weight.flatten().cpu().double()
        votes = None if rows.votes is None else rows.votes.movedim(1, 2).flatten(0, 1).cpu()
        collected.append((flat.cpu(), rows.y.flatten().cpu(), weight, votes))

    Run(model, batch, output, device, autocast, progress).over(loader, collect)
    if not collected:
        raise InputError("the loader gave no batch, so there is nothing to predict.")
    scores, y, weight, votes = _joined(collected)
    keep = y != ignore_index
    if not keep.all():
        scores, y = scores[keep], y[keep]
        weight, votes = (None if part is None else part[keep] for part in (weight, votes))
    return Predictions(
        scores.numpy(),
        TrueColumns(y.numpy()) if votes is None else votes.numpy(),
        kind=score_kind,
        sample_weight=None if weight is None else weight.numpy(),
        class_names=class_names,
        meta=meta or {},
    )


def evaluate_model(
    model: nn.Module,
    loader: Iterable[Any],
    metrics: Iterable[str | Metric] | None = None,
    *,
    target: str | View | None = None,
    by: str | None = None,
    batch: BatchReader = None,
    output: Callable[[Any], Tensor] | None = None,
    kind: str = "logits",
    device: torch.device | str | None = None,
    autocast: torch.dtype | None = None,
    ignore_index: int = -100,
    process_group: Any = None,
    progress: bool = True,
) -> Evaluation:
    """Run a model over a loader and compute metrics on its device, without keeping what it says.

    In a distributed run, each rank calls this with its part of the data, and each gets the metrics of the whole:
    the sums of all ranks are added by one all-reduce. Samples that ``DistributedSampler`` repeats are not counted.

    Parameters
    ----------
    model, loader, batch, output, kind, device, autocast, ignore_index, progress
        As for :func:`predict`.
    metrics : iterable of str or Metric, optional
        As for :class:`DeviceMetrics`; by default those of the paper but AdaECE, which keeps something of each row.
    target : str or View, optional
        What is judged, as for :class:`DeviceMetrics`.
    by : {"true class", "predicted class"}, optional
        Values of groups of rows as well, as for :class:`DeviceMetrics`.
    process_group : ProcessGroup, optional
        The processes to sum over; by default all of them, if torch.distributed is initialised.

    Returns
    -------
    Evaluation
        A mapping from spec to value.

    Raises
    ------
    InputError
        If shapes, types, labels or scores do not fit, or no row counts.
    UsageError
        If a batch or an output is something else than `batch` and `output` say, or a metric cannot be
        counted on a device.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(4, 2)
    >>> torch.nn.init.zeros_(model.weight), torch.nn.init.zeros_(model.bias)  # doctest: +ELLIPSIS
    (Parameter containing:...
    >>> loader = [(torch.ones(8, 4), torch.zeros(8, dtype=torch.long))]
    >>> evaluate_model(model, loader, ["accuracy", "ece"]).to_dict()["metrics"]
    {'accuracy': 1.0, 'ece': 0.5}
    """
    how: dict[str, Any] = {"kind": kind, "ignore_index": ignore_index, "process_group": process_group}
    found = DeviceMetrics(metrics, target=target, by=by, **how)
    run = Run(model, batch, output, device, autocast, progress)
    found.to(run.target)
    run.over(loader, found.update)
    return found.compute()


def _joined(
    parts: list[tuple[Tensor, Tensor, Tensor | None, Tensor | None]],
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Return the batches as one; labels without weights among others with count as 1, hard ones as soft."""
    scores, y, weights, votes = zip(*parts, strict=True)
    columns = {part.shape[1] for part in scores}
    if len(columns) > 1:
        raise InputError(f"batches differ in their number of classes: {', '.join(map(str, sorted(columns)))}.")
    weight = share = None
    if any(part is not None for part in weights):
        ones = [torch.ones(len(b), dtype=torch.float64) if w is None else w for b, w in zip(y, weights, strict=True)]
        weight = torch.cat(ones)
    if any(part is not None for part in votes):
        n_classes = columns.pop()
        share = torch.cat([_one_hot(b, n_classes) if v is None else v for b, v in zip(y, votes, strict=True)])
    return torch.cat(scores), torch.cat(y), weight, share


def _one_hot(y: Tensor, n_classes: int) -> Tensor:
    """Return the shares of hard labels; all 0, which is none, for what is no class."""
    return (y.unsqueeze(1) == torch.arange(n_classes)).double()
