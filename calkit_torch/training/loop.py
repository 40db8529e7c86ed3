"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from calkit.errors import InputError, UsageError
from calkit.metrics import get_metric
from calkit.runs import RunFolder
from calkit_torch.bridge.batches import call_model
from calkit_torch.data import DataSet, get_dataset
from calkit_torch.models.row_dropout import BatchMasks, RowDropout, shared_masks
from calkit_torch.training.callbacks.base import Callback
from calkit_torch.training.checkpoint import read_checkpoint, restore
from calkit_torch.training.defaults import default_callbacks
from calkit_torch.training.distributed import (
    Processes,
    joined_processes,
    rows_in_batch,
    rows_of_ranks,
    synchronise,
)
from calkit_torch.training.interruption import noted_interruptions
from calkit_torch.training.randomness import lent_generators, seed_of_step, seed_step
from calkit_torch.training.recipe import Recipe
from calkit_torch.training.run_folder import RunWriter, check_free
from calkit_torch.training.saving import Saver
from calkit_torch.training.schedules import get_schedule
from calkit_torch.training.setup import build_state, make_network, release_network
from calkit_torch.training.state import Best, TrainingState

__all__ = ["train"]


def train(
    recipe: Recipe,
    data: DataSet | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    callbacks: Sequence[Callback] | None = None,
    progress: bool = True,
    checkpoint_batches: int | None = None,
    checkpoint_seconds: float | None = 600,
    checkpoint_epochs: int = 1,
) -> RunFolder:
    """Train a network and leave a run folder.

    Started by torchrun, each process takes its part of every batch, and the result is that of one process up to
    rounding. Two things are apart: batch normalisation sees the part, and what draws its own random numbers, such as
    ``torch.nn.Dropout``, draws others on each rank, so that with either the networks differ as those of two seeds do.
    The networks of this package drop with :class:`~calkit_torch.models.RowDropout`, which is not so (but for
    ``wide-resnet-26-10``, which has batch normalisation).

    Parameters
    ----------
    recipe : Recipe
        What is trained and how.
    data : DataSet, optional
        The data; by default those that the recipe names.
    out : str or Path, optional
        The run folder; by default ``runs/`` and :attr:`Recipe.folder_name`.
    resume : bool, default=False
        Go on with the run in ``out``, if there is one. It ends as it would have without the interruption, on a CPU to
        the last bit.
    device : str, default="auto"
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``; ``"auto"`` is CUDA where there is one.
    callbacks : sequence of Callback, optional
        What happens beside training; by default those of
        :func:`~calkit_torch.training.defaults.default_callbacks`: history and logits are kept, and standard error
        shows the progress.
    progress : bool, default=True
        Whether the default callbacks show the progress.
    checkpoint_batches, checkpoint_seconds : optional
        How often a checkpoint is written inside an epoch.
    checkpoint_epochs : int, default=1
        After how many epochs one is written at the end of an epoch; there is one at the end of the last in any case.

    Returns
    -------
    RunFolder
        With the logits of the final network.

    Raises
    ------
    UsageError
        If the device, the data set or the folder are not to be had, or the folder holds a run of another recipe.
    DivergedError
        If the loss or a weight is no longer a number. The last good checkpoint stays.
    TrainingInterrupted
        By Ctrl-C or SIGTERM, after a checkpoint.

    Examples
    --------
    >>> import tempfile
    >>> recipe = Recipe("digits", "mlp", "FLA-53", optimiser="adam:0.001", epochs=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = train(recipe, out=f"{folder}/run", device="cpu", progress=False)
    ...     [record["epoch"] for record in run.history], run.logits().name
    ([1, 2], 'final.npz')
    """
    folder = Path("runs") / recipe.folder_name if out is None else Path(out)
    chosen = default_callbacks(progress=progress) if callbacks is None else list(callbacks)
    with (
        joined_processes(device) as processes,
        lent_generators(processes.device),
        _tuned_convolutions(processes.device),
    ):
        if processes.is_main:
            check_free(folder, resume=resume)
        data = get_dataset(recipe.dataset, split_seed=recipe.split_seed) if data is None else data
        state = build_state(recipe, data, processes)
        saver = Saver(state, chosen, folder, checkpoint_batches, checkpoint_seconds, checkpoint_epochs)
        # Only now, so that a mistake leaves no folder behind.
        with (
            _folder_of_main(folder, recipe, processes, resume) as state.run,
            noted_interruptions() as saver.interruption,
        ):
            try:
                _start(state, chosen, folder)
                while state.epoch < recipe.epochs and state.stop is None:
                    _train_epoch(state, chosen, saver)
                    _finish_epoch(state, chosen)
                    saver.after_epoch()
                _end(state, chosen)
            finally:
                release_network(state)
    return RunFolder(folder)


@contextmanager
def _folder_of_main(folder: Path, recipe: Recipe, processes: Processes, resume: bool) -> Iterator[RunWriter | None]:
    """Open the run folder on rank 0; the others wait until it is there."""
    with RunWriter.opened(folder, recipe, resume=resume) if processes.is_main else nullcontext() as run:
        processes.barrier()
        yield run


@contextmanager
def _tuned_convolutions(device: torch.device) -> Iterator[None]:
    """On CUDA, let cuDNN try its algorithms for each shape; afterwards all is as before."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _start(state: TrainingState, callbacks: Sequence[Callback], folder: Path) -> None:
    """Go back to the checkpoint, if there is one, and get ready."""
    found = read_checkpoint(folder / "checkpoint.pt", state.recipe)
    if found is not None:
        restore(state, callbacks, found)
    if state.run is not None:
        state.run.keep_history(state.epoch)
        state.run.write_versions(state.device)
    state.network = make_network(state)
    for callback in callbacks:
        callback.on_start(state)


def _train_epoch(state: TrainingState, callbacks: Sequence[Callback], saver: Saver) -> None:
    """Do the batches of an epoch, from the present one on."""
    recipe = state.recipe
    state.loss = state.full_loss.for_epoch(state.epoch)
    factor = get_schedule(recipe.lr_schedule, recipe.epochs)(state.epoch)
    for group, rate in zip(state.optimiser.param_groups, recipe.learning_rates, strict=True):
        group["lr"] = rate * factor
    if state.batch == 0:
        _seed(state)
        for callback in callbacks:
            callback.on_epoch_start(state)
    begun = time.perf_counter() - state.seconds
    for inputs, labels in state.loader("train", train=True).batches(state.epoch, state.batch):
        _step(state, callbacks, inputs, labels)
        state.batch += 1
        state.step += 1
        state.changed()
        for callback in callbacks:
            callback.on_batch_end(state)
        if state.batch == state.n_batches:
            # A device may still be at work on what was queued.
            synchronise(state.device)
        state.seconds = time.perf_counter() - begun
        saver.after_batch()


def _step(state: TrainingState, callbacks: Sequence[Callback], inputs: Any, labels: Tensor) -> None:
    """Take one step of the optimiser."""
    _seed(state)
    state.optimiser.zero_grad(set_to_none=True)
    logits, labels = _forward(state, inputs, labels)
    loss = state.loss(logits, labels)
    # Gradients are averaged over the ranks, each of which has that of its own rows.
    objective = loss * (state.loss_scale * state.world_size)
    if state.scaler is None:
        objective.backward()
    else:
        state.scaler.scale(objective).backward()
        state.scaler.unscale_(state.optimiser)
    for callback in callbacks:
        callback.on_gradients(state)
    if state.recipe.clip_norm is not None:
        clip_grad_norm_(state.model.parameters(), state.recipe.clip_norm)
    if state.scaler is None:
        state.optimiser.step()
    else:
        state.scaler.step(state.optimiser)
        state.scaler.update()
    _count(state, loss.detach(), labels)


def _forward(state: TrainingState, inputs: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits and labels of the global batch."""
    blocks = _blocks_of_ranks(state, inputs, labels)
    autocast = nullcontext() if state.autocast is None else torch.autocast(state.device.type, dtype=state.autocast)
    try:
        with autocast, _masks_of_all_ranks(state, blocks):
            logits = call_model(state.network, inputs)
    except ValueError as error:
        if len(labels) != 1:
            raise
        # Batch normalisation has no variance then.
        raise UsageError(
            f"the network cannot be trained on a batch of one row: {error}. That is what is left of "
            f"{len(state.data.train)} rows, or of this process's; choose another batch_size."
        ) from error
    return _of_all_ranks(state, blocks, logits, labels)


def _blocks_of_ranks(state: TrainingState, inputs: Any, labels: Tensor) -> list[list[int]]:
    """Return how many rows each rank has, block by block: trees have one for each level, anything else has one."""
    if isinstance(inputs, Tensor):
        return [[count] for count in rows_of_ranks(state.batch_inputs, state.world_size)]
    return state.processes.counts(getattr(inputs, "rows_by_level", [len(labels)]))


def _masks_of_all_ranks(state: TrainingState, blocks: list[list[int]]) -> AbstractContextManager[None]:
    """Let the layers drop what one process would drop of the global batch."""
    if state.world_size == 1:
        return nullcontext()
    layers = [layer for layer in state.model.modules() if isinstance(layer, RowDropout)]
    rows = rows_in_batch(blocks, state.rank).to(state.device)
    seed = seed_of_step(state.recipe.seed, state.step)
    return shared_masks(layers, BatchMasks(sum(map(sum, blocks)), rows, seed))


def _of_all_ranks(
    state: TrainingState, blocks: list[list[int]], logits: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the logits and labels of the global batch: the loss is that of the whole, whatever its form."""
    if state.world_size == 1:
        return logits, labels
    counts = [sum(rows) for rows in blocks]
    gather = state.processes.gather
    return torch.cat(gather(logits, counts)), torch.cat(gather(labels, counts))


def _count(state: TrainingState, loss: Tensor, labels: Tensor) -> None:
    n_labels = (labels != state.loss.ignore_index).sum()
    state.batch_loss = loss * state.loss_scale
    state.total_loss += loss if state.recipe.loss_reduction == "sum" else loss * n_labels
    state.n_labels += n_labels


def _finish_epoch(state: TrainingState, callbacks: Sequence[Callback]) -> None:
    """Measure, record, and move on to the next epoch."""
    # Running statistics are those of the last part that a rank has seen; all go on with those of rank 0.
    state.processes.copy_from_main([b for b in state.model.buffers() if b.numel()])
    state.changed()
    _seed(state)
    state.record = {
        "epoch": state.epoch + 1,
        "lr": state.learning_rate,
        "loss": str(state.loss),
        "train_loss": float(state.total_loss) / max(int(state.n_labels), 1),
        "seconds": state.seconds,
        "images_per_second": state.loader("train", train=True).n_samples / state.seconds,
        **state.record,
    }
    _select(state)
    for callback in callbacks:
        callback.on_epoch_end(state)
    for module in state.full_loss.modules():
        # Losses that learn from the validation set, such as AdaFocal.
        if callable(update := getattr(module, "update", None)):
            update(*state.all_scores("validation"))
    if state.run is not None:
        state.run.append_history(state.record)
    state.epoch += 1
    state.clear_epoch()


def _select(state: TrainingState) -> None:
    """Keep the network, if it is the best so far and the recipe asks for that."""
    if state.recipe.select == "last":
        return
    metric = get_metric(state.recipe.select)
    value = state.evaluate("validation", [metric])[metric.spec]
    if _is_better(value, state.best, higher_is_better=metric.higher_is_better):
        weights = {name: tensor.detach().clone() for name, tensor in state.model.state_dict().items()}
        state.best = Best(value, state.epoch + 1, weights)
    if state.best is None:
        raise InputError(f"select = {metric.spec!r} gave {value} on the validation set; choose another metric.")
    state.record["best_epoch"] = state.best.epoch


def _is_better(value: float, best: Best | None, *, higher_is_better: bool) -> bool:
    if best is None or not math.isfinite(value):
        return math.isfinite(value)
    return value > best.value if higher_is_better else value < best.value


def _end(state: TrainingState, callbacks: Sequence[Callback]) -> None:
    """Take the selected network, and let the callbacks finish."""
    if state.best is not None:
        state.model.load_state_dict(state.best.model)
        state.changed()
    for callback in callbacks:
        callback.on_end(state)
    state.processes.barrier()


def _seed(state: TrainingState) -> None:
    """Seed what is random in this step. One process draws for the whole batch; of several, each for itself."""
    stream = 0 if state.world_size == 1 else state.rank + 1
    seed_step(state.recipe.seed, state.step, stream, state.device)
