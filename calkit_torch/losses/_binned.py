"""Penalties that compare mean confidence with frequency over a batch: DCA, MDCA and the soft-binned ECE."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from calkit.errors import UsageError
from calkit.parameters import check_number
from calkit_torch.losses._base import Loss, LossOptions, register_loss
from calkit_torch.losses._batch import Targets, read_batch
from calkit_torch.losses._regularised import RegularisedLoss, confidence_and_correct, safe_sqrt

__all__ = ["DCALoss", "MDCALoss", "SoftBinnedECELoss", "dca", "mdca", "soft_binned_ece"]


def dca(logits: Tensor, y: Tensor, *, ignore_index: int = -100) -> Tensor:
    r"""Difference between confidence and accuracy of a batch, :math:`|\bar r - \bar c|`.

    Parameters
    ----------
    logits : Tensor of shape (n, K), (n, K, ...) or (K,)
        Scores before softmax.
    y : Tensor of integers
        Labels ``(n,)``, ``(n, ...)`` or ``()``.
    ignore_index : int, default=-100
        Label of the samples that do not count.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    InputError, UsageError
        If shapes, dtypes or labels do not fit, or ``y`` holds probabilities.

    References
    ----------
    G. Liang, Y. Zhang, X. Wang and N. Jacobs, "Improved Trainable Calibration Method for Neural Networks on Medical
    Imaging Classification", BMVC 2020.
    """
    return DCALoss().penalty(*read_batch(logits, y, None, ignore_index))


def mdca(logits: Tensor, y: Tensor, *, ignore_index: int = -100) -> Tensor:
    r"""Multi-class difference of confidence and accuracy, :math:`\frac1K \sum_k |\bar p_k - \bar y_k|`.

    Parameters
    ----------
    logits : Tensor of shape (n, K), (n, K, ...) or (K,)
        Scores before softmax.
    y : Tensor
        Integer labels ``(n,)``, ``(n, ...)`` or ``()``, or class probabilities of the shape of ``logits``.
    ignore_index : int, default=-100
        Label of the samples that do not count.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    InputError
        If shapes, dtypes or labels do not fit.

    References
    ----------
    R. Hebbalaguppe, J. Prakash, N. Madan and C. Arora, "A Stitch in Time Saves Nine: A Train-Time Regularizing Loss
    for Improved Neural Network Calibration", CVPR 2022.
    """
    return MDCALoss().penalty(*read_batch(logits, y, None, ignore_index))


def soft_binned_ece(
    logits: Tensor,
    y: Tensor,
    *,
    n_bins: int = 15,
    temperature: float = 0.01,
    norm: float = 2,
    ignore_index: int = -100,
) -> Tensor:
    r"""Expected calibration error of a batch with soft membership in bins, which has a gradient.

    Parameters
    ----------
    logits, y, ignore_index
        As in :func:`dca`.
    n_bins : int, default=15
        Number of bins M; their centres are :math:`ξ_j = (j - 1/2) / M`.
    temperature : float, default=0.01
        The T > 0 of the membership :math:`u_{ij} = \mathrm{softmax}_j(-(r_i - ξ_j)^2 / T)`.
    norm : float, default=2
        The q >= 1 of :math:`(\sum_j \frac{S_j}{n} |A_j - C_j|^q)^{1/q}`, where :math:`S_j = \sum_i u_{ij}` is the size
        of a bin and A, C are its mean correctness and confidence.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    InputError, UsageError
        If shapes, dtypes, labels or parameters do not fit, or ``y`` holds probabilities.

    References
    ----------
    A. Karandikar et al., "Soft Calibration Objectives for Neural Networks", NeurIPS 2021, equation 11.
    """
    loss = SoftBinnedECELoss(n_bins=n_bins, temperature=temperature, norm=norm)
    return loss.penalty(*read_batch(logits, y, None, ignore_index))


@register_loss("dca", formula="base + λ · abs(confidence − accuracy)", reference="Liang et al., BMVC 2020")
class DCALoss(RegularisedLoss):
    """A base loss plus DCA; see :func:`dca`, and :class:`RegularisedLoss` for the parameters."""

    def penalty(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the DCA of the batch."""
        r, c, present = confidence_and_correct(logits, targets, self.name)
        return ((r - c) * present).sum().abs() / present.sum().clamp(min=1)


@register_loss(
    "mdca", formula="base + λ · abs(confidence − accuracy), class by class", reference="Hebbalaguppe et al., CVPR 2022"
)
class MDCALoss(RegularisedLoss):
    """A base loss plus MDCA; see :func:`mdca`, and :class:`RegularisedLoss` for the parameters."""

    def penalty(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the MDCA of the batch."""
        residual = targets.residual(torch.softmax(logits, targets.dim))
        present = targets.presence(residual)
        excess = (
            (residual * present.unsqueeze(targets.dim)).movedim(targets.dim, -1).reshape(-1, targets.n_classes).sum(0)
        )
        return excess.abs().mean() / present.sum().clamp(min=1)


@register_loss("soft-binned-ece", formula="base + λ · soft-binned ECE", reference="Karandikar et al., NeurIPS 2021")
class SoftBinnedECELoss(RegularisedLoss):
    """A base loss plus soft-binned ECE; see :func:`soft_binned_ece`, and :class:`RegularisedLoss`.

    Examples
    --------
    >>> str(SoftBinnedECELoss(0.5, n_bins=10))
    'soft-binned-ece:0.5,n_bins=10'
    """

    def __init__(
        self,
        strength: float = 1.0,
        base: str | Loss = "ce",
        n_bins: int = 15,
        temperature: float = 0.01,
        norm: float = 2,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(strength, base, **options)
        check_number("n_bins", n_bins, low=1)
        check_number("temperature", temperature, low=1e-6)
        check_number("norm", norm, low=1)
        if n_bins != int(n_bins):
            raise UsageError(f"n_bins must be a whole number, but is {n_bins!r}.")
        self.n_bins, self.temperature, self.norm = int(n_bins), temperature, norm

    def penalty(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the soft-binned ECE of the batch."""
        r, c, present = confidence_and_correct(logits, targets, self.name)
        centres = (torch.arange(self.n_bins, dtype=r.dtype, device=r.device) + 0.5) / self.n_bins
        distance = (r.unsqueeze(1) - centres).square()
        membership = torch.softmax(-distance / self.temperature, 1) * present.unsqueeze(1)
        size = membership.sum(0)
        # A bin that all samples are far from has no mean, but weighs nothing either.
        gap = (membership * (c - r).unsqueeze(1)).sum(0) / size.clamp(min=torch.finfo(size.dtype).tiny)
        mean = (size * gap.abs().pow(self.norm)).sum() / present.sum().clamp(min=1)
        return _root(mean, self.norm)


def _root(x: Tensor, norm: float) -> Tensor:
    if norm == 1:
        return x
    return safe_sqrt(x) if norm == 2 else safe_sqrt(x).pow(2 / norm)
