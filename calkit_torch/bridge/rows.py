"""What statistics need to know of rows that are on a device: :class:`calkit.stats.Rows` in torch operations.

Nothing here reads a value back: rows that do not count, for whatever reason, are not left out but given weight 0,
and what is wrong is counted, to be reported with the result.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from calkit.checks import SUM_TOLERANCE, SUM_TOLERANCE_HALF
from calkit_torch.bridge.shapes import Batch, ScoreKind, working_dtype

__all__ = ["CHECKS", "DeviceRows", "LogitRows", "ProbabilityRows", "rows_of", "working_dtype"]

#: What :attr:`DeviceRows.checks` counts: the rows that are there, and those of them that pass one check after another.
CHECKS = ("present", "with a possible label", "with possible scores", "with a possible weight")


class DeviceRows(ABC):
    """Labelled rows on a device, with the quantities that statistics are made of.

    Quantities have shape (r,), one value a label. They are of :func:`working_dtype` and 0 for rows that do not count:
    those of the ignored label or of weight 0, and those that fail a check.

    Parameters
    ----------
    batch : Batch
    ignore_index : int
        Label of rows that do not count.

    Attributes
    ----------
    counted : Tensor of shape (r,)
        1 for rows that count.
    weight : Tensor of shape (r,)
        The weights; `counted` itself where there are none.
    checks : Tensor of shape (4,)
        See :data:`CHECKS`.
    """

    def __init__(self, batch: Batch, ignore_index: int) -> None:
        self.scores = batch.scores
        self._stored = batch.scores.dtype if batch.stored is None else batch.stored
        self.dtype = working_dtype(batch.scores.device)
        # Labels are clamped so that a wrong one cannot address memory; clamping also tells which are wrong.
        self._y = batch.y.clamp(0, batch.n_classes - 1)
        present = batch.y != ignore_index
        if batch.weight is not None:
            present = present & (batch.weight != 0)
        labelled = present & (self._y == batch.y)
        self._votes = None
        if batch.votes is not None:
            labelled = labelled & ~batch.votes.isnan().any(dim=1)
            self._votes = batch.votes.nan_to_num(0.0)
        possible = counted = labelled & self._possible()
        if batch.weight is not None:
            counted = possible & (batch.weight >= 0) & (batch.weight < math.inf)
        self._left_out = ~counted
        self.counted = counted.flatten().to(self.dtype)
        self.weight = self.counted if batch.weight is None else self._values(batch.weight)
        self.checks = torch.stack([present, labelled, possible, counted]).flatten(1).sum(1).to(self.dtype)

    @property
    @abstractmethod
    def precision(self) -> torch.dtype:
        """Precision the confidences were stored in; edges of bins are rounded to it before they are compared."""

    @property
    @abstractmethod
    def confidence(self) -> Tensor:
        """Probability of the predicted class."""

    @property
    @abstractmethod
    def nll(self) -> Tensor:
        """Negative log-likelihood in nats."""

    @property
    @abstractmethod
    def brier(self) -> Tensor:
        """Squared distance between the probabilities and the one-hot truth, in [0, 2]."""

    @property
    @abstractmethod
    def p_true(self) -> Tensor:
        """Probability of the true class."""

    @property
    @abstractmethod
    def entropy(self) -> Tensor:
        """Entropy of the probabilities, in nats."""

    @property
    @abstractmethod
    def probabilities(self) -> Tensor:
        """Probability of each class, in :func:`working_dtype` and of the shape of the scores; unmasked."""

    @abstractmethod
    def event_logs(self, members: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logarithms of the probability of some classes together and of the others, shape (n, s)."""

    @abstractmethod
    def _possible(self) -> Tensor:
        """Return whether the scores of a row are what they can be, shape (n, s)."""

    @property
    def true_shares(self) -> Tensor | None:
        """Share of each class in a label, in the shape of the scores, where labels are soft."""
        return self._votes

    @property
    def labels(self) -> Tensor:
        """True class of each row, shape (n, s); some class for rows that do not count."""
        return self._y

    def per_class(self, values: Tensor) -> Tensor:
        """Return a quantity of shape (r,) repeated for each class, in the shape of the scores."""
        n, k, s = self.scores.shape
        return values.reshape(n, 1, s).expand(n, k, s)

    @cached_property
    def right(self) -> Tensor:
        """1 where the predicted class, the first of the largest scores, is the true one, else 0."""
        return self._values(self._predicted == self._y)

    @cached_property
    def correct(self) -> Tensor:
        """As `right`; with soft labels, the share of the predicted class."""
        if self._votes is None:
            return self.right
        return self._values(self._votes.gather(1, self.predicted.unsqueeze(1)).squeeze(1))

    @property
    def whole(self) -> DeviceRows:
        """The rows themselves, of which forecasts of single events are a part."""
        return self

    @property
    def predicted(self) -> Tensor:
        """The predicted class, the first of the largest scores, shape (n, s); any for rows that do not count."""
        return self._predicted.clamp(0, self.scores.shape[1] - 1)

    @property
    def hit(self) -> Tensor:
        """How far the decision was right, in [0, 1]."""
        return self.correct

    @property
    def excess(self) -> float:
        """How far rounding may have put a confidence above an edge that it stands for, or below a threshold."""
        return 0.0

    @property
    def p_true_if_right(self) -> Tensor:
        """Probability of the true class, if it is the predicted one."""
        return self._values(self.confidence.reshape(self._y.shape))

    @property
    @abstractmethod
    def nll_if_right(self) -> Tensor:
        """Negative log-likelihood, if the predicted class is the true one."""

    def mean_over_shares(self, values: Tensor) -> Tensor:
        """Return values of the shape of the scores, averaged over the classes of soft labels; shape (n, s)."""
        shares = cast("Tensor", self._votes)
        # A product with 0 would spoil the mean where a value is infinite.
        return torch.where(shares > 0, shares * values, 0).sum(dim=1)

    def _soft_brier(self) -> Tensor:
        p = self.probabilities
        return self._values((p * p).sum(dim=1) - 2 * self.mean_over_shares(p) + 1)

    def weigh(self, values: Tensor) -> Tensor:
        """Return a quantity times the weights."""
        return values if self.weight is self.counted else values * self.weight

    def sum(self, values: Tensor) -> Tensor:
        """Return the weighted sum of a quantity, a tensor without axes."""
        return self.weigh(values).sum()

    def _values(self, x: Tensor) -> Tensor:
        """Return a quantity of shape (n, s) as one of shape (r,), 0 where it does not count."""
        return x.to(self.dtype).masked_fill(self._left_out, 0).flatten()

    @cached_property
    def _predicted(self) -> Tensor:
        """The first of the largest scores, shape (n, s); anything below K for rows with a NaN."""
        last = self.scores.shape[1] - 1
        columns = torch.arange(last + 1, dtype=torch.int32, device=self.scores.device).reshape(1, -1, 1)
        # Backends may differ in which of equal maxima argmax returns; the least column is the same on all of them.
        return torch.where(self.scores == self._top.unsqueeze(1), columns, last).amin(dim=1).long()

    @cached_property
    def _top(self) -> Tensor:
        """Largest score of each row, in the precision of the scores, shape (n, s)."""
        return self.scores.amax(dim=1)

    @cached_property
    def _true(self) -> Tensor:
        """Score of the true class, in the precision of the scores, shape (n, s)."""
        return self.scores.gather(1, self._y.unsqueeze(1)).squeeze(1)


class LogitRows(DeviceRows):
    """Rows whose scores are logits; the softmax is computed in :func:`working_dtype`, whatever they are stored in."""

    @property
    def precision(self) -> torch.dtype:
        """The working precision: confidences are computed, not stored."""
        return self.dtype

    def _possible(self) -> Tensor:
        # NaN is the largest of anything, and fails every comparison; -inf is a probability of 0.
        return (self._top < math.inf) & (self._top > -math.inf)

    @cached_property
    def confidence(self) -> Tensor:
        """Probability of the predicted class."""
        return self._values(1 / (1 + self._rest))

    @cached_property
    def nll(self) -> Tensor:
        """Negative log-likelihood in nats."""
        true_shift = self._true_shift
        if self._votes is not None:
            true_shift = self.mean_over_shares(self.scores.to(self.dtype) - self._top.to(self.dtype).unsqueeze(1))
        return self._values(torch.log1p(self._rest) - true_shift)

    @property
    def nll_if_right(self) -> Tensor:
        """Negative log-likelihood, if the predicted class is the true one."""
        return self._values(torch.log1p(self._rest))

    @cached_property
    def brier(self) -> Tensor:
        """Squared distance between the probabilities and the one-hot truth, in [0, 2]."""
        if self._votes is not None:
            return self._soft_brier()
        rest, squares = self._rest, self._exponentials.square().sum(dim=1)
        total = 1 + rest
        # With the top class true, (1 - p)² + Σ p_j² is written without the difference of near-equal numbers.
        right = (rest * rest + squares) / total.square()
        wrong = (1 + squares) / total.square() - 2 * self._true_shift.exp() / total + 1
        return self._values(torch.where(self._true_shift == 0, right, wrong))

    @cached_property
    def p_true(self) -> Tensor:
        """Probability of the true class; with soft labels, the mean over their shares."""
        if self._votes is not None:
            return self._values(self.mean_over_shares(self.probabilities))
        return self._values(self._true_shift.exp() / (1 + self._rest))

    @property
    def probabilities(self) -> Tensor:
        """Probability of each class, of the shape of the scores; unmasked."""
        all_exponentials = self._exponentials.scatter(1, self._predicted.unsqueeze(1), 1)
        return all_exponentials.div_((1 + self._rest).unsqueeze(1))

    @cached_property
    def entropy(self) -> Tensor:
        """Entropy of the probabilities, in nats."""
        # Beyond a distance of 1000 the exponential is 0, and stays so times a distance that overflowed.
        distance = (self._top.to(self.dtype).unsqueeze(1) - self.scores.to(self.dtype)).clamp_(max=1000)
        mean = (self._exponentials * distance).sum(dim=1) / (1 + self._rest)
        return self._values(torch.log1p(self._rest) + mean)

    def event_logs(self, members: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logarithms of the probability of some classes together and of the others, shape (n, s)."""
        logits = self.scores.to(self.dtype)
        event, other = (logits.masked_fill(~part, -math.inf).logsumexp(1) for part in (members, ~members))
        certain = torch.zeros_like(event)
        return -torch.logaddexp(certain, other - event), -torch.logaddexp(certain, event - other)

    def distances(self, exponent: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Return how far each logit is below the top one, times 2^-exponent.

        Returns
        -------
        distances : Tensor of shape (n, K, s)
        true : Tensor of shape (n, s)
            That of the true class; with soft labels, the mean over their shares.
        predicted : Tensor of shape (n, 1, s)
            The class whose distance is that of the top logit from itself.
        """
        top, scores, true = (
            _times_power_of_two(x.to(self.dtype), -exponent) for x in (self._top, self.scores, self._true)
        )
        distances = top.unsqueeze(1) - scores
        of_true = top - true if self._votes is None else self.mean_over_shares(distances)
        return distances, of_true, self._predicted.unsqueeze(1)

    def total(self, values: Tensor) -> Tensor:
        """Return the weighted sum of values of shape (n, s) over the rows that count."""
        return self.sum(self._values(values))

    @cached_property
    def _true_shift(self) -> Tensor:
        """Logit of the true class minus the top logit, not positive."""
        return self._true.to(self.dtype) - self._top.to(self.dtype)

    @cached_property
    def _exponentials(self) -> Tensor:
        """exp(z - z_top), and 0 in place of the 1 of the predicted class."""
        e = self.scores.to(self.dtype, copy=True).sub_(self._top.unsqueeze(1)).exp_()
        return e.scatter_(1, self._predicted.unsqueeze(1), 0)

    @cached_property
    def _rest(self) -> Tensor:
        """Sum of the exponentials but for the 1 of the predicted class, next to which small ones would be lost."""
        return self._exponentials.sum(dim=1)


class ProbabilityRows(DeviceRows):
    """Rows whose scores are probabilities."""

    @property
    def precision(self) -> torch.dtype:
        """The precision the scores were stored in."""
        return self._stored

    def _possible(self) -> Tensor:
        # Every comparison is false for NaN.
        tolerance = SUM_TOLERANCE if self._stored.itemsize > 2 else SUM_TOLERANCE_HALF
        sums = self.scores.sum(dim=1, dtype=self.dtype)
        inside = (self.scores.amin(dim=1) >= -tolerance) & (self._top <= 1 + tolerance)
        return inside & ((sums - 1).abs() <= tolerance)

    @cached_property
    def confidence(self) -> Tensor:
        """Probability of the predicted class."""
        return self._values(self._top)

    @cached_property
    def nll(self) -> Tensor:
        """Negative log-likelihood in nats; a probability of 0 counts as the smallest number above 0."""
        if self._votes is None:
            return self._values(self._minus_log(self._true))
        return self._values(self.mean_over_shares(self._minus_log(self.scores)))

    @property
    def nll_if_right(self) -> Tensor:
        """Negative log-likelihood, if the predicted class is the true one."""
        return self._values(self._minus_log(self._top))

    def event_logs(self, members: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logarithms of the probability of some classes together and of the others, shape (n, s)."""
        p, q = (torch.where(part, self.probabilities, 0).sum(dim=1).clamp(0, 1) for part in (members, ~members))
        # Of two classes both are stored, of more the complement is what the event's own probability leaves.
        return -self._minus_log(p), -self._minus_log(q if members.shape[1] == 2 else 1 - p)

    def _minus_log(self, p: Tensor) -> Tensor:
        info = torch.finfo(self._stored)
        return -torch.log(p.to(self.dtype).clamp(min=info.tiny * info.eps))

    @cached_property
    def brier(self) -> Tensor:
        """Squared distance between the probabilities and the one-hot truth, in [0, 2]."""
        if self._votes is not None:
            return self._soft_brier()
        squares = self.scores.to(self.dtype).square().sum(dim=1)
        return self._values(squares - 2 * self._true.to(self.dtype) + 1)

    @cached_property
    def p_true(self) -> Tensor:
        """Probability of the true class; with soft labels, the mean over their shares."""
        if self._votes is not None:
            return self._values(self.mean_over_shares(self.probabilities))
        return self._values(self._true)

    @property
    def probabilities(self) -> Tensor:
        """Probability of each class, of the shape of the scores; unmasked."""
        return self.scores.to(self.dtype)

    @cached_property
    def entropy(self) -> Tensor:
        """Entropy of the probabilities, in nats."""
        return self._values(torch.special.entr(self.scores.to(self.dtype).clamp(min=0)).sum(dim=1))


def rows_of(batch: Batch, kind: ScoreKind, ignore_index: int) -> DeviceRows:
    """Return the rows of a batch."""
    return (LogitRows if kind == "logits" else ProbabilityRows)(batch, ignore_index)


def _times_power_of_two(x: Tensor, exponent: int) -> Tensor:
    """Return ``x * 2**exponent``; in two steps, since the power alone may overflow where the product does not."""
    if not exponent:
        return x
    half = exponent // 2
    return x * math.ldexp(1.0, half) * math.ldexp(1.0, exponent - half)
