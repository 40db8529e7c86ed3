"""Cross-entropy, and the two losses that are cross-entropy of something else: smoothed labels, normalised logits."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional

from calkit.parameters import check_choice, check_number
from calkit_torch.losses._base import Loss, LossOptions, register_loss
from calkit_torch.losses._batch import Targets, read_batch

__all__ = [
    "CrossEntropyLoss",
    "LabelSmoothingLoss",
    "LogitNormLoss",
    "cross_entropy",
    "label_smoothing",
    "logit_norm",
]

SPREADS = ("all", "others")


def cross_entropy(logits: Tensor, y: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100) -> Tensor:
    r"""Cross-entropy of each sample, :math:`-\log p_y`.

    Parameters
    ----------
    logits : Tensor of shape (n, K), (n, K, ...) or (K,)
        Scores before softmax.
    y : Tensor
        Integer labels ``(n,)``, ``(n, ...)`` or ``()``, or class probabilities of the shape of ``logits``.
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
        If shapes, dtypes or (on the CPU) labels do not fit.

    Examples
    --------
    >>> cross_entropy(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))
    tensor([0.6931])
    """
    return CrossEntropyLoss().values(*read_batch(logits, y, weight, ignore_index))


def label_smoothing(
    logits: Tensor,
    y: Tensor,
    *,
    smoothing: float = 0.05,
    spread: str = "all",
    weight: Tensor | None = None,
    ignore_index: int = -100,
) -> Tensor:
    """Cross-entropy with smoothed labels, of each sample.

    Parameters
    ----------
    logits, y, weight, ignore_index
        As in :func:`cross_entropy`.
    smoothing : float, default=0.05
        The mass ε taken from the label, in [0, 1].
    spread : {"all", "others"}, default="all"
        Who gets it: all classes ε / K each, the label included (Szegedy et al. and PyTorch), or only the K - 1
        other classes (the code of the focal calibration paper's later version).

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
    C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens and Z. Wojna, "Rethinking the Inception Architecture for Computer
    Vision", CVPR 2016, section 7.
    """
    return LabelSmoothingLoss(smoothing, spread).values(*read_batch(logits, y, weight, ignore_index))


def logit_norm(
    logits: Tensor, y: Tensor, *, temperature: float = 0.04, weight: Tensor | None = None, ignore_index: int = -100
) -> Tensor:
    r"""Cross-entropy of the logits divided by their norm, of each sample.

    Parameters
    ----------
    logits, y, weight, ignore_index
        As in :func:`cross_entropy`.
    temperature : float, default=0.04
        The τ of :math:`z / (τ ‖z‖_2)`, > 0.

    Returns
    -------
    Tensor
        One value a label. A row of zeros has no direction and counts as the uniform prediction.

    Raises
    ------
    InputError
        If shapes, dtypes, labels or the temperature do not fit.

    References
    ----------
    H. Wei, R. Xie, H. Cheng, L. Feng, B. An and Y. Li, "Mitigating Neural Network Overconfidence with Logit
    Normalization", ICML 2022.
    """
    return LogitNormLoss(temperature).values(*read_batch(logits, y, weight, ignore_index))


@register_loss("ce", formula=r"$-\log p_y$")
class CrossEntropyLoss(Loss):
    """Cross-entropy; see :func:`cross_entropy`, and :class:`Loss` for the options.

    Examples
    --------
    >>> round(CrossEntropyLoss()(torch.zeros(1, 2), torch.tensor([0])).item(), 4)
    0.6931
    """

    def values(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the weighted losses of the samples."""
        return self._compute(logits, targets, "none")

    def reduced(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the reduced loss, which PyTorch computes in one piece."""
        return self._compute(logits, targets, self.reduction)

    def _compute(self, logits: Tensor, targets: Targets, reduction: str) -> Tensor:
        return targets.guarded(
            lambda: functional.cross_entropy(
                self._scores(logits, targets),
                targets.y,
                targets.weight,
                ignore_index=targets.ignore_index,
                reduction=reduction,
                label_smoothing=self._smoothing(targets),
            )
        )

    def _scores(self, logits: Tensor, targets: Targets) -> Tensor:  # noqa: ARG002 (subclasses need both)
        return logits

    def _smoothing(self, targets: Targets) -> float:  # noqa: ARG002
        return 0.0


@register_loss("label-smoothing", formula="cross-entropy with smoothed labels", reference="Szegedy et al., CVPR 2016")
class LabelSmoothingLoss(CrossEntropyLoss):
    """Cross-entropy with smoothed labels; see :func:`label_smoothing`, and :class:`Loss` for the options."""

    def __init__(self, smoothing: float = 0.05, spread: str = "all", **options: Unpack[LossOptions]) -> None:
        super().__init__(**options)
        check_number("smoothing", smoothing, low=0, high=1)
        check_choice("spread", spread, SPREADS)
        self.smoothing = smoothing
        self.spread = spread

    def _smoothing(self, targets: Targets) -> float:
        if self.spread == "all":
            return self.smoothing
        # ε / (K - 1) for each other class is what they get when ε K / (K - 1) is spread over all.
        limit = 1 - 1 / targets.n_classes
        check_number(f"smoothing over the others of {targets.n_classes} classes", self.smoothing, low=0, high=limit)
        return self.smoothing / limit


@register_loss(
    "logit-norm", formula=r"cross-entropy of $z / (\tau \lVert z \rVert)$", reference="Wei et al., ICML 2022"
)
class LogitNormLoss(CrossEntropyLoss):
    """Cross-entropy of normalised logits; see :func:`logit_norm`, and :class:`Loss` for the options."""

    def __init__(self, temperature: float = 0.04, **options: Unpack[LossOptions]) -> None:
        super().__init__(**options)
        check_number("temperature", temperature, low=1e-6)
        self.temperature = temperature

    def _scores(self, logits: Tensor, targets: Targets) -> Tensor:
        norm = torch.linalg.vector_norm(logits, dim=targets.dim, keepdim=True)
        return logits / (self.temperature * torch.where(norm > 0, norm, 1.0))
