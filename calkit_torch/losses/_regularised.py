"""Losses of two parts: a base loss of the samples, and a penalty of the batch or of the samples."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from calkit.errors import UsageError
from calkit.parameters import check_number
from calkit_torch.losses._base import Loss, get_loss
from calkit_torch.losses._batch import Targets

__all__ = ["RegularisedLoss", "confidence_and_correct", "safe_sqrt"]


class RegularisedLoss(Loss):
    """Base of ``base + strength · penalty``.

    Parameters
    ----------
    strength : float
        Weight of the penalty, >= 0.
    base : str or Loss, default="ce"
        The loss of the samples. A module brings its own class weights and ignored label.
    weight, ignore_index, reduction
        See :class:`Loss`.

    Notes
    -----
    The penalty of a batch is added to the loss of each of its samples. So the mean is the mean base loss plus
    ``strength`` times the penalty, and the sum is n times that, which is what the published code minimises.
    """

    def __init__(
        self,
        strength: float = 1.0,
        base: str | Loss = "ce",
        *,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        if isinstance(base, Loss):
            if weight is not None or ignore_index != -100:
                raise UsageError("class weights and ignore_index are those of the base loss; give them to it.")
            weight, ignore_index = base.weight, base.ignore_index
        else:
            base = get_loss(base, weight=weight, ignore_index=ignore_index)
        super().__init__(weight=weight, ignore_index=ignore_index, reduction=reduction)
        check_number("strength", strength, low=0)
        self.strength = strength
        self.base = base

    @abstractmethod
    def penalty(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the penalty, of the batch or of each sample."""

    def values(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the weighted losses of the samples."""
        base = self.base.values(logits, targets)
        return base + self.strength * self.penalty(logits, targets) * targets.sample_weight(base)

    def for_epoch(self, epoch: int) -> Loss:
        """Return the loss of an epoch: with the base loss of that epoch."""
        return self._with_base(self.base.for_epoch(epoch))

    def scaled(self, factor: float) -> Loss:
        """Return the loss for a run that is ``factor`` times as long: with the base loss for it."""
        return self._with_base(self.base.scaled(factor))

    def _with_base(self, base: Loss) -> Loss:
        if base is self.base:
            return self
        own: dict[str, Any] = {name: getattr(self, name) for name in self._signature().parameters}
        return type(self)(**{**own, "base": base}, reduction=self.reduction)


def confidence_and_correct(logits: Tensor, targets: Targets, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Flat confidence, correctness (0 or 1) and presence (0 for ignored samples) of a batch."""
    targets.labels_only(name)
    targets.check_now()
    confidence, predicted = torch.softmax(logits, targets.dim).max(targets.dim)
    correct = (predicted == targets.y).to(confidence.dtype)
    return confidence.flatten(), correct.flatten(), targets.presence(confidence).flatten()


def safe_sqrt(x: Tensor) -> Tensor:
    """Square root whose gradient at 0, and below by rounding, is 0."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1.0).sqrt(), 0.0)
