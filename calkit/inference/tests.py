"""Tests of calibration: whether the outcomes were drawn from the probabilities.

They see different things. The score test of Cox sees over-confidence, under-confidence and shifts, and says which;
smooth ECE or the adaptive T-Cal against their floors see any other shape. Those are what is run by default.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.errors import InputError
from calkit.estimators.cumulative import averaged_two_bin, kolmogorov_smirnov, kuiper
from calkit.estimators.kernels import block_pairs
from calkit.inference.cells import CellSums, draw_gaps
from calkit.inference.curves import (
    averaged_two_bin_law,
    kolmogorov_smirnov_law,
    kuiper_law,
)
from calkit.inference.few_events import expected_of_cells, uneven_p_value_of_rows
from calkit.inference.floors import NullLaw, drawn_law
from calkit.inference.sample import Sample
from calkit.inference.smooth import smooth_error_and_law
from calkit.parameters import is_whole
from calkit.registry import Registry

__all__ = ["DEFAULT_TESTS", "TESTS", "Sample", "TestResult", "available_tests", "run_tests"]

FloatArray = NDArray[np.float64]

#: What is run unless told otherwise.
DEFAULT_TESTS = ("cox", "smece", "t-cal")

_N_CELLS = 64
_KERNEL_WIDTH = 0.1

# What a p-value of 0 means.
_NO_CHANCE = "an outcome came that was given no chance"

# Variance of the positives of a cell from which on their law is normal.
_NORMAL_VARIANCE = 20.0


@dataclass(frozen=True)
class TestResult:
    """What a test found.

    Attributes
    ----------
    name, title : str
    statistic : float
    p_value : float
        Probability of a statistic at least as extreme if the model is calibrated.
    finding : str
        What the test says beyond that; may be empty.
    """

    __test__ = False

    name: str
    title: str
    statistic: float
    p_value: float
    finding: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        found = {"title": self.title, "statistic": self.statistic, "p_value": self.p_value}
        return {**found, "finding": self.finding} if self.finding else found


@dataclass(frozen=True)
class _Test:
    title: str
    sees: str
    run: Callable[[Sample], tuple[float, float, str]]


#: Tests by name.
TESTS: Registry[_Test] = Registry("test")


def _test(name: str, title: str, sees: str) -> Callable[[Callable[[Sample], tuple[float, float, str]]], Any]:
    def register(run: Callable[[Sample], tuple[float, float, str]]) -> Any:
        TESTS.register(name)(_Test(title, sees, run))
        return run

    return register


def available_tests() -> dict[str, str]:
    """Return the names of all tests, with what each can see.

    Examples
    --------
    >>> from calkit.inference.tests import available_tests
    >>> "cox" in available_tests()
    True
    """
    return {name: f"{TESTS[name].title}: {TESTS[name].sees}" for name in TESTS}


def run_tests(
    probability: Any,
    outcome: Any,
    *,
    tests: Iterable[str] | str | None = None,
    sample_weight: Any = None,
    n_resamples: int = 1000,
    random_state: int | None = 0,
) -> dict[str, TestResult]:
    """Test whether outcomes were drawn from the probabilities.

    Parameters
    ----------
    probability : array-like of shape (n,)
        Forecasts of an event, in [0, 1].
    outcome : array-like of shape (n,)
        Whether the event came: 0 or 1.
    tests : iterable of str, optional
        Names, see :func:`available_tests`; by default Cox, smooth ECE and T-Cal.
    sample_weight : array-like of shape (n,), optional
        Weights; rows are taken to be drawn independently, each with its weight.
    n_resamples : int, default=1000
        Draws of the tests that need them; the smallest p-value is one over one more.
    random_state : int or None, default=0
        Seed of the draws.

    Returns
    -------
    dict of str to TestResult

    Raises
    ------
    InputError
        If the arrays do not fit each other, are empty or hold impossible values.
    NotFoundError
        If a test is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from calkit.inference.tests import run_tests
    >>> p = np.linspace(0.05, 0.95, 400)
    >>> y = np.random.default_rng(0).random(400) < p**2
    >>> run_tests(p, y, tests=["cox"])["cox"].finding
    'too high by 0.19 in the mean'
    """
    names = list(DEFAULT_TESTS if tests is None else [tests] if isinstance(tests, str) else tests)
    if not names:
        raise InputError("tests is empty: name at least one test.")
    chosen = {name: TESTS[name] for name in names}
    sample = _sample(probability, outcome, sample_weight, n_resamples, random_state)
    return {name: _result(name, test, sample) for name, test in chosen.items()}


def _result(name: str, test: _Test, sample: Sample) -> TestResult:
    statistic, p_value, finding = test.run(sample)
    if p_value:
        p_value = max(p_value, uneven_p_value_of_rows(sample.probability, sample.outcome, sample.weight))
    return TestResult(name, test.title, statistic, p_value, finding if p_value or finding else _NO_CHANCE)


def _sample(probability: Any, outcome: Any, weight: Any, n_draws: int, seed: int | None) -> Sample:
    p = np.asarray(probability, dtype=np.float64)
    y = np.asarray(outcome)
    if p.ndim != 1 or y.shape != p.shape or not len(p):
        raise InputError(
            f"probability and outcome must be two rows of numbers of one length, not {p.shape}, {y.shape}."
        )
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError("probability must lie in [0, 1].")
    if not np.isin(y, (0, 1)).all():
        raise InputError("outcome must be 0 or 1; tests do not know soft labels.")
    if not is_whole(n_draws, 1):
        raise InputError(f"n_resamples must be a positive whole number, but is {n_draws!r}.")
    w = None if weight is None else np.asarray(weight, dtype=np.float64)
    if w is not None and (w.shape != p.shape or not (w >= 0).all() or not np.isfinite(w).all() or not w.any()):
        raise InputError("sample_weight must hold one number for each row, not negative, and not all 0.")
    if w is not None and not w.all():
        p, y, w = p[w > 0], y[w > 0], w[w > 0]
    return Sample(p, y.astype(bool), w, int(n_draws), np.random.default_rng(seed))


def _impossible(sample: Sample) -> bool:
    """Return whether an outcome came that was given no chance."""
    return bool((sample.variance == 0)[sample.residual != 0].any())


@_test("cox", "Cox score test", "over- or under-confidence and shifts, and says which; not other shapes")
def _cox(sample: Sample) -> tuple[float, float, str]:
    if _impossible(sample):
        return math.inf, 0.0, _NO_CHANCE
    kept = sample.variance > 0
    if not kept.any():
        return 0.0, 1.0, ""
    z, residual, variance = special.logit(sample.probability[kept]), sample.residual[kept], sample.variance[kept]
    mean = float(variance @ z / variance.sum())
    centred = z - mean
    # In logits about their mean, the two scores do not depend on each other.
    shift, shift_variance = float(residual.sum()), float(variance.sum())
    slope, slope_variance = float(residual @ centred), float(variance @ centred**2)
    statistic, freedom = shift**2 / shift_variance, 1
    if slope_variance > 1e-12 * shift_variance:
        statistic, freedom = statistic + slope**2 / slope_variance, 2
    p_value = float(special.chdtrc(freedom, statistic))
    if sample.few:
        scale = np.array([shift_variance, slope_variance])[:freedom] ** -0.5
        drawn = sample.drawn_sums(np.stack([np.ones(len(sample.probability)), _centred(sample, mean)]))
        p_value = sample.drawn_p_value(((drawn[:, :freedom] * scale) ** 2).sum(axis=1), statistic)
    return statistic, p_value, _cox_finding(sample, shift / shift_variance**0.5, slope, slope_variance)


def _centred(sample: Sample, mean: float) -> FloatArray:
    """Return the logits less their mean; 0 of forecasts that are certain."""
    certain = sample.variance == 0
    return np.asarray(np.where(certain, 0, special.logit(np.where(certain, 0.5, sample.probability)) - mean))


def _cox_finding(sample: Sample, shift_z: float, slope: float, slope_variance: float) -> str:
    """Say what is off by two standard errors."""
    found = []
    total = len(sample.probability) if sample.weight is None else float(sample.weight.sum())
    points = float(sample.residual.sum()) / total
    if abs(shift_z) > 2:
        found.append(f"too {'low' if points > 0 else 'high'} by {abs(points):.2g} in the mean")
    if slope_variance > 0 and abs(slope) > 2 * slope_variance**0.5:
        found.append("too timid (slope above 1)" if slope > 0 else "too extreme (slope below 1)")
    return "; ".join(found)


@_test("spiegelhalter", "Spiegelhalter z", "over- or under-confidence; blind to shifts, so never use it alone")
def _spiegelhalter(sample: Sample) -> tuple[float, float, str]:
    if _impossible(sample):
        return math.inf, 0.0, ""
    tilt = 1 - 2 * sample.probability
    variance = float((sample.variance * tilt**2).sum())
    if variance == 0:
        return 0.0, 1.0, ""
    z = float((sample.residual * tilt).sum()) / variance**0.5
    if sample.few:
        drawn = sample.drawn_sums(tilt[None])[:, 0]
        return z, sample.drawn_p_value(np.abs(drawn) / variance**0.5, abs(z)), ""
    return z, float(2 * special.ndtr(-abs(z))), ""


@_test(
    "hosmer-lemeshow",
    "Hosmer-Lemeshow",
    "any shape, weakly; nothing was fitted on these rows: 10 degrees of freedom, or drawn where a tenth is almost sure",
)
def _hosmer_lemeshow(sample: Sample) -> tuple[float, float, str]:
    if _impossible(sample):
        return math.inf, 0.0, ""
    sums = CellSums.of(_tenths(sample), 10, sample.probability, sample.outcome, sample.weight)
    sums = sums[sums.variance > 0]
    statistic = float((sums.gap**2 / sums.variance).sum())
    # Where a few positives or negatives are expected, chi-square rejects too often.
    if (sums.variance < _NORMAL_VARIANCE * sums.scale**2).any():
        draws = draw_gaps(sums, sample.n_draws, sample.random)
        return _against(
            statistic, drawn_law((draws**2 / sums.variance).sum(axis=1), expected=expected_of_cells(sums).unbounded)
        )
    return statistic, float(special.chdtrc(max(len(sums.variance), 1), statistic)), ""


def _tenths(sample: Sample) -> NDArray[np.intp]:
    """Return the tenth of the rows that each belongs to, by probability; equal ones stay together."""
    order = np.sort(sample.probability)
    below = np.searchsorted(order, sample.probability, side="left")
    return np.minimum(below * 10 // len(order), 9)


@_test(
    "e-value",
    "Hosmer-Lemeshow e-value",
    "as Hosmer-Lemeshow, weaker, but valid whenever one looks; rows in their order",
)
def _e_value(sample: Sample) -> tuple[float, float, str]:
    """Bet on rows not yet seen, by the gaps of those seen, in tenths by probability.

    After Henzi, Puke, Dimitriadis & Ziegel, "A safe Hosmer-Lemeshow test", 2023, with bets that grow with the rows
    seen: batches double. By Ville's inequality the largest product so far exceeds 1/α with a probability of α at most.
    """
    if _impossible(sample):
        return math.inf, 0.0, ""
    tenth, p, y = _tenths(sample), sample.probability, sample.outcome
    residual, variance = y - p, p * (1 - p)
    gap, information, wealth, best = np.zeros(10), np.zeros(10), 0.0, 0.0
    first = 0
    for end in _doubling(len(p)):
        rows = slice(first, end)
        with np.errstate(divide="ignore"):
            bet = special.expit(special.logit(p[rows]) + np.clip(gap / (information + 4), -2, 2)[tenth[rows]])
        likelihood = np.where(
            y[rows], bet / np.where(p[rows] > 0, p[rows], 1), (1 - bet) / np.where(p[rows] < 1, 1 - p[rows], 1)
        )
        path = wealth + np.cumsum(np.log(likelihood))
        wealth, best = float(path[-1]), max(best, float(path.max()))
        gap += np.bincount(tenth[rows], residual[rows], 10)
        information += np.bincount(tenth[rows], variance[rows], 10)
        first = end
    return math.exp(min(best, 700.0)), math.exp(-best), f"{math.exp(min(wealth, 700.0)):.3g} at the end"


def _doubling(n: int) -> list[int]:
    ends = [min(16, n)]
    while ends[-1] < n:
        ends.append(min(n, ends[-1] * 3 // 2))
    return ends


def _against(value: float, law: NullLaw) -> tuple[float, float, str]:
    return value, law.p_value(value), ""


@_test("ks", "Kolmogorov-Smirnov", "shifts best; the law is that of a Brownian motion")
def _ks(sample: Sample) -> tuple[float, float, str]:
    forecasts = sample.ranked
    return _against(kolmogorov_smirnov(forecasts), kolmogorov_smirnov_law(forecasts, sample.n_draws, sample.random))


@_test("kuiper", "Kuiper", "shifts and local gaps; the law is that of a Brownian motion")
def _kuiper(sample: Sample) -> tuple[float, float, str]:
    forecasts = sample.ranked
    return _against(kuiper(forecasts), kuiper_law(forecasts, sample.n_draws, sample.random))


@_test("atb", "Averaged two-bin error", "shifts best")
def _atb(sample: Sample) -> tuple[float, float, str]:
    forecasts = sample.ranked
    return _against(averaged_two_bin(forecasts), averaged_two_bin_law(forecasts, sample.n_draws, sample.random))


@_test("smece", "Smooth ECE against its floor", "any shape")
def _smece(sample: Sample) -> tuple[float, float, str]:
    value, law = smooth_error_and_law(sample.ranked, sample.n_draws, sample.random)
    return _against(value, law)


@_test("t-cal", "Adaptive T-Cal", "any shape, at every scale from 2 to 64 bins")
def _t_cal(sample: Sample) -> tuple[float, float, str]:
    """Largest standardised sum of squared gaps over dyadic numbers of bins (Lee, Huang, Hassani & Dobriban, JMLR 2023).

    The null variance takes the place of the residual squares, so that one set of drawn gaps tells the law.
    """
    sums = sample.cells(_N_CELLS)
    draws = np.concatenate([sums.gap[None], draw_gaps(sums, sample.n_draws, sample.random)])
    best = np.full(len(draws), -math.inf)
    m = 2
    while m <= _N_CELLS and (m == 2 or 4 * m <= len(sample.probability)):
        weight, variance = (part.reshape(m, -1).sum(axis=1) for part in (sums.weight, sums.variance))
        kept = variance > 0
        gap = draws.reshape(len(draws), m, -1).sum(axis=2)[:, kept]
        weight, variance = weight[kept], variance[kept]
        sd = math.sqrt(2 * float(((variance / weight) ** 2).sum()))
        best = np.maximum(best, ((gap**2 - variance) / weight).sum(axis=1) / sd) if sd > 0 else best
        m *= 2
    if _impossible(sample):
        return math.inf, 0.0, ""
    return _against(float(best[0]), drawn_law(best[1:], expected=expected_of_cells(sums).unbounded))


@_test("skce", "Kernel calibration error (SKCE)", "any shape")
def _skce(sample: Sample) -> tuple[float, float, str]:
    """Quadratic form of the gaps of 64 bins, Laplace kernel of width 0.1 (Widmann, Lindsten & Zachariah 2019)."""
    sums = sample.cells(_N_CELLS).filled
    place = sums.probability / sums.weight
    kernel = np.exp(-np.abs(place[:, None] - place) / _KERNEL_WIDTH)
    draws = np.concatenate([sums.gap[None], draw_gaps(sums, sample.n_draws, sample.random)])
    values = ((draws @ kernel) * draws).sum(axis=1) / sums.weight.sum() ** 2
    return _against(float(values[0]), drawn_law(values[1:], expected=expected_of_cells(sums).unbounded))


@_test("skce-block", "SKCE of blocks", "nothing below some ten thousand rows; costs O(n)")
def _skce_block(sample: Sample) -> tuple[float, float, str]:
    pairs = block_pairs(sample.probability, sample.residual, _KERNEL_WIDTH, 2)
    if len(pairs) < 2 or not pairs.std():
        return 0.0, 1.0, ""
    z = float(pairs.mean() / (pairs.std(ddof=1) / len(pairs) ** 0.5))
    return z, float(special.ndtr(-z)), ""
