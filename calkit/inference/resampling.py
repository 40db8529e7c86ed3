"""What is asked of floors and intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError, UsageError
from calkit.stats import Folds

__all__ = ["Resampling"]

# Numbers that a step of the resampling holds at a time.
_STEP_NUMBERS = 1 << 20


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
        if level is not None and (isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1):
            raise InputError(f"confidence_level must be a share between 0 and 1, such as 0.95, but is {level!r}.")
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise InputError(f"n_resamples must be a positive whole number, but is {n!r}.")
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
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

    def draws(self, n_folds: int) -> Iterator[NDArray[np.float64]]:
        """Yield how often each of `n_folds` folds is drawn, some replicates at a time: arrays of shape (r, n_folds).

        They are the same for every metric.
        """
        if n_folds * self.n_resamples <= _STEP_NUMBERS:
            yield _kept_counts(self.seed, n_folds, self.n_resamples)
            return
        random = np.random.default_rng([self.seed, n_folds])
        step = max(1, min(self.n_resamples, _STEP_NUMBERS // n_folds))
        for start in range(0, self.n_resamples, step):
            yield _counts(random, n_folds, min(step, self.n_resamples - start))


def _counts(random: np.random.Generator, n_folds: int, n: int) -> NDArray[np.float64]:
    """Return how often each fold is drawn, of shape (n, n_folds)."""
    drawn = random.integers(0, n_folds, (n, n_folds)) + n_folds * np.arange(n)[:, None]
    return np.bincount(drawn.ravel(), minlength=n * n_folds).reshape(n, n_folds).astype(np.float64)


@lru_cache(maxsize=1)
def _kept_counts(seed: int, n_folds: int, n: int) -> NDArray[np.float64]:
    """Return the same, kept for the next metric: 8 MB at most."""
    counts = _counts(np.random.default_rng([seed, n_folds]), n_folds, n)
    counts.flags.writeable = False
    return counts
