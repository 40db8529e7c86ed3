"""The least miscalibration that gives a value: as many outcomes of a calibrated model must have come otherwise.

Where true probabilities differ from forecasts, outcomes can be drawn from the forecasts and then changed: that of a row
with a probability of the difference. A sum of absolute gaps grows by no more than the weight of the changed outcomes.
So the true error is at least what makes enough changes likely, whatever its shape and however the forecasts of a row
depend on each other. The limit is above 0 where the p-value is below the tail, also where so few events were expected
that the noise as it was seen could make up all of the value.
"""

from __future__ import annotations

import math

import numpy as np

from calkit import special
from calkit.inference.cells import CellSums
from calkit.inference.few_events import expected_of_cells
from calkit.inference.floors import NullLaw
from calkit.stats import ConfidencePairs

__all__ = [
    "flips_limit",
    "flips_limit_of_bins",
    "lightest_share",
    "one_change_limit",
    "seminorm_flips_limit",
]

_ROUNDING = 1e-9
# Parts of the value that are tried as that of the noise. The last one leaves hardly anything to changes.
_PARTS = np.append(np.linspace(0, 1, 48, endpoint=False), 1 - _ROUNDING)
# A p-value equal to the tail is small.
_EQUAL = 1 + 1e-6
# How many times as much the outcomes of bins may vary beside what the forecasts tell, if these differ within the bins
# and the true probabilities do not: so little is let pass. Beyond it a small p-value may come of gaps that cancel out.
_MIXED = 1.15


def flips_limit(value: float, law: NullLaw, change: float, tail: float) -> float:
    """Return the least true value, in the mean, of changes after which a value is as likely as a tail.

    Parameters
    ----------
    value : float
        Of a sum of absolute gaps, or of another measure that changes no more than such a sum.
    law : NullLaw
        Of the same, if the model is calibrated.
    change : float
        The most that the outcome of one row changes it; infinite if that is not known.
    tail : float

    Returns
    -------
    float
        0 if the p-value is above the tail.

    Examples
    --------
    Hardly any event was to come, and three came: limits of a Poisson rate (Garwood).

    >>> law = NullLaw(0.0, lambda value: 1.0 if value <= 0 else 1e-9, lambda tail: 0.0)
    >>> round(flips_limit(3.0, law, 1.0, 0.025), 3), round(flips_limit(3.0, law, math.inf, 0.025), 3)
    (0.619, 0.073)
    """
    if law.p_value(value) > tail or value <= 0:
        return 0.0
    best, start = 0.0, law.critical(tail)
    start = start if math.isfinite(start) and start < value else 0.0
    noises = start + (value - start) * _PARTS
    if math.isfinite(change):
        # Whole numbers of changes leave nothing over.
        noises = np.append(noises, value - change * (1 - _ROUNDING) * np.arange(1, len(_PARTS)))
    for noise in noises[noises >= start].tolist():
        left, rest = tail * _EQUAL - law.p_value(noise), value - noise
        if left <= 0 or rest <= 0:
            continue
        n = max(1, math.ceil(rest / change))
        # One change: Markov; n of them: they are no more likely than those of a Poisson law.
        best = max(best, rest / n * (left if n == 1 else float(special.gammaincinv(n, left))))
    return best


def flips_limit_of_bins(
    value: float, sums: CellSums, norm: str, law: NullLaw, tail: float, *, n_keys: int = 1, changed_keys: int = 1
) -> float:
    """Return the limit of a norm of the gaps of filled bins, of keys the mean of theirs.

    Parameters
    ----------
    value : float
    sums : CellSums
    norm : str
        One of :data:`~calkit.estimators.binned.NORMS`.
    law : NullLaw
        Of the norm.
    tail : float
    n_keys : int
    changed_keys : int
        Forecasts of a row whose outcome may change at a time.
    """
    if norm == "squared":
        return flips_limit_of_bins(math.sqrt(value), sums, "l2", law.root, tail) ** 2
    weight, total = sums.weight, float(sums.weight.sum()) / n_keys
    spread = sums.squared_weight * np.maximum(sums.probability * (weight - sums.probability), 0) / weight**2
    wider = math.sqrt(float(spread.sum()) / max(float(sums.variance.sum()), 1e-300))
    law = law.scaled(wider) if wider > _MIXED else law
    n_bins = len(weight) / n_keys
    # What a change of weight 1 in a bin adds at most; and how much less than their sum over bins the true norm may be.
    added, share = {
        "mean": (1 / weight / (n_bins if n_keys == 1 else 1), 1.0),
        "max": (1 / weight, 1 / n_bins),
        "l2": (1 / np.sqrt(weight * total), n_bins**-0.5),
    }.get(norm, (np.full(1, 1 / total), 1.0))
    row = expected_of_cells(sums).change * float(weight.sum())
    return share * flips_limit(value, law, row * changed_keys * float(added.max()) / n_keys, tail)


def seminorm_flips_limit(value: float, law: NullLaw, change: float, tail: float) -> float:
    """Return the limit of a measure that sees gaps at all scales but the finest.

    Where forecasts are too far from their mean, gaps of the lower half and of the upper one cancel out in a measure of
    the curve of residuals, but no more: it is half of the mean gap.
    """
    return flips_limit(value, law, change, tail) / 2


def one_change_limit(p_value: float, lightest: float, tail: float) -> float:
    """Return the least mean gap, without bins, of which any measure at all may have a small p-value.

    One outcome at least must have come otherwise. `lightest` is the smallest share that a row has of the weight.
    """
    return max(tail * _EQUAL - p_value, 0.0) * lightest


def lightest_share(pairs: ConfidencePairs) -> float:
    """Return the smallest share that a row has of the weight, of those that have any."""
    w = pairs.weight
    return 1 / len(pairs) if w is None else float(w[w > 0].min() / w.sum())
