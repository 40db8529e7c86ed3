"""Kernel calibration errors: SKCE, MMCE, KDE-ECE."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError
from calkit.estimators.kernels import beta_kernel_error, beta_kernel_errors, block_pairs, squared_kernel_error
from calkit.estimators.ranked import Ranked
from calkit.inference.bounds import CURVE_BOUNDS, block_bounds
from calkit.inference.curves import kernel_draws, kernel_law
from calkit.inference.floors import NullLaw
from calkit.inference.row_sets import RowsInference
from calkit.inference.whole import WholeInference, ranked_pairs
from calkit.metrics.base import Recipe, metric
from calkit.metrics.shared import SharedArguments
from calkit.parameters import is_number, is_whole
from calkit.registry import unknown_name
from calkit.stats import ConfidencePairs, Pairs

__all__ = ["kde_ece", "mmce", "skce"]

_COST = "one pass; keeps every row, sorts once"

#: Laws that measures of pairs of different rows do not obey.
OF_PAIRS = {
    "weights_are_repeats": "a row given twice is a pair of different rows, which tells more than a row of weight 2",
    "votes_are_weighted_rows": "votes of a row are not different rows, so they make no pairs",
}

# Cells in which the residuals of each of several classes are drawn.
_CLASS_CELLS = 256

# Kernel density estimates compare every pair of rows; the fewest and the most cells in which outcomes are drawn.
_MOST_ROWS = 50_000
_DENSITY_CELLS = (512, 4096)


def as_positive(name: str, value: Any) -> float:
    """Check that a parameter is a positive number and return it."""
    if not is_number(value) or not 0 < value < math.inf:
        raise InputError(f"{name} must be a positive number, but is {value!r}.")
    return float(value)


def _own(pairs: ConfidencePairs) -> float:
    """Return what each forecast has with itself: Σ w² r²."""
    residual = pairs.correct - pairs.confidence
    return float(((residual if pairs.weight is None else residual * pairs.weight) ** 2).sum())


def _law(width: float, own: bool) -> Any:
    def law(forecasts: Ranked, n_draws: int, random: np.random.Generator) -> NullLaw:
        return kernel_law(forecasts, n_draws, random, width, own)

    return law


def _class_draws(width: float, own: bool = True, *, root: bool = False) -> Any:
    def draws(forecasts: Ranked, n_draws: int, random: np.random.Generator) -> NDArray[np.float64]:
        drawn = kernel_draws(forecasts, n_draws, random, width, own, _CLASS_CELLS)
        return np.sqrt(np.maximum(drawn, 0)) if root else drawn

    return draws


_ESTIMATORS = ("unbiased", "biased", "block")


@metric(
    "SKCE",
    law_exceptions=OF_PAIRS,
    formula="mean of r_i r_j exp(−|p_i − p_j| / width) over pairs, r = y − p",
    bounds=(-1.0, 1.0),
    percent=False,
    reference="Widmann, Lindsten & Zachariah, NeurIPS 2019",
    cost=_COST,
    trust="any n; of blocks nothing is seen below some ten thousand rows",
)
def skce(
    y_true: Any,
    y_proba: Any,
    *,
    estimator: str = "unbiased",
    width: float = 0.1,
    block: int = 2,
    **shared: Unpack[SharedArguments],
) -> Recipe:
    """Squared kernel calibration error of the forecasts, with a Laplace kernel.

    Parameters
    ----------
    estimator : {"unbiased", "biased", "block"}, default="unbiased"
        All pairs of different rows; all pairs, with themselves too (not below 0); or the pairs within blocks of rows in
        their order, which are independent.
    width : float, default=0.1
        Width of the kernel, in units of probability.
    block : int, default=2
        Rows in a block.

    Returns
    -------
    float
        Squared; 0 in the mean for a calibrated model, unless biased. All pairs take O(n log n), since the kernel
        factors along sorted probabilities.

    Examples
    --------
    >>> from calkit.metrics import skce
    >>> round(skce([1, 1], [0.5, 0.6]), 12)
    0.073575888234
    """
    if estimator not in _ESTIMATORS:
        raise unknown_name("estimator", str(estimator), _ESTIMATORS)
    width = as_positive("width", width)
    if not is_whole(block, 2):
        raise InputError(f"block must be a whole number of at least 2 rows, but is {block!r}.")

    if estimator == "block":
        return _of_blocks(width, block)

    def finish(pairs: ConfidencePairs) -> float:
        return squared_kernel_error(ranked_pairs(pairs), _own(pairs), width, unbiased=estimator == "unbiased")

    own = estimator == "biased"
    law, biased, class_draws = _law(width, own), _law(width, True), _class_draws(width, own)
    # The measure is not asked for: the law is drawn from cells.
    unbiased = None if own else biased
    inference = WholeInference(
        _unused, law, squared=True, mean_share=_mean_share(width), biased_law=unbiased, class_draws=class_draws
    )
    return Recipe(Pairs(), finish, inference)


def _of_blocks(width: float, block: int) -> Recipe:
    def blocks(pairs: ConfidencePairs) -> NDArray[np.float64]:
        return block_pairs(pairs.confidence, pairs.correct - pairs.confidence, width, block)

    def finish(pairs: ConfidencePairs) -> float:
        if pairs.weight is not None:
            raise InputError("SKCE of blocks does not know sample_weight; use another estimator.")
        means = blocks(pairs)
        return float(means.mean()) if len(means) else math.nan

    def measure(pairs: ConfidencePairs, outcomes: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(
            block_pairs(pairs.confidence, outcomes - pairs.confidence[:, None], width, block).mean(axis=0)
        )

    return Recipe(Pairs(), finish, RowsInference(measure, block_bounds(blocks, width)))


def _mean_share(width: float) -> float:
    """Return 1 over the norm of the function that is 1 on [0, 1], in the space of the kernel."""
    return (1 + 1 / (2 * width)) ** -0.5


def _unused(_: Ranked) -> float:
    raise NotImplementedError("the law of kernel errors is drawn from cells")


@metric(
    "MMCE",
    formula="sqrt(mean of r_i r_j exp(−|p_i − p_j| / width) over all pairs)",
    reference="Kumar, Sarawagi & Jain, ICML 2018",
    cost=_COST,
    trust="any n; compare it with its floor, which is large",
)
def mmce(
    y_true: Any, y_proba: Any, *, width: float = 0.4, convention: str = "exact", **shared: Unpack[SharedArguments]
) -> Recipe:
    """Maximum mean calibration error: the norm of the residuals in the space of a Laplace kernel.

    Parameters
    ----------
    width : float, default=0.4
        Width of the kernel, in units of probability.
    convention : {"exact", "focal-calibration"}, default="exact"
        "focal-calibration" leaves the root out, as that code does.

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    Examples
    --------
    >>> from calkit.metrics import mmce
    >>> round(mmce([1, 1], [0.5, 0.5]), 12)
    0.5
    """
    if convention not in ("exact", "focal-calibration"):
        raise unknown_name("convention", str(convention), ("exact", "focal-calibration"))
    width = as_positive("width", width)
    squared = convention == "focal-calibration"

    def finish(pairs: ConfidencePairs) -> float:
        value = squared_kernel_error(ranked_pairs(pairs), 0.0, width, unbiased=False)
        return value if squared else math.sqrt(max(value, 0.0))

    def law(forecasts: Ranked, n_draws: int, random: np.random.Generator) -> NullLaw:
        return kernel_law(forecasts, n_draws, random, width, own=True, root=not squared)

    class_draws = _class_draws(width, root=not squared)
    inference = WholeInference(_unused, law, squared=squared, mean_share=_mean_share(width), class_draws=class_draws)
    return Recipe(Pairs(), finish, inference)


@metric(
    "KDE-ECE",
    name="kde-ece",
    law_exceptions=OF_PAIRS,
    aliases=("kde_ece",),
    formula="mean of |r̂(p) − p|^norm, r̂ a leave-one-out Beta kernel regression of y on p",
    reference="Popordanoska, Sayer & Blaschko, NeurIPS 2022",
    cost="one pass; keeps every row, compares all pairs: up to 50,000 rows",
    trust="n above 1,000; depends on the bandwidth",
)
def kde_ece(
    y_true: Any, y_proba: Any, *, bandwidth: float = 0.01, norm: float = 1, **shared: Unpack[SharedArguments]
) -> Recipe:
    """Calibration error by kernel density estimates, with Beta kernels, each row left out of its own estimate.

    Parameters
    ----------
    bandwidth : float, default=0.01
        The kernel of p_i is the density of a Beta(p_i / bandwidth + 1, (1 - p_i) / bandwidth + 1) law.
    norm : float, default=1
        Power of the gap that is averaged.

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    Examples
    --------
    >>> from calkit.metrics import kde_ece
    >>> round(kde_ece([1, 1, 0], [0.5, 0.5, 0.5]), 12)
    0.166666666667
    """
    bandwidth, norm = as_positive("bandwidth", bandwidth), as_positive("norm", norm)

    def finish(pairs: ConfidencePairs) -> float:
        if len(pairs) > _MOST_ROWS:
            raise InputError(
                f"kde-ece compares all pairs of rows: {len(pairs):,} are too many (at most {_MOST_ROWS:,}); use smece."
            )
        weight = np.ones(len(pairs)) if pairs.weight is None else pairs.weight
        return beta_kernel_error(pairs.confidence, pairs.correct, weight, bandwidth, norm)

    measure = partial(beta_kernel_errors, bandwidth=bandwidth, norm=norm)
    # Kernels are about as wide as the root of the bandwidth, cells an eighth of that.
    n_cells = int(np.clip(8 / math.sqrt(bandwidth), *_DENSITY_CELLS))
    bounds = CURVE_BOUNDS if norm == 1 else None
    return Recipe(Pairs(), finish, WholeInference(measure, bounds=bounds, n_cells=n_cells))
