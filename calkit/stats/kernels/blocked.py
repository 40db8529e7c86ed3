"""Kernels in NumPy: sub-blocks that fit the cache, scratch reused, reductions of a fixed order.

Sums along classes are NumPy's own reductions, not BLAS products: BLAS orders its sums by the size and the place of the
block, and a row's confidence must not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.stats.kernels.base import NllMoments, SoftmaxSums
from calkit.stats.kernels.columns import FEW_CLASSES, columns_of
from calkit.stats.kernels.workspace import Workspace

__all__ = ["largest", "nll_moments", "softmax_sums"]

# Differences of huge logits overflow to infinity, whose exponential is the right 0; values that are not finite are
# reported by the result.
_quiet = np.errstate(over="ignore", under="ignore", invalid="ignore")

# Scratch of this size stays in a core's cache while it is worked on.
_CACHE_BYTES = 1 << 19


def largest(scores: NDArray[Any], workspace: Workspace) -> NDArray[np.intp]:
    """Return the first of the largest scores of each row."""
    if scores.shape[1] > FEW_CLASSES:
        return scores.argmax(axis=1)
    found = np.empty(len(scores), np.intp)
    for rows, _ in _sub_blocks(scores, scores.dtype.type, workspace):
        found[rows] = columns_of(scores[rows], workspace).predicted
    return found


@_quiet
def softmax_sums(
    scores: NDArray[Any],
    y_true: NDArray[np.intp],
    beta: float,
    precision: type[np.floating[Any]],
    squares: bool,
    workspace: Workspace,
) -> SoftmaxSums:
    """Return sums of exponentials computed in ``precision`` and, if wanted, of their squares."""
    n = len(scores)
    correct, shift, rest = np.empty(n, np.bool_), np.empty(n), np.empty(n)
    square = np.empty(n if squares else 0)
    transposed, finite, factor = scores.shape[1] <= FEW_CLASSES, True, precision(beta)
    for rows, indices in _sub_blocks(scores, precision, workspace):
        block = scores[rows]
        z, top, predicted = _with_largest(block, indices, workspace)
        np.equal(predicted, y_true[rows], out=correct[rows])
        np.subtract(block[indices, y_true[rows]], top, out=shift[rows], dtype=np.float64)
        e = _shifted(z, top, precision, workspace, transposed)
        finite = finite and bool(np.isfinite(np.add.reduce(e, axis=None)))
        if beta != 1:
            np.multiply(e, factor, out=e)
        np.exp(e, out=e)
        e[(predicted, indices) if transposed else (indices, predicted)] = 0
        np.add.reduce(e, axis=0 if transposed else 1, out=rest[rows], dtype=precision)
        if squares:
            square[rows] = _dot(e, e, transposed)
    return SoftmaxSums(correct, shift, rest, square, finite)


@_quiet
def nll_moments(
    scores: NDArray[Any],
    y_true: NDArray[np.intp],
    beta: float,
    exponent: int,
    precision: type[np.floating[Any]],
    workspace: Workspace,
    orders: int = 4,
) -> NllMoments:
    """Return the first moments of the distances, of logits times 2^-exponent."""
    n = len(scores)
    rest, moments, mean, true = np.empty(n), np.empty((orders, n)), np.empty(n), np.empty(n)
    transposed, factor = scores.shape[1] <= FEW_CLASSES, precision(beta)
    axis = 0 if transposed else 1
    for rows, indices in _sub_blocks(scores, precision, workspace):
        block = scores[rows]
        if exponent:
            block = np.ldexp(block.astype(np.float64, copy=False), -exponent)
        z, top, predicted = _with_largest(block, indices, workspace)
        np.subtract(top, block[indices, y_true[rows]], out=true[rows], dtype=np.float64)
        shifted = _shifted(z, top, precision, workspace, transposed)
        np.add.reduce(shifted, axis=axis, out=mean[rows], dtype=precision)
        infinite = None if np.isfinite(mean[rows]).all() else np.isinf(shifted)
        if infinite is not None:
            # A class of probability 0 at every β: it adds nothing to any sum.
            shifted[infinite] = 0
            classes = scores.shape[1] - np.add.reduce(infinite, axis=axis)
            mean[rows] = np.add.reduce(shifted, axis=axis, dtype=precision) * (scores.shape[1] / classes)
        e = np.multiply(shifted, factor, out=workspace.array("exponentials", shifted.shape, precision))
        np.exp(e, out=e)
        if infinite is not None:
            e[infinite] = 0
        e[(predicted, indices) if transposed else (indices, predicted)] = 0
        np.add.reduce(e, axis=axis, out=rest[rows], dtype=precision)
        for order in range(orders):
            # The predicted class adds nothing to the moments: its own distance is 0.
            moments[order, rows] = _dot(e, shifted, transposed)
            if order < orders - 1:
                np.multiply(e, shifted, out=e)
    moments /= 1 + rest
    moments[::2] *= -1  # odd powers of z - z_top, which is -d
    mean /= -scores.shape[1]
    return NllMoments(rest, moments, mean, true)


def _sub_blocks(
    scores: NDArray[Any], precision: type[np.floating[Any]], workspace: Workspace
) -> Iterator[tuple[slice, NDArray[np.intp]]]:
    """Yield slices of rows that fit the cache, each with the numbers 0, 1, … of its rows."""
    n, k = scores.shape
    step = min(n, max(16, _CACHE_BYTES // (np.dtype(precision).itemsize * k)))
    numbers = workspace.array("numbers", (step,), np.intp)
    numbers[:] = np.arange(step)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        yield rows, numbers[: rows.stop - start]


def _with_largest(
    block: NDArray[Any], indices: NDArray[np.intp], workspace: Workspace
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.intp]]:
    """Return the logits, (K, b) where there are few classes, else (b, K); the largest of each row, and its class."""
    if block.shape[1] <= FEW_CLASSES:
        return columns_of(block, workspace)
    predicted = block.argmax(axis=1)
    return block, block[indices, predicted], predicted


def _shifted(
    z: NDArray[Any], top: NDArray[Any], precision: type[np.floating[Any]], workspace: Workspace, transposed: bool
) -> NDArray[Any]:
    """Return logits minus the top logit of their row, in the shape of the logits.

    Differences are taken in the wider of the two precisions, so that they are right to their own rounding.
    """
    out = workspace.array("shifted", z.shape, precision)
    wide = np.promote_types(precision, np.float32) if z.dtype.itemsize <= 4 else np.float64
    return np.subtract(z, top if transposed else top[:, None], out=out, dtype=wide, casting="same_kind")


def _dot(a: NDArray[Any], b: NDArray[Any], transposed: bool) -> NDArray[Any]:
    """Return sums of products along the classes."""
    return np.einsum("ji,ji->i" if transposed else "ij,ij->i", a, b)
