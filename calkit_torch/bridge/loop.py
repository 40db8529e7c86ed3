"""The one loop that runs a model over a loader, and leaves the model as it found it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch import distributed as dist

from calkit.errors import InputError, UsageError
from calkit_torch.bridge.batches import BatchReader, batch_reader, call_model, to_device
from calkit_torch.bridge.distributed import Share, is_distributed, real_samples

__all__ = ["Run", "evaluating"]

Consume = Callable[[Tensor, Tensor, Tensor | None], object]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, without gradients; on leaving, also by an error, all is as before.

    Each module gets its own mode back, so that layers frozen in evaluation mode stay so. Gradients are switched off by
    ``torch.no_grad``: tensors that a model keeps from such a run (caches) can be trained with later, those of
    ``torch.inference_mode`` could not.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        # Modules made by torch.export refuse to change their mode, which was fixed when they were exported.
        with suppress(NotImplementedError):
            model.eval()
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            if module.training != training:
                # The method, for modules that do more than note the mode; parents come before their children.
                with suppress(NotImplementedError):
                    module.train(training)


@dataclass(frozen=True)
class Run:
    """A model with how to run it.

    Attributes
    ----------
    model : nn.Module
    batch : BatchReader
        How a batch becomes inputs and labels.
    output : callable, optional
        Takes what the model returns, returns its scores.
    device : torch.device or str, optional
        Where the batches go; by default where the model's first parameter is.
    autocast : torch.dtype, optional
        Run the model in this precision where it is safe.
    progress : bool
        Whether to show a progress bar if standard error is a terminal.
    """

    model: nn.Module
    batch: BatchReader = None
    output: Callable[[Any], Tensor] | None = None
    device: torch.device | str | None = None
    autocast: torch.dtype | None = None
    progress: bool = True

    def over(self, loader: Iterable[Any], consume: Consume) -> None:
        """Hand scores, labels and weights of each batch to `consume`, on the device and without padding."""
        read = batch_reader(self.batch)
        device = self.target
        precision = nullcontext() if self.autocast is None else torch.autocast(device.type, dtype=self.autocast)
        with evaluating(self.model):
            for item, share in zip(self._shown(loader), real_samples(loader), strict=False):
                inputs, y, weight = to_device(read(item), device)
                with precision:
                    found = call_model(self.model, inputs)
                consume(*_without_padding((self._scores(found), y, weight), share))

    @property
    def target(self) -> torch.device:
        """Where the batches go."""
        if self.device is not None:
            return torch.device(self.device)
        for tensors in (self.model.parameters(), self.model.buffers()):
            for tensor in tensors:
                return tensor.device
        return torch.device("cpu")

    def _scores(self, found: Any) -> Tensor:
        scores = found if self.output is None else self.output(found)
        if isinstance(scores, Tensor):
            return scores
        who = "the model" if self.output is None else "the function given as output="
        raise UsageError(
            f"{who} returned a {type(scores).__name__}, not a tensor of scores; say where they are, for example "
            "output=lambda found: found.logits."
        )

    def _shown(self, loader: Iterable[Any]) -> Iterable[Any]:
        first = not is_distributed() or dist.get_rank() == 0
        console = Console(stderr=True)
        if not (self.progress and first and console.is_terminal):
            return loader
        return track(loader, "evaluating", console=console, transient=True)


def _without_padding(parts: tuple[Tensor, Tensor, Tensor | None], share: Share) -> tuple[Tensor, Tensor, Tensor | None]:
    """Leave out the samples that are only padding."""
    if share is None or share[0] == share[1]:
        return parts
    size, real = share
    scores, y, weight = parts
    if len(y) != size:
        raise InputError(
            f"DistributedSampler has padded the last batch, of {size} samples, with {size - real} repeated ones, but "
            f"there are {len(y)} labels, so which belong to those is unknown; use a sampler that does not pad."
        )
    return scores[:real], y[:real], None if weight is None else weight[:real]
