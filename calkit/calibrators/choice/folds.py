"""Folds that depend on the rows alone: not on their order, their weights, or the order of the classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["row_hashes", "stratified_folds"]

_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def row_hashes(scores: NDArray[np.floating[Any]]) -> NDArray[np.uint64]:
    """Return a 64-bit hash of the scores of each row, whatever the order of the columns.

    Parameters
    ----------
    scores : ndarray of shape (n, K)

    Returns
    -------
    ndarray of uint64, shape (n,)
    """
    with np.errstate(over="ignore"):
        bits = _mixed((np.asarray(scores, dtype=np.float64) + 0.0).view(np.uint64))
        return _mixed(bits.sum(axis=1, dtype=np.uint64))


def stratified_folds(hashes: NDArray[np.uint64], y: NDArray[np.intp], n_folds: int) -> NDArray[np.intp]:
    """Deal the rows of each class to folds in turn; copies of a row share a fold.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n,)
        Of :func:`row_hashes`.
    y : ndarray of intp, shape (n,)
    n_folds : int

    Returns
    -------
    ndarray of intp, shape (n,)
    """
    # A class comes where the least of its hashes does, so that its number does not matter.
    first = np.full(int(y.max()) + 1, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(first, y, hashes)
    order = np.lexsort((hashes, first[y]))
    ranked, classes = hashes[order], y[order]
    new = np.r_[False, (ranked[1:] != ranked[:-1]) | (classes[1:] != classes[:-1])]
    folds = np.empty(len(y), np.intp)
    folds[order] = np.cumsum(new) % n_folds
    return folds


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    return np.asarray(bits ^ (bits >> np.uint64(31)))
