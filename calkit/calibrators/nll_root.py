"""The temperature of least NLL: the one root of a slope that rises with the inverse temperature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calkit.predictions import Predictions
from calkit.shards import Shards
from calkit.stats import LargestLogit, NllDerivatives, NllModel, summarize

__all__ = ["NllRoot", "nll_root"]

# The last step from a point whose derivatives are known in float64, relative to β. The model of four derivatives is
# then good to about the fifth power of it.
_LAST_STEP = 1e-3
_MAX_PASSES = 200

# Passes in float32 serve as long as the steps are larger than this; what they leave is one float64 pass away.
_SINGLE_STEP = 2e-2

# About this many rows give the first guess when there are more.
_SUBSAMPLE = 2000

# The sign of the slope at β = 0, relative to that at infinity, is not for float32 to tell below this.
_DOUBTFUL = 1e-5

# Where there is no root, T is this factor below or above the natural scale of the logits.
_BOUND = 1e3

Outcome = Literal["converged", "separable", "below chance", "constant"]


@dataclass(frozen=True)
class NllRoot:
    """Result of :func:`nll_root`.

    Attributes
    ----------
    temperature : float
    outcome : {"converged", "separable", "below chance", "constant"}
        Whether there is a root; if not, why.
    n_passes : int
        Passes over all rows.
    """

    temperature: float
    outcome: Outcome
    n_passes: int


def nll_root(predictions: Predictions | Shards) -> NllRoot:
    """Find the temperature of least NLL.

    The NLL is convex in β = 1/T, so its slope in β has at most one root. Each pass over the rows gives the slope with
    three more derivatives; the root of that local cubic is the next β, kept inside the bracket that the signs of the
    slope have closed so far. A subsample gives the first β when there are many rows.

    Parameters
    ----------
    predictions : Predictions or Shards
        Of kind "logits".

    Returns
    -------
    NllRoot
        If no root exists, the temperature is bounded: with `s` the mean distance of the logits from the largest one
        of their row, ``s / 1000`` for separable data (every true class has the largest logit), ``1000 * s`` for data
        worse than chance, and 1 if all logits of each row are equal.
    """
    exponent = _scale_exponent(predictions)
    start: float | None = None
    if isinstance(predictions, Predictions) and predictions.n_samples >= 2 * _SUBSAMPLE:
        sample = predictions.take(slice(None, None, predictions.n_samples // _SUBSAMPLE))
        if sample.sample_weight is None or sample.sample_weight.any():
            found = _solve(sample, exponent, None, precise=False)
            if found.outcome == "converged":
                start = 1 / found.temperature
    result = _solve(predictions, exponent, start, precise=True)
    temperature = math.ldexp(result.temperature, exponent) if result.outcome != "constant" else 1.0
    return NllRoot(temperature, result.outcome, result.n_passes)


def _scale_exponent(predictions: Predictions | Shards) -> int:
    """Return e such that logits times 2^-e have their largest size in [1, 2); this pass checks the scores too."""
    statistic = LargestLogit()
    largest = summarize(predictions, [statistic])[statistic].value
    return math.frexp(largest)[1] - 1 if largest else 0


def _solve(predictions: Predictions | Shards, exponent: int, start: float | None, *, precise: bool) -> NllRoot:
    """Find the root for logits times 2^-exponent, from an inverse temperature if there is one; to 1e-3 or exactly."""
    low, high, single, passes = 0.0, math.inf, True, 1
    beta = start
    model = _measure(predictions, exponent, beta or 0.0, single)
    if _classify(model)[0] != "converged" or abs(model.slope_limits[0]) < _DOUBTFUL * model.slope_limits[1]:
        model, single, passes = _measure(predictions, exponent, beta or 0.0, False), False, 2
    outcome, scale = _classify(model)
    if outcome != "converged":
        bound = {"separable": scale / _BOUND, "below chance": scale * _BOUND, "constant": 1.0}[outcome]
        return NllRoot(bound, outcome, passes)
    if beta is None:
        # At β = 0 a Newton step is exact to the second order: start there.
        _, slope, curvature, *_ = model.derivatives
        beta, passes = (-slope / curvature if curvature > 0 else 1 / scale), passes + 1
        model, single = _measure(predictions, exponent, beta, True), True
    while passes < _MAX_PASSES:
        slope = model.derivatives[1]
        if not single:
            # Signs are trusted in float64 only.
            low, high = (beta, high) if slope < 0 else (low, beta)
        following = _next(model.derivatives, beta, low, high)
        change = abs(following - beta) / beta
        if (not single or not precise) and (slope == 0 or change <= _LAST_STEP or high - low <= 1e-15 * beta):
            return NllRoot(1 / (beta if slope == 0 else following), "converged", passes)
        single = single and (change > _SINGLE_STEP or not precise)
        beta, passes = following, passes + 1
        model = _measure(predictions, exponent, beta, single)
    return NllRoot(1 / beta, "converged", passes)


def _measure(predictions: Predictions | Shards, exponent: int, beta: float, single: bool) -> NllModel:
    statistic = NllDerivatives(beta, exponent, single)
    model: NllModel = summarize(predictions, [statistic], check=False)[statistic]
    return model


def _classify(model: NllModel) -> tuple[Outcome, float]:
    """Tell from the slopes at the two ends whether there is a root; return the natural scale of the logits too."""
    at_zero, at_infinity = model.slope_limits
    scale = (at_infinity - at_zero) / model.weight
    if scale <= 0:
        return "constant", 1.0
    if at_infinity <= 0:
        return "separable", scale
    # The slope at 0 is a difference; what is left of equal terms by rounding is no sign of skill.
    if at_zero >= -1e-14 * at_infinity:
        return "below chance", scale
    return "converged", scale


def _next(derivatives: NDArray[np.float64], beta: float, low: float, high: float) -> float:
    """Return the root of the local cubic model of the slope, or a safe point inside the bracket."""
    _, slope, curvature, third, fourth = derivatives
    step = 0.0
    for _ in range(50):
        value = slope + step * (curvature + step * (third / 2 + step * fourth / 6))
        gradient = curvature + step * (third + step * fourth / 2)
        if not gradient > 0:
            # The model has turned: the first-order step is all it can be trusted with.
            step = -slope / curvature if curvature > 0 else math.nan
            break
        change = value / gradient
        step -= change
        if abs(change) <= 1e-16 * abs(step):
            break
    proposal = beta + step
    # A model of four derivatives is no good far away; a factor of four a pass is progress enough.
    proposal = min(max(proposal, beta / 4), beta * 4) if math.isfinite(proposal) else math.nan
    if low < proposal < high:
        return proposal
    return math.sqrt(low * high) if low > 0 and high < math.inf else (beta * 4 if slope < 0 else beta / 4)
