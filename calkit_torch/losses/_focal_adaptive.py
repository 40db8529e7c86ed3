"""Focal losses with a γ for each sample, chosen by its probability of the true class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from calkit.parameters import check_choice, check_number
from calkit.specs import Spec
from calkit_torch.losses._base import Loss, LossOptions, register_loss
from calkit_torch.losses._batch import read_batch
from calkit_torch.losses._focal import FocalFamilyLoss, check_pieces, modulation, pieces_of
from calkit_torch.losses._gamma_star import gamma_star

__all__ = ["AdaptiveFocalLoss", "ContinuousFocalLoss", "focal_adaptive", "focal_continuous"]

CLOSED = ("right", "left")


def focal_adaptive(
    logits: Tensor,
    y: Tensor,
    *,
    gammas: Sequence[float] = (5.0, 3.0),
    cuts: Sequence[float] = (0.19,),
    closed: str = "right",
    weight: Tensor | None = None,
    ignore_index: int = -100,
) -> Tensor:
    """Focal loss of each sample with a γ chosen by its probability of the true class.

    Parameters
    ----------
    logits, y, weight, ignore_index
        As in :func:`calkit_torch.losses.focal`.
    gammas : sequence of float, default=(5, 3)
        One γ a band, from low probabilities to high.
    cuts : sequence of float, default=(0.19,)
        Where one band ends and the next begins, increasing, in (0, 1); one less than ``gammas``.
    closed : {"right", "left"}, default="right"
        Whether a probability equal to a cut belongs to the band below, as in the paper's text ((0.19, 0.5]), or to
        the band above, as in the published code and in the later version ([0.2, 1]).

    Returns
    -------
    Tensor
        One value a label. γ carries no gradient, as in the published code.

    Raises
    ------
    InputError, UsageError
        If a γ is negative, the cuts are out of order or too many, or shapes, dtypes or labels do not fit.

    References
    ----------
    "The Intriguing Effects of Focal Loss on the Calibration of Deep Neural Networks", 2020, section 5.
    """
    return AdaptiveFocalLoss(gammas, cuts, closed).values(*read_batch(logits, y, weight, ignore_index))


def focal_continuous(
    logits: Tensor, y: Tensor, *, minimum: float = 0.0, weight: Tensor | None = None, ignore_index: int = -100
) -> Tensor:
    """Focal loss of each sample with the γ*(p) of Proposition 2, p being its probability of the true class.

    Parameters
    ----------
    logits, y, weight, ignore_index
        As in :func:`calkit_torch.losses.focal`.
    minimum : float, default=0.0
        The least γ, >= 0: samples get ``max(γ*(p), minimum)``.

    Returns
    -------
    Tensor
        One value a label. γ carries no gradient.

    Raises
    ------
    InputError
        If ``minimum`` is negative, or if shapes, dtypes or labels do not fit.

    Notes
    -----
    γ*(p) is where focal loss has the gradient of cross-entropy, and γ* = 0 from p = 0.5 on, so with ``minimum=0``
    the *gradient* is exactly that of cross-entropy for every sample. With ``minimum=3`` it is that of cross-entropy
    up to p = 0.253 and that of ``focal:3`` above. γ* is exact down to p = 1e-30 in float32 (1e-300 in float64).

    References
    ----------
    "The Intriguing Effects of Focal Loss on the Calibration of Deep Neural Networks", 2020, Proposition 2.
    """
    return ContinuousFocalLoss(minimum).values(*read_batch(logits, y, weight, ignore_index))


@register_loss("focal-adaptive", formula="focal loss, γ by bands of $p_y$", reference="the paper, 2020")
class AdaptiveFocalLoss(FocalFamilyLoss):
    """Focal loss with a γ for each band of probabilities; see :func:`focal_adaptive`.

    Examples
    --------
    >>> str(AdaptiveFocalLoss((5, 3, 2), (0.19, 0.5)))
    'focal-adaptive:5,3,2@0.19,0.5'
    """

    def __init__(
        self,
        gammas: Sequence[float] = (5, 3),
        cuts: Sequence[float] = (0.19,),
        closed: str = "right",
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.gammas, self.cuts = tuple(gammas), tuple(cuts)
        check_pieces("cuts", self.gammas, self.cuts, "focal-adaptive:5,3@0.19")
        for cut in self.cuts:
            check_number("a cut", cut, low=0, high=1)
        check_choice("closed", closed, CLOSED)
        self.closed = closed

    @property
    def spec(self) -> str:
        """The string that ``get_loss`` turns into this loss again."""
        kwargs = {} if self.closed == "right" else {"closed": self.closed}
        return str(Spec(self.name, self.gammas, dict(kwargs), self.cuts or None))

    @classmethod
    def from_spec(cls, spec: Spec, **options: Unpack[LossOptions]) -> Loss:
        """Build the loss from ``focal-adaptive:γ,γ,…[,closed=left]@cut,…``."""
        return cls(**pieces_of(spec, "gammas", "cuts", "closed"), **options)

    def modulation(self, p: Tensor) -> Tensor:
        """Return the factor of cross-entropy for probabilities of the true class."""
        fixed = p.detach()
        gamma = torch.full_like(fixed, self.gammas[-1])
        # Numbers, not a table on the device: they travel with the kernel and need no copy.
        for value, cut in reversed(list(zip(self.gammas, self.cuts, strict=False))):
            gamma.masked_fill_(fixed <= cut if self.closed == "right" else fixed < cut, value)
        return modulation(p, gamma)


@register_loss(
    "focal-continuous",
    formula=r"focal loss, $\gamma = \max(\gamma^*(p_y), \text{minimum})$",
    reference="the paper, Proposition 2",
)
class ContinuousFocalLoss(FocalFamilyLoss):
    """Focal loss with the γ*(p) of Proposition 2; see :func:`focal_continuous`."""

    def __init__(self, minimum: float = 0.0, **options: Unpack[LossOptions]) -> None:
        super().__init__(**options)
        check_number("minimum", minimum, low=0)
        self.minimum = minimum

    def modulation(self, p: Tensor) -> Tensor:
        """Return the factor of cross-entropy for probabilities of the true class."""
        return modulation(p, gamma_star(p.detach()).clamp(min=self.minimum))
