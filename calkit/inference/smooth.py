"""What smooth ECE is worth: its floor by drawn cosine moments of residuals, its interval by the triangle inequality."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.estimators.ranked import Ranked
from calkit.inference.cells import CellSums, draw_gaps
from calkit.inference.counts import Cells
from calkit.inference.curves import null_noise
from calkit.inference.few_events import expected_of_cells, expected_of_forecasts
from calkit.inference.flips import seminorm_flips_limit
from calkit.inference.floors import NullLaw, drawn_law, draws_of_one_label
from calkit.inference.judgement import SEMINORM, Judgement, lower_limit, seminorm_limits
from calkit.inference.mean_gap import least_mean_gap
from calkit.inference.over_keys import least_p_value
from calkit.inference.resampling import Resampling
from calkit.stats import Statistic, UniformBins, View
from calkit.stats.smoothing import density, spectrum
from calkit.stats.views import Classwise

__all__ = ["SmoothInference", "smooth_error_and_law", "smooth_law"]

FloatArray = NDArray[np.float64]

# Cells in which residuals are drawn.
_DRAWN_CELLS = 1024
# Bandwidths run from this share of that of typical noise; cosines that the smallest leaves 2 % of are kept.
_LEAST_SHARE, _REACH = 0.7, 2.8 / math.pi
# Where the variance of noise is less than this share of the largest, it is 0.
_NOTHING = 1e-5
_FEWEST, _MOST = 16, _DRAWN_CELLS // 2
_STEPS = 5
# Cells of each of several classes; curves that are drawn in all, and the fewest draws.
_CLASS_CELLS, _DRAWN_CURVES, _FEWEST_DRAWS = 256, 10_000, 100


@dataclass(frozen=True)
class SmoothInference:
    """For smooth ECE.

    Parameters
    ----------
    cells : Cells
        Sums over fine bins.
    """

    cells: Cells = Cells(UniformBins(_DRAWN_CELLS))  # noqa: RUF009 - frozen
    interval: ClassVar[str] = SEMINORM

    def on(self, view: View) -> SmoothInference | None:
        """Return the method for another view; None for keys of several labels, which depend on each other."""
        if isinstance(view, Classwise):
            return SmoothInference(Cells(UniformBins(_CLASS_CELLS, view)))
        return None if view.keyed else SmoothInference(self.cells.on(view))

    def statistics(self, _: Resampling) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted."""
        return (self.cells,)

    def judge(self, value: float, summaries: tuple[Any, ...], resampling: Resampling) -> Judgement:
        """Return floor and p-value, and the interval if it is asked for; nothing for soft labels."""
        counted: CellSums = summaries[0]
        if counted.soft.any():
            return Judgement()
        if self.cells.view.keyed:
            return self._over_classes(value, counted, resampling)
        sums = counted.filled
        law = smooth_law(sums, resampling.n_resamples, resampling.random, value)
        found = Judgement(None, law.floor, law.p_value(value))
        if resampling.confidence_level is None or sums.count.sum() < 2:
            return found
        sd, null_sd = _mean_sds(sums)
        events, change = expected_of_cells(sums), sums.heaviest / float(sums.weight.sum())
        least = least_mean_gap(sums, resampling.level)
        least = least or seminorm_flips_limit(value, law, events.change, resampling.tails[0])
        limits = seminorm_limits(value, law, sd, null_sd, resampling.level, least, change=change, few=events.few)
        return replace(found, interval=limits)

    def _over_classes(self, value: float, sums: CellSums, resampling: Resampling) -> Judgement:
        """Judge the mean over classes, each drawn by itself, of many classes fewer times."""
        n_keys = len(sums.weight) // self.cells.bins.n_bins
        parts = [part.filled for part in sums.split(n_keys)]
        # The second class of two says it all.
        parts = parts[1:] if len(parts) == 2 else parts
        n, random = resampling.n_resamples, resampling.random
        n = max(_FEWEST_DRAWS, min(n, _DRAWN_CURVES // len(parts)))
        draws = np.mean([_drawn_beside_seen(part, n, random, _CLASS_CELLS) for part in parts], axis=0)
        few = expected_of_cells(sums.filled).of_one_label(n_keys).unbounded
        law = drawn_law(draws_of_one_label(draws[1:], len(parts)), expected=few)
        law = _in_units_of(value, draws[0], law) if few.few else law
        p_value = max(law.p_value(value), least_p_value(sums, n_keys, True, resampling))
        found = Judgement(None, law.floor, p_value)
        if resampling.confidence_level is None or parts[0].count.sum() < 2:
            return found
        # Standard deviations of sums are at most the sums of the standard deviations.
        sd, null_sd = np.mean([_mean_sds(part) for part in parts], axis=0).tolist()
        low, high = seminorm_limits(
            value,
            law,
            sd,
            null_sd,
            resampling.level,
            change=2 / n_keys * parts[0].heaviest / float(parts[0].weight.sum()),
        )
        # A label that changes is that of two classes.
        change = 2 * expected_of_cells(sums.filled).change
        least = seminorm_flips_limit(value, law, change, resampling.tails[0])
        return replace(found, interval=(lower_limit(low, p_value, resampling.level, least), high))


def _mean_sds(sums: CellSums) -> tuple[float, float]:
    """Return the standard deviation of the mean residual: as the outcomes show it, as the probabilities tell it."""
    total = float(sums.weight.sum())
    return math.sqrt(float(sums.residual.sum())) / total, math.sqrt(float(sums.variance.sum())) / total


def smooth_law(sums: CellSums, n_draws: int, random: np.random.Generator, value: float | None = None) -> NullLaw:
    """Return the law of smooth ECE, from sums over fine bins; given the value seen, equal draws are equal to it."""
    draws, expected = _drawn_beside_seen(sums, n_draws, random), expected_of_cells(sums)
    law = drawn_law(draws[1:], expected=expected)
    return law if value is None or not expected.few else _in_units_of(value, float(draws[0]), law)


def _in_units_of(value: float, seen: float, law: NullLaw) -> NullLaw:
    """Return the law as if its draws were as exact as the value, which is seen as another one on their grid.

    Of few outcomes there are few values, and many draws are equal to that which was seen.
    """
    return law.scaled(value / seen) if value > 0 and seen > 0 else law


def _drawn_beside_seen(sums: CellSums, n_draws: int, random: np.random.Generator, most: int = _MOST) -> FloatArray:
    """Return smooth ECEs on a coarse grid: of the outcomes that came, then of outcomes drawn from the probabilities."""
    place, total = sums.probability / sums.weight, float(sums.weight.sum())
    noise = _Noise(_on_grid(place, sums.variance / total**2), most)
    if expected_of_cells(sums).few:
        # Draws that are as large as the value but for rounding count as large.
        gaps = np.vstack([sums.gap, draw_gaps(sums, n_draws, random) * (1 + 1e-6)])
        return noise.errors(noise.of(place, gaps / total), everywhere=True)
    return np.append(np.nan, noise.errors(noise.draw(n_draws, random)))


def smooth_error_and_law(forecasts: Ranked, n_draws: int, random: np.random.Generator) -> tuple[float, NullLaw]:
    """Return smooth ECE from the same cosines as its law, and the law: for tests, which so keep their level."""
    place, total = forecasts.probability, forecasts.total
    noise = _Noise(_on_grid(place, forecasts.variance / total**2))
    observed = spectrum(_on_grid(place, forecasts.residual / total))[: noise.n]
    expected = expected_of_forecasts(forecasts)
    drawn = noise.of(*null_noise(forecasts, n_draws, random)) if expected.few else noise.draw(n_draws, random)
    law = drawn_law(noise.errors(drawn, everywhere=expected.few), expected=expected)
    return float(noise.errors(observed[None], everywhere=True)[0]), law


def _on_grid(place: FloatArray, mass: FloatArray, n_cells: int = _DRAWN_CELLS) -> FloatArray:
    """Share masses between the points of a grid that are beside their places."""
    at = np.clip(place, 0, 1) * n_cells
    left = np.minimum(at.astype(np.intp), n_cells - 1)
    high = mass * (at - left)
    return np.asarray(np.bincount(left, mass - high, n_cells + 1) + np.bincount(left + 1, high, n_cells + 1))


def _nearer(bandwidth: Any, error: Any) -> Any:
    """Return a bandwidth nearer to the one that its error equals.

    The error of noise falls as the bandwidth^(-1/2), so two thirds of the way, in logarithms, is Newton's step; where
    the error does not fall at all, a third of the way is left.
    """
    return np.cbrt(bandwidth * error**2)


class _Noise:
    """Cosine moments of residuals of given variances on the grid, if the model is calibrated.

    Parameters
    ----------
    variance : ndarray of float64, shape (m,)
    most : int
        Most moments.
    """

    def __init__(self, variance: FloatArray, most: int = _MOST) -> None:
        self._variance, self._moments = variance, spectrum(variance)
        self._typical = self._typical_bandwidth()
        #: Number of moments.
        self.n = int(np.clip(_REACH / max(_LEAST_SHARE * self._typical, 1e-9), _FEWEST, most))

    def _typical_bandwidth(self) -> float:
        """Return the bandwidth at which the smoothed error of normal noise is itself in the mean."""
        bandwidth = float(self._variance.sum()) ** (1 / 3) / 2
        for _ in range(2 * _STEPS if bandwidth else 0):
            # A squared Gaussian is one of a width less by the root of two.
            squares = density(self._moments, bandwidth / math.sqrt(2)) / (2 * math.sqrt(math.pi) * bandwidth)
            error = math.sqrt(2 / math.pi) * float(np.sqrt(np.maximum(squares, 0)).mean())
            bandwidth = _nearer(bandwidth, error)
        return bandwidth

    def draw(self, n_draws: int, random: np.random.Generator) -> FloatArray:
        """Draw moments, (n_draws, n): noise on a coarser grid, of two cells a half wave."""
        coarse = _on_grid(np.linspace(0, 1, len(self._variance)), self._variance, 2 * self.n)
        return spectrum(random.standard_normal((n_draws, len(coarse))) * np.sqrt(coarse))[:, : self.n]

    def of(self, place: FloatArray, residual: FloatArray) -> FloatArray:
        """Return the moments, (n_draws, n), of residuals (n_draws, m) at some places."""
        at = np.clip(place, 0, 1) * (2 * self.n)
        left, rows = np.minimum(at.astype(np.intp), 2 * self.n - 1), np.arange(len(place))
        share = np.zeros((len(place), 2 * self.n + 1))
        share[rows, left], share[rows, left + 1] = 1 - (at - left), at - left
        return spectrum(residual @ share)[:, : self.n]

    def errors(self, moments: FloatArray, *, everywhere: bool = False) -> FloatArray:
        """Return the smooth ECE of each draw: the bandwidth that its smoothed error equals.

        Smoothing multiplies the moments, (n_draws, n), by factors. No bandwidth is smaller than the moments bear.
        Unless asked everywhere, errors are summed where there is noise.
        """
        order, points = np.arange(self.n), (np.arange(2 * self.n) + 0.5) / (2 * self.n)
        if not everywhere:
            reach = density(self._moments, 2 * self._typical)
            near = reach[np.rint(points * (len(reach) - 1)).astype(np.intp)] >= _NOTHING * reach.max()
            points = points[near]
        back = np.cos(np.pi * order[:, None] * points) * (np.where(order == 0, 1, 2)[:, None] / (2 * self.n))
        bandwidth = np.maximum(self._typical, np.abs(moments[:, 0]))
        for _ in range(_STEPS):
            width = np.maximum(bandwidth, _REACH / self.n)[:, None]
            error = np.abs((moments * np.exp(-0.5 * (np.pi * order * width) ** 2)) @ back).sum(axis=1)
            bandwidth = _nearer(bandwidth, error)
        return np.asarray(bandwidth)
