"""Which classes are miscalibrated beyond noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calkit.inference.by_key import ErrorsByKey
from calkit.report.values import ClassErrors, Measure, WorstClass

__all__ = ["judged_classes"]

# What counts as certain where no intervals were asked for.
_LEVEL = 0.95

# Classes that are shown at most.
_MOST = 15


def judged_classes(errors: ErrorsByKey, names: Sequence[str], level: float | None) -> ClassErrors:
    """Return the errors of all classes, and the worst of those whose error is no noise.

    Parameters
    ----------
    errors : ErrorsByKey
    names : sequence of str
        What the classes are called.
    level : float or None
        Of the limits; None for none.
    """
    value = errors.value
    frequency, probability, ece = (tuple(c.tolist()) for c in (errors.frequency, errors.probability, value))
    if errors.sums.soft.any():
        # Shares of votes have another noise than labels.
        return ClassErrors(frequency, probability, ece)
    adjusted = errors.p_adjusted
    sure = np.flatnonzero(adjusted <= 1 - (_LEVEL if level is None else level))
    if errors.n_keys < 3:
        # Of two classes, the one says it all.
        sure = sure[:0]
    order = sure[np.argsort(-value[sure], kind="stable")].tolist()
    worst = tuple(_worst(errors, k, names, level) for k in order[:_MOST])
    floor = tuple(errors.floor.tolist())
    return ClassErrors(frequency, probability, ece, floor, tuple(adjusted.tolist()), worst, len(order))


def _worst(errors: ErrorsByKey, key: int, names: Sequence[str], level: float | None) -> WorstClass:
    low, high = (None, None) if level is None else errors.limits(key, level)
    frequency, probability = float(errors.frequency[key]), float(errors.probability[key])
    measure = Measure(float(errors.value[key]), low, high, float(errors.floor[key]), float(errors.p_adjusted[key]))
    return WorstClass(names[key], frequency * float(errors.total[key]), frequency, probability, measure)
