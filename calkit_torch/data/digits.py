"""scikit-learn's handwritten digits: small, and there without any download."""

from __future__ import annotations

import numpy as np
import torch

from calkit.errors import InputError
from calkit.parameters import is_number
from calkit_torch.data.base import DataSet
from calkit_torch.data.feeds import ImageFeed
from calkit_torch.data.images import Pixels
from calkit_torch.data.registry import register_dataset
from calkit_torch.data.split import Split, shuffled

__all__ = ["load_digits"]

_N_VALIDATION = 300
_N_TEST = 500
_PIXELS = Pixels(mean=(0.305,), std=(0.376,), scale=16)  # mean and deviation of all 1,797 images


@register_dataset("digits")
def load_digits(*, noise: float = 0.0, split_seed: int = 1) -> DataSet:
    """Return scikit-learn's digits: 1,797 grey images of 8 × 8 pixels from 0 to 16, of uint8.

    Parameters
    ----------
    noise : float
        Standard deviation of Gaussian noise added to the grey levels, the same in every call: at 6, networks are wrong
        on one image in four, and those trained with cross-entropy are much too sure of themselves.
    split_seed : int
        What the division depends on: of the shuffled images the first 300 are for validation, the next 500 for the
        test, and 997 for training.

    Returns
    -------
    DataSet

    Raises
    ------
    InputError
        If the noise is not a number from 0 on.
    """
    if not is_number(noise) or not 0 <= noise < float("inf"):
        raise InputError(f"noise must be a number from 0 on, but is {noise!r}.")
    from sklearn import datasets

    found = datasets.load_digits()
    seen = found.images
    if noise:
        seen = np.clip(np.rint(seen + noise * np.random.default_rng(0).standard_normal(seen.shape)), 0, 255)
    images = torch.from_numpy(seen.astype(np.uint8)).unsqueeze(1)
    labels = torch.from_numpy(found.target.astype(np.int64))
    order = torch.from_numpy(shuffled(len(labels), split_seed))
    validation, test, train = order.tensor_split([_N_VALIDATION, _N_VALIDATION + _N_TEST])
    return DataSet(
        "digits",
        train=Split(images[train], labels[train]),
        validation=Split(images[validation], labels[validation]),
        test=Split(images[test], labels[test]),
        class_names=tuple(map(str, range(10))),
        feed=ImageFeed(_PIXELS),
        options={"in_channels": 1, "in_features": 64},
    )
