"""What statistics need to know of rows that are on a device: :class:`calkit.stats.Rows` in torch operations.

Nothing here reads a value back: rows that do not count, for whatever reason, are not left out but given weight 0,
and what is wrong is counted, to be reported with the result.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from calkit.checks import SUM_TOLERANCE, SUM_TOLERANCE_HALF
from calkit.stats.rows import CLASS_COLUMNS, PREDICTED_CLASS
from calkit_torch.bridge.counted import CountedRows
from calkit_torch.bridge.label_rows import LabelLogits, LabelProbabilities
from calkit_torch.bridge.shapes import Batch, ScoreKind, first_of_largest

__all__ = ["DeviceRows", "LogitRows", "ProbabilityRows", "rows_of"]

_LOG2_E = math.log2(math.e)

# Scores whose exponentials one thread of a CPU takes at once, in as much memory as its cache holds.
_BLOCK = 1 << 16


class DeviceRows(CountedRows):
    """Rows of which one class is true, with the quantities that statistics are made of; see :class:`CountedRows`."""

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
    def log_probabilities(self) -> Tensor:
        """Logarithm of the probability of each class, of the shape of the scores; unmasked."""

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
    def predicted(self) -> Tensor:
        """The predicted class, the first of the largest scores, shape (n, s); any for rows that do not count."""
        return self._predicted.clamp(0, self.scores.shape[1] - 1)

    @property
    def hit(self) -> Tensor:
        """How far the decision was right, in [0, 1]."""
        return self.correct

    def top_logs(self) -> tuple[Tensor, Tensor]:
        """Return the logarithms of the probability of the predicted class and of its complement, shape (n, 1, s)."""
        best = self.predicted.unsqueeze(1)
        yes, no = self.class_logs()
        return yes.gather(1, best), no.gather(1, best)

    def _class_column(self, column: str) -> Tensor:
        if column in CLASS_COLUMNS:
            return self.predicted if column == PREDICTED_CLASS else self._y
        return super()._class_column(column)

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

    @cached_property
    def _largest(self) -> tuple[Tensor, Tensor]:
        """The largest score of each row, and the first class that has it; torch promises the first."""
        return first_of_largest(self.scores)

    @property
    def _predicted(self) -> Tensor:
        """The first of the largest scores, shape (n, s); anything below K for rows with a NaN."""
        return self._largest[1]

    @property
    def _top(self) -> Tensor:
        """Largest score of each row, in the precision of the scores, shape (n, s)."""
        return self._largest[0]

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
        rest, squares = self._rest, self._squares
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

    @cached_property
    def log_probabilities(self) -> Tensor:
        """Logarithm of the probability of each class, of the shape of the scores; unmasked."""
        shift = self.scores.to(self.dtype) - self._top.to(self.dtype).unsqueeze(1)
        return shift - torch.log1p(self._rest).unsqueeze(1)

    def class_logs(self) -> tuple[Tensor, Tensor]:
        """Return the logarithms of the probability of each class and of all others together; unmasked."""
        logs = self.log_probabilities
        if logs.shape[1] == 2:
            return logs, logs.flip(1)
        # Only the largest can be above 1/2; what is not is summed over the others, so that nothing small is lost.
        best = self.predicted.unsqueeze(1)
        rest = logs.scatter(1, best, -math.inf).logsumexp(1, keepdim=True)
        return logs, torch.log1p(-logs.exp().clamp(max=1)).scatter(1, best, rest)

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
        return self._exponentials_of(slice(None))

    def _exponentials_of(self, part: slice) -> Tensor:
        e = self.scores[part].to(self.dtype, copy=True).sub_(self._top[part].unsqueeze(1))
        # On a CPU a power of 2 takes half the time of one of e. The product's rounding moves it by 1e-13 of its size
        # at the most, which is where it is next to nothing: e**-745 is the smallest number there is.
        return e.mul_(_LOG2_E).exp2_().scatter_(1, self._predicted[part].unsqueeze(1), 0)

    @cached_property
    def _sums(self) -> tuple[Tensor, Tensor]:
        """Sums of the exponentials, and of their squares."""
        if "_exponentials" in self.__dict__:
            return _sum_and_squares(self._exponentials)
        n, n_classes, s = self.scores.shape
        most = _BLOCK * torch.get_num_threads() if self.scores.device.type == "cpu" else self.scores.numel()
        step = max(1, most // max(1, n_classes * s))
        parts = [_sum_and_squares(self._exponentials_of(slice(i, i + step))) for i in range(0, max(n, 1), step)]
        rest, squares = (torch.cat(found) for found in zip(*parts, strict=True))
        return rest, squares

    @property
    def _rest(self) -> Tensor:
        """Sum of the exponentials but for the 1 of the predicted class, next to which small ones would be lost."""
        return self._sums[0]

    @property
    def _squares(self) -> Tensor:
        """Sum of the squares of the exponentials but for that of the predicted class."""
        return self._sums[1]


class ProbabilityRows(DeviceRows):
    """Rows whose scores are probabilities."""

    @property
    def precision(self) -> torch.dtype:
        """The precision the scores were stored in."""
        return self._stored

    def _possible(self) -> Tensor:
        # Every comparison is false for NaN.
        tolerance = SUM_TOLERANCE_HALF if self._half else SUM_TOLERANCE
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

    @cached_property
    def log_probabilities(self) -> Tensor:
        """Logarithm of the probability of each class, of the shape of the scores; unmasked."""
        return -self._minus_log(self.scores)

    def class_logs(self) -> tuple[Tensor, Tensor]:
        """Return the logarithms of the probability of each class and of its complement; unmasked."""
        if self.scores.shape[1] == 2:
            return self.log_probabilities, self.log_probabilities.flip(1)
        return self._logs_of(self.probabilities)

    def top_logs(self) -> tuple[Tensor, Tensor]:
        """Return the logarithms of the probability of the predicted class and of what it leaves, shape (n, 1, s)."""
        return self._logs_of(self._top.to(self.dtype).unsqueeze(1))

    @property
    def class_excess(self) -> Tensor | None:
        """How far rounding may have put the probability of each class above what it was; None where it may not.

        The first of two classes has what one column of probabilities leaves: 1 - 0.7 is above 0.3 by its rounding.
        """
        if not self._one_column:
            return None
        rounding = torch.finfo(self._stored).eps / 2
        return rounding * torch.arange(1, -1, -1, dtype=self.dtype, device=self.scores.device)

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


_ROWS: dict[tuple[ScoreKind, bool], type[CountedRows]] = {
    ("logits", False): LogitRows,
    ("probs", False): ProbabilityRows,
    ("logits", True): LabelLogits,
    ("probs", True): LabelProbabilities,
}


def rows_of(batch: Batch, kind: ScoreKind, ignore_index: int, *, multilabel: bool = False) -> CountedRows:
    """Return the rows of a batch."""
    return _ROWS[kind, multilabel](batch, ignore_index)


def _sum_and_squares(e: Tensor) -> tuple[Tensor, Tensor]:
    return e.sum(dim=1), (e * e).sum(dim=1)


def _times_power_of_two(x: Tensor, exponent: int) -> Tensor:
    """Return ``x * 2**exponent``; in two steps, since the power alone may overflow where the product does not."""
    if not exponent:
        return x
    half = exponent // 2
    return x * math.ldexp(1.0, half) * math.ldexp(1.0, exponent - half)
