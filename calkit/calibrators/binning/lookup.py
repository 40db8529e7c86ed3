"""Ranks of many unsorted scores among sorted keys, and maps that are tables of keys and values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Tables", "rank"]

Floats = NDArray[np.float64]

# Below this number of keys a binary search stays in the cache, and nothing is faster.
_FEW_KEYS = 32

# Cells per key, of few and of many keys; and the cells beyond the keys in logarithmic ranking.
_CELLS, _CELLS_FEW, _FEW = 4, 32, 512


def rank(keys: Floats, x: Floats, *, logarithmic: bool = False) -> NDArray[np.intp]:
    """Return how many keys are at most x, as ``np.searchsorted(keys, x, "right")`` does, several times as fast.

    The range of the keys is cut into cells by a monotone function of the value, so that keys in lower cells are below
    x for certain; only what shares a cell with two or more keys is searched.

    Parameters
    ----------
    keys : ndarray of float64, shape (m,)
        Rising.
    x : ndarray of float64, shape (n,)
        In any order.
    logarithmic : bool, default=False
        Make the cells of equal width in the logarithm: for probabilities, most of which are tiny. Then nothing may be
        negative.

    Returns
    -------
    ndarray of intp, shape (n,)
    """
    m = len(keys)
    if m < _FEW_KEYS or not keys[-1] - keys[0] > 1e-25:
        return np.searchsorted(keys, x, "right")
    if logarithmic:
        # The bits of a float that is not negative rise with its logarithm, nearly linearly.
        bits, wanted = keys.view(np.int64), np.ascontiguousarray(x).view(np.int64)
        low = int(bits[0])
        shift = max(0, (int(bits[-1]) - low).bit_length() - (16 * m + 1024).bit_length())
        cells = ((int(bits[-1]) - low) >> shift) + 1
        # Cell 0 is for what is below the keys. What is outside is put into the first and last cell as these are taken.
        cell = wanted - (low - (1 << shift))
        cell >>= shift
        cell_of_key = ((bits - low) >> shift) + 1
    else:
        cells = (_CELLS_FEW if m < _FEW else _CELLS) * m
        scale = cells / (keys[-1] - keys[0])
        # One is added before the cut, so that truncation rounds down; keys and scores are rounded alike.
        cell = (np.clip((x - keys[0]) * scale, -1, cells + 1) + 1).astype(np.intp)
        cell_of_key = ((keys - keys[0]) * scale + 1).astype(np.intp)
    count = np.bincount(cell_of_key, minlength=cells + 3)
    below = np.cumsum(count) - count
    below[count > 1] = m + 1
    found = below.take(cell, mode="clip")
    crowded = np.flatnonzero(found > m)
    found += np.append(keys, [np.nan, np.nan]).take(found, mode="clip") <= x
    found[crowded] = np.searchsorted(keys, x[crowded], "right")
    return found


@dataclass(frozen=True, eq=False)
class Tables:
    """Maps from [0, 1] to [0, 1], one per problem (a class, say), each a table.

    Attributes
    ----------
    keys, values : ndarray of float64, shape (m,)
        Those of all problems, one after the other. A map that is linear between keys has the value at each key, and is
        constant beyond the first and the last. A step map has the upper end of each step, which belongs to it.
    splits : ndarray of intp, shape (n_problems + 1,)
        Where each problem's begin and end. A problem without keys is the identity.
    is_step : bool
    """

    keys: Floats
    values: Floats
    splits: NDArray[np.intp]
    is_step: bool

    @classmethod
    def of(cls, maps: list[tuple[Floats, Floats]], *, is_step: bool) -> Tables:
        """Put the keys and values of problems together."""
        splits = np.cumsum([0, *(len(keys) for keys, _ in maps)], dtype=np.intp)
        keys, values = (np.concatenate([np.asarray(part[i], dtype=np.float64) for part in maps]) for i in (0, 1))
        return cls(keys, values, splits, is_step)

    def table(self, problem: int) -> tuple[Floats, Floats]:
        """Return keys and values of one problem."""
        part = slice(self.splits[problem], self.splits[problem + 1])
        return self.keys[part], self.values[part]

    def look_up(self, problem: int, x: Floats) -> Floats:
        """Return the map of one problem at x, of shape (n,)."""
        keys, values = self.table(problem)
        if not len(keys):
            return x
        if self.is_step:
            return values.take(_steps_before(keys, x), mode="clip")
        return _linear(keys, values, x)


def _steps_before(keys: Floats, x: Floats) -> NDArray[np.intp]:
    """Return how many steps end before x; a step ends at its key, which belongs to it, and keys differ."""
    if len(keys) < _FEW_KEYS:
        return np.searchsorted(keys, x, "left")
    below = rank(keys, x, logarithmic=True)
    below -= np.append(np.nan, keys).take(below) == x
    return below


def _linear(keys: Floats, values: Floats, x: Floats) -> Floats:
    """Interpolate between keys; where two keys are equal, the value at the key is that of the latter."""
    width, change = np.diff(keys), np.diff(values)
    with np.errstate(over="ignore"):
        slope = np.divide(change, width, out=np.zeros(len(width)), where=width > 0)
    # Keys may be so near to each other that the slope overflows.
    steep = ~np.isfinite(slope)
    slope[steep] = 0
    # Before each key, and after the last, there is a piece: where it begins, its value there, and its slope.
    piece = rank(keys, x, logarithmic=True)
    found = np.append(keys[0], keys).take(piece)
    np.subtract(x, found, out=found)
    found *= np.concatenate([[0.0], slope, [0.0]]).take(piece)
    found += np.append(values[0], values).take(piece)
    if steep.any():
        at = np.flatnonzero(np.concatenate([[False], steep, [False]]).take(piece))
        left = piece[at] - 1
        found[at] += change[left] * ((x[at] - keys[left]) / width[left])
    # Rounding may lead past the value at the other end.
    end = np.append(values, values[-1]).take(piece)
    if (change >= 0).all():
        return np.minimum(found, end, out=found)
    begin = np.append(values[0], values).take(piece)
    return np.clip(found, np.minimum(begin, end), np.maximum(begin, end), out=found)
