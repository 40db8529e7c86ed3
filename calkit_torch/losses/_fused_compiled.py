"""The value and the gradient of focal losses with bands of γ, compiled by numba: one call a batch."""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calkit.stats.kernels.compiled import _COMPILE, _exp, _largest
from calkit_torch.losses._bands import Bands

__all__ = ["value_and_gradient"]

# Exponentials are taken of whole blocks of rows, so that the vector units are full also where there are few classes;
# a block of so many numbers stays in the innermost cache.
_BLOCK = 4096

# Exponents up to this are tried as whole numbers.
_WHOLE = 8


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _are_classes(y: Any, k: Any) -> Any:
    outside: Any = 0
    for i in range(y.size):
        outside |= np.int64(y[i] < 0) | np.int64(y[i] >= k)
    return outside == 0


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _subtract_largest(z: Any, out: Any, zero: Any) -> Any:
    """Write each row less its largest to ``out``; return something that is 0 if all of them are finite."""
    odd = zero
    for i in range(z.shape[0]):
        row, to = z[i], out[i]
        top = _largest(row)
        for j in range(row.size):
            d = row[j] - top
            odd += d * zero
            to[j] = d
    return odd


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _sum(row: Any, zero: Any) -> Any:
    total = zero
    for j in range(row.size):
        total += row[j]
    return total


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _power(x: Any, exponent: Any) -> Any:
    """x^exponent; small whole exponents, which are those in use, by multiplication, at a tenth of the cost."""
    whole = np.int64(min(exponent, _WHOLE))
    if whole != exponent:
        return x**exponent
    product = 1.0
    for _ in range(whole):
        product *= x
    return product


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _batch(z: Any, y: Any, gammas: Any, cuts: Any, closed_right: Any, count: Any, wanted: Any, out: Any) -> Any:
    """Return the sum of the losses of the samples over ``count``, and write its gradient to ``out`` if wanted.

    ``gammas`` and ``cuts`` have the dtype of the logits ``z``. The result is NaN, and ``out`` means nothing, if a label
    is not a class or a logit is not finite.
    """
    n, k = z.shape
    if not _are_classes(y, k):
        return np.nan
    zero = gammas[0] - gammas[0]
    odd, value, rows = zero, 0.0, max(1, _BLOCK // k)
    shifts = np.empty(rows, out.dtype)
    for start in range(0, n, rows):
        stop = min(start + rows, n)
        block = out[start:stop]
        odd += _subtract_largest(z[start:stop], block, zero)
        flat = block.reshape(-1)
        for i in range(start, stop):
            shifts[i - start] = out[i, y[i]]
        for j in range(flat.size):
            flat[j] = _exp(flat[j])
        for i in range(start, stop):
            e, true = out[i], y[i]
            total, own = _sum(e, zero), e[true]
            p = own / total
            band = 0
            while band < cuts.size and (p > cuts[band] or (p == cuts[band] and not closed_right)):
                band += 1
            gamma, others = np.float64(gammas[band]), np.float64(total - own) / np.float64(total)
            log_p = np.float64(shifts[i - start]) - np.log(np.float64(total))
            power = _power(others, gamma - 1)
            value -= power * others * log_p
            if wanted:
                # Proposition 1: the gradient of cross-entropy, softmax minus one-hot, times g(p, γ).
                ratio = (others - gamma * (np.float64(p) * log_p)) * power / (np.float64(total) * count)
                factor = zero + ratio
                for j in range(k):
                    e[j] *= factor
                e[true] = (own - total) * factor
    return value / count if odd == zero else np.nan


def value_and_gradient(
    logits: Tensor, labels: NDArray[np.int64], bands: Bands, count: int, wanted: bool
) -> tuple[NDArray[Any], Tensor | None] | None:
    """Return the sum of the losses of the samples over ``count`` and, if wanted, its gradient.

    None stands for labels that are no classes and logits that are not finite.
    """
    z = logits.numpy()
    gradient = np.empty(z.shape, z.dtype)
    gammas, cuts, closed_right = bands
    value = _batch(z, np.ascontiguousarray(labels), gammas, cuts, closed_right, count, wanted, gradient)
    if math.isnan(value):
        return None
    return np.asarray(value, z.dtype), torch.from_numpy(gradient) if wanted else None
