"""Norms of each sample's gradient in the last layer: the paper's Figure 4, (b) to (d)."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from calkit.errors import InputError, UsageError
from calkit_torch.bridge.distributed import sum_over_ranks
from calkit_torch.bridge.loop import Run
from calkit_torch.losses import Loss
from calkit_torch.training.callbacks._epochs import as_epochs
from calkit_torch.training.callbacks.base import Callback

if TYPE_CHECKING:
    from calkit_torch.training.state import TrainingState

__all__ = ["GradientNorms", "sample_gradient_norms"]

#: Ten bins a decade. They are the same for all epochs and losses, so that histograms can be compared.
_EDGES = np.logspace(-6, 3, 91)


def sample_gradient_norms(features: Tensor, logits: Tensor, labels: Tensor, loss: Loss) -> Tensor:
    """Return the norm of each sample's share in the gradient of the last layer's weights.

    With logits W h + b, the gradient of a sample's loss by W is the outer product of its gradient by the logits and h,
    whose Frobenius norm is the product of the two norms.

    Parameters
    ----------
    features : Tensor of shape (n, d)
        h, what the last layer sees.
    logits : Tensor of shape (n, K)
    labels : Tensor of int64, shape (n,)
    loss : Loss
        Its sum over the samples is taken, whatever its own reduction. For a loss that looks at a batch as a whole
        (MMCE), a sample's share is what its logits contribute to the gradient of the sum.

    Returns
    -------
    Tensor of shape (n,)

    Examples
    --------
    >>> from calkit_torch.losses import get_loss
    >>> features, logits = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 0.0]])
    >>> sample_gradient_norms(features, logits, torch.tensor([0]), get_loss("ce"))  # 5 times sqrt(1/2)
    tensor([3.5355])
    """
    summed = copy.copy(loss)
    summed.reduction = "sum"
    with torch.enable_grad():
        z = logits.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(summed(z, labels), z)
    return gradient.norm(dim=1) * features.norm(dim=1)


class GradientNorms(Callback):
    """Add to the record of chosen epochs a histogram of the gradient norms of the training samples in the last layer.

    The record gets ``"gradient_norms"``: ``"edges"`` of the bins, ``"counts"`` in them (norms below the first edge or
    above the last are in the first and the last bin), and the ``"mean"``.

    Parameters
    ----------
    epochs : iterable of int, default=(10, 100, 200)
        Epochs to look at, counted from 1; by default the paper's.
    edges : array-like of float, optional
        Edges of the bins, rising; by default ten bins a decade from 1e-6 to 1e3.
    layer : str, default="classifier"
        The name of the last layer, an ``nn.Linear``.

    Raises
    ------
    InputError
        If an epoch or the edges are impossible.
    UsageError
        On the start of training, if the network has no such layer.

    Notes
    -----
    One pass over the training set, without augmentation and in evaluation mode, with the loss of the epoch, summed. The
    norm is that of the weights' gradient, without the bias. Trees count by their roots.
    Samples whose label the loss ignores do not count.

    Examples
    --------
    >>> callback = GradientNorms(epochs=[1, 10])
    """

    def __init__(
        self, epochs: Iterable[int] = (10, 100, 200), *, edges: ArrayLike | None = None, layer: str = "classifier"
    ) -> None:
        self.epochs = as_epochs(epochs)
        self.edges = _EDGES if edges is None else _as_edges(edges)
        self.layer = layer

    def on_start(self, state: TrainingState) -> None:
        """Find the layer, or say at once that it is not there."""
        self._linear(state.model)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Look at the training set after a chosen epoch."""
        if state.epoch + 1 in self.epochs:
            state.record["gradient_norms"] = self.measure(state)

    def measure(self, state: TrainingState) -> dict[str, Any]:
        """Return the histogram over all ranks; call it on all.

        Parameters
        ----------
        state : TrainingState

        Returns
        -------
        dict
            ``"edges"``, ``"counts"`` and ``"mean"``.
        """
        norms = self._norms(state)
        counts = np.bincount(self._bins(norms), minlength=len(self.edges) - 1)
        sums = torch.from_numpy(np.append(counts, [norms.sum(), len(norms)]).astype(np.float64))
        *found, total, n = sum_over_ranks(sums).cpu().tolist()
        return {"edges": self.edges.tolist(), "counts": [int(count) for count in found], "mean": total / n}

    def _norms(self, state: TrainingState) -> NDArray[np.float64]:
        seen: list[Tensor] = []
        norms = [torch.zeros(0, device=state.device)]

        def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen[:] = inputs

        def collect(logits: Tensor, labels: Tensor, _: Tensor | None) -> None:
            found = sample_gradient_norms(seen[0].float(), logits.float(), labels, state.loss)
            norms.append(found[labels != state.loss.ignore_index])

        handle = self._linear(state.model).register_forward_pre_hook(look)
        try:
            run = Run(state.model, device=state.device, autocast=state.autocast, progress=False)
            run.over(state.loader("train"), collect)
        finally:
            handle.remove()
        return torch.cat(norms).cpu().double().numpy()

    def _bins(self, norms: NDArray[np.float64]) -> NDArray[np.intp]:
        return np.clip(np.searchsorted(self.edges, norms, side="right") - 1, 0, len(self.edges) - 2)

    def _linear(self, model: nn.Module) -> nn.Linear:
        found = dict(model.named_modules()).get(self.layer)
        if not isinstance(found, nn.Linear):
            what = "has none of that name" if found is None else f"has a {type(found).__name__} there"
            raise UsageError(
                f"GradientNorms looks at the linear layer {self.layer!r}, but the network {what}; name its last layer: "
                "GradientNorms(layer='head')."
            )
        return found


def _as_edges(edges: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(edges, dtype=np.float64)
    if found.ndim != 1 or len(found) < 2 or not (np.isfinite(found).all() and (np.diff(found) > 0).all()):
        raise InputError("edges must be at least two finite numbers that rise.")
    return found
