"""The temperature of least NLL: the one root of a slope that rises with the inverse temperature."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.subsample import subsample
from calkit.predictions import Predictions
from calkit.shards import Shards
from calkit.stats import LargestLogit, NllDerivatives, NllModel, summarize

__all__ = ["NllRoot", "nll_root"]

# The last step from a point whose derivatives are known in float64, relative to β. The model of four derivatives is
# then good to about the fifth power of it; with the third and fourth from float32, to 1e-3 of its square.
_LAST_STEP = 1e-3
_LAST_NEWTON_STEP = 1e-4
_MAX_PASSES = 200

# Passes in float32 serve as long as the steps are larger than this; what they leave is one float64 pass away.
_SINGLE_STEP = 5e-2

# About this many rows give the first guess when there are more; fewer where there are many classes.
_SUBSAMPLE = 2000
_SUBSAMPLE_SCORES = 1_000_000

# Logits between 2^-10 and 2^10 need no scaling; those 2^8 times as large as in the subsample are not to be trusted so.
_PLAIN_EXPONENT = 10
_EXPONENT_CHANGE = 8

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
    nll : float
        Mean NLL at the temperature, in float64; NaN where there is no root.
    """

    temperature: float
    outcome: Outcome
    n_passes: int
    nll: float = math.nan


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
    exponent, start, model = 0, None, None
    sample = subsample(predictions, min(_SUBSAMPLE, max(1, _SUBSAMPLE_SCORES // (predictions.n_classes or 1))))
    if sample is not None:
        exponent = _scale_exponent(sample)
        found = _solve(sample, exponent, None, precise=False)
        if found.outcome == "converged":
            start = 1 / found.temperature
    if start is None:
        exponent = _scale_exponent(predictions)
    else:
        # The first pass checks the scores, and the exponent.
        largest, first = LargestLogit(), NllDerivatives(start, exponent, single=True)
        counted = summarize(predictions, [largest, first])
        change = _exponent_of(counted[largest].value) - exponent
        model = counted[first]
        if abs(change) > _EXPONENT_CHANGE:
            exponent, start, model = exponent + change, math.ldexp(start, change), None
    result = _solve(predictions, exponent, start, model, precise=True)
    if result.outcome == "constant":
        return result
    return replace(result, temperature=math.ldexp(result.temperature, exponent))


def _scale_exponent(predictions: Predictions | Shards) -> int:
    """Return e such that logits times 2^-e are of ordinary size; this pass checks the scores too."""
    statistic = LargestLogit()
    return _exponent_of(summarize(predictions, [statistic])[statistic].value)


def _exponent_of(largest: float) -> int:
    """Return that exponent by the largest size of a logit: 0 if it needs no scaling, else the size becomes 1 to 2."""
    exponent = math.frexp(largest)[1] - 1 if largest else 0
    return 0 if abs(exponent) <= _PLAIN_EXPONENT else exponent


def _solve(
    predictions: Predictions | Shards,
    exponent: int,
    start: float | None,
    model: NllModel | None = None,
    *,
    precise: bool,
) -> NllRoot:
    """Find the root for logits times 2^-exponent; to 1e-3 or exactly.

    ``start`` is an inverse temperature near it, and ``model`` what float32 says of it, if they are known.
    """
    low, high, single, passes = 0.0, math.inf, True, 1
    beta = start
    model = model or _measure(predictions, exponent, beta or 0.0, single)
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
    derivatives, tolerance = model.derivatives, _LAST_STEP
    while passes < _MAX_PASSES:
        slope = derivatives[1]
        if not single:
            # Signs are trusted in float64 only.
            low, high = (beta, high) if slope < 0 else (low, beta)
        following = _next(derivatives, beta, low, high)
        change = abs(following - beta) / beta
        if (not single or not precise) and (slope == 0 or change <= tolerance or high - low <= 1e-15 * beta):
            break
        # Beside logits far larger than the rest, what float32 makes of the rest vanishes: no curvature is left.
        single = single and derivatives[2] > 0
        newton = single and precise and change <= _SINGLE_STEP
        single = single and not newton
        step, beta, passes = following - beta, following, passes + 1
        found = _measure(predictions, exponent, beta, single, orders=2 if newton else 4).derivatives
        tolerance = _LAST_NEWTON_STEP if newton else _LAST_STEP
        derivatives = (
            np.array([*found[:3], derivatives[3] + step * derivatives[4], derivatives[4]]) if newton else found
        )
    following = beta if derivatives[1] == 0 else following
    return NllRoot(1 / following, "converged", passes, _taylor(derivatives, following - beta) / model.weight)


def _measure(predictions: Predictions | Shards, exponent: int, beta: float, single: bool, orders: int = 4) -> NllModel:
    statistic = NllDerivatives(beta, exponent, single, orders)
    model: NllModel = summarize(predictions, [statistic], check=False)[statistic]
    return model


def _taylor(derivatives: NDArray[np.float64], step: float) -> float:
    return float(sum(d * step**order / math.factorial(order) for order, d in enumerate(derivatives.tolist())))


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
