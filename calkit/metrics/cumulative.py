"""Measures of the curve of summed residuals: KS, Kuiper, averaged two-bin error. No bins, no bandwidth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

import numpy as np

from calkit.estimators.cumulative import averaged_two_bin, kolmogorov_smirnov
from calkit.estimators.cumulative import kuiper as kuiper_of
from calkit.estimators.ranked import Ranked
from calkit.inference.curves import averaged_two_bin_law, kolmogorov_smirnov_law, kuiper_law
from calkit.inference.floors import NullLaw
from calkit.inference.whole import WholeInference, ranked_pairs
from calkit.metrics.base import Recipe, metric
from calkit.metrics.shared import SharedArguments
from calkit.stats import ConfidencePairs, Pairs

__all__ = ["atb", "ks", "kuiper", "whole_recipe"]

_COST = "one pass; keeps every row, sorts once"


def whole_recipe(
    measure: Callable[[Ranked], Any],
    law: Callable[[Ranked, int, np.random.Generator], NullLaw] | None = None,
    *,
    mean_share: float = 1.0,
    **options: Any,
) -> Recipe:
    """Return the recipe of a measure of forecasts in the order of their probabilities, at least their mean gap.

    Other parameters are those of :class:`~calkit.inference.whole.WholeInference`.
    """

    def finish(pairs: ConfidencePairs) -> float:
        return float(measure(ranked_pairs(pairs)))

    return Recipe(Pairs(), finish, WholeInference(measure, law, mean_share=mean_share, **options))


@metric(
    "KS error",
    aliases=("kolmogorov-smirnov",),
    formula="max_q |S(q)|, S(q) = mean of (y − p) over p ≤ q",
    reference="Gupta et al., ICLR 2021; Arrieta-Ibarra et al., JMLR 2022",
    cost=_COST,
    trust="any n; sees shifts best, little of gaps that cancel out",
)
def ks(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Kolmogorov-Smirnov calibration error: the largest absolute value of the curve of summed residuals.

    Returns
    -------
    float
        In [0, 1]; 0 is best. Not divided by its standard deviation.

    Examples
    --------
    >>> from calkit.metrics import ks
    >>> round(ks([1, 0], [0.2, 0.6]), 12)
    0.4
    """
    return whole_recipe(kolmogorov_smirnov, kolmogorov_smirnov_law)


@metric(
    "Kuiper error",
    aliases=("cutoff-calibration-error",),
    formula="max_q S(q) − min_q S(q)",
    reference="Arrieta-Ibarra, Gujral, Tannen, Tygert & Xu, JMLR 2022; Rossellini et al. 2025 (cutoff calibration)",
    cost=_COST,
    trust="any n",
)
def kuiper(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Kuiper calibration error: the range of the curve of summed residuals, 0 before the first.

    It is the largest absolute sum of residuals over any interval of probabilities, divided by n: the cutoff calibration
    error.

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    Examples
    --------
    >>> from calkit.metrics import kuiper
    >>> round(kuiper([1, 0], [0.2, 0.9]), 12)
    0.45
    """
    return whole_recipe(kuiper_of, kuiper_law)


@metric(
    "Averaged two-bin error",
    aliases=("averaged-two-bin",),
    formula="∫ S(q)² + (S(1) − S(q))² dq",
    percent=False,
    reference="Averaged two-bin calibration error (truthful in expectation), 2026",
    cost=_COST,
    trust="any n; truthful: the true probabilities have the smallest expected value",
)
def atb(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Averaged two-bin calibration error: squared gaps of the two bins below and above q, averaged over q.

    Binned errors and many others can be smaller for wrong probabilities than for the true ones, where n is small; this
    one cannot, in the mean.

    Returns
    -------
    float
        In [0, 1], in squared units; 0 is best.

    Examples
    --------
    >>> from calkit.metrics import atb
    >>> round(atb([1, 0], [0.2, 0.6]), 12)
    0.106
    """
    return whole_recipe(averaged_two_bin, averaged_two_bin_law, squared=True, mean_share=0.5**0.5)
