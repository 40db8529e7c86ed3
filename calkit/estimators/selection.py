"""Selective prediction: the error of the most confident part of the forecasts, by how large that part is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.estimators.ranked import Ranked

__all__ = ["area_under_risk", "aurc_of", "counted", "least_area", "risk_coverage"]

FloatArray = NDArray[np.float64]


def _falling(forecasts: Ranked) -> tuple[FloatArray, FloatArray]:
    """Return weights and errors of groups of equal confidence, the most confident first."""
    return forecasts.weight[::-1], (forecasts.weight - forecasts.positive)[::-1]


def risk_coverage(forecasts: Ranked) -> tuple[FloatArray, FloatArray]:
    """Return shares of the forecasts kept, by falling confidence, and the error among those kept.

    Examples
    --------
    >>> import numpy as np
    >>> from calkit.estimators.ranked import ranked
    >>> coverage, risk = risk_coverage(ranked(np.array([0.9, 0.6]), np.array([True, False])))
    >>> coverage.tolist(), risk.tolist()
    ([0.5, 1.0], [0.0, 0.5])
    """
    weight, wrong = (np.cumsum(part) for part in _falling(forecasts))
    return weight / weight[-1], wrong / weight


def area_under_risk(forecasts: Ranked) -> float:
    """Return the mean over k of the error among the k most confident forecasts: AURC (Geifman & El-Yaniv 2017).

    Forecasts of equal confidence come in any order: the mean over those orders is taken. A weight of 2 is a forecast
    given twice.
    """
    weight, wrong = _falling(forecasts)
    kept, missed = np.cumsum(weight) - weight, np.cumsum(wrong) - wrong
    # (missed + rate (j - kept)) / j, summed over the places j = kept + 1 … kept + weight of the group.
    rate = wrong / weight
    return float((wrong + (missed - rate * kept) * _harmonic(kept, weight)).sum() / weight.sum())


def counted(forecasts: Ranked) -> Ranked:
    """Return the same with weights that add up to as many rows as would tell as much, (Σw)² / Σw²."""
    unit = float(forecasts.squared_weight.sum()) / forecasts.total
    return replace(forecasts, weight=forecasts.weight / unit, positive=forecasts.positive / unit)


def aurc_of(forecasts: Ranked) -> float:
    """Return the AURC, whatever the scale of the weights."""
    return area_under_risk(counted(forecasts))


def least_area(forecasts: Ranked) -> float:
    """Return the AURC of the same errors if all came last (Geifman, Uziel & El-Yaniv 2019)."""
    total, wrong = forecasts.total, forecasts.total - float(forecasts.positive.sum())
    right = total - wrong
    return float((wrong - right * _harmonic(np.array([right]), np.array([wrong]))[0]) / total) if wrong > 0 else 0.0


def _harmonic(before: FloatArray, count: FloatArray) -> FloatArray:
    """Return ``Σ_{j=1}^{count} 1 / (before + j)``, for real numbers as well."""
    single = 1 / (before + 1)
    return np.where(count == 1, single, special.digamma(before + count + 1) - special.digamma(before + 1))
