"""From a recipe to the state before the first step."""

from __future__ import annotations

import gc
from typing import cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils.data import Dataset

from calkit.errors import UsageError
from calkit_torch.data import DataSet
from calkit_torch.losses import get_loss
from calkit_torch.training.cuda_graphs import GraphedNetwork
from calkit_torch.training.distributed import Processes
from calkit_torch.training.optimisers import JointOptimiser, get_optimiser
from calkit_torch.training.recipe import Recipe
from calkit_torch.training.run_folder import RunWriter
from calkit_torch.training.state import TrainingState

__all__ = ["build_state", "make_network", "release_network"]

_AUTOCAST = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def build_state(recipe: Recipe, data: DataSet, processes: Processes, run: RunWriter | None = None) -> TrainingState:
    """Build network, loss and optimiser of a recipe, on the device of this process."""
    _check_cuda_graphs(recipe, data, processes)
    device = processes.device
    model = data.build_model(recipe.model, seed=recipe.seed).to(device)
    if recipe.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss = get_loss(recipe.loss, reduction=recipe.loss_reduction).to(device)
    on_cuda = device.type == "cuda"
    return TrainingState(
        recipe,
        data,
        model=model,
        network=model,
        full_loss=loss,
        loss=loss.for_epoch(0),
        optimiser=_optimiser(recipe, model, fused=on_cuda),
        processes=processes,
        run=run,
        autocast=_AUTOCAST[recipe.precision],
        scaler=torch.amp.GradScaler() if recipe.precision == "float16" and on_cuda else None,
    )


def _optimiser(recipe: Recipe, model: nn.Module, *, fused: bool) -> Optimizer:
    """Return the optimiser of a network; that of its word vectors may be another one."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if recipe.embedding_optimiser is None:
        return get_optimiser(recipe.optimiser, parameters, fused=fused)
    embeddings = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    of_words = [p for p in parameters if id(p) in embeddings]
    others = [p for p in parameters if id(p) not in embeddings]
    if not of_words:
        raise UsageError(
            f"embedding_optimiser = {recipe.embedding_optimiser!r} is for word vectors that are trained, but "
            f"{recipe.model!r} has none here; leave it out."
        )
    return JointOptimiser(
        [
            get_optimiser(recipe.optimiser, others, fused=fused),
            get_optimiser(recipe.embedding_optimiser, of_words, fused=fused),
        ]
    )


def make_network(state: TrainingState) -> nn.Module:
    """Return what is called in training: the model, compiled and wrapped for several processes if so wanted.

    It is made after a checkpoint was loaded, so that all processes begin with the weights of rank 0.
    """
    network: nn.Module = state.model.train()
    if state.recipe.compile:
        network = cast("nn.Module", torch.compile(network))
    if state.recipe.cuda_graphs:
        sample, _ = next(iter(state.loader("train", train=True).batches(0, 0)))
        network = GraphedNetwork(state.model, sample, state.autocast)
    if state.world_size > 1:
        # A user's Dataset may feed parts of a network, which leave parameters out of a step; tensors and trees do not.
        partial = isinstance(state.data.train.inputs, Dataset)
        network = DistributedDataParallel(network, find_unused_parameters=partial, gradient_as_bucket_view=True)
    return network


def _check_cuda_graphs(recipe: Recipe, data: DataSet, processes: Processes) -> None:
    for wrong, why in (
        (processes.device.type != "cuda", f"needs a CUDA device, but training is on {processes.device.type!r}"),
        (processes.world_size > 1, f"is for one process, but torchrun started {processes.world_size}"),
        (recipe.compile, "and compile exclude each other"),
        (not isinstance(data.train.inputs, torch.Tensor), f"needs inputs that are one tensor, which {data.name} lacks"),
    ):
        if recipe.cuda_graphs and wrong:
            raise UsageError(f"cuda_graphs {why}; leave it out.")


def release_network(state: TrainingState) -> None:
    """Let go of what :func:`make_network` made, while its process group is still there.

    The reducer of DistributedDataParallel must not be the last to hold the group: it would end the threads of gloo
    without releasing Python's lock, which they may be waiting for, and the process would hang.
    """
    state.network = state.model
    if state.world_size > 1:
        gc.collect()
