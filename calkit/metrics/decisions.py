"""Errors of decisions made from probabilities: U-calibration, expected cost, risk of what is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Unpack

from calkit.errors import InputError
from calkit.estimators.decisions import v_shaped_regret
from calkit.estimators.ranked import Ranked
from calkit.estimators.selection import aurc_of, counted, least_area
from calkit.inference.bounds import REGRET_BOUNDS
from calkit.inference.means import MeanInference
from calkit.inference.whole import BootstrapInference, ranked_pairs
from calkit.metrics.base import Recipe, metric
from calkit.metrics.cumulative import whole_recipe
from calkit.metrics.kernels import as_positive
from calkit.metrics.shared import SharedArguments
from calkit.stats import ConfidencePairs, Pairs
from calkit.stats.costs import DecisionCost

__all__ = ["aurc", "decision_loss", "e_aurc", "ucal"]

_COST = "one pass; keeps every row, sorts once"
# A mean over the first k of n rows knows how many rows there are.
_COUNTS = {
    "weights_are_repeats": "weights are shares here, of as many rows as they would tell as much as; repeats are rows",
    "votes_are_weighted_rows": "the votes of a row are one row, which rows weighted by them are not",
}
_GEIFMAN = "Geifman & El-Yaniv, NeurIPS 2017; Geifman, Uziel & El-Yaniv, ICLR 2019"


def _bootstrapped(measure: Callable[[Ranked], float]) -> Recipe:
    """Return the recipe of a smooth measure, whose interval is that of the bootstrap."""

    def finish(pairs: ConfidencePairs) -> float:
        return measure(ranked_pairs(pairs))

    return Recipe(Pairs(), finish, BootstrapInference(measure))


@metric(
    "U-calibration error",
    aliases=("u-calibration",),
    formula="max over V-shaped proper losses of the regret against the best constant forecast",
    bounds=(0.0, 2.0),
    percent=False,
    reference="Kleinberg, Paes Leme, Schneider & Teng, COLT 2023",
    cost=_COST,
    trust="any n; small for any forecasts that are better than a constant one",
)
def ucal(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """U-calibration error over V-shaped losses: the most that anyone who decides by the forecasts may regret.

    The regret is against the best constant forecast, of losses ``-sign(p - v)(y - v)``; over all proper losses within
    [-1, 1] it is at most twice that.

    Returns
    -------
    float
        Not negative; 0 is best.

    Examples
    --------
    >>> from calkit.metrics import ucal
    >>> round(ucal([1, 0], [0.2, 0.6]), 12)
    0.8
    """
    return whole_recipe(v_shaped_regret, bounds=REGRET_BOUNDS)


@metric(
    "Expected cost",
    name="decision-loss",
    aliases=("decision_loss", "expected-cost"),
    formula="mean of fp [act, y = 0] + fn [no act, y = 1]; act where p ≥ fp / (fp + fn)",
    bounds=(0.0, math.inf),
    percent=False,
    reference="Elkan, IJCAI 2001",
    trust="any n",
)
def decision_loss(
    y_true: Any, y_proba: Any, *, fp: float = 1.0, fn: float = 1.0, **shared: Unpack[SharedArguments]
) -> Recipe:
    """Expected cost of acting where it pays if the probabilities are right.

    Parameters
    ----------
    fp : float, default=1
        Cost of acting where the event does not come.
    fn : float, default=1
        Cost of not acting where it comes.

    Returns
    -------
    float
        Not negative, in units of the costs; 0 is best.

    Examples
    --------
    >>> from calkit.metrics import decision_loss
    >>> decision_loss([1, 0], [0.3, 0.6], fp=1, fn=4)
    0.5
    """
    fp, fn = as_positive("fp", fp), as_positive("fn", fn)
    if not fp + fn < math.inf:
        raise InputError("the sum of the costs fp and fn must be finite.")

    statistic = DecisionCost(fp, fn)
    return Recipe(statistic, attrgetter("mean"), MeanInference(statistic))


@metric(
    "AURC",
    law_exceptions=_COUNTS,
    aliases=("area-under-risk-coverage",),
    formula="mean over k of the error among the k most confident",
    reference=_GEIFMAN,
    cost=_COST,
    trust="any n; mostly the error itself: see e-aurc",
)
def aurc(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Area under the risk-coverage curve: the mean error of what is kept when the least confident are left out first.

    Returns
    -------
    float
        In [0, 1]; 0 is best. Equal confidences count in the mean over their orders. Of weights only the ratios matter.

    Notes
    -----
    Of one event (one column of scores, ``target="positive"``) the most probable forecasts come first, and those whose
    event did not come are the errors. For the risk of decisions, pass the probabilities of both classes.

    Examples
    --------
    >>> from calkit.metrics import aurc
    >>> aurc([0, 1], [[0.9, 0.1], [0.6, 0.4]])
    0.25
    >>> aurc([0, 0], [0.1, 0.4]), aurc([0, 0], [[0.9, 0.1], [0.6, 0.4]])
    (1.0, 0.0)
    """
    return _bootstrapped(aurc_of)


def _excess(forecasts: Ranked) -> float:
    # Not below 0 by rounding.
    return max(aurc_of(forecasts) - least_area(counted(forecasts)), 0.0)


@metric(
    "Excess AURC",
    name="e-aurc",
    law_exceptions=_COUNTS,
    aliases=("e_aurc", "eaurc"),
    formula="AURC − AURC of the same errors if they all came last",
    reference=_GEIFMAN,
    cost=_COST,
    trust="any n",
)
def e_aurc(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Excess AURC: how much worse the order of the confidences is than the best one for the same errors.

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    Examples
    --------
    >>> from calkit.metrics import e_aurc
    >>> e_aurc([0, 1], [[0.6, 0.4], [0.9, 0.1]])
    0.5
    """
    return _bootstrapped(_excess)
