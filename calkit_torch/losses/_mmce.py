"""Maximum mean calibration error as a penalty, in the scaling of its paper and in that of the published code."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from calkit.parameters import check_choice
from calkit_torch.losses._base import Loss, LossOptions, register_loss
from calkit_torch.losses._batch import Targets, read_batch, widen
from calkit_torch.losses._regularised import RegularisedLoss, confidence_and_correct, safe_sqrt

__all__ = ["MMCELoss", "WeightedMMCELoss", "mmce", "mmce_w"]

SCALINGS = ("paper", "code")
KERNEL_WIDTH = 0.4


def mmce(logits: Tensor, y: Tensor, *, scaling: str = "paper", ignore_index: int = -100) -> Tensor:
    r"""Maximum mean calibration error of a batch.

    Parameters
    ----------
    logits : Tensor of shape (n, K), (n, K, ...) or (K,)
        Scores before softmax.
    y : Tensor of integers
        Labels ``(n,)``, ``(n, ...)`` or ``()``.
    scaling : {"paper", "code"}, default="paper"
        ``"paper"`` is :math:`\sqrt{\sum_{ij} (c_i - r_i)(c_j - r_j) k(r_i, r_j)} / n`, with confidence r, correctness
        c and the kernel :math:`k = \exp(-|r_i - r_j| / 0.4)`; ``"code"`` leaves the root out, as the published code
        of the paper on focal loss does.
    ignore_index : int, default=-100
        Label of the samples that do not count.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    InputError, UsageError
        If shapes, dtypes, labels or the scaling do not fit, or ``y`` holds probabilities.

    Notes
    -----
    Computed in O(n log n): on sorted confidences the kernel's sums are running sums. The pairs of the definition,
    n² of them, are never formed, so batches of pixels serve as well.

    References
    ----------
    A. Kumar, S. Sarawagi and U. Jain, "Trainable Calibration Measures for Neural Networks from Kernel Mean
    Embeddings", ICML 2018.

    Examples
    --------
    One sample of two classes, right with confidence 0.5:

    >>> mmce(torch.zeros(1, 2), torch.tensor([0]))
    tensor(0.5000)
    """
    return MMCELoss(scaling=scaling).penalty(*read_batch(logits, y, None, ignore_index))


def mmce_w(logits: Tensor, y: Tensor, *, scaling: str = "paper", ignore_index: int = -100) -> Tensor:
    r"""Weighted maximum mean calibration error of a batch.

    Parameters
    ----------
    logits, y, ignore_index
        As in :func:`mmce`.
    scaling : {"paper", "code"}, default="paper"
        ``"paper"`` is the root of :math:`\sum_{wrong} r_i r_j k / n_w^2 + \sum_{right} (1-r_i)(1-r_j) k / n_r^2 -
        2 \sum_{right, wrong} (1-r_i) r_j k / (n_r n_w)`. ``"code"`` is the published code, which takes means over the
        pairs, divides by the same counts once more, and returns 0 unless the batch has both right and wrong
        samples; at 256 samples it is about 100 times smaller.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    InputError, UsageError
        If shapes, dtypes, labels or the scaling do not fit, or ``y`` holds probabilities.

    References
    ----------
    A. Kumar, S. Sarawagi and U. Jain, "Trainable Calibration Measures for Neural Networks from Kernel Mean
    Embeddings", ICML 2018.
    """
    return WeightedMMCELoss(scaling=scaling).penalty(*read_batch(logits, y, None, ignore_index))


class _MMCE(RegularisedLoss):
    def __init__(
        self,
        strength: float = 2.0,
        base: str | Loss = "ce",
        scaling: str = "paper",
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(strength, base, **options)
        check_choice("scaling", scaling, SCALINGS)
        self.scaling = scaling


@register_loss("mmce", formula="base + λ · MMCE", reference="Kumar et al., ICML 2018")
class MMCELoss(_MMCE):
    """A base loss plus MMCE; see :func:`mmce`, and :class:`RegularisedLoss` for the other parameters.

    Examples
    --------
    >>> str(MMCELoss(2, base="focal:3"))
    'mmce:2,base=focal:3'
    """

    def penalty(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the MMCE of the batch."""
        r, c, present = confidence_and_correct(logits, targets, self.name)
        residual = (c - r) * present
        square = (residual * _kernel_sums(r, residual)).sum() / present.sum().clamp(min=1).square()
        return safe_sqrt(square) if self.scaling == "paper" else square


@register_loss("mmce-w", formula="base + λ · weighted MMCE", reference="Kumar et al., ICML 2018")
class WeightedMMCELoss(_MMCE):
    """A base loss plus MMCE_w; see :func:`mmce_w`, and :class:`RegularisedLoss` for the other parameters."""

    def penalty(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the MMCE_w of the batch."""
        r, c, present = confidence_and_correct(logits, targets, self.name)
        right, wrong = c * present, (1 - c) * present
        u, v = (1 - r) * right, r * wrong
        sums_of_v = _kernel_sums(r, v)
        parts = (u * _kernel_sums(r, u)).sum(), (v * sums_of_v).sum(), (u * sums_of_v).sum()
        return _combine(*parts, right.sum(), wrong.sum(), self.scaling)


def _combine(rights: Tensor, wrongs: Tensor, mixed: Tensor, m: Tensor, n: Tensor, scaling: str) -> Tensor:
    """Put the three sums over pairs together, of m right and n wrong samples."""
    some_m, some_n = m.clamp(min=1), n.clamp(min=1)
    if scaling == "paper":
        return safe_sqrt(rights / some_m.square() + wrongs / some_n.square() - 2 * mixed / (some_m * some_n))
    # The small constants are the published code's.
    square = (
        rights / some_m.square() / (m.square() + 1e-5)
        + wrongs / some_n.square() / (n.square() + 1e-5)
        - 2 * mixed / (some_m * some_n) / (m * n + 1e-5)
    )
    return torch.where((m > 0) & (n > 0), safe_sqrt(square + 1e-10), 0.0)


def _kernel_sums(r: Tensor, a: Tensor) -> Tensor:
    """Σ_j exp(-|r_i - r_j| / width) a_j for each i, r being in [0, 1]."""
    # For sorted r the kernel is exp(-r_i / w) exp(r_j / w) for all j up to i: a running sum. No exponent exceeds
    # 1 / w = 2.5.
    order = torch.argsort(r.detach())
    # Running sums of a million float32 numbers would keep four digits.
    sorted_r, sorted_a = widen(r[order]), widen(a[order])
    up, down = torch.exp(sorted_r / KERNEL_WIDTH), torch.exp(-sorted_r / KERNEL_WIDTH)
    below = down * torch.cumsum(sorted_a * up, 0)
    above = up * torch.cumsum((sorted_a * down).flip(0), 0).flip(0)
    return torch.empty_like(r).index_copy(0, order, (below + above - sorted_a).to(r.dtype))
