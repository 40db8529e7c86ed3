"""Kernels compiled by numba: one fused loop a row, no scratch beyond a row.

The exponential is a polynomial after reduction by powers of two, which the vector units take; its relative error is
below 3e-16 in float64 and 2e-7 in float32, as that of NumPy's. Sums may be reordered within a row, which changes their
last digits, but a row's result still depends on that row alone. Compiled code is cached beside this file.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from calkit.stats.kernels import blocked
from calkit.stats.kernels.base import NllMoments, SoftmaxSums
from calkit.stats.kernels.workspace import Workspace

__all__ = ["nll_moments", "softmax_sums"]

# Reordering and fused multiply-adds, but no assumption that there are no NaN or infinities: they are noticed.
_COMPILE: dict[str, Any] = {"nogil": True, "cache": True, "fastmath": {"reassoc", "contract", "arcp", "nsz"}}

# Rows that the vector units work on side by side where there are few classes.
_LANES = 16
_FEW_CLASSES = 64

_LARGEST_EXPONENT = 60

# Exponentials end at e^-87 and e^-708, which do not vanish beside huge distances: before that they are taken for 0.
_END = {np.dtype(np.float32): 86.0, np.dtype(np.float64): 700.0}


def _exp(x: Any) -> Any:
    """e^x for x <= 0; numba replaces this by the polynomial of the type of ``x``."""
    return np.exp(x)


@overload(_exp, inline="always", jit_options={"fastmath": _COMPILE["fastmath"]})
def _exp_of_type(x: Any) -> Any:
    return _exp32 if x == types.float32 else _exp64


def _exp32(x: Any) -> Any:
    x = max(x, np.float32(-87.0))
    k = np.rint(x * np.float32(1.4426950408889634))
    r = x - k * np.float32(0.693359375)
    r = r + k * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1.0)
    power = np.int32((np.int32(k) + np.int32(127)) << np.int32(23))
    return p * power.view(np.float32)


def _exp64(x: Any) -> Any:
    x = max(x, -708.0)
    k = np.rint(x * 1.4426950408889634)
    r = x - k * 6.93147180369123816490e-01
    r = r - k * 1.90821492927058770002e-10
    p = 2.5052108385441718775e-08
    p = p * r + 2.7557319223985890653e-07
    p = p * r + 2.7557319223985892511e-06
    p = p * r + 2.4801587301587301566e-05
    p = p * r + 1.9841269841269841253e-04
    p = p * r + 1.3888888888888889419e-03
    p = p * r + 8.3333333333333332177e-03
    p = p * r + 4.1666666666666664354e-02
    p = p * r + 1.6666666666666665741e-01
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    # Adding 1.5 * 2^52 leaves the whole number k in the low bits, which the vector units can shift into the exponent.
    power = np.int64((np.float64(k + 6755399441055744.0).view(np.int64) + 1023) << 52)
    return p * power.view(np.float64)


def _larger_of(typing_context: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
    """Return the larger of two numbers of one type.

    Loops over ``max`` stay scalar, since numba does not tell LLVM that there is no NaN; this tells it. Where that is
    untrue the result is some number, and the sums beside it are not finite.
    """

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        kind = arguments[0].type
        maximum = builder.module.declare_intrinsic("llvm.maxnum", [kind], ir.FunctionType(kind, [kind, kind]))
        return builder.call(maximum, arguments, fastmath=("nnan", "nsz"))

    return a(a, a), build


_larger: Any = intrinsic(_larger_of)


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _largest(row: Any) -> Any:
    top = row[0]
    for j in range(row.size):
        top = _larger(top, row[j])
    return top


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _is_first(row: Any, true: Any, top: Any) -> Any:
    """Tell whether the true class is the first with the largest logit."""
    if row[true] != top:
        return False
    earlier = 0
    for j in range(true):
        earlier += row[j] == top
    return earlier == 0


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _sums_by_row(z: Any, y: Any, beta: Any, one: Any, correct: Any, out: Any) -> Any:
    """Many classes: one row at a time, vectorised along it. ``out`` holds shift, rest and squares of each row.

    ``beta`` and ``one`` have the precision wanted; multiplying by one widens logits to it.
    """
    zero = one - one
    odd = zero
    for i in range(z.shape[0]):
        row = z[i]
        top = _largest(row)
        peak = top * one
        total, twice, ties = zero, zero, zero
        for j in range(row.size):
            d = row[j] * one - peak
            odd += d * zero
            e = _exp(beta * d)
            e = e if d < zero else zero
            ties += zero if d < zero else one
            total += e
            twice += e * e
        correct[i] = _is_first(row, y[i], top)
        out[0, i] = np.float64(row[y[i]]) - np.float64(top)
        # Whole numbers, so that the subtraction cannot be reordered into the sum and cost its last digits.
        others = np.int64(ties) - 1
        out[1, i] = np.float64(total) + others
        out[2, i] = np.float64(twice) + others
    return odd == zero


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _load_lanes(z: Any, i0: Any, lanes: Any) -> None:
    """Copy rows side by side, the last one repeated where the block ends."""
    n, k = z.shape
    for lane in range(_LANES):
        i = min(i0 + lane, n - 1)
        for j in range(k):
            lanes[j, lane] = z[i, j]


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _largest_of_lanes(lanes: Any, peak: Any) -> None:
    for lane in range(_LANES):
        peak[lane] = lanes[0, lane]
    for j in range(1, lanes.shape[0]):
        for lane in range(_LANES):
            peak[lane] = _larger(peak[lane], lanes[j, lane])


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _sums_by_lanes(z: Any, y: Any, beta: Any, one: Any, lanes: Any, peak: Any, acc: Any, correct: Any, out: Any) -> Any:
    """Few classes: rows side by side, vectorised across them. ``acc`` is scratch (4, lanes) in the precision wanted."""
    n, k = z.shape
    zero = one - one
    for lane in range(_LANES):
        acc[3, lane] = zero
    for i0 in range(0, n, _LANES):
        _load_lanes(z, i0, lanes)
        _largest_of_lanes(lanes, peak)
        for lane in range(_LANES):
            acc[0, lane], acc[1, lane], acc[2, lane] = zero, zero, zero
        for j in range(k):
            for lane in range(_LANES):
                d = lanes[j, lane] * one - peak[lane] * one
                acc[3, lane] += d * zero
                e = _exp(beta * d)
                e = e if d < zero else zero
                acc[2, lane] += zero if d < zero else one
                acc[0, lane] += e
                acc[1, lane] += e * e
        for lane in range(min(_LANES, n - i0)):
            i = i0 + lane
            correct[i] = _is_first(z[i], y[i], peak[lane])
            out[0, i] = np.float64(z[i, y[i]]) - np.float64(peak[lane])
            others = np.int64(acc[2, lane]) - 1
            out[1, i] = np.float64(acc[0, lane]) + others
            out[2, i] = np.float64(acc[1, lane]) + others
    odd = zero
    for lane in range(_LANES):
        odd += acc[3, lane]
    return odd == zero


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _moments_by_row(z: Any, y: Any, beta: Any, scale: Any, end: Any, out: Any) -> None:
    """Many classes. ``out`` (7, n): rest, four moments, mean distance, distance of the true class."""
    zero = beta - beta
    for i in range(z.shape[0]):
        row = z[i]
        peak = _largest(row) * scale
        mean, s0, s1, s2, s3, s4 = zero, zero, zero, zero, zero, zero
        for j in range(row.size):
            d = peak - row[j] * scale
            mean += d
            x = beta * d
            e = _exp(-x)
            e = e if x < end else zero
            d = d if x < end else zero
            s0 += e
            e = e * d
            s1 += e
            e = e * d
            s2 += e
            e = e * d
            s3 += e
            s4 += e * d
        out[0, i] = np.float64(s0) - 1
        out[1, i] = np.float64(s1) / np.float64(s0)
        out[2, i] = np.float64(s2) / np.float64(s0)
        out[3, i] = np.float64(s3) / np.float64(s0)
        out[4, i] = np.float64(s4) / np.float64(s0)
        out[5, i] = np.float64(mean) / row.size
        out[6, i] = np.float64(peak) - np.float64(row[y[i]] * scale)


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _two_moments_by_row(z: Any, y: Any, beta: Any, scale: Any, end: Any, out: Any) -> None:
    """Many classes, and moments enough for a Newton step: the higher two rows of ``out`` stay as they are."""
    zero = beta - beta
    for i in range(z.shape[0]):
        row = z[i]
        peak = _largest(row) * scale
        mean, s0, s1, s2 = zero, zero, zero, zero
        for j in range(row.size):
            d = peak - row[j] * scale
            mean += d
            x = beta * d
            e = _exp(-x)
            e = e if x < end else zero
            d = d if x < end else zero
            s0 += e
            e = e * d
            s1 += e
            s2 += e * d
        out[0, i] = np.float64(s0) - 1
        out[1, i] = np.float64(s1) / np.float64(s0)
        out[2, i] = np.float64(s2) / np.float64(s0)
        out[5, i] = np.float64(mean) / row.size
        out[6, i] = np.float64(peak) - np.float64(row[y[i]] * scale)


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _moments_by_lanes(
    z: Any, y: Any, beta: Any, scale: Any, end: Any, lanes: Any, peak: Any, acc: Any, out: Any
) -> None:
    """Few classes. ``acc`` is scratch (6, lanes) in the precision wanted."""
    n, k = z.shape
    zero = beta - beta
    for i0 in range(0, n, _LANES):
        _load_lanes(z, i0, lanes)
        _largest_of_lanes(lanes, peak)
        for order in range(6):
            for lane in range(_LANES):
                acc[order, lane] = zero
        for j in range(k):
            for lane in range(_LANES):
                d = peak[lane] * scale - lanes[j, lane] * scale
                acc[5, lane] += d
                x = beta * d
                e = _exp(-x)
                e = e if x < end else zero
                d = d if x < end else zero
                acc[0, lane] += e
                e = e * d
                acc[1, lane] += e
                e = e * d
                acc[2, lane] += e
                e = e * d
                acc[3, lane] += e
                acc[4, lane] += e * d
        for lane in range(min(_LANES, n - i0)):
            i = i0 + lane
            out[0, i] = np.float64(acc[0, lane]) - 1
            for order in range(1, 5):
                out[order, i] = np.float64(acc[order, lane]) / np.float64(acc[0, lane])
            out[5, i] = np.float64(acc[5, lane]) / k
            out[6, i] = np.float64(peak[lane] * scale) - np.float64(z[i, y[i]] * scale)


def softmax_sums(
    scores: NDArray[Any],
    y_true: NDArray[np.intp],
    beta: float,
    precision: type[np.floating[Any]],
    squares: bool,  # noqa: ARG001 - they cost less than a branch here
    workspace: Workspace,
) -> SoftmaxSums:
    """Return sums of exponentials computed in ``precision``, and of their squares."""
    z = _plain(scores)
    n, k = z.shape
    correct, out = np.empty(n, np.bool_), np.empty((3, n))
    factors = precision(beta), precision(1)
    if k < _FEW_CLASSES:
        lanes, peak = workspace.array("lanes", (k, _LANES), z.dtype), workspace.array("peak", (_LANES,), z.dtype)
        acc = workspace.array("acc", (4, _LANES), precision)
        finite = _sums_by_lanes(z, y_true, *factors, lanes, peak, acc, correct, out)
    else:
        finite = _sums_by_row(z, y_true, *factors, correct, out)
    return SoftmaxSums(correct, out[0], out[1], out[2], bool(finite))


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
    z = _plain(scores)
    if abs(exponent) > _LARGEST_EXPONENT:
        # The factor itself could overflow in the precision wanted.
        z, exponent = np.ldexp(z.astype(np.float64), -exponent), 0
    n, k = z.shape
    out = np.empty((7, n))
    factors = precision(beta), precision(2.0**-exponent), precision(_END[np.dtype(precision)])
    if k < _FEW_CLASSES:
        lanes, peak = workspace.array("lanes", (k, _LANES), z.dtype), workspace.array("peak", (_LANES,), z.dtype)
        acc = workspace.array("acc", (6, _LANES), precision)
        _moments_by_lanes(z, y_true, *factors, lanes, peak, acc, out)
    else:
        by_row = _two_moments_by_row if orders == 2 else _moments_by_row
        by_row(z, y_true, *factors, out)
    odd = np.flatnonzero(~np.isfinite(out[5]))
    if len(odd):
        # Infinite distances are for the other kernel.
        found = blocked.nll_moments(z[odd], y_true[odd], beta, exponent, precision, workspace, orders)
        out[0, odd], out[1 : 1 + orders, odd], out[5, odd], out[6, odd] = found
    return NllMoments(out[0], out[1 : 1 + orders], out[5], out[6])


def _plain(scores: NDArray[Any]) -> NDArray[Any]:
    """Return float32 or float64 scores, C-ordered: half precision and big-endian numbers are converted."""
    if scores.dtype not in (np.float32, np.float64):
        scores = scores.astype(np.float32 if scores.dtype.itemsize <= 4 else np.float64)
    return np.ascontiguousarray(scores)
