"""AdaFocal: a γ for each bin of probabilities, learnt from the calibration of the validation set."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from calkit.errors import UsageError
from calkit.parameters import check_number
from calkit_torch.losses._base import Loss, LossOptions, register_loss
from calkit_torch.losses._batch import Targets, read_batch
from calkit_torch.losses._focal import modulation, power

__all__ = ["AdaFocalLoss"]


@register_loss(
    "adafocal", formula="focal or inverse focal loss, γ by bins, learnt", reference="Ghosh et al., NeurIPS 2022"
)
class AdaFocalLoss(Loss):
    r"""Focal loss whose γ follows the calibration of a validation set, bin by bin.

    Parameters
    ----------
    n_bins : int, default=15
        Number of bins of equal mass.
    rate : float, default=1.0
        The λ > 0 of :math:`γ \leftarrow γ \exp(λ (C - A))`.
    gamma_max, gamma_min : float, default=20.0, -2.0
        Bounds of γ. A negative γ stands for inverse focal loss with exponent :math:`|γ|`.
    switch : float, default=0.2
        Where \|γ\| falls below, the bin changes between focal and inverse focal loss.
    gamma : float, default=1.0
        The γ all bins begin with.
    weight, ignore_index, reduction
        See :class:`Loss`.

    Attributes
    ----------
    gammas : Tensor of shape (n_bins,)
        The γ of each bin.
    edges : Tensor of shape (n_bins - 1,)
        The inner edges of the bins ``(a, b]``; equal widths until the first :meth:`update`.

    Raises
    ------
    InputError, UsageError
        If a parameter is out of range, or ``y`` holds probabilities.

    Notes
    -----
    Call :meth:`update` with the validation set after each epoch. γ and the edges are buffers: they travel with
    ``state_dict`` and ``to``. A sample falls in a bin by its probability of the true class, the bins are those of
    the validation set's confidences. The published code closes the bins on the left for the one and on the right
    for the other; here both are ``(a, b]``.

    References
    ----------
    A. Ghosh, T. Schaaf and M. Gormley, "AdaFocal: Calibration-aware Adaptive Focal Loss", NeurIPS 2022.

    Examples
    --------
    >>> loss = AdaFocalLoss(n_bins=2)
    >>> loss.update(torch.tensor([[3.0, 0.0], [0.2, 0.0]]), torch.tensor([1, 0]))
    >>> loss.gammas
    tensor([0.6375, 2.5924])
    """

    gammas: Tensor
    edges: Tensor

    def __init__(
        self,
        n_bins: int = 15,
        rate: float = 1.0,
        gamma_max: float = 20.0,
        gamma_min: float = -2.0,
        switch: float = 0.2,
        gamma: float = 1.0,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        check_number("n_bins", n_bins, low=1)
        check_number("rate", rate, low=0)
        check_number("switch", switch, low=0)
        check_number("gamma_max", gamma_max, low=switch)
        check_number("gamma_min", gamma_min, high=-switch)
        check_number("gamma", gamma, low=gamma_min, high=gamma_max)
        if n_bins != int(n_bins):
            raise UsageError(f"n_bins must be a whole number, but is {n_bins!r}.")
        self.n_bins, self.rate, self.switch, self.gamma = int(n_bins), rate, switch, gamma
        self.gamma_max, self.gamma_min = gamma_max, gamma_min
        self.register_buffer("gammas", torch.full((self.n_bins,), float(gamma)))
        self.register_buffer("edges", torch.arange(1, self.n_bins) / self.n_bins)

    def values(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the weighted losses of the samples."""
        targets.labels_only(self.name)
        nll = targets.nll(logits)
        p = torch.exp(-nll)
        gamma = self.gammas[torch.bucketize(p.detach(), self.edges.to(p.dtype))].to(p.dtype)
        factor = torch.where(gamma < 0, power(p, -gamma), modulation(p, gamma))
        return factor * nll * targets.sample_weight(nll)

    @torch.no_grad()
    def update(self, logits: Tensor, y: Tensor) -> None:
        """Learn γ and the bins from the calibration of a validation set.

        Parameters
        ----------
        logits : Tensor of shape (n, K) or (n, K, ...)
            Scores before softmax, of the whole validation set.
        y : Tensor of integers
            Its labels ``(n,)`` or ``(n, ...)``.

        Raises
        ------
        InputError, UsageError
            If shapes, dtypes or labels do not fit, or ``y`` holds probabilities.
        """
        logits, targets = read_batch(logits, y, None, self.ignore_index)
        targets.labels_only(self.name)
        targets.check_now()
        confidence, predicted = torch.softmax(logits, targets.dim).max(targets.dim)
        kept = targets.y != self.ignore_index
        confidence, correct = confidence[kept], (predicted == targets.y)[kept]
        if not confidence.numel():
            raise UsageError(f"all samples have the label ignore_index={self.ignore_index}; there is nothing to learn.")
        edges = _equal_mass_edges(confidence, self.n_bins).to(self.edges)
        gap = _calibration_gap(torch.bucketize(confidence.to(edges), edges), confidence, correct, self.n_bins)
        self.edges.copy_(edges)
        self.gammas.copy_(self._next(self.gammas.double(), gap.to(self.gammas.device)))

    def _next(self, gammas: Tensor, gap: Tensor) -> Tensor:
        # Too confident bins (gap > 0) need a larger γ, whatever its sign.
        moved = gammas * torch.exp(torch.where(gammas > 0, self.rate, -self.rate) * gap)
        switched = torch.where(moved > 0, -self.switch, self.switch)
        return torch.where(moved.abs() < self.switch, switched, moved).clamp(self.gamma_min, self.gamma_max)


def _equal_mass_edges(confidence: Tensor, n_bins: int) -> Tensor:
    """Inner edges, each the largest confidence of its bin."""
    last = torch.arange(1, n_bins, device=confidence.device) * confidence.numel() // n_bins - 1
    return confidence.sort().values[last.clamp(min=0)]


def _calibration_gap(index: Tensor, confidence: Tensor, correct: Tensor, n_bins: int) -> Tensor:
    """Mean confidence minus accuracy of each bin, 0 where it is empty, in float64."""
    excess = torch.bincount(index, (confidence.double() - correct.double()), minlength=n_bins)
    return excess / torch.bincount(index, minlength=n_bins).clamp(min=1)
