"""A rising spline of the log-odds, fitted by penalised likelihood."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.special import expit, logit

from calkit.calibrators.binning.base import TableMaps
from calkit.calibrators.binning.rows import Groups
from calkit.calibrators.binning.scaling_binning import fit_sigmoid
from calkit.calibrators.registration import register_calibrator
from calkit.errors import InputError
from calkit.parameters import is_whole

__all__ = ["MonotoneSpline"]

Floats = NDArray[np.float64]

# Probabilities nearer to 0 or 1 than this are at the end of the spline.
_LEAST = 1e-12
_DEGREE = 3
# Points at which the fitted curve is kept, evenly spaced in log-odds; it is linear between them.
_POINTS = 513
_STEPS = 500
# Damping of steps, in mean curvatures.
_LEAST_DAMPING, _MOST_DAMPING = 1e-6, 1e12


@register_calibrator("spline")
class MonotoneSpline(TableMaps):
    """Spline calibration that never falls: the calibrated log-odds are a rising cubic spline of the log-odds.

    The spline is a sum of I-splines (integrated B-splines) with coefficients that are not negative, plus a constant;
    knots stand at quantiles of the scores. The coefficients have the least NLL plus a ridge on their differences, which
    draws the curve towards a straight line, that is Platt scaling.

    Parameters
    ----------
    n_knots : int, default=6
        Knots inside the range of the scores.
    smoothness : float, default=1.0
        Weight of the ridge, in rows.
    mix : {"laplace", "probmetrics", None}, default="laplace"
        As for :class:`Isotonic`; where no row of low scores is positive, the curve comes near to 0.

    Attributes
    ----------
    keys_, values_, splits_, n_rows_, classes_, n_features_in_
        As for :class:`Isotonic`.

    References
    ----------
    Ramsay, "Monotone regression splines in action", Statistical Science 3, 1988. Lucena, "Spline-based probability
    calibration", 2018.

    Examples
    --------
    >>> from calkit.calibrators import get_calibrator
    >>> from calkit.datasets import load_digits_logits
    >>> validation = load_digits_logits("validation")
    >>> get_calibrator("spline").fit(validation.scores, validation.y_true).describe().title
    'monotone spline'
    """

    title: ClassVar[str] = "monotone spline"

    def __init__(self, n_knots: int = 6, smoothness: float = 1.0, mix: str | None = "laplace") -> None:
        self.n_knots = n_knots
        self.smoothness = smoothness
        self.mix = mix

    def _fit(self, data: Any) -> None:
        if not is_whole(self.n_knots, 0):
            raise InputError(f"n_knots must be a whole number that is not negative, but is {self.n_knots!r}.")
        if not 0 < self.smoothness < np.inf:
            raise InputError(f"smoothness must be positive and finite, but is {self.smoothness!r}.")
        super()._fit(data)

    def _fit_table(self, groups: Groups) -> tuple[Floats, Floats]:
        score = np.clip(groups.score, _LEAST, 1 - _LEAST)
        u = np.asarray(logit(score))
        low, high = float(u[0]), float(u[-1])
        # The prior of one row, half of it positive, keeps the constant finite where one class is absent.
        rate = (groups.positive.sum() + 0.5) / (groups.total_weight + 1)
        if not high - low > 1e-9:
            return groups.score[:1], np.array([rate])
        at = (u - low) / (high - low)
        mass = np.cumsum(groups.weight) - groups.weight / 2
        inner = np.interp(np.arange(1, self.n_knots + 1) / (self.n_knots + 1), mass / groups.total_weight, at)
        basis = _rising(at, inner)
        # The best straight line is where the search begins.
        slope, intercept = fit_sigmoid(groups)
        rise = max(slope, 0.0) * (high - low)
        base = slope * low + intercept if slope > 0 else float(logit(rate))
        start = np.append(base, rise * np.diff(_greville(inner)))
        coefficients = _fit_coefficients(basis, groups, high - low, start, self.smoothness)
        grid = np.linspace(0, 1, _POINTS)
        curve = expit(_rising(grid, inner) @ coefficients)
        return expit(low + grid * (high - low)), np.maximum.accumulate(np.clip(curve, 0, 1))


def _rising(at: Floats, inner: Floats) -> Floats:
    """Return a constant and I-splines at points in [0, 1], of shape (n, 1 + m): each rises from 0 to 1."""
    bumps = BSpline.design_matrix(at, _knots(inner), _DEGREE).toarray()
    # The sum of the B-splines from one on is an I-spline; the sum of all is the constant 1.
    tails = np.cumsum(bumps[:, ::-1], axis=1)[:, ::-1]
    return np.ascontiguousarray(tails)


def _knots(inner: Floats) -> Floats:
    return np.concatenate([np.zeros(_DEGREE + 1), np.clip(inner, 1e-6, 1 - 1e-6), np.ones(_DEGREE + 1)])


def _greville(inner: Floats) -> Floats:
    """Return the coefficients of B-splines that make the straight line from 0 to 1."""
    knots = _knots(inner)
    return np.array([knots[i + 1 : i + 1 + _DEGREE].mean() for i in range(len(knots) - _DEGREE - 1)])


def _fit_coefficients(basis: Floats, groups: Groups, width: float, start: Floats, smoothness: float) -> Floats:
    """Return the coefficients of least penalised NLL, all but the first of them not negative.

    The penalty is a pseudo-row in the middle, half of it positive; the ridge on differences of neighbouring
    coefficients; and a hundredth of it on how far their sum, the rise of the curve, is from that of the identity.
    """
    m = basis.shape[1] - 1
    n, s = groups.weight, groups.positive
    differences = np.diff(np.eye(m), axis=0)
    rise = np.append(0.0, np.ones(m))
    ridge = np.zeros((m + 1, m + 1))
    ridge[1:, 1:] = smoothness * (differences.T @ differences)
    ridge += smoothness / 100 * np.outer(rise, rise)
    middle = np.append(1.0, np.full(m, 0.5))

    def loss(c: Floats) -> float:
        u, at = basis @ c, float(middle @ c)
        likelihood = (n * np.logaddexp(0, u) - s * u).sum() + np.logaddexp(0, at) - at / 2
        return float(likelihood + c @ ridge @ c / 2 - smoothness / 100 * width * (rise @ c))

    def derivatives(c: Floats) -> tuple[Floats, Floats]:
        p, half = expit(basis @ c), expit(float(middle @ c))
        gradient = basis.T @ (n * p - s) + (half - 0.5) * middle + ridge @ c - smoothness / 100 * width * rise
        hessian = (basis * (n * p * (1 - p))[:, None]).T @ basis + half * (1 - half) * np.outer(middle, middle) + ridge
        return gradient, hessian

    return _projected_newton(loss, derivatives, start, np.append(-np.inf, np.zeros(m)))


def _projected_newton(
    loss: Callable[[Floats], float],
    derivatives: Callable[[Floats], tuple[Floats, Floats]],
    x: Floats,
    lower: Floats,
) -> Floats:
    """Return the least point of a strictly convex function above lower limits (Bertsekas 1982)."""
    value, damping = loss(x), 0.0
    for _ in range(_STEPS):
        gradient, hessian = derivatives(x)
        free = ~((x <= lower) & (gradient > 0))
        own, size = hessian[np.ix_(free, free)], float(np.trace(hessian)) / len(x)
        gain = 0.0
        # Where all probabilities are near 0 or 1 the curvature tells nothing: then steps are damped.
        while gain <= 0 and damping <= _MOST_DAMPING * size:
            step = np.zeros_like(x)
            step[free] = np.linalg.solve(own + damping * np.eye(len(own)), gradient[free])
            following = np.maximum(x - step, lower)
            gain = value - (found := loss(following))
            if not gain > 0:
                damping = max(4 * damping, _LEAST_DAMPING * size)
        if not gain > 0:
            break
        x, value = following, found
        if gain <= 1e-15 * (1 + abs(value)) and damping <= _LEAST_DAMPING * size:
            break
        damping = damping / 8 if damping > _LEAST_DAMPING * size else 0.0
    return x
