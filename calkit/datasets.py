"""Data that ships with calkit, and synthetic data whose calibration is known."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal

from calkit.io import load_predictions
from calkit.predictions import Predictions

__all__ = ["digits_path", "load_digits_logits"]


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
