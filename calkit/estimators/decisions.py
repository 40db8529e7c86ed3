"""Errors of decisions made from the probabilities: U-calibration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calkit.estimators.ranked import Ranked

__all__ = ["v_shaped_regret"]


def v_shaped_regret(forecasts: Ranked) -> NDArray[np.float64]:
    """Return the largest regret of the forecasts, against the best constant one, over V-shaped proper losses.

    Of several sets of outcomes, that of each.

    The losses are ``ℓ_v(p, y) = -sign(p - v) (y - v)``, v in [0, 1] (Kleinberg, Paes Leme, Schneider & Teng, COLT
    2023: V-calibration; U-calibration, over all proper losses within [-1, 1], is at most twice that).

    Notes
    -----
    With p >= v taken as 1 and others as -1, the mean loss is ``-(mean y - v) + 2 mean[(y - v) 1(p < v)]``, and that of
    the best constant is ``-|mean y - v|``. The regret is largest just above a forecast, at one of them (whichever side
    a tie takes), or where v is the mean of y: all are tried.
    """
    p, total = forecasts.probability, forecasts.total
    mean = forecasts.positive.sum(axis=-1, keepdims=True) / total
    below_weight = np.append(0.0, np.cumsum(forecasts.weight)) / total
    below = np.cumsum(forecasts.positive, axis=-1) / total
    below_positive = np.concatenate([np.zeros_like(mean), below], axis=-1)
    # Of v in (p_{k-1}, p_k], k forecasts lie below; the regret is linear in v on either side of the mean of y.
    low, high = np.append(0.0, p), np.append(p, 1.0)
    largest = np.zeros(mean.shape[:-1])
    for place in (low, high, np.clip(mean, low, high)):
        regret = np.abs(mean - place) - (mean - place) + 2 * (below_positive - place * below_weight)
        largest = np.maximum(largest, regret.max(axis=-1))
    return np.asarray(largest)
