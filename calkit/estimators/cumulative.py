"""Measures of the curve of summed residuals: Kolmogorov-Smirnov, Kuiper, and the averaged two-bin error.

The curve is S(q), the mean over all forecasts of ``(y - p)`` where p <= q and 0 elsewhere. No bins, no bandwidth.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from calkit.estimators.ranked import Ranked

__all__ = ["averaged_two_bin", "averaged_two_bin_of", "curve", "kolmogorov_smirnov", "kuiper", "null_cells", "null_sd"]

FloatArray = NDArray[np.float64]


def curve(forecasts: Ranked) -> FloatArray:
    """Return S at each distinct probability.

    Examples
    --------
    >>> import numpy as np
    >>> from calkit.estimators.ranked import ranked
    >>> curve(ranked(np.array([0.2, 0.6]), np.array([True, False]))).round(12).tolist()
    [0.4, 0.1]
    """
    return np.cumsum(forecasts.residual) / forecasts.total


def kolmogorov_smirnov(forecasts: Ranked) -> float:
    """Return ``max |S|`` (Gupta et al., ICLR 2021; Arrieta-Ibarra et al., JMLR 2022)."""
    s = curve(forecasts)
    return float(max(s.max(), -s.min()))


def kuiper(forecasts: Ranked) -> float:
    """Return ``max S - min S`` with S = 0 before the first forecast (Tygert; Arrieta-Ibarra et al., JMLR 2022).

    It is the largest |mean residual| over all intervals of probabilities: the cutoff calibration error.
    """
    s = curve(forecasts)
    return float(max(s.max(), 0.0) - min(s.min(), 0.0))


def averaged_two_bin(forecasts: Ranked) -> float:
    """Return the integral over q of ``S(q)² + (S(1) - S(q))²``: the averaged two-bin calibration error (2026)."""
    return float(averaged_two_bin_of(curve(forecasts), forecasts.probability))


def averaged_two_bin_of(s: FloatArray, probability: FloatArray) -> FloatArray:
    """Return the integral for curves (..., m) that step at rising probabilities (m,)."""
    width = np.diff(probability, append=1.0)
    end = s[..., -1]
    inner = (s**2 + (end[..., None] - s) ** 2) @ width
    return inner + end**2 * probability[0]


def null_sd(forecasts: Ranked) -> float:
    """Return the standard deviation of S(1) if the outcomes are drawn from the probabilities."""
    return math.sqrt(float(forecasts.variance.sum())) / forecasts.total


def null_cells(forecasts: Ranked, n_cells: int = 512, even: float = 1e-3) -> NDArray[np.intp]:
    """Return the last places of cells of about equal variance, for drawing curves.

    Parameters
    ----------
    forecasts : Ranked
    n_cells : int
    even : float
        How much each forecast counts by itself, beside its variance in units of the mean one.

    Returns
    -------
    ndarray of intp, shape (m,)
        With m at most `n_cells`, or the number of distinct probabilities.
    """
    variance = forecasts.variance
    if len(variance) <= n_cells:
        return np.arange(len(variance))
    clock = np.cumsum(variance + variance.sum() * even / len(variance))
    cell = np.minimum((clock / clock[-1] * n_cells).astype(np.intp), n_cells - 1)
    return np.flatnonzero(np.diff(cell, append=n_cells))
