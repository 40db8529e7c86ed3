"""Smooth calibration error: the best Lipschitz witness against calibration, found exactly."""

from __future__ import annotations

from calkit.estimators.ranked import Ranked

__all__ = ["lipschitz_witness"]


def lipschitz_witness(forecasts: Ranked) -> float:
    """Return the largest mean of ``w(p) (y - p)`` over all w: [0, 1] -> [-1, 1] that are 1-Lipschitz.

    The distance to calibration is at least half of it and at most twice of it in order (Błasiok, Gopalan, Hu &
    Nakkiran, STOC 2023).

    Notes
    -----
    Let f(u) be the largest sum over the forecasts so far if w(p) = u at the last of them: concave and piecewise linear
    on [-1, 1]. From one probability to the next, d further, its rising part moves left by d and its falling part right
    by d; adding ``r u`` moves changes of slope of total size |r| from one side of the maximum to the other. Both sides
    are stacks, so all forecasts together take O(n) steps. What is moved at place x adds |r| x to the maximum, or takes
    it off.

    Examples
    --------
    >>> import numpy as np
    >>> from calkit.estimators.ranked import ranked
    >>> round(lipschitz_witness(ranked(np.array([0.3, 0.3]), np.array([True, False]))), 12)
    0.2
    """
    rising, falling = _Side(), _Side()
    moved, best, before = 0.0, 0.0, 0.0
    for p, r in zip(forecasts.probability.tolist(), forecasts.residual.tolist(), strict=True):
        moved += p - before
        before = p
        if r > 0:
            best += _move(r, falling, rising, moved)
        elif r < 0:
            best += _move(-r, rising, falling, moved)
    return best / forecasts.total


class _Side:
    """Changes of slope on one side of the maximum, the nearest last; those that left [-1, 1] are dropped.

    Places are measured away from the maximum, along its own side: x on the falling side, -x on the rising one. Both
    sides move away, so a place is kept without what it has moved since the start.
    """

    __slots__ = ("mass", "place")

    def __init__(self) -> None:
        self.place: list[float] = []
        self.mass: list[float] = []


def _move(size: float, source: _Side, target: _Side, moved: float) -> float:
    """Move changes of slope of a total size from one side of the maximum to the other; return what it gains."""
    places, masses, reached = source.place, source.mass, 1 - moved
    gain = 0.0
    while places:
        kept = places[-1]
        # What has left [-1, 1] is part of the end, and so is all that lies beyond.
        if kept >= reached:
            places.clear()
            masses.clear()
            break
        mass, place = masses[-1], kept + moved
        target.place.append(-place - moved)
        if mass > size:
            masses[-1] = mass - size
            target.mass.append(size)
            return gain + size * place
        places.pop()
        masses.pop()
        target.mass.append(mass)
        gain += mass * place
        size -= mass
    if size > 0:
        target.place.append(-1 - moved)
        target.mass.append(size)
    return gain + size
