"""The Brier score as a loss."""

from __future__ import annotations

import torch
from torch import Tensor

from calkit_torch.losses._base import Loss, register_loss
from calkit_torch.losses._batch import Targets, read_batch

__all__ = ["BrierLoss", "brier"]


def brier(logits: Tensor, y: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100) -> Tensor:
    r"""Brier score of each sample, :math:`\sum_k (p_k - y_k)^2`, from 0 to 2.

    Parameters
    ----------
    logits : Tensor of shape (n, K), (n, K, ...) or (K,)
        Scores before softmax.
    y : Tensor
        Integer labels ``(n,)``, ``(n, ...)`` or ``()``, or class probabilities of the shape of ``logits``.
    weight : Tensor of shape (K,), optional
        How much the samples of each class count; soft targets take the mean over their classes.
    ignore_index : int, default=-100
        Label of the samples that do not count; their loss is 0.

    Returns
    -------
    Tensor
        One value a label.

    Raises
    ------
    InputError
        If shapes, dtypes or (on the CPU) labels do not fit.

    References
    ----------
    G. W. Brier, "Verification of Forecasts Expressed in Terms of Probability", Monthly Weather Review, 1950.

    Examples
    --------
    >>> brier(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))
    tensor([0.5000])
    """
    return BrierLoss().values(*read_batch(logits, y, weight, ignore_index))


@register_loss("brier", formula=r"$\sum_k (p_k - y_k)^2$", reference="Brier, 1950")
class BrierLoss(Loss):
    """Brier score; see :func:`brier`, and :class:`Loss` for the options."""

    def values(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the weighted losses of the samples."""
        squares = targets.residual(torch.softmax(logits, targets.dim)).square().sum(targets.dim)
        return squares * targets.sample_weight(squares)
