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

__all__ = ["SCORES", "Decomposition", "corp_decomposition", "isotonic_curve"]

FloatArray = NDArray[np.float64]


def _brier(forecasts: Ranked, probability: FloatArray) -> float:
    negative = forecasts.weight - forecasts.positive
    total = forecasts.positive * (1 - probability) ** 2 + negative * probability**2
    return float(total.sum()) / forecasts.total


def _log(forecasts: Ranked, probability: FloatArray) -> float:
    negative = forecasts.weight - forecasts.positive
    total = special.xlogy(forecasts.positive, probability) + special.xlog1py(negative, -probability)
    return -float(total.sum()) / forecasts.total


#: Mean score of forecasts changed to other probabilities, by name.
SCORES: dict[str, Callable[[Ranked, FloatArray], float]] = {"brier": _brier, "log": _log}


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
    mean = SCORES[score]
    recalibrated = mean(forecasts, isotonic_curve(forecasts))
    constant = mean(forecasts, np.full(len(forecasts.weight), forecasts.positive.sum() / forecasts.total))
    given = mean(forecasts, forecasts.probability)
    return Decomposition(given, given - recalibrated, constant - recalibrated, constant)
