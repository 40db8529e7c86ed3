"""Murphy's and DeGroot & Fienberg's decompositions of the Brier score over bins, with the terms within bins.

``brier = rel - res + unc + wbv - wbc`` is exact, for any bins (Stephenson, Coelho & Jolliffe 2008); without the last
two, the probabilities of a bin would have to be equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Unpack

import numpy as np

from calkit.errors import UsageError
from calkit.inference.binned import GapInference
from calkit.inference.means import ProportionInference
from calkit.metrics.base import Recipe, metric
from calkit.metrics.binned import NOISE
from calkit.metrics.binnings import get_binning
from calkit.metrics.shared import SharedArguments
from calkit.stats import Pairs, UniformBins
from calkit.stats.moments import BinMoments, Moments, moments_of_pairs

__all__ = ["binned_refinement", "murphy_rel", "murphy_res", "murphy_unc", "murphy_wbc", "murphy_wbv"]

_MURPHY = "Murphy, Journal of Applied Meteorology 12, 1973"
_WITHIN = "Stephenson, Coelho & Jolliffe, Weather and Forecasting 23, 2008"
_RAISED = "hundreds of rows a bin: noise adds up to n_bins / 4n to it"
_LOWERED = "hundreds of rows a bin: noise takes up to n_bins / 4n off it"


def _reliability(m: BinMoments) -> float:
    return float(((m.probability - m.outcome) ** 2 / m.weight).sum() / m.weight.sum())


def _rate(m: BinMoments) -> float:
    return float(m.outcome.sum() / m.weight.sum())


def _resolution(m: BinMoments) -> float:
    return float((m.weight * (m.outcome / m.weight - _rate(m)) ** 2).sum() / m.weight.sum())


def _uncertainty(m: BinMoments) -> float:
    return _rate(m) * (1 - _rate(m))


def _positives(m: BinMoments) -> tuple[float, float]:
    return float(m.outcome.sum()), float(m.weight.sum())


def _variances(low: float, high: float) -> tuple[float, float]:
    """Return the smallest and the largest variance of outcomes whose rate is in a range."""
    ends = low * (1 - low), high * (1 - high)
    return min(ends), 0.25 if low <= 0.5 <= high else max(ends)


def _refinement(m: BinMoments) -> float:
    return float((m.outcome * (1 - m.outcome / m.weight)).sum() / m.weight.sum())


def _within_variance(m: BinMoments) -> float:
    return float(np.maximum(m.square - m.probability**2 / m.weight, 0).sum() / m.weight.sum())


def _within_covariance(m: BinMoments) -> float:
    return float(2 * (m.product - m.probability * m.outcome / m.weight).sum() / m.weight.sum())


def _recipe(term: Callable[[BinMoments], float], n_bins: int, binning: Any, *, floored: bool = False) -> Recipe:
    how = get_binning(binning, n_bins)
    if how.cells is None or how.to_cells is None:
        raise UsageError(f"binning={binning!r} leaves rows out; choose another.")
    inference = None
    if floored:
        inference = GapInference(how.cells, how.to_cells, how.statistic, how.n_bins, "squared")
    if how.fixed is not None:
        return Recipe(Moments(how.fixed), lambda sums: term(sums.filled), inference)
    return Recipe(Pairs(), lambda pairs: term(moments_of_pairs(pairs, how.to_bins(pairs))), inference)


@metric(
    "Reliability (Murphy)",
    name="murphy-rel",
    aliases=("murphy_rel", "brier-reliability"),
    formula="Σ_b w_b (accuracy_b − confidence_b)²",
    bounds=(0.0, 1.0),
    percent=False,
    reference=_MURPHY,
    trust=NOISE,
)
def murphy_rel(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    binning: str | Sequence[float] = "uniform",
    **shared: Unpack[SharedArguments],
) -> Recipe:
    """Reliability: the part of the Brier score that the gaps of the bins make up; the square of :func:`rmsce`.

    ``brier = rel - res + unc + wbv - wbc``, of the same target: of K columns the top label, ``brier:target=top``.
    It is also the calibration term of DeGroot & Fienberg (1983), whose other term is :func:`binned_refinement`.

    Returns
    -------
    float
        Not negative; 0 is best.

    Examples
    --------
    >>> from calkit.metrics import murphy_rel
    >>> round(murphy_rel([0, 0, 1, 1, 1], [0.1, 0.4, 0.4, 0.8, 0.9], n_bins=2), 12)
    0.009666666667
    """
    return _recipe(_reliability, n_bins, binning, floored=True)


@metric(
    "Resolution (Murphy)",
    name="murphy-res",
    aliases=("murphy_res", "resolution"),
    formula="Σ_b w_b (accuracy_b − accuracy)²",
    bounds=(0.0, 0.25),
    percent=False,
    higher_is_better=True,
    reference=_MURPHY,
    trust=_RAISED,
    no_interval="noise raises it by an unknown part of n_bins / 4n; corp-dsc has one",
)
def murphy_res(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    binning: str | Sequence[float] = "uniform",
    **shared: Unpack[SharedArguments],
) -> Recipe:
    """Resolution: how far the frequencies of the bins lie from that of all rows.

    ``brier = rel - res + unc + wbv - wbc``, of the same target: of K columns the top label, ``brier:target=top``.

    Returns
    -------
    float
        In [0, 1/4]; more is better.

    Examples
    --------
    >>> from calkit.metrics import murphy_res
    >>> round(murphy_res([0, 0, 1, 1, 1], [0.1, 0.4, 0.4, 0.8, 0.9], n_bins=2), 12)
    0.106666666667
    """
    return _recipe(_resolution, n_bins, binning)


@metric(
    "Uncertainty (Murphy)",
    name="murphy-unc",
    aliases=("murphy_unc",),
    formula="accuracy (1 − accuracy)",
    bounds=(0.0, 0.25),
    percent=False,
    descriptive=True,
    reference=_MURPHY,
    trust="any n; says nothing of the model but how often the event came",
)
def murphy_unc(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    binning: str | Sequence[float] = "uniform",
    **shared: Unpack[SharedArguments],
) -> Recipe:
    """Uncertainty: the variance of the outcomes, the Brier score of the best constant forecast.

    ``brier = rel - res + unc + wbv - wbc``, of the same target: of K columns the top label, ``brier:target=top``.

    Returns
    -------
    float
        In [0, 1/4].

    Examples
    --------
    >>> from calkit.metrics import murphy_unc
    >>> round(murphy_unc([0, 0, 1, 1, 1], [0.1, 0.4, 0.4, 0.8, 0.9], n_bins=2), 12)
    0.24
    """
    recipe = _recipe(_uncertainty, n_bins, binning)
    return replace(recipe, inference=ProportionInference(Moments(UniformBins(1)), _positives, _variances))


@metric(
    "Within-bin variance",
    name="murphy-wbv",
    aliases=("murphy_wbv", "within-bin-variance"),
    formula="Σ_b w_b Var(p | b)",
    bounds=(0.0, 0.25),
    percent=False,
    descriptive=True,
    reference=_WITHIN,
    trust="any n",
    no_interval="it describes the bins, not the model",
)
def murphy_wbv(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    binning: str | Sequence[float] = "uniform",
    **shared: Unpack[SharedArguments],
) -> Recipe:
    """Within-bin variance: what the Brier score has of probabilities that differ inside of a bin.

    ``brier = rel - res + unc + wbv - wbc``, of the same target: of K columns the top label, ``brier:target=top``.

    Returns
    -------
    float
        In [0, 1/4]; the less, the finer the bins.

    Examples
    --------
    >>> from calkit.metrics import murphy_wbv
    >>> round(murphy_wbv([0, 0, 1, 1, 1], [0.1, 0.4, 0.4, 0.8, 0.9], n_bins=2), 12)
    0.013
    """
    return _recipe(_within_variance, n_bins, binning)


@metric(
    "Within-bin covariance",
    name="murphy-wbc",
    aliases=("murphy_wbc", "within-bin-covariance"),
    formula="2 Σ_b w_b Cov(p, y | b)",
    bounds=(-0.5, 0.5),
    percent=False,
    descriptive=True,
    reference=_WITHIN,
    trust="any n",
    no_interval="it describes the bins, not the model",
)
def murphy_wbc(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    binning: str | Sequence[float] = "uniform",
    **shared: Unpack[SharedArguments],
) -> Recipe:
    """Within-bin covariance, twice: how much the outcomes follow the probabilities inside of the bins.

    ``brier = rel - res + unc + wbv - wbc``, of the same target: of K columns the top label, ``brier:target=top``.

    Returns
    -------
    float
        In [-1/2, 1/2]; of a calibrated model about twice the within-bin variance.

    Examples
    --------
    >>> from calkit.metrics import murphy_wbc
    >>> round(murphy_wbc([0, 0, 1, 1, 1], [0.1, 0.4, 0.4, 0.8, 0.9], n_bins=2), 12)
    0.04
    """
    return _recipe(_within_covariance, n_bins, binning)


@metric(
    "Refinement (bins)",
    name="binned-refinement",
    aliases=("binned_refinement", "degroot-fienberg-refinement"),
    formula="Σ_b w_b accuracy_b (1 − accuracy_b)",
    bounds=(0.0, 0.25),
    percent=False,
    reference="DeGroot & Fienberg, The Statistician 32, 1983",
    trust=_LOWERED,
    no_interval="noise lowers it by an unknown part of n_bins / 4n; refinement has one",
)
def binned_refinement(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    binning: str | Sequence[float] = "uniform",
    **shared: Unpack[SharedArguments],
) -> Recipe:
    """Refinement over bins: the Brier score that is left when each bin forecasts its own frequency.

    ``brier = rel - res + unc + wbv - wbc``, of the same target: of K columns the top label, ``brier:target=top``.

    Returns
    -------
    float
        In [0, 1/4]; 0 is best. Uncertainty less resolution; :func:`refinement` is that of isotonic recalibration.

    Examples
    --------
    >>> from calkit.metrics import binned_refinement
    >>> round(binned_refinement([0, 0, 1, 1, 1], [0.1, 0.4, 0.4, 0.8, 0.9], n_bins=2), 12)
    0.133333333333
    """
    return _recipe(_refinement, n_bins, binning)
