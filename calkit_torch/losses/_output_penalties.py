"""Penalties on the outputs of each sample: the confidence penalty and margin-based label smoothing."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from calkit.parameters import check_choice, check_number
from calkit_torch.losses._base import Loss, LossOptions, register_loss
from calkit_torch.losses._batch import Targets, read_batch
from calkit_torch.losses._regularised import RegularisedLoss

__all__ = ["ConfidencePenaltyLoss", "MbLSLoss", "confidence_penalty", "mbls"]

SCALINGS = ("paper", "code")


def confidence_penalty(
    logits: Tensor,
    y: Tensor,
    *,
    strength: float = 0.1,
    weight: Tensor | None = None,
    ignore_index: int = -100,
) -> Tensor:
    r"""Cross-entropy minus entropy of each sample, :math:`-\log p_y - β H(p)`.

    Parameters
    ----------
    logits : Tensor of shape (n, K), (n, K, ...) or (K,)
        Scores before softmax.
    y : Tensor
        Integer labels ``(n,)``, ``(n, ...)`` or ``()``, or class probabilities of the shape of ``logits``.
    strength : float, default=0.1
        The weight β >= 0 of the entropy.
    weight : Tensor of shape (K,), optional
        How much the samples of each class count.
    ignore_index : int, default=-100
        Label of the samples that do not count; their loss is 0.

    Returns
    -------
    Tensor
        One value a label.

    Raises
    ------
    InputError
        If shapes, dtypes, labels or the strength do not fit.

    References
    ----------
    G. Pereyra, G. Tucker, J. Chorowski, Ł. Kaiser and G. Hinton, "Regularizing Neural Networks by Penalizing
    Confident Output Distributions", ICLR 2017 workshop.
    """
    return ConfidencePenaltyLoss(strength).values(*read_batch(logits, y, weight, ignore_index))


def mbls(
    logits: Tensor,
    y: Tensor,
    *,
    strength: float = 0.1,
    margin: float = 10.0,
    scaling: str = "paper",
    weight: Tensor | None = None,
    ignore_index: int = -100,
) -> Tensor:
    r"""Margin-based label smoothing of each sample: cross-entropy plus :math:`λ \sum_k \max(0, \max_j z_j - z_k - m)`.

    Parameters
    ----------
    logits, y, weight, ignore_index
        As in :func:`confidence_penalty`.
    strength : float, default=0.1
        The weight λ >= 0 of the penalty.
    margin : float, default=10.0
        The distance m >= 0 from the largest logit that costs nothing.
    scaling : {"paper", "code"}, default="paper"
        ``"paper"`` sums over the classes, ``"code"`` takes their mean, as the published code and hence the published
        figures do.

    Returns
    -------
    Tensor
        One value a label.

    Raises
    ------
    InputError, UsageError
        If shapes, dtypes, labels or parameters do not fit.

    References
    ----------
    B. Liu, I. Ben Ayed, A. Galdran and J. Dolz, "The Devil is in the Margin: Margin-based Label Smoothing for Network
    Calibration", CVPR 2022.
    """
    loss = MbLSLoss(strength, margin=margin, scaling=scaling)
    return loss.values(*read_batch(logits, y, weight, ignore_index))


@register_loss("confidence-penalty", formula="base − β · entropy", reference="Pereyra et al., 2017")
class ConfidencePenaltyLoss(RegularisedLoss):
    """A base loss minus the entropy of the prediction; see :func:`confidence_penalty`, :class:`RegularisedLoss`."""

    def __init__(self, strength: float = 0.1, base: str | Loss = "ce", **options: Unpack[LossOptions]) -> None:
        super().__init__(strength, base, **options)

    def penalty(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the negative entropy of each prediction, in nats."""
        log_p = torch.log_softmax(logits, targets.dim)
        # Impossible classes, of logit -inf, have no part in it.
        return (log_p.exp() * log_p.clamp(min=torch.finfo(log_p.dtype).min)).sum(targets.dim)


@register_loss("mbls", formula=r"base + λ · $\sum_k \max(0, \max_j z_j - z_k - m)$", reference="Liu et al., CVPR 2022")
class MbLSLoss(RegularisedLoss):
    """A base loss plus a penalty on distances between logits; see :func:`mbls`, :class:`RegularisedLoss`."""

    def __init__(
        self,
        strength: float = 0.1,
        base: str | Loss = "ce",
        margin: float = 10.0,
        scaling: str = "paper",
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(strength, base, **options)
        check_number("margin", margin, low=0)
        check_choice("scaling", scaling, SCALINGS)
        self.margin = margin
        self.scaling = scaling

    def penalty(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the excess distance of each sample's logits from its largest."""
        excess = torch.relu(logits.amax(targets.dim, keepdim=True) - logits - self.margin)
        return excess.sum(targets.dim) if self.scaling == "paper" else excess.mean(targets.dim)
