"""The temperature of least penalised NLL: a normal prior on its logarithm, centred at 1."""

from __future__ import annotations

import math

import numpy as np

from calkit.predictions import Predictions
from calkit.shards import Shards
from calkit.stats import NllDerivatives, summarize

__all__ = ["inverse_temperature_with_prior"]

# log β changes by no more than this in a step, and by less than the second in the last.
_LARGEST_STEP = 1.5
_TOLERANCE = 1e-10
_MAX_PASSES = 100


def inverse_temperature_with_prior(data: Predictions | Shards, sigma: float) -> tuple[float, float, int]:
    """Minimise ``mean NLL(β) + (log β)² / (2 σ² n)`` over the inverse temperature β.

    Parameters
    ----------
    data : Predictions or Shards
        Of kind "logits".
    sigma : float
        Standard deviation of log T under the prior, positive.

    Returns
    -------
    beta : float
    nll : float
        Mean NLL there, without the penalty.
    n_passes : int

    Notes
    -----
    Newton's method in log β inside a bracket that the signs of the slope close; unlike the NLL alone, there is always a
    minimum: separable data and constant logits included.
    """
    beta, low, high, n_passes = 1.0, 0.0, math.inf, 0
    while n_passes < _MAX_PASSES:
        statistic = NllDerivatives(beta, orders=2)
        model = summarize(data, [statistic], check=n_passes == 0)[statistic]
        n_passes += 1
        nll, slope, curvature, *_ = (model.derivatives / model.weight).tolist()
        strength = 1 / (sigma**2 * model.weight)
        # Derivatives in t = log β: of the NLL β f', and β f' + β² f''; of the penalty t and 1.
        gradient = beta * slope + strength * math.log(beta)
        second = max(beta * slope + beta * beta * curvature, 0.0) + strength
        low, high = (low, beta) if gradient > 0 else (beta, high)
        if abs(gradient) <= _TOLERANCE * second:
            break
        step = float(np.clip(-gradient / second, -_LARGEST_STEP, _LARGEST_STEP))
        proposal = beta * math.exp(step)
        if not low < proposal < high:
            proposal = math.sqrt(low * high)
        if abs(proposal - beta) <= 1e-13 * beta:
            break
        beta = proposal
    return beta, nll, n_passes
