"""Bins of every class's probability, by kernels that bin only what lies above the first edge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.stats.binning import uniform_edges
from calkit.stats.bins import BinSums, UniformBins
from calkit.stats.folds import FoldSums
from calkit.stats.kernel_table import KERNELS, Kernel
from calkit.stats.kernels import blocked, classwise
from calkit.stats.kernels.classwise import ClassRows, ClassSums, class_pieces
from calkit.stats.rows import Rows
from calkit.stats.statistic import fewer_folds
from calkit.stats.views import Classwise

__all__ = ["ClasswiseBins", "class_rows"]


def ClasswiseBins(n_bins: int = 15) -> UniformBins:  # noqa: N802 - it makes a statistic, as classes of statistics do
    """Return the statistic that sums, for each class, its probability over `n_bins` bins of equal width.

    The summary is a :class:`BinSums` whose arrays have shape (K, n_bins): `confidence` sums the probabilities of the
    class, `correct` counts the rows whose true class it is. K is the number of columns, whichever labels occur.
    """
    return UniformBins(n_bins, Classwise())


def class_rows(rows: Rows, n_bins: int, *, exact: bool = False) -> ClassRows:
    """Return what kernels need to bin the probabilities of all classes; if exact, in float64."""
    edges = uniform_edges(n_bins, rows.precision)
    precision: type[np.floating[Any]] = np.float64 if exact else rows.softmax_precision
    error = 0.0 if exact else rows.confidence_error
    beta = rows.beta if rows.kind == "logits" else None
    votes = None if rows.votes is None else rows.votes.astype(np.float64, copy=False)
    return ClassRows(rows.scores, rows.y_true, votes, rows.weight, beta, precision, edges, error)


def _class_sums(rows: Rows, n_bins: int) -> ClassSums:
    given = class_rows(rows, n_bins)
    loops: Any = classwise
    if rows.kernels is not blocked:
        from calkit.stats.kernels import classwise_compiled as loops
    sums: ClassSums = loops.class_sums(given, rows.workspace)
    if not sums.finite:
        rows.check()
    unsure = sums.unsure
    if not len(unsure):
        return sums
    # Counts are those of float64 throughout: rows that float32 leaves open at an edge are computed again.
    votes, weight = (None if part is None else part[unsure] for part in (given.votes, given.weight))
    again = replace(given, scores=rows.scores[unsure], y_true=rows.y_true[unsure], votes=votes, weight=weight)
    rest = classwise.class_sums(replace(again, precision=np.float64, error=0.0), rows.workspace)
    return ClassSums(
        sums.count + rest.count,
        sums.weight + rest.weight,
        sums.confidence + rest.confidence,
        sums.correct + rest.correct,
        rest.unsure,
        sums.finite,
    )


def _sums(rows: Rows, statistic: UniformBins) -> BinSums:
    sums = _class_sums(rows, statistic.n_bins)
    return BinSums(sums.count, sums.weight, sums.confidence, sums.correct)


def _folds(rows: Rows, statistic: UniformBins, fold: NDArray[np.intp], n_folds: int) -> FoldSums:
    k, m = int(rows.scores.shape[1]), statistic.n_bins
    n_folds = fewer_folds(n_folds, k * m)
    fold = fold % n_folds
    gaps = np.zeros((n_folds, k, m))
    # In float64 throughout: nothing is left unsure.
    given = class_rows(rows, m, exact=True)
    for piece in class_pieces(given, rows.workspace):
        _add_gaps(gaps, piece, given, fold[piece.rows])
    weight = np.bincount(fold, rows.weight, n_folds).astype(np.float64)
    return FoldSums(weight, gaps, k)


def _add_gaps(gaps: NDArray[np.float64], piece: Any, rows: Any, fold: NDArray[np.intp]) -> None:
    n_folds, k, m = gaps.shape
    weight = np.ones(len(fold)) if rows.weight is None else rows.weight[piece.rows]
    low = piece.low.astype(np.float64, copy=False) * (weight / piece.total)[:, None]
    columns = (fold[:, None] * k + np.arange(k)).ravel()
    gaps[:, :, 0] += np.bincount(columns, low.ravel(), n_folds * k).reshape(n_folds, k)
    flat = gaps.reshape(-1)
    place = (fold[piece.row] * k + piece.column) * m + piece.bin
    np.add.at(flat, place, piece.value * weight[piece.row])
    if rows.votes is not None:
        votes = rows.votes[piece.rows] * weight[:, None]
        np.subtract.at(flat, place, votes[piece.row, piece.column])
        votes[piece.row, piece.column] = 0
        gaps[:, :, 0] -= np.bincount(columns, votes.ravel(), n_folds * k).reshape(n_folds, k)
        return
    y = rows.y_true[piece.rows]
    truth = (fold * k + y) * m
    hit = piece.column == y[piece.row]
    truth[piece.row[hit]] += piece.bin[hit]
    np.subtract.at(flat, truth, weight)


KERNELS[UniformBins, Classwise] = Kernel(lambda rows: not rows.multilabel and rows.excess is None, _sums, _folds)
