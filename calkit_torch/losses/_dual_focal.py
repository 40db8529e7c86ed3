"""Dual focal loss: focal loss that also looks at the nearest class below the true one."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from calkit.parameters import check_number
from calkit_torch.losses._base import Loss, LossOptions, register_loss
from calkit_torch.losses._batch import Targets, read_batch

__all__ = ["DualFocalLoss", "dual_focal"]


def dual_focal(
    logits: Tensor, y: Tensor, *, gamma: float = 5.0, weight: Tensor | None = None, ignore_index: int = -100
) -> Tensor:
    r"""Dual focal loss of each sample, :math:`-(1 - p_y + p_j)^γ \log p_y`.

    Parameters
    ----------
    logits : Tensor of shape (n, K), (n, K, ...) or (K,)
        Scores before softmax.
    y : Tensor of integers
        Labels ``(n,)``, ``(n, ...)`` or ``()``.
    gamma : float, default=5.0
        Exponent γ >= 0; 0 gives cross-entropy.
    weight : Tensor of shape (K,), optional
        How much the samples of each class count.
    ignore_index : int, default=-100
        Label of the samples that do not count; their loss is 0.

    Returns
    -------
    Tensor
        One value a label. :math:`p_j` is the largest probability strictly below :math:`p_y`, 0 where none is; it
        carries a gradient.

    Raises
    ------
    InputError, UsageError
        If γ is negative, or if shapes, dtypes or labels do not fit, or ``y`` holds probabilities.

    References
    ----------
    L. Tao, M. Dong and C. Xu, "Dual Focal Loss for Calibration", ICML 2023.
    """
    return DualFocalLoss(gamma).values(*read_batch(logits, y, weight, ignore_index))


@register_loss(
    "dual-focal", formula=r"$-(1-p_y+p_j)^\gamma \log p_y$, $p_j$ the next below", reference="Tao et al., ICML 2023"
)
class DualFocalLoss(Loss):
    """Dual focal loss; see :func:`dual_focal`, and :class:`Loss` for the options."""

    def __init__(self, gamma: float = 5.0, **options: Unpack[LossOptions]) -> None:
        super().__init__(**options)
        check_number("gamma", gamma, low=0)
        self.gamma = gamma

    def values(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the weighted losses of the samples."""
        targets.labels_only(self.name)
        nll = targets.nll(logits)
        # Logits are compared, not probabilities, which rounding can tie or part.
        below = logits < targets.at_label(logits).unsqueeze(targets.dim)
        p_below = torch.where(below, torch.softmax(logits, targets.dim), 0.0).amax(targets.dim)
        # At 0 a power below 1 has an infinite gradient, which would meet the zero of -log p.
        base = (1 - torch.exp(-nll) + p_below).clamp(min=torch.finfo(nll.dtype).eps)
        return base.pow(self.gamma) * nll * targets.sample_weight(nll)
