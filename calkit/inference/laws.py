"""Laws of a Brownian motion on [0, 1]: what the curve of summed residuals of a calibrated model tends to.

The curve ends free, so these are the laws that belong to it. Kolmogorov's and Kuiper's own are for bridges, whose end
is tied to 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from calkit import special

__all__ = ["MEAN_LARGEST", "MEAN_RANGE", "largest_tail", "quantile", "range_tail"]

#: Mean of ``sup |W|``.
MEAN_LARGEST = math.sqrt(math.pi / 2)

#: Mean of ``max W - min W``.
MEAN_RANGE = 2 * math.sqrt(2 / math.pi)


def largest_tail(x: float) -> float:
    """Return P(sup |W| > x) of a Brownian motion W on [0, 1].

    Examples
    --------
    >>> round(largest_tail(2.2414), 4)
    0.05
    """
    k = np.arange(30)
    odd = 2 * k + 1
    terms = (-1.0) ** k / odd * np.exp(-((odd * np.pi / max(x, 0.1)) ** 2) / 8)
    return min(1.0, max(0.0, 1 - 4 / np.pi * float(terms.sum())))


def range_tail(x: float) -> float:
    """Return P(max W - min W > x) of a Brownian motion W on [0, 1] (Feller 1951).

    Examples
    --------
    >>> round(range_tail(2.4977), 3)
    0.05
    """
    k = np.arange(1, 200)
    return min(1.0, max(0.0, 8 * float(((-1.0) ** (k - 1) * k * special.ndtr(-k * max(x, 0.4))).sum())))


@cache
def quantile(tail: Callable[[float], float], probability: float) -> float:
    """Return the x that a tail exceeds with a probability.

    Examples
    --------
    >>> round(quantile(largest_tail, 0.05), 3)
    2.241
    """
    from scipy.optimize import brentq

    return float(brentq(lambda x: tail(x) - probability, 0.4, 20.0, xtol=1e-12))
