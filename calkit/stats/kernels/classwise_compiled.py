"""Sums over bins of the probability of every class, compiled by numba: a row at a time, its exponentials kept."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from calkit.stats.kernels.classwise import ClassRows, ClassSums
from calkit.stats.kernels.compiled import _COMPILE, _exp, _largest, _plain
from calkit.stats.kernels.workspace import Workspace

__all__ = ["class_sums"]

# Probabilities are compared with the first edge this many at a time.
_CHUNK = 64


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _exponentials(row: Any, beta: Any, one: Any, e: Any) -> Any:
    """Fill ``e`` with numbers in proportion to the probabilities; return the sum, and something that is 0 if finite."""
    zero = one - one
    top = _largest(row)
    peak = top * one
    total, ties, odd = zero, zero, zero
    for j in range(row.size):
        d = row[j] * one - peak
        odd += d * zero
        x = _exp(beta * d)
        x = x if d < zero else zero
        ties += zero if d < zero else one
        total += x
        e[j] = x
    for j in range(row.size):
        e[j] = e[j] if row[j] * one < peak else one
    # The largest is 1 and left out of the sum, so that probabilities near 1 lose nothing.
    return np.float64(total) + (np.int64(ties) - 1) + 1.0, odd


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _bin(value: Any, edges: Any) -> Any:
    last = edges.size - 2
    index = min(max(np.int64(value * (last + 1)), 0), last)
    # In half precision edges may lie unevenly: the product is a guess, the comparison decides.
    while index < last and value > edges[index + 1]:
        index += 1
    while index > 0 and value <= edges[index]:
        index -= 1
    return index


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _find_large(e: Any, limit: Any, large: Any) -> Any:
    """Write the places of numbers above ``limit[0]`` to ``large``; return how many there are. ``limit[1]`` is 1."""
    found, bound, one = 0, limit[0], limit[1]
    zero = one - one
    whole = e.size - e.size % _CHUNK
    for start in range(0, whole, _CHUNK):
        # Chunks of a length known to the compiler are what the vector units take.
        chunk = e[start : start + _CHUNK]
        above = zero
        for j in range(_CHUNK):
            above += one if chunk[j] > bound else zero
        if above > zero:
            for j in range(_CHUNK):
                if chunk[j] > bound:
                    large[found] = start + j
                    found += 1
    for j in range(whole, e.size):
        if e[j] > bound:
            large[found] = j
            found += 1
    return found


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _is_unsure(e: Any, large: Any, total: Any, n_bins: Any, error: Any) -> Any:
    """Tell whether a probability of the row could lie on either side of an edge."""
    for j in large:
        place = np.float64(e[j]) / total * n_bins
        nearest = np.rint(place)
        if 0 < nearest < n_bins and abs(place - nearest) < error * n_bins:
            return True
    return False


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _add_row(
    e: Any,
    large: Any,
    total: Any,
    weight: Any,
    votes: Any,
    edges: Any,
    low: Any,
    low_weight: Any,
    count: Any,
    sums: Any,
) -> None:
    """Add a row's probabilities: the large ones to their bins, the others to the sum of their column."""
    for j in large:
        value = np.float64(e[j]) / total
        b = _bin(value, edges)
        count[j, b] += 1
        sums[0, j, b] += weight
        sums[1, j, b] += weight * value
        if votes.size:
            sums[2, j, b] += weight * votes[j]
        e[j] = -1
    for j in range(low_weight.size):
        low_weight[j] += weight if e[j] >= 0 else 0.0
    for j in range(votes.size):
        sums[2, j, 0] += weight * votes[j] if e[j] >= 0 else 0.0
    for j in large:
        e[j] = 0
    scale = weight / total
    for j in range(e.size):
        low[j] += scale * np.float64(e[j])


@nb.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def _add_rows(
    z: Any, y: Any, votes: Any, weight: Any, is_logits: Any, beta: Any, one: Any, edges: Any, error: Any, e: Any,
    limit: Any, large: Any, low: Any, low_weight: Any, count: Any, sums: Any, unsure: Any,
) -> Any:  # fmt: skip
    """Add all rows to ``count`` and to ``sums``: weight, confidence and correct. Return whether all are finite.

    ``e``, ``limit`` and ``large`` are scratch.
    """
    zero = one - one
    odd = zero
    # A little below the edge, so that rounding hides nothing; the comparison of the quotients decides.
    first = edges[1] * (1 - 1e-6) - error
    for i in range(z.shape[0]):
        total = 1.0
        if is_logits:
            total, strange = _exponentials(z[i], beta, one, e)
            odd += strange
        else:
            for j in range(e.size):
                e[j] = z[i, j]
        limit[0], limit[1] = first * total, 1.0
        found = large[: _find_large(e, limit, large)]
        if error > 0 and _is_unsure(e, found, total, edges.size - 1, error):
            unsure[i] = True
            continue
        w = weight[i] if weight.size else 1.0
        if not votes.shape[1]:
            sums[2, y[i], _bin(np.float64(e[y[i]]) / total, edges)] += w
        _add_row(e, found, total, w, votes[i], edges, low, low_weight, count, sums)
    return odd == zero


def class_sums(rows: ClassRows, workspace: Workspace) -> ClassSums:
    """Return the sums over all rows but those that are unsure."""
    z = _plain(rows.scores)
    n, (k, m) = len(z), rows.shape
    is_logits = rows.beta is not None
    precision = rows.precision if rows.beta is not None else z.dtype.type
    factors = precision(1 if rows.beta is None else rows.beta), precision(1)
    scratch = (
        workspace.array("row exponentials", (k,), precision),
        workspace.array("limit", (2,), precision),
        workspace.array("large", (k,), np.intp),
    )
    low, low_weight = np.zeros(k), np.zeros(0 if rows.weight is None else k)
    count, sums, unsure = np.zeros((k, m), np.int64), np.zeros((3, k, m)), np.zeros(n, np.bool_)
    weight = np.empty(0) if rows.weight is None else rows.weight
    votes = np.empty((n, 0)) if rows.votes is None else _plain(rows.votes)
    totals = low, low_weight, count, sums, unsure
    finite = _add_rows(z, rows.y_true, votes, weight, is_logits, *factors, rows.edges, rows.error, *scratch, *totals)
    present = ~unsure
    count[:, 0] += int(present.sum()) - count.sum(axis=1)
    if rows.weight is None:
        sums[0] = count
    else:
        sums[0, :, 0] += low_weight
    sums[1, :, 0] += low
    return ClassSums(count, sums[0], sums[1], sums[2], np.flatnonzero(unsure), bool(finite))
