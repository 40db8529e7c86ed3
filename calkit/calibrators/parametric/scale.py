"""The temperature at which a smooth loss is least, by the root of its slope in log β."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.optimize import brentq

__all__ = ["best_scale"]

# The bracket of the root grows by this factor, this often.
_GROWTH = 2.0
_GROWTHS = 30


def best_scale(slope: Callable[[float], float], start: float) -> tuple[float, bool]:
    """Find the inverse temperature where the slope of a loss in log β turns from negative to positive.

    Parameters
    ----------
    slope : callable
        Takes β, returns the derivative of the loss in log β.
    start : float
        A β near the least loss, positive.

    Returns
    -------
    beta : float
        The one nearest to the start, to 1e-12 relative; that at the end of the search if there is none.
    found : bool
    """
    here = slope(start)
    if here == 0:
        return start, True
    factor = _GROWTH if here < 0 else 1 / _GROWTH
    near, beta = start, start
    for _ in range(_GROWTHS):
        near, beta = beta, beta * factor
        there = slope(beta)
        if there == 0:
            return beta, True
        if (there < 0) != (here < 0):
            ends = sorted((math.log(near), math.log(beta)))
            return math.exp(brentq(lambda t: slope(math.exp(t)), *ends, xtol=1e-12)), True
    return beta, False
