"""Skill scores: what a proper score gains over that of the shares of the classes; accuracy of the k best."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any, Unpack

import numpy as np

from calkit.inference.means import ProportionInference, RatioInference
from calkit.metrics.base import Recipe, metric
from calkit.metrics.shared import SharedArguments
from calkit.stats import RowMean
from calkit.stats.skill import SkillSums, SkillTotals
from calkit.stats.unions import TopK

__all__ = ["d2_brier", "d2_nll", "top_k"]

_skill_metric = partial(
    metric,
    bounds=(-math.inf, 1.0),
    percent=False,
    higher_is_better=True,
    trust="n above some hundreds: the shares are those of the same rows; NaN where only one class came",
    targets=("top", "positive", "top-k"),
)


def _skill(sums: SkillSums, reference: float) -> float:
    return 1 - sums.mean / reference if reference > 0 else math.nan


def _of_brier(sums: SkillSums) -> float:
    return _skill(sums, math.fsum(sums.rate * sums.other_rate))


def _of_nll(sums: SkillSums) -> float:
    p, others = sums.rate, sums.other_rate
    # Near 1 the digits are in what is left.
    logs = np.where(others < 0.5, np.log1p(-np.minimum(others, 0.5)), np.log(np.where(p > 0, p, 1)))
    return _skill(sums, -math.fsum(p * logs))


def _recipe(quantity: Any, value: Callable[[SkillSums], float]) -> Recipe:
    def of_sums(weight: float, sums: Any) -> float:
        return value(SkillSums(weight, float(sums[0]), sums[1:]))

    statistic = SkillTotals(quantity)
    return Recipe(statistic, value, RatioInference(statistic, of_sums))


@_skill_metric(
    "Brier skill score",
    name="d2-brier",
    aliases=("d2_brier", "brier-skill-score"),
    formula="1 − Brier / Brier of the shares of the classes",
    reference="Murphy 1973; scikit-learn's d2_brier_score",
)
def d2_brier(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Brier skill score: the share of the Brier score of a constant forecast that the forecasts take off.

    Returns
    -------
    float
        At most 1, which is best; 0 for the shares of the classes among the same rows, below 0 for worse forecasts.

    Examples
    --------
    >>> from calkit.metrics import d2_brier
    >>> round(d2_brier([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]), 12)
    0.3
    """
    return _recipe("brier", _of_brier)


@_skill_metric(
    "NLL skill score",
    name="d2-nll",
    aliases=("d2_nll", "d2-log-loss"),
    formula="1 − NLL / entropy of the shares of the classes",
    reference="McFadden 1973 (pseudo R²); scikit-learn's d2_log_loss_score",
)
def d2_nll(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """NLL skill score: the share of the entropy of the classes that the forecasts explain.

    Returns
    -------
    float
        At most 1, which is best; 0 for the shares of the classes among the same rows, below 0 for worse forecasts.

    Examples
    --------
    >>> from calkit.metrics import d2_nll
    >>> round(d2_nll([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]), 6)
    0.263034
    """
    return _recipe("nll", _of_nll)


@metric(
    "Top-k accuracy",
    name="top-k",
    aliases=("top_k", "top-k-accuracy"),
    formula="share of rows whose true class is among the k most probable",
    higher_is_better=True,
    trust="any n; the interval is exact",
    targets=("top",),
)
def top_k(y_true: Any, y_proba: Any, *, k: int = 5, **shared: Unpack[SharedArguments]) -> Recipe:
    """Share of the samples whose true class is among the k most probable ones.

    How calibrated the k together are is measured by any metric with ``target="top-5"``.

    Parameters
    ----------
    k : int, default=5
        Of equally probable classes those of the lowest columns count first.

    Returns
    -------
    float
        In [0, 1]; 1 is best.

    Examples
    --------
    >>> from calkit.metrics import top_k
    >>> top_k([0, 2], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], k=2)
    0.5
    """
    statistic = RowMean("correct", TopK(k))
    return Recipe(statistic, attrgetter("mean"), ProportionInference(statistic, attrgetter("total", "weight")))
