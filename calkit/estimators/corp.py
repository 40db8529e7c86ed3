"""CORP: a score split by isotonic recalibration. Miscalibration, discrimination, uncertainty.

Dimitriadis, Gneiting & Jordan, "Stable reliability diagrams for probabilistic classifiers", PNAS 2021.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.estimators.ranked import Ranked

__all__ = ["SCORES", "Decomposition", "corp_decomposition", "isotonic_curve", "miscalibration"]

FloatArray = NDArray[np.float64]

# Sets of outcomes that one isotonic regression goes through, more would cost digits; and numbers, which fit the cache.
_SETS_AT_A_TIME, _HELD_NUMBERS = 64, 1 << 16


def _brier(forecasts: Ranked, probability: FloatArray) -> FloatArray:
    total = forecasts.positive @ (1 - probability) ** 2 + (forecasts.weight - forecasts.positive) @ probability**2
    return np.asarray(total / forecasts.total)


def _log(forecasts: Ranked, probability: FloatArray) -> FloatArray:
    negative = forecasts.weight - forecasts.positive
    total = special.xlogy(forecasts.positive, probability) + special.xlog1py(negative, -probability)
    return np.asarray(-total.sum(axis=-1) / forecasts.total)


#: Mean score of forecasts changed to other probabilities, by name; of several sets of outcomes, that of each.
SCORES: dict[str, Callable[[Ranked, FloatArray], FloatArray]] = {"brier": _brier, "log": _log}
# What they are of rows whose rate of positives is the forecast, by that rate.
_ENTROPIES: dict[str, Callable[[FloatArray], FloatArray]] = {
    "brier": lambda rate: rate * (1 - rate),
    "log": lambda rate: special.entr(rate) + special.entr(1 - rate),
}


@dataclass(frozen=True)
class Decomposition:
    """score = miscalibration - discrimination + uncertainty.

    Attributes
    ----------
    score : float
        Of the forecasts as given.
    miscalibration : float
        What recalibration takes off: at least 0.
    discrimination : float
        What the recalibrated forecasts are better than a constant one: at least 0.
    uncertainty : float
        Score of the best constant forecast.
    """

    score: float
    miscalibration: float
    discrimination: float
    uncertainty: float

    @property
    def refinement(self) -> float:
        """Score of the recalibrated forecasts."""
        return self.uncertainty - self.discrimination


def isotonic_curve(forecasts: Ranked) -> FloatArray:
    """Return the rising curve nearest to the outcomes, at each distinct probability.

    Examples
    --------
    >>> import numpy as np
    >>> from calkit.estimators.ranked import ranked
    >>> isotonic_curve(ranked(np.array([0.1, 0.2, 0.8]), np.array([True, False, True]))).tolist()
    [0.5, 0.5, 1.0]
    """
    from scipy.optimize import isotonic_regression

    return np.asarray(isotonic_regression(forecasts.positive / forecasts.weight, weights=forecasts.weight).x)


def _recalibrated(forecasts: Ranked, score: str) -> FloatArray:
    """Return the mean score about the isotonic curve; of several sets of outcomes, of each about its own."""
    from scipy.optimize import isotonic_regression

    sets, size = np.atleast_2d(forecasts.positive), len(forecasts.weight)
    found, n = np.empty(len(sets)), max(1, min(_SETS_AT_A_TIME, _HELD_NUMBERS // size))
    # Sets that lie 2 above each other never meet, so that one regression serves for many.
    above = 2.0 * np.arange(n)[:, None]
    for first in range(0, len(sets), n):
        part = sets[first : first + n]
        joined = (part / forecasts.weight + above[: len(part)]).ravel()
        steps = isotonic_regression(joined, weights=np.tile(forecasts.weight, len(part)))
        start = steps.blocks[:-1]
        # Outcomes are summed anew, since rates that high have fewer digits.
        rate = np.clip(np.add.reduceat(part.ravel(), start) / steps.weights, 0, 1)
        total = steps.weights * _ENTROPIES[score](rate)
        found[first : first + len(part)] = np.bincount(start // size, total, len(part))
    return (found / forecasts.total).reshape(forecasts.positive.shape[:-1])


def miscalibration(forecasts: Ranked, score: str = "brier") -> FloatArray:
    """Return what recalibration takes off the score; of several sets of outcomes, of each.

    Examples
    --------
    >>> import numpy as np
    >>> from calkit.estimators.ranked import Ranked
    >>> ones = np.ones(2)
    >>> sets = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> miscalibration(Ranked(np.array([0.25, 0.5]), ones, sets, ones)).round(6).tolist()
    [0.15625, 0.15625]
    """
    return SCORES[score](forecasts, forecasts.probability) - _recalibrated(forecasts, score)


def corp_decomposition(forecasts: Ranked, score: str = "brier") -> Decomposition:
    """Return the decomposition of a score: (p - y)², or minus the log-probability of what came.

    Where a forecast of 0 or 1 was wrong, the log score and its miscalibration are infinite; the rest is not.

    Examples
    --------
    >>> import numpy as np
    >>> from calkit.estimators.ranked import ranked
    >>> found = corp_decomposition(ranked(np.array([0.1, 0.2, 0.8]), np.array([True, False, True])))
    >>> round(found.score, 4), round(found.refinement, 4)
    (0.2967, 0.1667)
    """

    def mean(of: Ranked, probability: FloatArray) -> float:
        return float(SCORES[score](of, probability))

    recalibrated = mean(forecasts, isotonic_curve(forecasts))
    constant = mean(forecasts, np.full(len(forecasts.weight), forecasts.positive.sum() / forecasts.total))
    given = mean(forecasts, forecasts.probability)
    return Decomposition(given, given - recalibrated, constant - recalibrated, constant)
