"""Rows on a device of which several labels may be true, each a forecast of an event of its own."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from calkit.checks import SUM_TOLERANCE, SUM_TOLERANCE_HALF
from calkit_torch.bridge.counted import CountedRows

__all__ = ["LabelLogits", "LabelProbabilities"]


class LabelLogits(CountedRows):
    """Rows whose scores are a logit for each label."""

    @property
    def precision(self) -> torch.dtype:
        """The working precision: probabilities are computed, not stored."""
        return self.dtype

    def _possible(self) -> Tensor:
        # -inf is a probability of 0; every comparison is false for NaN.
        return (self.scores < math.inf).all(dim=1)

    @cached_property
    def probabilities(self) -> Tensor:
        """Probability of each label, of the shape of the scores; unmasked."""
        return self.scores.to(self.dtype).sigmoid()

    def class_logs(self) -> tuple[Tensor, Tensor]:
        """Return the logarithms of the probability of each label and of its complement; unmasked."""
        z = self.scores.to(self.dtype)
        nothing = torch.zeros_like(z)
        return -torch.logaddexp(nothing, -z), -torch.logaddexp(nothing, z)


class LabelProbabilities(CountedRows):
    """Rows whose scores are a probability for each label."""

    @property
    def precision(self) -> torch.dtype:
        """The precision the scores were stored in."""
        return self._stored

    def _possible(self) -> Tensor:
        tolerance = SUM_TOLERANCE_HALF if self._half else SUM_TOLERANCE
        return ((self.scores >= -tolerance) & (self.scores <= 1 + tolerance)).all(dim=1)

    @property
    def probabilities(self) -> Tensor:
        """Probability of each label, of the shape of the scores; unmasked."""
        return self.scores.to(self.dtype)

    def class_logs(self) -> tuple[Tensor, Tensor]:
        """Return the logarithms of the probability of each label and of its complement; unmasked."""
        return self._logs_of(self.probabilities)
