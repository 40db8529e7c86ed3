"""What focal loss does to gradients and to probabilities: Propositions 1 and 2, and the map of Appendix H.

All functions work on NumPy arrays, element by element, in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, lambertw, log_expit

from calkit.errors import InputError

__all__ = ["focal_minimiser", "focal_posterior", "gamma_star", "gradient_ratio", "threshold"]

Floats = NDArray[np.float64]

# Beyond this logit both exp(-s) and 1 / (1 + exp(s)) are denormal, and their quotient loses its digits.
_LARGEST_LOGIT = 700.0
# Halvings that take the widest bracket, 1,400 logits, below 1e-15.
_HALVINGS = 62


def gradient_ratio(p: ArrayLike, gamma: ArrayLike) -> Any:
    r"""Ratio g(p, γ) of the gradient of focal loss to that of cross-entropy.

    Parameters
    ----------
    p : array_like
        Probability of the true class, in [0, 1].
    gamma : array_like
        Focusing parameter, >= 0; broadcast against ``p``.

    Returns
    -------
    float or ndarray
        :math:`(1-p)^γ - γ p (1-p)^{γ-1} \log p`; 1 at p = 0, and at p = 1 it is 0 for γ > 0 and 1 for γ = 0.

    Raises
    ------
    InputError
        If a probability is outside [0, 1] or γ is negative.

    Notes
    -----
    Proposition 1 of the paper: for the parameters of the last layer (in fact for every parameter, because only
    the probability of the true class enters) the gradient of focal loss is g times that of cross-entropy. Focal
    loss therefore speeds training up where g > 1 and regularises where g < 1.

    References
    ----------
    "The Intriguing Effects of Focal Loss on the Calibration of Deep Neural Networks", 2020, Proposition 1.

    Examples
    --------
    >>> gradient_ratio([0.2, 0.5], [5, 3]).round(3).tolist()
    [0.987, 0.385]
    """
    p, gamma = np.broadcast_arrays(_probability(p, "p"), _gamma(gamma))
    result = np.exp(gamma * _log1m(p, gamma)) * (1 + gamma * _shrinkage(p))
    return result[()]


def gamma_star(p0: ArrayLike) -> Any:
    r"""γ for which focal loss has, at probability p0, exactly the gradient of cross-entropy.

    Parameters
    ----------
    p0 : array_like
        Probability of the true class, in [0, 1].

    Returns
    -------
    float or ndarray
        :math:`γ^* = a/b + W_{-1}(-a^{1-a/b} \log(a) / b) / \log a` with :math:`a = 1 - p_0` and
        :math:`b = p_0 \log p_0`. It falls from infinity at 0 to 0 at 0.5, and is 0 from there on, where
        g(p0, γ) = 1 has no positive solution.

    Raises
    ------
    InputError
        If a probability is outside [0, 1].

    Notes
    -----
    Proposition 2: g(p, γ*) > 1 below p0 and < 1 above. :math:`W_{-1}` is the lower branch of the Lambert W
    function; the principal branch gives the solution γ = 0 that every p0 has.

    References
    ----------
    "The Intriguing Effects of Focal Loss on the Calibration of Deep Neural Networks", 2020, Proposition 2.

    Examples
    --------
    >>> gamma_star([0.2, 0.25, 0.5]).round(2).tolist()
    [4.85, 3.07, 0.0]
    """
    p0 = _probability(p0, "p0")
    result = np.zeros_like(p0)
    result[p0 == 0] = np.inf
    inside = (p0 > 0) & (p0 < 0.5)
    p = p0[inside]
    a, b, log_a = 1 - p, p * np.log(p), np.log1p(-p)
    # The argument reaches -1/e at p0 = 0.5; rounding must not push it below, where W has no real value.
    argument = np.maximum(-np.exp((1 - a / b) * log_a) * (log_a / b), -np.exp(-1.0))
    result[inside] = np.maximum(a / b + lambertw(argument, k=-1).real / log_a, 0.0)
    return result[()]


def threshold(gamma: ArrayLike) -> Any:
    """Probability above which focal loss has a smaller gradient than cross-entropy.

    Parameters
    ----------
    gamma : array_like
        Focusing parameter, >= 0.

    Returns
    -------
    float or ndarray
        The p0 in (0, 0.5] with ``gamma_star(p0) == gamma``: g(p, γ) > 1 below and < 1 above. For γ = 0, where
        g is 1 everywhere, the limit 0.5.

    Raises
    ------
    InputError
        If γ is negative.

    Examples
    --------
    >>> threshold([1, 3, 5]).round(3).tolist()
    [0.368, 0.253, 0.197]
    """
    gamma = _gamma(gamma)
    # In log p, so that the small thresholds of large γ keep all their digits; γ* falls as p grows.
    low, high = np.full_like(gamma, np.log(np.finfo(np.float64).tiny)), np.full_like(gamma, np.log(0.5))
    return np.exp(_bisect(lambda log_p: gamma - gamma_star(np.exp(log_p)), low, high))[()]


def focal_minimiser(p: ArrayLike, gamma: ArrayLike, *, multiclass: bool = False) -> Any:
    r"""Prediction that minimises the expected focal loss when the true probability is p.

    Parameters
    ----------
    p : array_like
        True probability of one of two classes, in [0, 1]; with ``multiclass`` rows ``(..., n_classes)`` that sum
        to 1.
    gamma : array_like
        Focusing parameter, >= 0; broadcast against ``p`` (with ``multiclass`` against its rows).
    multiclass : bool, default=False
        Whether the last axis of ``p`` runs over the classes.

    Returns
    -------
    float or ndarray
        Of two classes, :math:`\arg\min_x -(1-x)^γ p \log x - x^γ (1-p) \log(1-x)`, nearer to 0.5 than p for
        γ > 0; with ``multiclass`` the rows that minimise :math:`-\sum_k p_k (1-x_k)^γ \log x_k`.

    Raises
    ------
    InputError
        If a probability is outside [0, 1], a row does not sum to 1, or γ is negative.

    Notes
    -----
    Equation 13 and Figure 7 (Appendix H) of the paper. At the minimum :math:`p_k g(x_k, γ) / x_k` is the same
    for all classes. With two classes the minimiser is less certain than p, as Appendix H says; with more it can be
    a little *more* certain where all probabilities are small, because there g > 1.

    See Also
    --------
    focal_posterior : the inverse map, in closed form.

    Examples
    --------
    >>> focal_minimiser([0.5, 0.9, 1.0], 3).round(3).tolist()
    [0.5, 0.647, 1.0]
    """
    if multiclass:
        return _multiclass_minimiser(_rows(p, "p"), _gamma(gamma))
    p, gamma = np.broadcast_arrays(_probability(p, "p"), _gamma(gamma))
    with np.errstate(divide="ignore"):
        target = np.abs(np.log(p) - np.log1p(-p))  # the map is odd in the logit: solve the upper half
    finite = np.minimum(target, _LARGEST_LOGIT)
    logit = _bisect(lambda s: _posterior_logit(s, gamma) - finite, np.zeros_like(finite), finite)
    logit = np.where(np.isinf(target), np.inf, np.where(gamma == 0, target, logit))
    return np.where(gamma == 0, p, expit(np.where(p < 0.5, -logit, logit)))[()]


def focal_posterior(q: ArrayLike, gamma: ArrayLike, *, multiclass: bool = False) -> Any:
    r"""True probability behind the prediction of a model that minimises focal loss.

    Parameters
    ----------
    q : array_like
        Predicted probability of one of two classes, in [0, 1]; with ``multiclass`` rows ``(..., n_classes)``
        that sum to 1.
    gamma : array_like
        Focusing parameter the model was trained with, >= 0; broadcast against ``q`` (with ``multiclass`` against
        its rows).
    multiclass : bool, default=False
        Whether the last axis of ``q`` runs over the classes.

    Returns
    -------
    float or ndarray
        :math:`p_k ∝ q_k / g(q_k, γ)`: the inverse of :func:`focal_minimiser`. As a calibration map it turns the
        probabilities of a network trained with focal loss into class posteriors; the order of the classes, hence
        the prediction, stays.

    Raises
    ------
    InputError
        If a probability is outside [0, 1], a row does not sum to 1, or γ is negative.

    References
    ----------
    N. Charoenphakdee, J. Vongkulbhisal, N. Chairatanakul and M. Sugiyama, "On Focal Loss for Class-Posterior
    Probability Estimation: A Theoretical Perspective", CVPR 2021.

    Examples
    --------
    >>> focal_posterior(focal_minimiser([0.2, 0.9], 3), 3).round(12).tolist()
    [0.2, 0.9]
    """
    if multiclass:
        rows, gamma = _rows(q, "q"), _gamma(gamma)[..., np.newaxis]
        log_odds = _log_weight(rows, gamma)
        certain = rows == 1
        log_odds = np.where(certain.any(-1, keepdims=True), np.where(certain, 0.0, -np.inf), log_odds)
        weights = np.exp(log_odds - log_odds.max(axis=-1, keepdims=True))
        return weights / weights.sum(axis=-1, keepdims=True)
    q, gamma = np.broadcast_arrays(_probability(q, "q"), _gamma(gamma))
    with np.errstate(divide="ignore"):
        logit = np.log(q) - np.log1p(-q)
    inner = _posterior_logit(np.clip(logit, -_LARGEST_LOGIT, _LARGEST_LOGIT), gamma)
    return np.where((q == 0) | (q == 1) | (gamma == 0), q, expit(inner))[()]


def _multiclass_minimiser(p: Floats, gamma: Floats) -> Floats:
    """Solve x_k / g(x_k, γ) = p_k exp(μ) with the μ of each row for which the x_k sum to 1."""
    gamma = np.broadcast_to(gamma, p.shape[:-1])[..., np.newaxis]
    with np.errstate(divide="ignore"):
        log_p = np.log(p)

    def predictions(mu: Floats) -> Floats:
        target = log_p + mu[..., np.newaxis]
        low, high = np.full_like(p, -_LARGEST_LOGIT), np.full_like(p, _LARGEST_LOGIT)
        logits = _bisect(lambda s: _log_weight(expit(s), gamma, s) - target, low, high)
        return np.where(p == 0, 0.0, expit(logits))

    # The sum of the x_k grows with μ, from 0 to the number of classes.
    low, high = np.full(p.shape[:-1], -_LARGEST_LOGIT), np.full(p.shape[:-1], _LARGEST_LOGIT)
    x = predictions(_bisect(lambda mu: predictions(mu).sum(axis=-1) - 1, low, high))
    certain = (p == 1).any(axis=-1, keepdims=True)
    return np.where(certain | (gamma == 0), p, x / x.sum(axis=-1, keepdims=True))


def _posterior_logit(s: Floats, gamma: Floats) -> Floats:
    """Logit of the true probability where the minimiser of focal loss has logit ``s``."""
    return _log_weight(expit(s), gamma, s) - _log_weight(expit(-s), gamma, -s)


def _log_weight(x: Floats, gamma: Floats, s: Floats | None = None) -> Floats:
    """log(x / g(x, γ)), from the logit ``s`` of x where it is known (1 - x then keeps its digits)."""
    if s is None:
        with np.errstate(divide="ignore"):
            log_x, log_rest = np.log(x), _log1m(x, gamma)
        return log_x - gamma * log_rest - np.log1p(gamma * _shrinkage(x))
    log_x, rest = log_expit(s), expit(-s)
    return np.asarray(log_x - gamma * log_expit(-s) - np.log1p(gamma * x * (-log_x / rest)))


def _shrinkage(p: Floats) -> Floats:
    """-p log(p) / (1 - p), continued by 0 at p = 0 and by 1 at p = 1."""
    inside = (p > 0) & (p < 1)
    safe = np.where(inside, p, 0.5)
    return np.where(inside, -safe * np.log(safe) / (1 - safe), p)


def _log1m(p: Floats, gamma: Floats) -> Floats:
    """log(1 - p), with 0 instead of -inf where γ is 0, because 0 · -inf is not a number."""
    with np.errstate(divide="ignore"):
        return np.where(gamma == 0, 0.0, np.log1p(-p))


def _bisect(function: Callable[[Floats], Floats], low: Floats, high: Floats) -> Floats:
    """Root of an increasing function, element by element."""
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        above = function(middle) > 0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return 0.5 * (low + high)


def _probability(values: ArrayLike, name: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    bad = ~((array >= 0) & (array <= 1))
    if bad.any():
        raise InputError(f"{name} must be a probability in [0, 1], but holds {array[bad].flat[0]:g}.")
    return array


def _rows(values: ArrayLike, name: str) -> Floats:
    array = _probability(values, name)
    if array.ndim == 0 or array.shape[-1] < 2:
        raise InputError(
            f"{name} must have rows of at least two classes with multiclass=True, not shape {array.shape}."
        )
    sums = array.sum(axis=-1)
    if not np.allclose(sums, 1, rtol=0, atol=1e-6):
        worst = sums.flat[np.abs(sums - 1).argmax()]
        raise InputError(f"the rows of {name} must sum to 1, but one sums to {worst:g}; divide each row by its sum.")
    return array / sums[..., np.newaxis]


def _gamma(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    bad = ~((array >= 0) & np.isfinite(array))
    if bad.any():
        raise InputError(f"gamma must be finite and >= 0, but holds {array[bad].flat[0]:g}.")
    return array
