"""Focal losses of plain batches on the CPU, in one autograd node.

At 128 x 100 a loss is all overhead: each PyTorch operation costs more in dispatch than in arithmetic, and each
autograd node more again. So value and gradient are computed together, the gradient by Proposition 1: that of
cross-entropy, times g(p, γ). Where numba is installed one compiled call does it for small batches. Elsewhere the
exponentials are PyTorch's, and the sums over the classes and the dozen operations on one number a sample are NumPy's,
which cost a third.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from calkit_torch.losses import _fused_numpy
from calkit_torch.losses._bands import Bands
from calkit_torch.losses._batch import is_transformed

__all__ = ["Fusable", "fused_focal"]

_DTYPES = (torch.float32, torch.float64)
# Beyond, PyTorch's exponentials make up for the number of calls, on several threads at that.
_COMPILED_SCORES = 100_000


class Fusable(Protocol):
    """A focal loss as :func:`fused_focal` needs it."""

    def bands(self) -> dict[Any, Bands]:
        """Return γ, nowhere below 1, by bands of the probability of the true class, for logits of each dtype."""

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
    if y.shape != (n,) or n == 0 or k < 2:
        return None
    wanted = logits.requires_grad and torch.is_grad_enabled()
    value_and_gradient = _way() if n * k <= _COMPILED_SCORES else _fused_numpy.value_and_gradient
    count = n if reduction == "mean" else 1
    found = value_and_gradient(logits.detach(), y.numpy(), loss.bands()[logits.dtype], count, wanted)
    if found is None:
        return None
    value, gradient = found
    if not wanted:
        return torch.from_numpy(value)
    # What the backward pass needs goes as one list, because autograd charges for every argument it is handed.
    return _apply(logits, value, [loss, y, reduction, gradient])


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


@cache
def _way() -> Callable[..., tuple[NDArray[Any], Tensor | None] | None]:
    """The way of small batches: compiled where that is wanted. Loading it takes most of a second, once a process."""
    from calkit.stats.kernels import compiled_are_wanted

    if compiled_are_wanted(worth_loading=True):
        from calkit_torch.losses import _fused_compiled

        return _fused_compiled.value_and_gradient
    return _fused_numpy.value_and_gradient
