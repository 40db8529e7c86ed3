"""Focal losses with one γ: fixed, or fixed for a stage of training; and the inverse."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Unpack

import torch
from torch import Tensor

from calkit.errors import UsageError
from calkit.parameters import check_increasing, check_number
from calkit.specs import Spec
from calkit_torch.epochs import scaled_epochs
from calkit_torch.losses._base import Loss, LossOptions, register_loss
from calkit_torch.losses._batch import Targets, read_batch

__all__ = [
    "FocalFamilyLoss",
    "FocalLoss",
    "InverseFocalLoss",
    "ScheduledFocalLoss",
    "check_pieces",
    "focal",
    "inverse_focal",
    "modulation",
    "pieces_of",
    "power",
]

_INVERSE = "a negative gamma is inverse focal loss, 'inverse-focal:1'"


def modulation(p: Tensor, gamma: float | Tensor) -> Tensor:
    """The factor (1 - p)^γ, element by element."""
    # A rounding error keeps 1 - p above 0, where a power below 1 has an infinite gradient, which would meet a zero.
    return power(p * (torch.finfo(p.dtype).eps - 1), gamma)


def power(x: Tensor, gamma: float | Tensor) -> Tensor:
    """(1 + x)^γ for x > -1; γ gets no gradient, and a large one with a small x keeps its digits."""
    return torch.exp(torch.log1p(x) * gamma)


def focal(
    logits: Tensor, y: Tensor, *, gamma: float = 3.0, weight: Tensor | None = None, ignore_index: int = -100
) -> Tensor:
    r"""Focal loss of each sample, :math:`-(1 - p_y)^γ \log p_y`.

    Parameters
    ----------
    logits : Tensor of shape (n, K), (n, K, ...) or (K,)
        Scores before softmax.
    y : Tensor
        Integer labels ``(n,)``, ``(n, ...)`` or ``()``, or class probabilities of the shape of ``logits``, for which
        the loss is the mean :math:`-\sum_k y_k (1 - p_k)^γ \log p_k`.
    gamma : float, default=3.0
        Focusing parameter γ >= 0; 0 gives cross-entropy.
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
        If γ is negative, or if shapes, dtypes or (on the CPU) labels do not fit.

    References
    ----------
    T.-Y. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal Loss for Dense Object Detection", ICCV 2017.

    Examples
    --------
    >>> focal(torch.tensor([[0.0, 0.0]]), torch.tensor([1]), gamma=1)
    tensor([0.3466])
    """
    return FocalLoss(gamma).values(*read_batch(logits, y, weight, ignore_index))


def inverse_focal(
    logits: Tensor, y: Tensor, *, gamma: float = 1.0, weight: Tensor | None = None, ignore_index: int = -100
) -> Tensor:
    r"""Inverse focal loss of each sample, :math:`-(1 + p_y)^γ \log p_y`.

    Parameters
    ----------
    logits, y, weight, ignore_index
        As in :func:`focal`.
    gamma : float, default=1.0
        Exponent γ >= 0; 0 gives cross-entropy.

    Returns
    -------
    Tensor
        One value a label.

    Raises
    ------
    InputError
        If γ is negative, or if shapes, dtypes or labels do not fit.

    References
    ----------
    D.-B. Wang, L. Feng and M.-L. Zhang, "Rethinking Calibration of Deep Neural Networks: Do Not Be Afraid of
    Overconfidence", NeurIPS 2021.
    """
    return InverseFocalLoss(gamma).values(*read_batch(logits, y, weight, ignore_index))


class FocalFamilyLoss(Loss):
    """Cross-entropy times a power, whose γ may depend on the probability of the true class but has no gradient."""

    @abstractmethod
    def modulation(self, p: Tensor) -> Tensor:
        """Return the factor of cross-entropy for probabilities of the true class."""

    def values(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the weighted losses of the samples."""
        return targets.expect(lambda nll: self.modulation(torch.exp(-nll)) * nll, logits)


@register_loss("focal", formula=r"$-(1-p_y)^\gamma \log p_y$", reference="Lin et al., ICCV 2017")
class FocalLoss(FocalFamilyLoss):
    """Focal loss with one γ; see :func:`focal`, and :class:`Loss` for the options.

    Examples
    --------
    >>> loss = FocalLoss(2, reduction="sum")
    >>> str(loss), round(loss(torch.zeros(1, 2), torch.tensor([0])).item(), 6)
    ('focal:2', 0.173287)
    """

    def __init__(self, gamma: float = 3.0, **options: Unpack[LossOptions]) -> None:
        super().__init__(**options)
        check_number("gamma", gamma, low=0, hint=_INVERSE)
        self.gamma = gamma

    def modulation(self, p: Tensor) -> Tensor:
        """Return the factor of cross-entropy for probabilities of the true class."""
        return modulation(p, self.gamma)


@register_loss("focal-scheduled", formula="focal loss, γ by epoch", reference="the paper, 2020")
class ScheduledFocalLoss(Loss):
    """Focal loss whose γ changes at given epochs: ``loss.for_epoch(epoch)`` is the loss to train with.

    Parameters
    ----------
    gammas : sequence of float, default=(5, 3, 2)
        One γ >= 0 for each stage.
    epochs : sequence of int, default=(100, 250)
        First epoch of each stage but the first, counted from 0, increasing.
    weight, ignore_index, reduction
        See :class:`Loss`.

    Raises
    ------
    InputError, UsageError
        If a γ is negative, or the epochs are out of order, not whole, or not one less than ``gammas``.

    References
    ----------
    "The Intriguing Effects of Focal Loss on the Calibration of Deep Neural Networks", 2020, section 5.

    Examples
    --------
    >>> loss = ScheduledFocalLoss((5, 3, 1), (100, 250))
    >>> [str(loss.for_epoch(epoch)) for epoch in (0, 99, 100, 250)]
    ['focal:5', 'focal:5', 'focal:3', 'focal:1']
    """

    def __init__(
        self,
        gammas: Sequence[float] = (5, 3, 2),
        epochs: Sequence[int] = (100, 250),
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.gammas, self.epochs = tuple(gammas), tuple(epochs)
        check_pieces("epochs", self.gammas, self.epochs, "focal-scheduled:5,3,2@100,250")
        for epoch in self.epochs:
            check_number("an epoch of the schedule", epoch, low=1)
            if epoch != int(epoch):
                raise UsageError(f"an epoch of the schedule must be a whole number, but is {epoch!r}.")

    @property
    def spec(self) -> str:
        """The string that ``get_loss`` turns into this loss again."""
        return str(Spec(self.name, self.gammas, at=self.epochs or None))

    @classmethod
    def from_spec(cls, spec: Spec, **options: Unpack[LossOptions]) -> Loss:
        """Build the loss from ``focal-scheduled:γ,γ,…@epoch,…``."""
        return cls(**pieces_of(spec, "gammas", "epochs"), **options)

    def for_epoch(self, epoch: int) -> FocalLoss:
        """Return the focal loss of an epoch, counted from 0."""
        stage = sum(epoch >= first for first in self.epochs)
        return FocalLoss(self.gammas[stage], **self._options())

    def scaled(self, factor: float) -> Loss:
        """Return the loss whose γ changes at these epochs times a factor."""
        return type(self)(self.gammas, scaled_epochs(self.epochs, factor), **self._options())

    def values(self, logits: Tensor, targets: Targets) -> Tensor:  # noqa: ARG002
        """Refuse to guess the epoch."""
        raise UsageError(f"{self} depends on the epoch; train with loss.for_epoch(epoch), epochs counted from 0.")


@register_loss("inverse-focal", formula=r"$-(1+p_y)^\gamma \log p_y$", reference="Wang et al., NeurIPS 2021")
class InverseFocalLoss(FocalFamilyLoss):
    """Inverse focal loss; see :func:`inverse_focal`, and :class:`Loss` for the options."""

    def __init__(self, gamma: float = 1.0, **options: Unpack[LossOptions]) -> None:
        super().__init__(**options)
        check_number("gamma", gamma, low=0, hint="a negative gamma is focal loss, 'focal:1'")
        self.gamma = gamma

    def modulation(self, p: Tensor) -> Tensor:
        """Return the factor of cross-entropy for probabilities of the true class."""
        return power(p, self.gamma)


def check_pieces(what: str, gammas: Sequence[float], ends: Sequence[float], example: str) -> None:
    """Check a sequence of γ and of the points where one gives way to the next.

    Raises
    ------
    InputError, UsageError
        If a γ is negative, or the points are out of order or not one less.
    """
    for gamma in gammas:
        check_number("gamma", gamma, low=0, hint=_INVERSE)
    if len(ends) != len(gammas) - 1:
        raise UsageError(
            f"{what} must be one fewer than the gammas, of which there are {len(gammas)}, but there are {len(ends)}; "
            f"write for example {example!r}."
        )
    check_increasing(what, ends)


def pieces_of(spec: Spec, before: str, after: str, *others: str) -> dict[str, Any]:
    """Return a specification's arguments: the numbers before and after ``@``, if it has any, and the named ones.

    Raises
    ------
    UsageError
        If a name is none of ``others``.
    """
    unknown = [key for key in spec.kwargs if key not in others]
    if unknown:
        raise UsageError(f"loss {str(spec)!r}: unknown parameter {unknown[0]!r}; known: {', '.join(others) or 'none'}.")
    pieces = {before: spec.args, after: spec.at or ()} if spec.args or spec.at else {}
    return {**pieces, **spec.kwargs}
