"""Sums over bins of the probability of every class, in NumPy: only what lies above the first edge needs a bin.

A row's probabilities sum to 1, so fewer than ``n_bins`` of them are above the first edge, however many classes there
are. They are picked out and binned; the rest of a column is summed whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from calkit.stats.binning import bin_index
from calkit.stats.kernels.columns import FEW_CLASSES, columns_of
from calkit.stats.kernels.workspace import Workspace

__all__ = ["ClassRows", "ClassSums", "class_pieces", "class_sums", "finished"]

_CACHE_BYTES = 1 << 19


@dataclass(frozen=True, eq=False)
class ClassSums:
    """Sums over the rows for each class and bin, shape (K, n_bins); and what is left to do.

    Attributes
    ----------
    count : ndarray of int64
    weight, confidence, correct : ndarray of float64
    unsure : ndarray of intp
        Rows that are in none of the sums: a probability lies too close to an edge for the precision.
    finite : bool
        Whether all scores are surely finite.
    """

    count: NDArray[np.int64]
    weight: NDArray[np.float64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.float64]
    unsure: NDArray[np.intp]
    finite: bool


@dataclass(frozen=True)
class ClassRows:
    """Rows whose probabilities of all classes are to be binned.

    Attributes
    ----------
    scores : ndarray, shape (b, K)
        Logits, or probabilities.
    y_true : ndarray of intp, shape (b,)
    votes : ndarray of float64, shape (b, K), or None
        With soft labels, the share of each class.
    weight : ndarray of float64, shape (b,), or None
    beta : float or None
        What multiplies logits; None for probabilities.
    precision : type
        In which exponentials are computed.
    edges : ndarray of float64, shape (n_bins + 1,)
    error : float
        Bound on the error of the probabilities: what lies closer to an edge is left undone.
    """

    scores: NDArray[Any]
    y_true: NDArray[np.intp]
    votes: NDArray[np.float64] | None
    weight: NDArray[np.float64] | None
    beta: float | None
    precision: type[np.floating[Any]]
    edges: NDArray[np.float64]
    error: float

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.edges) - 1

    @property
    def shape(self) -> tuple[int, int]:
        """Number of classes and of bins."""
        return self.scores.shape[1], self.n_bins


class _Piece(NamedTuple):
    """Some rows: their probabilities below the first edge as a matrix, those above as a list of (row, class, value).

    `low` is in units of 1 / `total`; what is in the list is 0 there. `bin` may be 0 where a value is just on the edge.
    """

    rows: slice
    low: NDArray[Any]
    total: NDArray[np.float64]
    row: NDArray[np.intp]
    column: NDArray[np.intp]
    value: NDArray[np.float64]
    bin: NDArray[np.intp]
    unsure: NDArray[np.intp]
    finite: bool

    def unlisted(self) -> NDArray[np.float64]:
        """Return 1 where a probability is not in the list, else 0, of the shape of `low`.

        Weights are summed by it: a difference of sums leaves rounding where no row is, and loses small weights.
        """
        mask = np.ones(self.low.shape)
        mask[self.row, self.column] = 0
        mask[self.unsure] = 0
        return mask


def class_pieces(rows: ClassRows, workspace: Workspace) -> Iterator[_Piece]:
    """Yield the rows in pieces that fit the cache; `row` and `unsure` count from the start of the piece."""
    n, k = rows.scores.shape
    step = min(n, max(16, _CACHE_BYTES // (np.dtype(rows.precision).itemsize * k)))
    few = k <= FEW_CLASSES
    for start in range(0, n, step):
        piece = slice(start, min(start + step, n))
        size = piece.stop - start
        e, total, finite = _exponentials(rows.scores[piece], rows, workspace)
        # A little below the edge, so that rounding hides nothing; the comparison of the quotients decides.
        threshold = ((rows.edges[1] * (1 - 1e-6) - rows.error) * total).astype(e.dtype)[:, None]
        # Of few classes, those of one class lie side by side in memory.
        if few:
            above = np.greater(e, threshold, out=workspace.array("above", (k, size), np.bool_).T).T
            places = np.flatnonzero(above)
            # Quicker than a division by the number of rows.
            column = np.repeat(np.arange(k), np.count_nonzero(above, axis=1))
            row = places - column * size
        else:
            places = np.flatnonzero(np.greater(e, threshold, out=workspace.array("above", (size, k), np.bool_)))
            row, column = np.divmod(places, k)
        value = (e.T if few else e).reshape(-1)[places] / total[row]
        index = bin_index(value, rows.edges)
        unsure = _unsure(value, rows, row, size)
        if len(unsure):
            e[unsure] = 0
            kept = ~np.isin(row, unsure)
            row, column, value, index = row[kept], column[kept], value[kept], index[kept]
        e[row, column] = 0
        yield _Piece(piece, e, total, row, column, value, index, unsure, finite)


def _exponentials(
    block: NDArray[Any], rows: ClassRows, workspace: Workspace
) -> tuple[NDArray[Any], NDArray[np.float64], bool]:
    """Return numbers in proportion to the probabilities, which the caller may change, and their sums.

    Those of few classes are the transpose of what lies in memory.
    """
    n, k = block.shape
    few = k <= FEW_CLASSES
    e = workspace.array("class exponentials", (k, n) if few else (n, k), rows.precision)
    e = e.T if few else e
    if rows.beta is None:
        np.copyto(e, block, casting="same_kind")
        return e, np.ones(n), True
    numbers = np.arange(n)
    if few:
        columns = columns_of(block, workspace)
        block, predicted, top = columns.z.T, columns.predicted, columns.top
    else:
        predicted = block.argmax(axis=1)
        top = block[numbers, predicted]
    wide = np.promote_types(rows.precision, np.float32) if block.dtype.itemsize <= 4 else np.float64
    np.subtract(block, top[:, None], out=e, dtype=wide, casting="same_kind")
    finite = bool(np.isfinite(np.add.reduce(e, axis=None)))
    if rows.beta != 1:
        np.multiply(e, rows.precision(rows.beta), out=e)
    np.exp(e, out=e)
    # The largest is left out of the sum, as everywhere, so that probabilities near 1 lose nothing.
    e[numbers, predicted] = 0
    rest = np.add.reduce(e, axis=1, dtype=rows.precision)
    e[numbers, predicted] = 1
    return e, 1 + rest.astype(np.float64), finite


def _unsure(value: NDArray[np.float64], rows: ClassRows, row: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Return the rows with a probability that could lie on either side of an edge."""
    if not rows.error:
        return np.empty(0, np.intp)
    places = value * rows.n_bins
    nearest = np.rint(places)
    close = (np.abs(places - nearest) < rows.error * rows.n_bins) & (nearest > 0) & (nearest < rows.n_bins)
    return np.flatnonzero(np.bincount(row[close], minlength=size)) if close.any() else np.empty(0, np.intp)


def class_sums(rows: ClassRows, workspace: Workspace) -> ClassSums:
    """Return the sums over all rows but those that are unsure."""
    k, m = rows.shape
    low, low_weight, low_votes = np.zeros(k), np.zeros(k), np.zeros(k)
    places, values, owners, truths, unsure, finite = [], [], [], [], [], True
    for piece in class_pieces(rows, workspace):
        start = piece.rows.start
        weight = 1.0 if rows.weight is None else rows.weight[piece.rows]
        # A product with vectors of float64, so that splitting the rows otherwise changes nothing that could be seen.
        low += (weight / piece.total) @ piece.low.astype(np.float64, copy=False)
        if rows.weight is not None:
            low_weight += rows.weight[piece.rows] @ piece.unlisted()
        if rows.votes is not None:
            weights = np.broadcast_to(weight, len(piece.low))
            low_votes += weights @ (rows.votes[piece.rows] * piece.unlisted())
        places.append(piece.column * m + piece.bin)
        values.append(piece.value)
        owners.append(piece.row + start)
        unsure.append(piece.unsure + start)
        hit = piece.column == rows.y_true[piece.rows][piece.row]
        truth = rows.y_true[piece.rows] * m
        truth[piece.row[hit]] += piece.bin[hit]
        truths.append(truth)
        finite = finite and piece.finite
    return finished(
        rows,
        low,
        low_weight,
        low_votes,
        np.concatenate(places),
        np.concatenate(values),
        np.concatenate(owners),
        np.concatenate(truths),
        np.concatenate(unsure),
        finite,
    )


def finished(
    rows: ClassRows,
    low: NDArray[np.float64],
    low_weight: NDArray[np.float64],
    low_votes: NDArray[np.float64],
    place: NDArray[np.intp],
    value: NDArray[np.float64],
    owner: NDArray[np.intp],
    truth: NDArray[np.intp],
    unsure: NDArray[np.intp],
    finite: bool,
) -> ClassSums:
    """Put the sums together: the lowest bin holds what is in no other.

    Parameters
    ----------
    rows : ClassRows
    low : ndarray of float64, shape (K,)
        Weighted sums of the probabilities that are not in the list.
    low_weight : ndarray of float64, shape (K,)
        Sums of the weights of the rows of those, where rows have weights.
    low_votes : ndarray of float64, shape (K,)
        Weighted sums of their votes, where labels are soft.
    place, value, owner : ndarray
        The list: ``class * n_bins + bin``, probability and row.
    truth : ndarray of intp, shape (b,)
        ``class * n_bins + bin`` of each row's true class.
    unsure : ndarray of intp
    finite : bool
    """
    (k, m), weight = rows.shape, rows.weight
    if len(unsure):
        present = np.ones(len(truth), bool)
        present[unsure] = False
        truth, weight = truth[present], None if weight is None else weight[present]

    def sums(places: NDArray[np.intp], values: NDArray[np.float64] | None) -> NDArray[np.float64]:
        # Of no places, NumPy counts in whole numbers.
        return np.bincount(places, values, k * m).astype(np.float64).reshape(k, m)

    listed = None if rows.weight is None else rows.weight[owner]
    confidence = sums(place, value if listed is None else value * listed)
    confidence[:, 0] += low
    count, total = np.bincount(place, minlength=k * m).reshape(k, m), sums(place, listed)
    if rows.votes is None:
        correct = sums(truth, weight)
    else:
        votes = rows.votes[owner, place // m]
        correct = sums(place, votes if listed is None else votes * listed)
        correct[:, 0] += low_votes
    count[:, 0] += len(truth) - count.sum(axis=1)
    total[:, 0] += low_weight
    return ClassSums(count, count.astype(np.float64) if weight is None else total, confidence, correct, unsure, finite)
