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
    the best constant is ``-|mean y - v|``. Between two forecasts the regret, the larger of ``2 mean[(y - v) 1(p < v)]``
    and of ``2 mean[(v - y) 1(p >= v)]``, falls and rises with v in straight lines: it is largest at either end.
    """
    p, total = forecasts.probability, forecasts.total
    below = np.zeros((*forecasts.positive.shape[:-1], len(p) + 1))
    np.cumsum(forecasts.positive, axis=-1, out=below[..., 1:])
    below /= total
    weight = np.append(0.0, np.cumsum(forecasts.weight)) / total
    # Of v in (p_{k-1}, p_k], k forecasts lie below.
    over = (below - np.append(0.0, p) * weight).max(axis=-1)
    under = (below + np.append(p, 1.0) * (1 - weight)).max(axis=-1) - below[..., -1]
    return np.asarray(2 * np.maximum(over, under))
