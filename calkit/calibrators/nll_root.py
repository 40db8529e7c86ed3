"""The temperature of least NLL: the one root of a slope that rises with the inverse temperature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.subsample import subsample
from calkit.errors import InputError
from calkit.predictions import Predictions
from calkit.shards import Shards
from calkit.stats import LogitGap, NllDerivatives, NllModel, summarize

__all__ = ["NllRoot", "nll_root"]

# The last step from a point whose derivatives are known in float64, relative to β. The model of four derivatives is
# then good to about the fifth power of it; with the third and fourth from float32, to 1e-3 of its square.
_LAST_STEP = 1e-3
_LAST_NEWTON_STEP = 1e-4
_MAX_PASSES = 200

# Passes in float32 serve as long as the steps are larger than this; what they leave is one float64 pass away.
_SINGLE_STEP = 5e-2

# So do steps that move the logits of a row by less than this: where labels are next to random, β is small beside them.
_NEAR = 5e-2

# At most about this many rows give the first guess, of twice as many or more, and about this share of all.
_SUBSAMPLE = 1000
_SUBSAMPLE_SHARE = 10
_SUBSAMPLE_SCORES = 1_000_000

# A guess from a few rows is off by some per cent anyway; a last step of this size adds nothing to that.
_LAST_GUESS_STEP = 0.1

# Inverse temperatures between 2^-10 and 2^10 need no scaling. Newton steps from 0 are trusted as far from what the gaps
# between the two largest logits tell, and within 2^60 the powers of distances neither vanish nor overflow.
_PLAIN_EXPONENT = 10
_LARGEST_EXPONENT = 60

# The sign of the slope at β = 0, relative to that at infinity, is not for float32 to tell below this.
_DOUBTFUL = 1e-5

# Where there is no root, T is this factor below or above the natural scale of the logits.
_BOUND = 1e3

# Masked logits do not make the natural scale: it is at most this multiple of the typical gap of the two largest logits.
_LARGEST_SCALE = 100.0

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


def nll_root(predictions: Predictions | Shards, *, precise: bool = True) -> NllRoot:
    """Find the temperature of least NLL.

    The NLL is convex in β = 1/T, so its slope in β has at most one root. Each pass over the rows gives the slope with
    three more derivatives; the root of that local cubic is the next β, kept inside the bracket that the signs of the
    slope have closed so far. A subsample gives the first β when there are many rows.

    Parameters
    ----------
    predictions : Predictions or Shards
        Of kind "logits".
    precise : bool, default=True
        Whether all digits are wanted, or a place to begin.

    Returns
    -------
    NllRoot
        If no root exists, the temperature is bounded: with `s` the mean distance of the logits from the largest one
        of their row, ``s / 1000`` for separable data (every true class has the largest logit), ``1000 * s`` for data
        worse than chance, and 1 if all logits of each row are equal. For separable data `s` is at most 100 times the
        geometric mean of the gaps between the two largest logits, so that masked logits do not count.

    Raises
    ------
    InputError
        If a true class has the logit -inf, so that the NLL is infinite at every temperature.
    """
    sample = _sample(predictions)
    gap = _typical_gap(predictions if sample is None else sample)
    start = None
    if sample is not None:
        found = _Search(sample, gap, precise=False).root(None)
        start = 1 / found.temperature if found.outcome == "converged" else None
    return _Search(predictions, gap, precise=precise).root(start)


def _sample(predictions: Predictions | Shards) -> Predictions | None:
    """Return the rows of the first guess, if all rows are many more."""
    if not isinstance(predictions, Predictions) or predictions.n_samples < 2 * _SUBSAMPLE:
        return None
    most = max(1, _SUBSAMPLE_SCORES // (predictions.n_classes or 1))
    return subsample(predictions, min(_SUBSAMPLE, predictions.n_samples // _SUBSAMPLE_SHARE, most))


def _typical_gap(predictions: Predictions | Shards) -> float:
    """Return log2 of the typical gap between the two largest logits of a row; this pass checks the scores too."""
    statistic = LogitGap()
    found = summarize(predictions, [statistic])[statistic]
    return found.total / found.weight if found.weight else 0.0


class _Search:
    """The search for a root, in units of 2^-exponent: logits are multiplied by it, so that β is of ordinary size.

    Parameters
    ----------
    predictions : Predictions or Shards
    gap : float
        log2 of the typical gap between the two largest logits.
    precise : bool
        Whether the root is wanted to all digits, or as a first guess.
    """

    def __init__(self, predictions: Predictions | Shards, gap: float, *, precise: bool) -> None:
        self.predictions = predictions
        self.precise = precise
        self.exponent = round(gap) if abs(gap) > _PLAIN_EXPONENT else 0
        self.gap = 2.0 ** (gap - self.exponent)
        self.low, self.high, self.reach, self.near, self.passes = 0.0, math.inf, 4.0, 0.0, 0

    def root(self, start: float | None) -> NllRoot:
        """Return the root, searched for from a temperature's inverse if there is one."""
        beta = None if start is None else math.ldexp(start, self.exponent)
        model, single = self._measure(beta or 0.0, True, check=True), True
        if (
            math.isinf(model.slope_limits[1])
            or _classify(model)[0] != "converged"
            or abs(model.slope_limits[0]) < _DOUBTFUL * model.slope_limits[1]
        ):
            model, single = self._measure(beta or 0.0, False), False
        if math.isinf(model.slope_limits[1]):
            raise _impossible(self.predictions)
        outcome, scale = _classify(model)
        if outcome == "constant":
            return NllRoot(1.0, outcome, self.passes)
        if outcome != "converged":
            scale = scale * _BOUND if outcome == "below chance" else min(scale, _LARGEST_SCALE * self.gap) / _BOUND
            return NllRoot(math.ldexp(scale, self.exponent), outcome, self.passes)
        self.near = _NEAR / scale
        if beta is None:
            beta = self._from_zero(model)
            model, single = self._measure(beta, True), True
        return self._refine(beta, model, single)

    def _from_zero(self, model: NllModel) -> float:
        """Return a first β: at β = 0 a Newton step is exact to the second order, unless some logits are far away."""
        _, slope, curvature, *_ = model.derivatives
        step = -slope / curvature if 0 < curvature < math.inf else 0.0
        trusted = 2.0**-_PLAIN_EXPONENT < step * self.gap < 2.0**_PLAIN_EXPONENT
        return float(step) if trusted else 1 / self.gap

    def _refine(self, beta: float, model: NllModel, single: bool) -> NllRoot:
        derivatives, tolerance = model.derivatives, _LAST_STEP if self.precise else _LAST_GUESS_STEP
        while True:
            slope = derivatives[1]
            if not single:
                # Signs are trusted in float64 only.
                self.low, self.high = (beta, self.high) if slope < 0 else (self.low, beta)
            following = self._next(derivatives, beta)
            change = abs(following - beta) / beta
            done = slope == 0 or change <= tolerance or self.high - self.low <= 1e-15 * beta
            if (not (single and self.precise) and done) or self.passes >= _MAX_PASSES:
                break
            # Beside logits far larger than the rest, what float32 makes of the rest vanishes: no curvature is left.
            single = single and derivatives[2] > 0
            newton = single and self.precise and (change <= _SINGLE_STEP or abs(following - beta) <= self.near)
            single = single and not newton
            step = following - beta
            beta = self._rescaled(following)
            found = self._measure(beta, single, orders=2 if newton else 4).derivatives
            tolerance = _LAST_NEWTON_STEP if newton else tolerance
            derivatives = (
                np.array([*found[:3], derivatives[3] + step * derivatives[4], derivatives[4]]) if newton else found
            )
        following = beta if derivatives[1] == 0 else following
        nll = _taylor(derivatives, following - beta) / model.weight
        return NllRoot(math.ldexp(1 / following, self.exponent), "converged", self.passes, nll)

    def _measure(self, beta: float, single: bool, orders: int = 4, *, check: bool = False) -> NllModel:
        self.passes += 1
        statistic = NllDerivatives(beta, self.exponent, single, orders)
        model: NllModel = summarize(self.predictions, [statistic], check=check)[statistic]
        return model

    def _rescaled(self, beta: float) -> float:
        """Return β in units in which it is of ordinary size, and change to these units."""
        shift = round(math.log2(beta))
        if abs(shift) <= _LARGEST_EXPONENT:
            return beta
        self.exponent -= shift
        self.low, self.high = math.ldexp(self.low, -shift), math.ldexp(self.high, -shift)
        self.near = math.ldexp(self.near, -shift)
        return math.ldexp(beta, -shift)

    def _next(self, derivatives: NDArray[np.float64], beta: float) -> float:
        """Return the root of the local cubic model of the slope, or a safe point inside the bracket."""
        slope = derivatives[1]
        proposal = beta + _cubic_step(derivatives)
        # A model of four derivatives is no good far away: a factor of four a pass at first, and its square, and so on.
        nearest, farthest = beta / self.reach, beta * self.reach
        is_near = proposal > 0 and abs(proposal - beta) <= self.near
        if math.isfinite(proposal) and (nearest < proposal < farthest or is_near):
            self.reach = 4.0
        else:
            if not math.isfinite(proposal):
                proposal = math.inf if slope < 0 else 0.0
            proposal = min(max(proposal, nearest), farthest)
            self.reach = min(self.reach**2, 2.0**_LARGEST_EXPONENT)
        if self.low < proposal < self.high:
            return proposal
        bounded = self.low > 0 and self.high < math.inf
        return math.sqrt(self.low) * math.sqrt(self.high) if bounded else (farthest if slope < 0 else nearest)


def _impossible(predictions: Predictions | Shards) -> InputError:
    where = "a row"
    for block in predictions.blocks(check=False) if isinstance(predictions, Predictions) else ():
        bad = block.scores[np.arange(len(block)), block.require_labels()] == -np.inf
        if bad.any():
            where = f"row {block.numbers[int(np.argmax(bad))]}"
            break
    return InputError(
        f"the true class of {where} has the logit -inf, a probability of 0, so the NLL is infinite at every "
        "temperature. Remove the row, or give it sample_weight 0."
    )


def _cubic_step(derivatives: NDArray[np.float64]) -> float:
    """Return the step to the root of the cubic that has these derivatives; not finite if there is none."""
    _, slope, curvature, third, fourth = derivatives.tolist()
    step = 0.0
    for _ in range(50):
        value = slope + step * (curvature + step * (third / 2 + step * fourth / 6))
        gradient = curvature + step * (third + step * fourth / 2)
        if not gradient > 0:
            # The model has turned: the first-order step is all it can be trusted with.
            return -slope / curvature if curvature > 0 else math.nan
        change = value / gradient
        step -= change
        if abs(change) <= 1e-16 * abs(step):
            break
    return step


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
