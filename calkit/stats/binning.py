"""The one rule for bins: ``(a, b]``, a confidence of 0 goes to the first bin, edges are ``k / n_bins``.

Edges are compared in the precision the confidences were stored in: a float32 confidence written as 0.3 is above the
float64 number 0.3 only by its own rounding, and belongs to the bin that ends there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from calkit.errors import InputError
from calkit.parameters import is_whole

__all__ = ["as_n_bins", "bin_index", "uniform_edges"]

# Where edges are rounded by more than this share of a bin, a product does not find the bin to within one.
_MOST_ROUNDING = 0.25


def as_n_bins(n_bins: Any) -> int:
    """Check that ``n_bins`` is a positive whole number and return it."""
    if not is_whole(n_bins, 1):
        raise InputError(f"n_bins must be a positive whole number, but is {n_bins!r}.")
    return int(n_bins)


def uniform_edges(n_bins: int, precision: DTypeLike = np.float64) -> NDArray[np.float64]:
    """Return the ``n_bins + 1`` edges ``k / n_bins``, rounded to a precision and widened to float64 again.

    Examples
    --------
    >>> uniform_edges(4)
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    return (np.arange(n_bins + 1) / n_bins).astype(precision).astype(np.float64)


def bin_index(confidence: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return for each confidence the index of its bin among bins of equal width.

    Parameters
    ----------
    confidence : ndarray of float64, shape (n,)
        Values in [0, 1], give or take rounding.
    edges : ndarray of float64, shape (n_bins + 1,)
        From :func:`uniform_edges`.

    Returns
    -------
    ndarray of intp, shape (n,)
        k where ``edges[k] < confidence <= edges[k + 1]``; 0 below, ``n_bins - 1`` above.

    Examples
    --------
    >>> bin_index(np.array([0.0, 0.25, 0.2500001, 1.0]), uniform_edges(4))
    array([0, 0, 1, 3])
    """
    last = len(edges) - 2
    if np.abs(edges * (last + 1) - np.arange(last + 2)).max() > _MOST_ROUNDING:
        return np.searchsorted(edges[1:-1], confidence, side="left")
    index = (confidence * (last + 1)).astype(np.intp)
    np.minimum(index, last, out=index)
    # The product is a guess, at most one bin off the comparison with the edges, which alone decides.
    index += confidence > edges[index + 1]
    index -= confidence <= edges[index]
    return np.clip(index, 0, last, out=index)
