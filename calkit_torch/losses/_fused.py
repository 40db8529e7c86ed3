"""Focal losses of plain batches on the CPU, in one autograd node.

At 128 x 100 a loss is all overhead: each PyTorch operation costs more in dispatch than in arithmetic, and each
autograd node more again. So here softmax is PyTorch's, the dozen operations on one number a sample are NumPy's,
which cost a third, and the gradient follows from Proposition 1: that of cross-entropy, times g(p, γ).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calkit_torch.losses._batch import is_transformed

__all__ = ["fused_focal"]

_DTYPES = (torch.float32, torch.float64)
_TYPES = (Tensor, torch.nn.Parameter)
# Below, a probability has lost digits to underflow, and its logarithm must come from log_softmax.
_SMALLEST = 1e-30


def fused_focal(
    logits: Tensor,
    y: Tensor,
    gamma: Callable[[NDArray[Any]], Any],
    reduction: str,
    composed: Callable[[Tensor, Tensor], Tensor],
) -> Tensor | None:
    """Compute the reduced focal loss of a plain batch, or return None where only the general way serves.

    Parameters
    ----------
    logits : Tensor of shape (n, K)
        Scores before softmax.
    y : Tensor of shape (n,)
        Labels.
    gamma : callable
        γ of an array of probabilities of the true class; at least 1 for all of them.
    reduction : {"mean", "sum"}
        What to return.
    composed : callable
        The same loss of ``(logits, y)`` composed of PyTorch operations, for derivatives of the gradient.
    """
    if not _is_plain(logits, y):
        return None
    n, k = logits.shape
    labels = y.numpy()
    # Read without sign a negative label is huge, so that one comparison finds it, ignored labels included.
    if labels.view(np.uint64).max() >= k:
        return None
    prob = torch.softmax(logits.detach(), 1)
    flat = prob.numpy().reshape(-1)
    index = labels + _row_starts(n, k)
    p = flat.take(index)
    if not p.min() > _SMALLEST:
        return None
    log_p, rest, g = np.log(p), 1 - p, gamma(p)
    power = rest ** (g - 1)
    if reduction == "mean":
        power *= 1 / n
    value = np.asarray(-np.dot(power * rest, log_p))
    if not (logits.requires_grad and torch.is_grad_enabled()):
        return torch.from_numpy(value)
    ratio = (rest - g * (p * log_p)) * power
    flat[index] = -rest  # softmax minus one-hot: the gradient of cross-entropy
    parts = _Parts(prob, torch.from_numpy(ratio).unsqueeze(1), y, composed)
    return _FusedFocal.apply(logits, value, parts)  # type: ignore[no-untyped-call]


class _Parts(NamedTuple):
    """What the backward pass needs; in a tuple, because autograd charges for every tensor it is handed."""

    residual: Tensor
    ratio: Tensor
    y: Tensor
    composed: Callable[[Tensor, Tensor], Tensor]


class _FusedFocal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, value: NDArray[Any], parts: _Parts) -> Tensor:
        ctx.save_for_backward(logits)
        ctx.parts = parts
        return torch.from_numpy(value)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        residual, ratio, y, composed = ctx.parts
        if torch.is_grad_enabled():  # create_graph=True: the gradient must know how it depends on the logits
            (logits,) = ctx.saved_tensors
            (gradient,) = torch.autograd.grad(composed(logits, y), logits, create_graph=True)
            return gradient * upstream, None, None
        return residual * (ratio * upstream), None, None


def _is_plain(logits: Tensor, y: Tensor) -> bool:
    return (
        logits.is_cpu
        and y.is_cpu
        and logits.dtype in _DTYPES
        and y.dtype is torch.int64
        and logits.ndim == 2
        and y.ndim == 1
        and logits.shape[0] == y.shape[0] > 0
        and logits.shape[1] > 1
        and logits.is_contiguous()
        and type(logits) in _TYPES
        and type(y) is Tensor
        and not is_transformed()
    )


@lru_cache(maxsize=16)
def _row_starts(n: int, k: int) -> NDArray[np.int64]:
    return np.arange(0, n * k, k)
