"""Sums of squared gaps without the bias of their noise, and their interval.

Sun, Chaudhari, Barnett & Dobriban, "A Confidence Interval for the ℓ2 Expected Calibration Error", 2024 (arXiv
2408.08998), for the variance away from 0; the noncentral chi-square law of each bin, which holds at 0 as well, for
limits that never are below 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit import special
from calkit.inference.cells import CellSums
from calkit.inference.few_events import FEW, expected_of_cells, noise_step, uneven_p_value
from calkit.inference.flips import one_change_limit
from calkit.inference.floors import Floor, NullLaw, drawn_law, gamma_law, normal_law
from calkit.inference.judgement import Judgement, lower_limit
from calkit.inference.mean_gap import least_mean_gap
from calkit.inference.over_keys import least_p_value
from calkit.inference.resampling import Resampling
from calkit.stats import Statistic, View
from calkit.stats.views import Classwise

__all__ = [
    "ANALYTIC",
    "SquareInference",
    "SquaredGaps",
    "drawn_squares",
    "squared_gaps",
    "squared_limits",
    "zero_moments",
    "zero_quantile",
]

#: What the catalogue says of these limits.
ANALYTIC = "analytic, of the debiased square (Sun et al. 2024)"

FloatArray = NDArray[np.float64]

# Limits are sought up to here, in rounds of as many parts: to 64^-8 of it.
_MOST, _PARTS, _ROUNDS = 4.0, 64, 8


@dataclass(frozen=True)
class SquaredGaps:
    """Estimate of the mean squared gap, in squared units, with limits and the p-value of none at all.

    Attributes
    ----------
    estimate : float
        May be below 0.
    low, high : float
        Not below 0.
    p_value : float
    """

    estimate: float
    low: float
    high: float
    p_value: float


def squared_gaps(sums: CellSums, *, divisor: str = "n-1") -> float:
    """Return the estimate of Σ n_b μ_b² / n, μ_b the true gap per row of bin b.

    Parameters
    ----------
    sums : CellSums
    divisor : {"n-1", "n"}
        ``(gap² - Σ residual²) / (n_b - 1)`` is unbiased for n_b μ_b² (Bröcker 2012; Kumar et al. 2019); dividing by n_b
        is what the published code of T-Cal does, too small by the factor (n_b - 1) / n_b.

    Notes
    -----
    With weights, n_b - 1 becomes ``Σw - Σw²/Σw``: then the estimate is ``Σ_{i≠j} w_i w_j r_i r_j`` over
    ``Σ_{i≠j} w_i w_j``, times Σw. Bins of one row tell nothing and are left out.
    """
    kept = sums.paired
    squares = kept.squared_gap if divisor == "n-1" else 2 * kept.pairs[0] / kept.weight
    return float(squares.sum()) / float(sums.weight.sum())


class _Law:
    """Cumulants of the estimate if the true value is θ, spread over bins as the data suggest."""

    def __init__(self, sums: CellSums) -> None:
        kept = sums.paired
        self._total = float(sums.weight.sum())
        scale = kept.squared_weight / kept.weight
        n = kept.weight / scale
        gap, residual = kept.gap / scale, kept.residual / scale**2
        least = 0.05 * np.maximum(kept.variance / scale**2, 1e-12) / n
        # Variance of the residual of a row, and of the estimate's terms: all in units of the mean weight.
        self._s2 = np.maximum((residual - gap**2 / n) / (2 * kept.pairs[1] / kept.squared_weight), least)
        # Noise that makes the residuals of a bin smaller makes its gap larger: beside a gap the larger variance counts.
        self._beside_gap = np.maximum(self._s2, kept.variance / scale**2 / n)
        self._unit, self._rows = scale, n
        positive = np.maximum(kept.squared_gap, 0)
        self._part = positive / positive.sum() if positive.sum() > 0 else kept.weight / kept.weight.sum()
        share = float((self._part**2 * self._total / kept.weight).sum())
        rows = self._total**2 / float(sums.squared_weight.sum())
        self._between = max(share - 1, 0.0) / rows

    @property
    def at_zero(self) -> tuple[float, float]:
        """Shape and scale of the gamma law that, less its mean, has the estimate's first three cumulants at 0."""
        s2 = self._s2 * self._unit
        variance, third = 2 * float((s2**2).sum()), 8 * float((s2**3).sum())
        return 4 * variance**3 / third**2, third / (2 * variance) / self._total

    def quantile(self, theta: FloatArray, z: float) -> FloatArray:
        """Return the quantile at which a normal one would be z: that of a Pearson III law (Wilson-Hilferty)."""
        s2, total = self._s2 * self._unit, self._total
        beside = self._beside_gap * self._unit
        variance = 2 * float((s2**2).sum()) / total**2 + 4 * theta * float((self._part * beside).sum()) / total
        variance += self._between * theta**2
        third = 8 * float((s2**3).sum()) / total**3 + 24 * theta * float((self._part * beside**2).sum()) / total**2
        h = third / variance**1.5 / 6
        return np.asarray(theta + np.sqrt(variance) * (np.maximum(1 + h * z - h * h, 0.0) ** 3 - 1) / (3 * h))

    def freedom(self, theta: float) -> float:
        """Return the degrees of freedom of the variance (Welch-Satterthwaite): each bin has its own."""
        s2 = self._s2 * self._unit
        parts = 2 * s2**2 + 4 * s2 * self._part * max(theta, 0.0) * self._total
        return max(float(parts.sum() ** 2 / (parts**2 / np.maximum(self._rows - 1, 1e-9)).sum()), 1.0)


def _limit(law: _Law, estimate: float, z: float) -> float:
    """Return the θ whose quantile meets the estimate; 0 if that at 0 is above it."""
    low, high = 0.0, _MOST
    for _ in range(_ROUNDS):
        theta = np.linspace(low, high, _PARTS + 1)
        below = law.quantile(theta, z) < estimate
        if not below[0]:
            return low
        if below.all():
            return high
        first = int(below.argmin())
        low, high = float(theta[first - 1]), float(theta[first])
    return high


def zero_quantile(sums: CellSums, probability: float) -> float:
    """Return a quantile of the estimate if no bin has a true gap."""
    shape, scale = _Law(sums).at_zero
    return float(scale * (special.gammaincinv(shape, probability) - shape))


def zero_moments(sums: CellSums) -> tuple[float, float]:
    """Return variance and third moment of the estimate if no bin has a true gap; 0 if no bin holds two rows."""
    if not len(sums.paired.weight):
        return 0.0, 0.0
    shape, scale = _Law(sums).at_zero
    return shape * scale**2, 2 * shape * scale**3


def drawn_squares(sums: CellSums, resampling: Resampling) -> FloatArray:
    """Draw the estimate as it would be if the outcomes were drawn from the probabilities.

    The squares of the residuals of a bin are told by the number of its positives: exactly, if its probabilities are
    all the same.
    """
    kept = sums.paired
    gap, scale = kept.null_gaps(resampling), kept.scale
    squares = kept.probability - kept.spread
    slope = 1 - 2 * np.divide(squares, kept.probability, out=np.zeros_like(squares), where=kept.probability > 0)
    residual = scale * (squares + slope * (kept.probability - gap))
    return np.asarray((kept.weight * (gap**2 - residual) / (2 * kept.pairs[1])).sum(axis=1) / sums.weight.sum())


def squared_limits(sums: CellSums, level: float = 0.95) -> SquaredGaps | None:
    """Return the estimate of the mean squared gap with limits; None if no bin holds two rows.

    Examples
    --------
    >>> import numpy as np
    >>> p, y = np.full(400, 0.7), np.arange(400) % 2
    >>> found = squared_limits(CellSums.of(np.zeros(400, dtype=int), 1, p, y))
    >>> found.low < 0.04 < found.high
    True
    """
    if not len(sums.paired.weight) or not sums.paired.variance.sum() + sums.residual.sum() > 0:
        return None
    law, estimate = _Law(sums), squared_gaps(sums)
    z = -float(special.stdtrit(law.freedom(estimate), (1 - level) / 2))
    shape, scale = law.at_zero
    p_value = float(special.gammaincc(shape, max(estimate / scale + shape, 0.0)))
    high = max(_limit(law, estimate, -z), _most_of_few(sums, (1 - level) / 2) ** 2)
    return SquaredGaps(estimate, _limit(law, estimate, z), high, p_value)


def _most_of_few(sums: CellSums, tail: float) -> float:
    """Return an upper limit of the root where few outcomes came, in a bin or in all of them; 0 where many did.

    Squares of residuals then do not tell the noise: none may have come where some were to come.
    """
    sums = sums.filled
    change, weight, gap = sums.squared_weight / sums.weight, sums.weight, np.abs(sums.gap)
    total, most, seen = float(weight.sum()), float(change.max()), float(sums.residual.sum())
    if seen >= FEW * most**2:
        return 0.0
    steps = [noise_step(*one, tail) for one in zip(sums.residual.tolist(), change.tolist(), strict=True)]
    of_bins = np.minimum(gap + steps, weight) / np.sqrt(weight * total)
    return max(float(of_bins.max()), min(float(gap.sum()) + noise_step(seen, most, tail), total) / total)


@dataclass(frozen=True)
class SquareInference:
    """For the debiased sum of squared gaps: its floor is 0 in the mean, its interval analytic.

    Parameters
    ----------
    cells : Statistic
    to_cells : callable
    divisor : {"n-1", "n"}
    n_bins : int or None
        Bins of each key; None if it depends on the rows.
    view : View, optional
        Whose forecasts, if they have keys.
    """

    cells: Statistic[Any]
    to_cells: Callable[[Any], CellSums]
    divisor: str = "n-1"
    n_bins: int | None = None
    view: View | None = None
    interval: ClassVar[str] = ANALYTIC

    def on(self, view: View) -> SquareInference | None:
        """Return the method for another view; None for one with keys if the number of bins is not known."""
        if view.keyed and self.n_bins is None:
            return None
        cells = self.cells.on(view)
        return replace(
            self, cells=cells, to_cells=getattr(cells, "to_cells", self.to_cells), view=view if view.keyed else None
        )

    def statistics(self, _: Resampling) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted."""
        return (self.cells,)

    def judge(self, value: float, summaries: tuple[Any, ...], resampling: Resampling) -> Judgement:
        """Return floor and p-value, and the interval if it is asked for; nothing for soft labels."""
        sums = self.to_cells(summaries[0])
        if self.view is not None and self.n_bins is not None:
            n_keys, one_label = len(sums.weight) // self.n_bins, isinstance(self.view, Classwise)
            if n_keys != 2 or not one_label:
                return self._over_keys(value, sums, n_keys, one_label, resampling)
            # The second class of two says it all: the gaps of the first are the same.
            sums = sums[self.n_bins :]
        sums = sums.filled
        level = resampling.confidence_level or 0.95
        found = squared_limits(sums, level)
        if found is None or sums.soft.any():
            return Judgement()
        floor = Floor(0.0, zero_quantile(sums, 0.95))
        expected, interval = expected_of_cells(sums), None
        if expected.few:
            # Where no error came, or a few, the residuals tell too little of the noise.
            law = drawn_law(drawn_squares(sums, resampling), expected=expected.unbounded)
            floor = replace(law.floor, mean=0.0)
            p_value = max(law.p_value(found.estimate), uneven_p_value(sums, expected))
            found = replace(found, p_value=p_value)
        lightest = float((sums.weight / sums.count).min() / sums.weight.sum())
        least = least_mean_gap(sums, level) or one_change_limit(found.p_value, lightest, (1 - level) / 2)
        found = replace(found, low=lower_limit(found.low, found.p_value, level, least**2))
        if resampling.confidence_level is not None:
            # The plug-in of T-Cal is smaller by a known factor, and so are its limits.
            factor = value / found.estimate if self.divisor == "n" and found.estimate else 1.0
            interval = (min(found.low * factor, value), max(found.high * factor, value))
        return Judgement(interval, floor, found.p_value, squared_gaps(sums))

    def _over_keys(
        self, value: float, sums: CellSums, n_keys: int, one_label: bool, resampling: Resampling
    ) -> Judgement:
        """Return floor and p-value of the mean over keys.

        Where each row has one label of K, a gap in one class is made up in the others: squares of gaps of two classes
        have a correlation of about 1 / (K - 1)². Other keys may depend on each other in any way.
        """
        if sums.soft.any():
            return Judgement()
        law = self._law_over_keys([part.filled for part in sums.split(n_keys)], one_label, resampling)
        least = least_p_value(sums, n_keys, one_label, resampling)
        return Judgement(None, replace(law.floor, mean=0.0), max(law.p_value(value), least))

    def _law_over_keys(self, parts: list[CellSums], one_label: bool, resampling: Resampling) -> NullLaw:
        n = len(parts)
        if not one_label and all(expected_of_cells(part).few or not part.variance.any() for part in parts):
            draws = [drawn_squares(part, resampling) for part in parts if len(part.paired.weight)]
            return drawn_law(np.sort(draws, axis=1).sum(axis=0) / n) if draws else normal_law(0.0, 0.0)
        variance, third = np.array([zero_moments(part) for part in parts]).T
        if one_label and n > 1:
            wider = math.sqrt(n / (n - 1)) / n
            return gamma_law(0.0, wider**2 * float(variance.sum()), wider**3 * float(third.sum()))
        return gamma_law(0.0, float(np.sqrt(variance).mean()) ** 2, float(np.cbrt(third).mean()) ** 3)
