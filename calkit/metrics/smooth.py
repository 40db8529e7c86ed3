"""Smooth calibration error: a kernel in place of bins."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from calkit.inference.smooth import SmoothInference
from calkit.metrics.base import Recipe, metric
from calkit.metrics.shared import SharedArguments
from calkit.stats.smoothing import ResidualGrid, Residuals, absolute_integral, density, spectrum

__all__ = ["error_bound", "fixed_point", "smece"]

_REFERENCE = "Błasiok & Nakkiran, Smooth ECE: Principled Reliability Diagrams via Kernel Smoothing, ICLR 2024"

_MAX_STEPS = 200
_TOLERANCE = 1e-15


def fixed_point(grid: ResidualGrid) -> float:
    """Return the bandwidth σ at which the smoothed calibration error is σ itself.

    The error falls as σ rises, from that of no smoothing at all to the absolute value of the mean residual, so there is
    one such σ. It is found by false position, with the steps of the Illinois algorithm.

    Parameters
    ----------
    grid : ResidualGrid

    Returns
    -------
    float
        In [0, 1], see :func:`error_bound`.
    """
    moments = spectrum(grid.residual / grid.weight)

    def excess(bandwidth: float) -> float:
        return absolute_integral(density(moments, bandwidth)) - bandwidth

    low, high = abs(float(moments[0])), min(1.0, float(np.abs(grid.residual).sum()) / grid.weight)
    above, below = excess(low), excess(high)
    if above <= _TOLERANCE or high - low <= _TOLERANCE:
        return low
    middle, side = high, 0
    for _ in range(_MAX_STEPS):
        middle = low + (high - low) * above / (above - below)
        value = excess(middle)
        if abs(value) <= _TOLERANCE or high - low <= _TOLERANCE:
            break
        # An end that stays twice in a row counts half, so that both come near.
        if value > 0:
            low, above, below, side = middle, value, below / 2 if side > 0 else below, 1
        else:
            high, below, above, side = middle, value, above / 2 if side < 0 else above, -1
    return middle


def error_bound(grid: ResidualGrid, value: float) -> float:
    """Return how far the value from the grid can be from that of the rows themselves.

    With h the distance of grid points, σ the value and r the mean absolute residual, it is ``h² r / (4 σ²)``. Sharing a
    row between two grid points interpolates the kernel φ linearly between them, and so does the integral; in sum over
    the interval either errs by no more than ``h²/8 ∫|φ''| r = h² φ₁(1) r / (2 σ²)``, φ₁(1) = 0.242 being the normal
    density at 1. The error of the smoothed sums is also that of their fixed point, since they fall as σ rises. Cosines
    beyond the grid are left out: less than ``exp(-(πσ/h)²/2)``, nothing from ``σ = 3h`` on.

    Parameters
    ----------
    grid : ResidualGrid
    value : float
        From :func:`fixed_point`.

    Returns
    -------
    float
    """
    h = 1 / (len(grid.residual) - 1)
    return h * h * grid.absolute / grid.weight / (4 * value * value) if value > 0 else 0.0


@metric(
    "Smooth ECE",
    aliases=("smooth_ece",),
    formula="σ = ∫ |mean of K_σ(t, c) (c − y)| dt",
    reference=_REFERENCE,
    trust="no bins to choose; noise alone gives about (n)^(−1/3)",
)
def smece(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Smooth expected calibration error: ECE with a Gaussian kernel instead of bins, as wide as the error itself.

    The residuals, confidence minus correctness, are smoothed over the confidences with a Gaussian of standard
    deviation σ, reflected at 0 and 1; smECE(σ) is the integral of the absolute value. It falls as σ rises, and the
    metric is the σ at which it is σ. There are no bins to choose, and a small change of the confidences changes it
    little.

    Returns
    -------
    float
        In [0, 1]; 0 is best. Residuals are summed on a grid of 16,384 cells, which changes a value v by less than
        1e-9 / v² (1e-5 for v = 0.01); see :func:`calkit.metrics.smooth.error_bound`.

    References
    ----------
    Błasiok & Nakkiran, "Smooth ECE: Principled Reliability Diagrams via Kernel Smoothing", ICLR 2024,
    arXiv:2309.12236.

    Examples
    --------
    >>> from calkit import smece
    >>> round(smece([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]), 4)
    0.0963
    """
    statistic = Residuals()
    return Recipe(statistic, fixed_point, SmoothInference(), bounded_by_gap=True)
