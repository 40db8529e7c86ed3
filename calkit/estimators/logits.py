"""Logit-smoothed calibration error: noise on the logits in place of bins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.estimators.ranked import Ranked

__all__ = ["logit_smoothed"]

FloatArray = NDArray[np.float64]

# Logits are cut there: beyond, the noise changes nothing that float64 shows.
_FURTHEST = 40.0


def logit_smoothed(forecasts: Ranked, width: float) -> FloatArray:
    """Return the calibration error of the model whose logits carry uniform noise of a given width.

    Of several sets of outcomes, that of each.

    Parameters
    ----------
    forecasts : Ranked
    width : float
        Width of the noise, in logits: from minus half of it to plus half of it.

    Notes
    -----
    ``∫ |Σ_i w_i (y_i - σ(z))| dz / (width Σ w)``, the sum over the logits within half a width of z (Chidambaram, Lee,
    McSwiggen & Rezchikov, ICML 2024, their estimator with uniform noise). Between places where a forecast enters or
    leaves the window, the integrand is ``|A - W σ(z)|``, whose integral is known: it is exact, in O(n log n).

    Examples
    --------
    >>> import numpy as np
    >>> from calkit.estimators.ranked import ranked
    >>> round(float(logit_smoothed(ranked(np.array([0.5, 0.5]), np.array([True, True])), 1e-6)), 6)
    0.5
    """
    with np.errstate(divide="ignore"):
        z = np.clip(special.logit(np.clip(forecasts.probability, 0, 1)), -_FURTHEST, _FURTHEST)
    place = np.concatenate([z - width / 2, z + width / 2])
    order = np.argsort(place, kind="stable")
    place = place[order]
    weight = np.cumsum(np.concatenate([forecasts.weight, -forecasts.weight])[order])[:-1]
    entered = np.concatenate([forecasts.positive, -forecasts.positive], axis=-1)[..., order]
    positive = np.cumsum(entered, axis=-1)[..., :-1]
    low, high = place[:-1], place[1:]
    inside = (high > low) & (weight > 1e-9 * forecasts.total / len(z))
    low, high, weight, positive = low[inside], high[inside], weight[inside], positive[..., inside]
    rate = np.clip(positive / weight, 0, 1)
    with np.errstate(divide="ignore"):
        turn = np.clip(special.logit(rate), low, high)
    total = weight * (_integral(rate, low, turn) - _integral(rate, turn, high))
    return np.asarray(total.sum(axis=-1) / (width * forecasts.total))


def _integral(rate: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Return the integral of ``rate - σ(z)`` from low to high, without the difference of large numbers."""
    step = high - low
    # log(1 + e^high) - log(1 + e^low)
    return rate * step - np.log1p(special.expit(low) * np.expm1(step))
