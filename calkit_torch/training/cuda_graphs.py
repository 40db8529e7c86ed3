"""Steps of a network captured as CUDA graphs, so that a slow processor does not hold up a fast device."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["GraphedNetwork"]


class GraphedNetwork(nn.Module):
    """A network whose forward and backward pass were recorded once and are replayed as one piece of work each.

    Batches of another shape, such as the last of an epoch, and evaluation go through the network itself.

    Parameters
    ----------
    model : nn.Module
        On a CUDA device, in training mode, without gradients.
    sample : Tensor
        A batch of the shape and layout that is replayed.
    autocast : torch.dtype, optional
        The precision that it is called in later.
    """

    def __init__(self, model: nn.Module, sample: Tensor, autocast: torch.dtype | None) -> None:
        super().__init__()
        self.model = model
        self.layout = sample.shape, sample.dtype
        buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
        with torch.autocast("cuda", dtype=autocast, enabled=autocast is not None, cache_enabled=False):
            # A shell around the model, since the method forward of what is recorded is replaced in place.
            shell = _Shell(model)
            torch.cuda.make_graphed_callables(shell, (sample.clone(),))
            self.replayed = shell
        # Running statistics have seen the trial runs.
        for buffer, before in buffers:
            buffer.copy_(before)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits."""
        fits = self.training and (inputs.shape, inputs.dtype) == self.layout
        found: Tensor = self.replayed(inputs) if fits else self.model(inputs)
        return found


class _Shell(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.model(inputs)
        return found
