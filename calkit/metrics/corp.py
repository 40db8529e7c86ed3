"""CORP: parts of the Brier and of the log score by isotonic recalibration."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Unpack

from calkit.estimators.corp import SCORES, Decomposition, corp_decomposition, miscalibration
from calkit.estimators.ranked import Ranked
from calkit.inference.bounds import RECALIBRATION_BOUNDS
from calkit.inference.recalibrated import RecalibratedInference
from calkit.inference.whole import BootstrapInference, WholeInference, ranked_pairs
from calkit.metrics.base import Recipe, metric
from calkit.metrics.shared import SharedArguments
from calkit.registry import unknown_name
from calkit.stats import ConfidencePairs, Pairs

__all__ = ["corp_dsc", "corp_mcb", "corp_unc", "refinement"]

_PNAS = "Dimitriadis, Gneiting & Jordan, PNAS 2021"

_corp_metric = partial(metric, bounds=(0.0, math.inf), percent=False, cost="one pass; keeps every row, sorts once")


def _part(score: str, part: Callable[[Decomposition], float], inference: Callable[..., Any]) -> Recipe:
    if score not in SCORES:
        raise unknown_name("score", str(score), SCORES)

    def measure(forecasts: Ranked) -> float:
        return part(corp_decomposition(forecasts, score))

    def finish(pairs: ConfidencePairs) -> float:
        return measure(ranked_pairs(pairs))

    return Recipe(Pairs(), finish, inference(score, measure))


def _miscalibration_inference(score: str, _: Callable[[Ranked], float]) -> WholeInference:
    bounds = RECALIBRATION_BOUNDS if score == "brier" else None
    return WholeInference(partial(miscalibration, score=score), bounds=bounds)


def _recalibrated_inference(score: str, _: Callable[[Ranked], float], *, discrimination: bool) -> RecalibratedInference:
    return RecalibratedInference(score, discrimination)


def _bootstrap_inference(_: str, measure: Callable[[Ranked], float]) -> BootstrapInference:
    return BootstrapInference(measure)


@_corp_metric(
    "CORP miscalibration",
    name="corp-mcb",
    aliases=("corp_mcb",),
    formula="score − score after isotonic recalibration",
    reference=_PNAS,
    trust="compare it with its floor: isotonic curves follow noise",
)
def corp_mcb(y_true: Any, y_proba: Any, *, score: str = "brier", **shared: Unpack[SharedArguments]) -> Recipe:
    """Miscalibration (MCB): what isotonic recalibration on the same rows would take off the score.

    Parameters
    ----------
    score : {"brier", "log"}, default="brier"
        (p - y)², or minus the log-probability of what came. The log score, and its miscalibration, is infinite where a
        forecast of 0 or 1 was wrong.

    Returns
    -------
    float
        Not negative; 0 is best. ``score = MCB - DSC + UNC``.

    Examples
    --------
    >>> from calkit.metrics import corp_mcb
    >>> round(corp_mcb([1, 0, 1], [0.1, 0.2, 0.8]), 12)
    0.13
    """
    return _part(score, lambda found: found.miscalibration, _miscalibration_inference)


@_corp_metric(
    "CORP discrimination",
    name="corp-dsc",
    aliases=("corp_dsc",),
    formula="score of the mean of y − score after isotonic recalibration",
    higher_is_better=True,
    reference=_PNAS,
    trust="n above some hundreds",
)
def corp_dsc(y_true: Any, y_proba: Any, *, score: str = "brier", **shared: Unpack[SharedArguments]) -> Recipe:
    """Discrimination (DSC): what the recalibrated forecasts are better than the best constant one.

    Parameters
    ----------
    score : {"brier", "log"}, default="brier"
        As for :func:`corp_mcb`.

    Returns
    -------
    float
        Not negative; more is better.

    Examples
    --------
    >>> from calkit.metrics import corp_dsc
    >>> round(corp_dsc([1, 0, 1], [0.1, 0.2, 0.8]), 12)
    0.055555555556
    """
    return _part(score, lambda found: found.discrimination, partial(_recalibrated_inference, discrimination=True))


@_corp_metric(
    "Uncertainty",
    name="corp-unc",
    aliases=("corp_unc", "uncertainty"),
    formula="score of the mean of y",
    descriptive=True,
    reference=_PNAS,
    trust="any n; says nothing of the model",
)
def corp_unc(y_true: Any, y_proba: Any, *, score: str = "brier", **shared: Unpack[SharedArguments]) -> Recipe:
    """Uncertainty (UNC): the score of the best constant forecast; a property of the outcomes alone.

    Parameters
    ----------
    score : {"brier", "log"}, default="brier"
        As for :func:`corp_mcb`.

    Returns
    -------
    float

    Examples
    --------
    >>> from calkit.metrics import corp_unc
    >>> round(corp_unc([1, 0, 1], [0.1, 0.2, 0.8]), 12)
    0.222222222222
    """
    return _part(score, lambda found: found.uncertainty, _bootstrap_inference)


@_corp_metric(
    "Refinement",
    formula="score after isotonic recalibration: score − MCB = UNC − DSC",
    reference=f"DeGroot & Fienberg 1983; {_PNAS}",
    trust="n above some hundreds",
)
def refinement(y_true: Any, y_proba: Any, *, score: str = "brier", **shared: Unpack[SharedArguments]) -> Recipe:
    """Refinement: the part of the score that no recalibration takes off.

    Parameters
    ----------
    score : {"brier", "log"}, default="brier"
        As for :func:`corp_mcb`.

    Returns
    -------
    float
        Not negative; 0 is best.

    Examples
    --------
    >>> from calkit.metrics import refinement
    >>> round(refinement([1, 0, 1], [0.1, 0.2, 0.8]), 12)
    0.166666666667
    """
    return _part(score, lambda found: found.refinement, partial(_recalibrated_inference, discrimination=False))
