"""What is asked of floors and intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calkit.errors import InputError, UsageError
from calkit.parameters import is_number, is_whole
from calkit.stats import Folds

__all__ = ["Resampling"]


@dataclass(frozen=True)
class Resampling:
    """What is asked of floors and intervals.

    Attributes
    ----------
    confidence_level : float or None
        How often an interval shall cover the truth, in (0, 1); None for no intervals, floors alone.
    n_resamples : int
        How often outcomes, or folds of rows, are drawn anew.
    seed : int
    """

    confidence_level: float | None = None
    n_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        level, n, seed = self.confidence_level, self.n_resamples, self.seed
        if level is not None and not (is_number(level) and 0 < level < 1):
            raise InputError(f"confidence_level must be a share between 0 and 1, such as 0.95, but is {level!r}.")
        if level is not None:
            object.__setattr__(self, "confidence_level", float(level))
        if not is_whole(n, 1):
            raise InputError(f"n_resamples must be a positive whole number, but is {n!r}.")
        if not is_whole(seed, 0):
            raise UsageError(f"random_state must be a whole number that is not negative, or None, but is {seed!r}.")

    @property
    def level(self) -> float:
        """The confidence level; only where intervals are asked for."""
        if self.confidence_level is None:
            raise ValueError("no intervals were asked for")
        return self.confidence_level

    @property
    def folds(self) -> Folds:
        """How rows are dealt to folds."""
        return Folds(self.seed)

    @property
    def tails(self) -> tuple[float, float]:
        """Shares of the probability below the lower and the upper limit."""
        return (1 - self.level) / 2, (1 + self.level) / 2

    @property
    def random(self) -> np.random.Generator:
        """A new generator of the outcomes that are drawn, the same for every metric."""
        return np.random.default_rng([self.seed, 7])
