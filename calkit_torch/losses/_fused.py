"""Focal losses of plain batches on the CPU, in one autograd node.

At 128 x 100 a loss is all overhead: each PyTorch operation costs more in dispatch than in arithmetic, and each
autograd node more again. So here the exponentials are PyTorch's, the sums over the classes and the dozen operations on
one number a sample are NumPy's, which cost a third, and the gradient follows from Proposition 1: that of
cross-entropy, times g(p, γ).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calkit_torch.losses._batch import is_transformed

__all__ = ["Fusable", "fused_focal"]

_DTYPES = (torch.float32, torch.float64)
# Exponentials are not shifted by the largest logit. Below this, one of them or a quotient of two may have lost digits.
_SMALLEST = 1e-30

# Looked up once: in what follows, looking up a name takes as long as some of the arithmetic.
_UNSIGNED = np.dtype(np.uint64)


class Fusable(Protocol):
    """A focal loss as :func:`fused_focal` needs it."""

    def gamma_of(self, p: NDArray[Any]) -> Any:
        """Return γ, at least 1, for probabilities of the true class."""

    def composed(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the loss, composed of PyTorch operations, for derivatives of the gradient."""


def fused_focal(logits: Tensor, y: Tensor, loss: Fusable, reduction: str) -> Tensor | None:
    """Compute the reduced focal loss of a plain batch, or return None where only the general way serves.

    Parameters
    ----------
    logits : Tensor of shape (n, K)
        Scores before softmax.
    y : Tensor of shape (n,)
        Labels.
    loss : Fusable
        Without class weights, and with no label of 0..K-1 ignored.
    reduction : {"mean", "sum"}
        What to return.
    """
    # One expression, because a call of its own would take a twentieth of the whole.
    if not (
        type(logits) is Tensor
        and type(y) is Tensor
        and logits.dtype in _DTYPES
        and y.dtype is torch.int64
        and logits.ndim == 2
        and logits.is_cpu
        and y.is_cpu
        and logits.is_contiguous()
        and not is_transformed()
    ):
        return None
    n, k = logits.shape
    labels = y.numpy()
    if labels.shape != (n,) or n == 0 or k < 2:
        return None
    # Read without sign a negative label is huge, so that one comparison finds it, ignored labels included.
    unsigned = labels.view(_UNSIGNED)
    if unsigned.item(unsigned.argmax()) >= k:
        return None
    count = n if reduction == "mean" else 1
    row_starts, ones_k, ones_n, counts = _constants(n, k, logits.dtype, count)
    exps = torch.exp(logits.detach())
    rows = exps.numpy()
    total = exps.mv(ones_k).numpy()
    # An overflow makes a sum infinite; a NaN makes it NaN, which argmax takes for the largest.
    if not total.item(total.argmax()) < math.inf:
        return None
    flat, index = rows.reshape(-1), labels + row_starts
    own = flat.take(index)
    p = own / total
    least = own * p
    if not least.item(least.argmin()) > _SMALLEST:
        return None
    log_p, rest, gamma = np.log(p), ones_n - p, loss.gamma_of(p)
    power = rest ** (gamma - 1)
    value = np.asarray((power * rest).dot(log_p) / -count, rows.dtype)
    if not (logits.requires_grad and torch.is_grad_enabled()):
        return torch.from_numpy(value)
    # The gradient of cross-entropy, softmax minus one-hot, is this divided by the total.
    flat[index] = own - total
    ratio = (rest - gamma * (p * log_p)) * power / (total * counts)
    exps.mul_(torch.from_numpy(ratio[:, None]))
    # What the backward pass needs goes as one list, because autograd charges for every argument it is handed.
    return _apply(logits, value, [loss, y, reduction, exps])


class _FusedFocal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, value: NDArray[Any], parts: list[Any]) -> Tensor:
        ctx.save_for_backward(logits)
        ctx.parts = parts
        return torch.from_numpy(value)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        parts = ctx.parts
        differentiable = torch.is_grad_enabled()  # create_graph=True: the gradient must know how it depends on logits
        if len(parts) == 4 and not differentiable:
            gradient = parts.pop()  # handed on and not kept, so that it may be scaled in place
            return (gradient if upstream.item() == 1 else gradient.mul_(upstream)), None, None
        loss, y, reduction = parts[:3]
        (logits,) = ctx.saved_tensors
        with torch.enable_grad():
            if differentiable:
                (gradient,) = torch.autograd.grad(loss.composed(logits, y), logits, create_graph=True)
            else:  # a second pass through a graph that was retained
                again = logits.detach().requires_grad_()
                value = fused_focal(again, y, loss, reduction)
                (gradient,) = torch.autograd.grad(loss.composed(again, y) if value is None else value, again)
        return gradient * upstream, None, None


# Function.apply without its own look for torch.func, which has been taken.
_apply: Callable[..., Tensor] = super(torch.autograd.Function, _FusedFocal).apply


@lru_cache(maxsize=16)
def _constants(n: int, k: int, dtype: torch.dtype, count: int) -> tuple[Any, Tensor, NDArray[Any], NDArray[Any]]:
    """Where the rows of an (n, k) matrix start, k and n ones, and n times the count: arrays, quicker than numbers."""
    counts = torch.full((n,), count, dtype=dtype).numpy()
    return np.arange(0, n * k, k), torch.ones(k, dtype=dtype), np.ones_like(counts), counts
