"""Norms of the gaps of bins, as functions of gaps (..., m) and weights (m,): values, and draws of them, alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from calkit.estimators.ranked import Ranked

__all__ = ["NORMS", "equal_mass_borders", "sweeps", "swept"]

FloatArray = NDArray[np.float64]
Norm = Callable[[FloatArray, FloatArray], FloatArray]


def _l1(gap: FloatArray, weight: FloatArray) -> FloatArray:
    return np.asarray(np.abs(gap).sum(axis=-1) / weight.sum())


def _squared(gap: FloatArray, weight: FloatArray) -> FloatArray:
    return np.asarray((gap**2 / weight).sum(axis=-1) / weight.sum())


def _l2(gap: FloatArray, weight: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(_squared(gap, weight)))


def _max(gap: FloatArray, weight: FloatArray) -> FloatArray:
    return np.asarray((np.abs(gap) / weight).max(axis=-1))


def _mean(gap: FloatArray, weight: FloatArray) -> FloatArray:
    return np.asarray((np.abs(gap) / weight).mean(axis=-1))


def _over(gap: FloatArray, weight: FloatArray) -> FloatArray:
    return np.asarray(np.maximum(gap, 0).sum(axis=-1) / weight.sum())


def _under(gap: FloatArray, weight: FloatArray) -> FloatArray:
    return np.asarray(np.maximum(-gap, 0).sum(axis=-1) / weight.sum())


#: Ways to sum up the gaps (Σ w (p - y)) of bins that hold weight.
NORMS: dict[str, Norm] = {
    "l1": _l1,
    "l2": _l2,
    "squared": _squared,
    "max": _max,
    "mean": _mean,
    "over": _over,
    "under": _under,
}


def equal_mass_borders(total: float, n_bins: int) -> FloatArray:
    """Return how much weight lies below each of the bins of equal mass.

    Sums of weights carry rounding: a share within 1e-9 of a border counts as on it.
    """
    return np.asarray((np.arange(n_bins) - 1e-9) * (total / n_bins))


def _starts(below: FloatArray, total: float, n_bins: int) -> NDArray[np.intp]:
    starts = np.searchsorted(below, equal_mass_borders(total, n_bins))
    return starts[(np.diff(starts, prepend=-1) > 0) & (starts < len(below))]


def sweeps(forecasts: Ranked) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], FloatArray]]:
    """Yield starts of the most bins of equal mass up to which the rate of positives never falls.

    The number of bins grows from 1 until for the first time the rates are not in order (Roelofs, Cain, Shlens & Mozer,
    AISTATS 2022). Of several sets of outcomes those that stop at the same number come together: with the starts come
    which they are, and their positives in each bin.
    """
    weight, positive = _summed(forecasts.weight), _summed(np.atleast_2d(forecasts.positive))
    left, last, came_last = np.arange(len(positive)), np.zeros(1, dtype=np.intp), positive[:, -1:]
    for n_bins in range(2, len(forecasts.weight) + 1):
        starts = _starts(weight[:-1], weight[-1], n_bins)
        ends = np.append(starts, len(forecasts.weight))
        came = np.diff(positive[np.ix_(left, ends)])
        # Rates that are equal but for rounding are in order.
        falls = (np.diff(came / np.diff(weight[ends])) < -1e-12).any(axis=1)
        if falls.any():
            yield last, left[falls], came_last[falls]
            left, came = left[~falls], came[~falls]
        if not len(left):
            return
        last, came_last = starts, came
    yield last, left, came_last


def swept(forecasts: Ranked, norm: Norm) -> FloatArray:
    """Return a norm of the gaps over the bins of the sweep; of several sets of outcomes, that of each."""
    values, said = np.empty(np.atleast_2d(forecasts.positive).shape[0]), forecasts.weight * forecasts.probability
    for starts, sets, came in sweeps(forecasts):
        values[sets] = norm(np.add.reduceat(said, starts) - came, np.add.reduceat(forecasts.weight, starts))
    return values.reshape(forecasts.positive.shape[:-1])


def _summed(values: FloatArray) -> FloatArray:
    """Return running sums along the last axis, from 0 on."""
    sums = np.zeros((*values.shape[:-1], values.shape[-1] + 1))
    np.cumsum(values, axis=-1, out=sums[..., 1:])
    return sums
