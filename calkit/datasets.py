"""Data that ships with calkit, and synthetic data whose calibration is known."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.errors import InputError
from calkit.io import load_predictions
from calkit.parameters import is_whole
from calkit.predictions import Predictions

__all__ = ["Synthetic", "digits_path", "load_digits_logits", "make_binary", "make_multiclass"]


def digits_path() -> Path:
    """Return the path of the shipped logits file, for use with the command line.

    Examples
    --------
    >>> from calkit.datasets import digits_path
    >>> digits_path().name
    'digits-mlp.npz'
    """
    return Path(str(resources.files("calkit").joinpath("data/digits-mlp.npz")))


def load_digits_logits(split: Literal["validation", "test"] = "test") -> Predictions:
    """Load logits of an over-confident classifier of handwritten digits.

    A network of one hidden layer, trained without regularisation on 300 of scikit-learn's digits seen through noise
    (``examples/make_digits_logits.py``): right four times in five, and almost always sure.

    Parameters
    ----------
    split : {"test", "validation"}, default="test"
        899 test rows, or 598 validation rows to fit calibrators on.

    Returns
    -------
    Predictions
        Of kind "logits", 10 classes, float32.

    Examples
    --------
    >>> from calkit.datasets import load_digits_logits
    >>> load_digits_logits("test")
    Predictions(n_samples=899, n_classes=10, kind='logits')
    """
    return load_predictions(digits_path(), split=split)


def _count(value: Any, name: str, least: int = 1) -> int:
    if not is_whole(value, least):
        raise InputError(f"{name} must be a whole number of at least {least}, but is {value!r}.")
    return int(value)


@dataclass(frozen=True, eq=False)
class Synthetic:
    """Predictions whose calibration is known.

    Attributes
    ----------
    predictions : Predictions
        Of kind "probs", with outcomes drawn from `truth`.
    truth : ndarray of float64, shape (n,) or (n, K)
        The true probabilities of these rows: of the event, or of each class.
    """

    predictions: Predictions
    truth: NDArray[np.float64]

    @property
    def true_error(self) -> float:
        """Mean absolute difference between what is said and what is true, without bins; class-wise for K classes.

        It is the calibration error of the population where what is true is a function of what is said: for
        ``make_binary``. Errors of bins are at most that.
        """
        said = np.asarray(self.predictions.scores, dtype=np.float64)
        return float(np.abs(said.reshape(self.truth.shape) - self.truth).mean())


def make_binary(
    n_samples: int = 1000, *, slope: float = 1.0, shift: float = 0.0, random_state: int | None = 0
) -> Synthetic:
    """Make forecasts of one event, whose true log-odds are ``slope * logit(p) + shift``.

    Parameters
    ----------
    n_samples : int, default=1000
    slope : float, default=1
        Below 1 the forecasts are over-confident, above 1 under-confident.
    shift : float, default=0
        Above 0 the event comes more often than is said.
    random_state : int or None, default=0

    Returns
    -------
    Synthetic

    Examples
    --------
    >>> from calkit.datasets import make_binary
    >>> round(make_binary(1000, slope=0.5).true_error, 3)
    0.096
    >>> make_binary(1000).true_error < 1e-12
    True
    """
    rng = np.random.default_rng(random_state)
    p = rng.random(_count(n_samples, "n_samples"))
    truth: Any = special.expit(slope * special.logit(p) + shift)
    y = (rng.random(len(p)) < truth).astype(int)
    return Synthetic(Predictions(p, y, kind="probs"), truth)


def make_multiclass(
    n_samples: int = 1000, n_classes: int = 10, *, temperature: float = 1.0, random_state: int | None = 0
) -> Synthetic:
    """Make forecasts of K classes: the softmax of logits whose labels follow their softmax at a temperature.

    Parameters
    ----------
    n_samples : int, default=1000
    n_classes : int, default=10
        At least 2.
    temperature : float, default=1
        The right one: above 1 the forecasts are over-confident.
    random_state : int or None, default=0

    Returns
    -------
    Synthetic

    Examples
    --------
    >>> from calkit.datasets import make_multiclass
    >>> made = make_multiclass(2000, 5, temperature=2.0)
    >>> made.predictions
    Predictions(n_samples=2000, n_classes=5, kind='probs')
    """
    rng = np.random.default_rng(random_state)
    n, k = _count(n_samples, "n_samples"), _count(n_classes, "n_classes", least=2)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), rng.integers(0, k, n)] += rng.gamma(3.0, 1.5, n)
    logits *= temperature
    truth: Any = special.softmax(logits / temperature, axis=1)
    y = np.minimum((truth.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1), k - 1)
    return Synthetic(Predictions(special.softmax(logits, axis=1), y, kind="probs"), truth)
