"""Calibration errors over bins without the bias of noise: debiased l2 and l1, and the sweep over numbers of bins."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Unpack

import numpy as np

from calkit import special
from calkit.errors import UsageError
from calkit.estimators.binned import NORMS, swept
from calkit.inference.binned import GapInference, SameTargetInference
from calkit.inference.bounds import CURVE_BOUNDS
from calkit.inference.cells import CellSums
from calkit.inference.counts import Cells, EqualMassCells
from calkit.inference.squares import SquareInference, squared_gaps
from calkit.metrics.base import Recipe, metric
from calkit.metrics.binnings import Binning, get_binning
from calkit.metrics.cumulative import whole_recipe
from calkit.metrics.kernels import OF_PAIRS
from calkit.metrics.shared import SharedArguments
from calkit.registry import unknown_name
from calkit.stats import Statistic

__all__ = ["ece_sweep", "l1_debiased", "l2_debiased"]

# What the sum of products of pairs of residuals is divided by: conventions by name.
_DIVISORS = {"unbiased": "n-1", "t-cal": "n"}


def _with_cells(how: Binning, binning: Any) -> tuple[Statistic[Any], Callable[[Any], CellSums]]:
    if how.cells is None or how.to_cells is None:
        raise UsageError(f"binning={binning!r} leaves rows out; choose another.")
    return how.cells, how.to_cells


def _with_pairs(how: Binning) -> Binning:
    """Return the same with cells that sum products of pairs as well; those of pairs that are kept do anyway."""
    if not isinstance(how.cells, Cells | EqualMassCells):
        return how
    cells = replace(how.cells, pairs=True)
    return replace(how, cells=cells, to_cells=getattr(cells, "to_cells", how.to_cells))


def _mean_over_keys(how: Binning, binning: Any, of_key: Callable[[CellSums], float]) -> Callable[[Any], float]:
    """Return what turns the summary of cells into the mean over keys of a function of their bins that hold rows."""
    cells, to_cells = _with_cells(how, binning)

    def finish(summary: Any) -> float:
        sums = to_cells(summary)
        # Fixed bins of several keys come in one.
        size = how.n_bins if cells.counts_keys and how.n_bins is not None else len(sums.weight)
        starts = range(0, len(sums.weight), size)
        return math.fsum(of_key(sums[i : i + size].filled) for i in starts) / len(starts)

    return finish


@metric(
    "Debiased squared error (l2)",
    name="l2-debiased",
    law_exceptions=OF_PAIRS,
    aliases=("l2_debiased", "t-cal", "debiased-l2"),
    formula="Σ_b w_b (gap_b² − its noise)",
    bounds=(-1.0, 1.0),
    percent=False,
    reference="Bröcker 2012; Kumar, Liang & Ma, NeurIPS 2019; Lee, Huang, Hassani & Dobriban, JMLR 2023",
    trust="any n: unbiased, and its interval holds at 0 as well; of bins, not of what lies within them",
)
def l2_debiased(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    binning: str | Sequence[float] = "uniform",
    convention: str = "unbiased",
    **shared: Unpack[SharedArguments],
) -> Recipe:
    """Mean squared gap of bins, without the bias of noise: in squared units, and below 0 as often as noise has it.

    Parameters
    ----------
    convention : {"unbiased", "t-cal"}, default="unbiased"
        Sums over pairs of rows of a bin are divided by n_b - 1, which is unbiased; or by n_b, as the published code of
        T-Cal has it: smaller by the factor (n_b - 1) / n_b.

    Returns
    -------
    float
        Squared: its root is comparable with :func:`rmsce`. At most 1; a calibrated model has 0 in the mean. Bins of one
        row tell nothing and count as 0.

    References
    ----------
    Bröcker, "Estimating reliability and resolution of probability forecasts through decomposition of the empirical
    score", 2012. Kumar, Liang & Ma, "Verified uncertainty calibration", NeurIPS 2019. Sun, Chaudhari, Barnett &
    Dobriban, "A confidence interval for the l2 expected calibration error", 2024.

    Examples
    --------
    >>> from calkit.metrics import l2_debiased
    >>> round(l2_debiased([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5]), 12)
    -0.083333333333
    """
    if convention not in _DIVISORS:
        raise unknown_name("convention", str(convention), _DIVISORS)
    how, divisor = _with_pairs(get_binning(binning, n_bins)), _DIVISORS[convention]
    cells, to_cells = _with_cells(how, binning)

    finish = _mean_over_keys(how, binning, partial(squared_gaps, divisor=divisor))
    return Recipe(cells, finish, SquareInference(cells, to_cells, divisor, how.n_bins))


@metric(
    "Debiased ECE (l1)",
    name="l1-debiased",
    law_exceptions=OF_PAIRS,
    aliases=("l1_debiased", "debiased-ece"),
    formula="2 ECE − E[ECE of bins redrawn around what was seen]",
    bounds=(-1.0, 1.0),
    reference="Kumar, Liang & Ma, NeurIPS 2019, their code's debiased l1",
    trust="bins of tens of rows; it takes off about half of the bias where the model is calibrated",
)
def l1_debiased(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    binning: str | Sequence[float] = "uniform",
    **shared: Unpack[SharedArguments],
) -> Recipe:
    """ECE less an estimate of its bias, that of redrawing the rates of bins from normal laws around those seen.

    The expectation over redraws is taken in closed form where the authors' code draws a thousand. The bias of an
    absolute value cannot be removed altogether: see the floor of :func:`ece`, and :func:`l2_debiased`.

    Returns
    -------
    float
        At most 1; may be below 0. With weights, a rate has the variance of as many rows as would tell as much,
        (Σw)² / Σw².

    Examples
    --------
    >>> from calkit.metrics import l1_debiased
    >>> round(l1_debiased([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5]), 12)
    -0.199471140201
    """
    how = get_binning(binning, n_bins)
    cells, to_cells = _with_cells(how, binning)
    same = GapInference(cells, to_cells, how.statistic, how.n_bins)
    return Recipe(cells, _mean_over_keys(how, binning, _less_bias), SameTargetInference(same))


def _less_bias(sums: CellSums) -> float:
    """Return ``2 Σ w|g| - Σ w E|N(g, s²)|`` of the bins of one key, s² the variance of a bin's rate."""
    w, rate = sums.weight, sums.outcome / sums.weight
    gap = sums.probability / w - rate
    sd = np.sqrt(np.clip(rate * (1 - rate), 0, None) * sums.squared_weight) / w
    safe = np.where(sd > 0, sd, 1)
    folded = safe * math.sqrt(2 / math.pi) * np.exp(-0.5 * (gap / safe) ** 2) + gap * (
        1 - 2 * special.ndtr(-gap / safe)
    )
    redrawn = np.where(sd > 0, folded, np.abs(gap))
    return float((w * (2 * np.abs(gap) - redrawn)).sum() / w.sum())


@metric(
    "ECE sweep",
    name="ece-sweep",
    aliases=("ece_sweep",),
    formula="ECE over the most equal-mass bins of rising accuracy",
    reference="Roelofs, Cain, Shlens & Mozer, AISTATS 2022",
    cost="one pass; keeps every row",
    trust="n above 1,000; less biased than 15 bins, and of its own kind for each data set",
)
def ece_sweep(y_true: Any, y_proba: Any, *, norm: str = "l1", **shared: Unpack[SharedArguments]) -> Recipe:
    """ECE over bins of equal mass, as many as keep the accuracies of the bins in order.

    Parameters
    ----------
    norm : {"l1", "l2", "squared", "max", "mean", "over", "under"}, default="l1"
        How gaps are summed up, as for :func:`ece`.

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    References
    ----------
    Roelofs, Cain, Shlens & Mozer, "Mitigating bias in calibration error estimation", AISTATS 2022.

    Examples
    --------
    >>> from calkit.metrics import ece_sweep
    >>> round(ece_sweep([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]), 12)
    0.15
    """
    if norm not in NORMS:
        raise unknown_name("norm", str(norm), NORMS)
    return whole_recipe(partial(swept, norm=NORMS[norm]), bounds=CURVE_BOUNDS if norm == "l1" else None)
