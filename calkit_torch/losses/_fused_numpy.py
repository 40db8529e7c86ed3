"""The value and the gradient of focal losses with bands of γ, for plain batches, by PyTorch and NumPy."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calkit_torch.losses._bands import Bands

__all__ = ["value_and_gradient"]

# Exponentials are not shifted by the largest logit. Below this, one of them or a quotient of two may have lost digits.
_SMALLEST = 1e-30

# Looked up once: in what follows, looking up a name takes as long as some of the arithmetic.
_UNSIGNED = np.dtype(np.uint64)


def value_and_gradient(
    logits: Tensor, labels: NDArray[np.int64], bands: Bands, count: int, wanted: bool
) -> tuple[NDArray[Any], Tensor | None] | None:
    """Return the sum of the losses of the samples over ``count`` and, if wanted, its gradient.

    None stands for labels that are no classes, logits that are not finite, and numbers that might lose digits.
    """
    n, k = logits.shape
    # Read without sign a negative label is huge, so that one comparison finds it, ignored labels included.
    unsigned = labels.view(_UNSIGNED)
    if unsigned.item(unsigned.argmax()) >= k:
        return None
    row_starts, ones_k, ones_n, counts = _constants(n, k, logits.dtype, count)
    exps = torch.exp(logits)
    rows = exps.numpy()
    total = exps.mv(ones_k).numpy()
    # An overflow makes a sum infinite; a NaN makes it NaN, which argmax takes for the largest.
    if not total.item(total.argmax()) < math.inf:
        return None
    flat, index = rows.reshape(-1), labels + row_starts
    own = flat.take(index)
    p = own / total
    least = own * p
    if not least.item(least.argmin()) > _SMALLEST:
        return None
    log_p, rest, gamma = np.log(p), ones_n - p, bands.gamma_of(p)
    power = rest ** (gamma - 1)
    value = np.asarray((power * rest).dot(log_p) / -count, rows.dtype)
    if not wanted:
        return value, None
    # The gradient of cross-entropy, softmax minus one-hot, is this divided by the total.
    flat[index] = own - total
    ratio = (rest - gamma * (p * log_p)) * power / (total * counts)
    return value, exps.mul_(torch.from_numpy(ratio[:, None]))


@lru_cache(maxsize=16)
def _constants(n: int, k: int, dtype: torch.dtype, count: int) -> tuple[Any, Tensor, NDArray[Any], NDArray[Any]]:
    """Where the rows of an (n, k) matrix start, k and n ones, and n times the count: arrays, quicker than numbers."""
    counts = torch.full((n,), count, dtype=dtype).numpy()
    return np.arange(0, n * k, k), torch.ones(k, dtype=dtype), np.ones_like(counts), counts
