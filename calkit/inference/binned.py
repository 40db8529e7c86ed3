"""What calibration errors over bins are worth: floors by drawn gaps or in closed form, and intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.estimators.binned import NORMS
from calkit.inference.cells import CellSums, draw_gaps, in_own_order
from calkit.inference.few_events import expected_of_cells, uneven_p_value
from calkit.inference.flips import flips_limit_of_bins
from calkit.inference.floors import NullLaw, drawn_law, draws_of_one_label, sum_of_gaps_law
from calkit.inference.gaps import gap_limits, keyed_limits
from calkit.inference.judgement import SEMINORM, Judgement, Pooled, lower_limit, seminorm_limits
from calkit.inference.label_bins import LabelSums
from calkit.inference.mean_gap import least_mean_gap
from calkit.inference.means import clopper_pearson, filled_folds
from calkit.inference.over_keys import few_labels_law, least_p_value, summed_law
from calkit.inference.resampling import Resampling
from calkit.inference.squares import ANALYTIC, squared_limits
from calkit.stats import Statistic, View
from calkit.stats.views import Classwise

__all__ = ["GapInference", "HalfInference", "SameTargetInference", "judge_bins"]

FloatArray = NDArray[np.float64]

# Norms that are at most the mean absolute residual.
_MEANS = ("l1", "over", "under")
# Norms that are sums over bins of gaps, or of their positive parts.
_SUMS = ("mean", "over", "under")


@dataclass(frozen=True)
class GapInference:
    """For a norm of the gaps of bins.

    Parameters
    ----------
    cells : Statistic
        Counts what `to_cells` turns into :class:`CellSums`, in the order of keys and bins.
    to_cells : callable
    bins : Statistic
        One that is `groupable` and gives the gaps of each fold over the same bins: for intervals of several keys.
    n_bins : int or None
        Bins of each key; None if it depends on the rows: then there is nothing for several keys.
    norm : str
        One of :data:`~calkit.estimators.binned.NORMS`.
    over_keys : callable
        Turns values of shape (n_keys, n) into those of all keys: their mean, or the largest.
    view : View, optional
        Whose forecasts, if they have keys.
    mirrored : bool
        Whether of two classes the one has the gaps of the other.
    """

    cells: Statistic[Any]
    to_cells: Callable[[Any], CellSums]
    bins: Statistic[Any]
    n_bins: int | None
    norm: str = "l1"
    over_keys: Callable[..., Any] = np.mean
    view: View | None = None
    mirrored: bool = True

    @property
    def pairing(self) -> str | None:
        """How differences of two models are found; see :class:`Inference`."""
        return "gaps" if self.norm == "l1" else None

    @property
    def interval(self) -> str:
        """How the interval is found."""
        return _SAID.get(self.norm, SEMINORM)

    def on(self, view: View) -> GapInference | HalfInference | None:
        """Return the method for another view; None for one with keys if the number of bins is not known."""
        if view.keyed and self.n_bins is None:
            return None
        cells, bins = self.cells.on(view), self.bins.on(view)
        # Bound methods belong to the statistic they turn the summary of.
        to_cells = getattr(cells, "to_cells", self.to_cells)
        found = replace(self, cells=cells, bins=bins, to_cells=to_cells, view=view if view.keyed else None)
        if isinstance(view, Classwise) and self.norm in ("over", "under") and self.over_keys is np.mean:
            # What the classes of a row are given too much others are given too little.
            return HalfInference(replace(found, norm="l1"))
        return found

    def statistics(self, resampling: Resampling) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted."""
        if self.view is None or self.norm != "l1":
            return (self.cells,)
        folded = None if resampling.confidence_level is None else self.bins.folded(resampling.folds)
        return tuple(statistic for statistic in (self.cells, self._label_bins, folded) if statistic is not None)

    @property
    def _sublinear(self) -> bool:
        """Whether the triangle inequality gives limits of the mean over keys."""
        return self.norm in _SUMS and self.over_keys is np.mean

    @property
    def _label_bins(self) -> Statistic[Any] | None:
        return getattr(self.cells, "label_bins", None)

    def judge(self, value: float, summaries: tuple[Any, ...], resampling: Resampling) -> Judgement:
        """Return floor and p-value, and the interval if it is asked for; nothing for soft labels."""
        sums = self.to_cells(summaries[0])
        if sums.soft.any():
            return Judgement()
        if self.view is None or self.n_bins is None:
            return judge_bins(sums.filled, self.norm, resampling)
        n_keys, one_label = len(sums.weight) // self.n_bins, isinstance(self.view, Classwise)
        if n_keys == 2 and one_label and self.mirrored:
            # The second class of two says it all: the gaps of the first are the same, with the other sign.
            return judge_bins(sums[self.n_bins :].filled, self.norm, resampling)
        if self.norm != "l1":
            law = self._law(sums, n_keys, one_label, resampling)
            p_value = max(law.p_value(value), least_p_value(sums, n_keys, one_label, resampling))
            found = Judgement(None, law.floor, p_value)
            if resampling.confidence_level is None or not self._sublinear or sums.count.sum() < 2:
                return found
            # Standard deviations of sums are at most the sums of the standard deviations.
            parts = [part.filled for part in sums.split(n_keys)]
            sd, null_sd = np.mean([_sds(part, self.norm) for part in parts if len(part.weight)], axis=0).tolist()
            # Where few outcomes came, all forecasts of a row may be those that did not come true.
            change = (2 if one_label else n_keys) * _change(sums.filled, self.norm)
            low, high = seminorm_limits(value, law, sd, null_sd, resampling.level, change=change)
            least = _least_over_keys(value, sums, self.norm, law, n_keys, one_label, resampling)
            return replace(found, interval=(lower_limit(low, p_value, resampling.level, least), high))
        folds = None
        if resampling.confidence_level is not None:
            _, folds = filled_folds(self.bins.folded(resampling.folds).to_folds(summaries[-1]))
        return _sum_over_keys(sums, self._labels(summaries), folds, n_keys, one_label, resampling)

    def _law(self, sums: CellSums, n_keys: int, one_label: bool, resampling: Resampling) -> NullLaw:
        """Return the law of the mean over keys, or of the largest, if the model is calibrated."""
        draws = _drawn_by_key(sums, self.n_bins or 0, self.norm, resampling)
        if self.over_keys is not np.mean:
            return drawn_law(self.over_keys(draws, axis=0))
        if one_label:
            return drawn_law(draws_of_one_label(draws.mean(axis=0), n_keys))
        # Keys may depend on each other in any way. Their mean varies the most where all are large at the same time.
        return drawn_law(np.sort(draws, axis=1).mean(axis=0))

    def _labels(self, summaries: tuple[Any, ...]) -> LabelSums | None:
        if self._label_bins is not None:
            counted: LabelSums = summaries[1]
            return counted
        found = getattr(self.cells, "label_sums", None)
        return None if found is None else found(summaries[0])


def judge_bins(sums: CellSums, norm: str, resampling: Resampling) -> Judgement:
    """Judge the error of forecasts that fall into one bin each."""
    value = float(NORMS[norm](sums.gap, sums.weight))
    gaps = sums.null_gaps(resampling)
    expected = expected_of_cells(sums)
    bounded = expected if norm in _MEANS else expected.unbounded
    law = drawn_law(NORMS[norm](gaps, sums.weight), squares=norm == "squared", expected=bounded)
    p_value = max(law.p_value(value), uneven_p_value(sums, expected))
    found = Judgement(None, law.floor, p_value)
    limits = _LIMITS.get(norm) or partial(_limits_sublinear, norm=norm)
    if resampling.confidence_level is None or sums.count.sum() < 2:
        return found
    low, high, estimate = limits(sums, law, resampling.level)
    least = flips_limit_of_bins(value, sums, norm, law, resampling.tails[0])
    low = lower_limit(low, p_value, resampling.level, least)
    return replace(found, interval=(min(low, value), max(high, value)), estimate=estimate)


def _limits_l1(sums: CellSums, law: NullLaw, level: float) -> tuple[float, float, float]:
    total = float(sums.weight.sum())
    found = gap_limits(sums, law.scaled(total), level=level)
    return max(found.low / total, least_mean_gap(sums, level)), found.high / total, found.estimate / total


def _limits_l2(sums: CellSums, _: NullLaw, level: float) -> tuple[float, float, float | None]:
    found = squared_limits(sums, level)
    if found is None:
        return 0.0, 1.0, None
    low = max(math.sqrt(found.low), least_mean_gap(sums, level))
    return low, math.sqrt(found.high), math.sqrt(max(found.estimate, 0.0))


def _limits_squared(sums: CellSums, law: NullLaw, level: float) -> tuple[float, float, float | None]:
    low, high, estimate = _limits_l2(sums, law, level)
    return low**2, high**2, None if estimate is None else estimate**2


def _limits_max(sums: CellSums, _: NullLaw, level: float) -> tuple[float, float, None]:
    """Exact limits of the rate of every bin, which hold all at once (Bonferroni)."""
    rows = sums.weight**2 / sums.squared_weight
    tail = (1 - level) / 2 / len(rows)
    rate, mean = sums.outcome / sums.weight, sums.probability / sums.weight
    low, high = clopper_pearson(np.clip(rate, 0, 1) * rows, rows, tail, 1 - tail)
    smallest = np.maximum(np.maximum(mean - high, low - mean), 0)
    largest = np.maximum(np.abs(mean - low), np.abs(mean - high))
    return float(smallest.max()), float(largest.max()), None


def _limits_sublinear(sums: CellSums, law: NullLaw, level: float, *, norm: str) -> tuple[float, float, None]:
    """Limits of a sum over bins of gaps, or of their positive parts, each times a factor."""
    value, few = float(NORMS[norm](sums.gap, sums.weight)), expected_of_cells(sums).few
    return (*seminorm_limits(value, law, *_sds(sums, norm), level, change=_change(sums, norm), few=few), None)


def _change(sums: CellSums, norm: str) -> float:
    """Return what one outcome adds to a mean over bins, or over rows."""
    row = sums.squared_weight / sums.weight
    return float((row / sums.weight).max()) / len(row) if norm == "mean" else float(row.max() / sums.weight.sum())


def _sds(sums: CellSums, norm: str) -> tuple[float, float]:
    """Return the standard deviation of such a sum of residuals: as the outcomes show it, as the probabilities tell."""
    factor = 1 / (sums.weight * len(sums.weight)) if norm == "mean" else 1 / sums.weight.sum()
    sd, null_sd = (math.sqrt(float((factor**2 * part).sum())) for part in (sums.residual, sums.variance))
    return sd, null_sd


#: Low, high and estimate by norm; others are sublinear.
_LIMITS: dict[str, Callable[[CellSums, NullLaw, float], tuple[float, float, float | None]]] = {
    "l1": _limits_l1,
    "l2": _limits_l2,
    "squared": _limits_squared,
    "max": _limits_max,
}


#: How the interval is found, for the catalogue, by norm.
_SAID = {
    "l1": "the value without the most, and the least, that noise can add",
    "l2": ANALYTIC,
    "squared": ANALYTIC,
    "max": "exact limits of all bins at once",
}


def _sum_over_keys(
    sums: CellSums,
    labels: LabelSums | None,
    folds: FloatArray | None,
    n_keys: int,
    one_label: bool,
    resampling: Resampling,
) -> Judgement:
    """Judge the mean over keys of their l1 errors, and the error of all classes pooled."""
    total = float(sums.weight.sum())
    law = summed_law(sums, n_keys, one_label, resampling)
    value = float(np.abs(sums.gap).sum())
    together = _together(sums, labels, n_keys, one_label, resampling)
    pooled = None
    if together is not None:
        pooled_value = float(np.abs(together[0].gap).sum())
        pooled_law = together[1]
        pooled = Pooled(pooled_value / total, pooled_law.scaled(1 / total).floor, pooled_law.p_value(pooled_value))
    floor, p_value = law.scaled(1 / total).floor, law.p_value(value)
    if folds is None or len(folds) < 2:
        return Judgement(None, floor, p_value, None, pooled)
    found = keyed_limits(sums, folds, n_keys, law, together, resampling.level, 2 if one_label else n_keys)
    least = _least_over_keys(value / total, sums, "l1", law.scaled(1 / total), n_keys, one_label, resampling)
    low = lower_limit(max(found.low, least * total), p_value, resampling.level)
    interval = min(low, value) / total, max(found.high, value) / total
    return Judgement(interval, floor, p_value, found.estimate / total, pooled)


def _together(
    sums: CellSums, labels: LabelSums | None, n_keys: int, one_label: bool, resampling: Resampling
) -> tuple[CellSums, NullLaw] | None:
    """Return the bins of all keys pooled, and the law of their Σ |gap|.

    None where the forecasts of a row may depend on each other in any way: no law of the sum of their gaps is known.
    """
    if not one_label:
        return None
    together = sums.pooled(n_keys)
    if labels is not None:
        together = labels.pooled(together)
    law = few_labels_law(together, sums, n_keys, resampling)
    if law is None:
        law = labels.law(together, resampling) if labels else sum_of_gaps_law(together, 1, one_label=True)
    return together, law


def _least_over_keys(
    value: float, sums: CellSums, norm: str, law: NullLaw, n_keys: int, one_label: bool, resampling: Resampling
) -> float:
    """Return the lower limit of :mod:`~calkit.inference.flips`: a label that changes is that of two classes."""
    changed, tail = 2 if one_label else n_keys, resampling.tails[0]
    return flips_limit_of_bins(value, sums.filled, norm, law, tail, n_keys=n_keys, changed_keys=changed)


def _drawn_by_key(sums: CellSums, n_bins: int, norm: str, resampling: Resampling) -> FloatArray:
    """Draw the gaps of each key by itself, as if keys were independent; return the norms, (n_keys, n)."""
    random, n = resampling.random, resampling.n_resamples
    parts = in_own_order(part.filled for part in sums.split(len(sums.weight) // n_bins))
    return np.stack([NORMS[norm](draw_gaps(own, n, random), own.weight) for own in parts if len(own.weight)])


@dataclass(frozen=True)
class HalfInference:
    """For a metric that is half of that of another method: one-sided errors over classes of which each row has one.

    Parameters
    ----------
    method : GapInference
    """

    method: GapInference

    @property
    def interval(self) -> str:
        """How the interval is found."""
        return self.method.interval

    def on(self, view: View) -> HalfInference | None:
        """Return the method for the same view."""
        return self if view == self.method.view else None

    def statistics(self, resampling: Resampling) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted."""
        return self.method.statistics(resampling)

    def judge(self, value: float, summaries: tuple[Any, ...], resampling: Resampling) -> Judgement:
        """Return what half of the other metric is worth."""
        return self.method.judge(2 * value, summaries, resampling).halved


@dataclass(frozen=True)
class SameTargetInference:
    """For another estimate of what a method's metric estimates: its interval, without floor.

    Parameters
    ----------
    method : GapInference
    """

    method: GapInference

    @property
    def interval(self) -> str:
        """How the interval is found."""
        return self.method.interval

    def on(self, view: View) -> SameTargetInference | None:
        """Return the method for another view."""
        method = self.method.on(view)
        return SameTargetInference(method) if isinstance(method, GapInference) else None

    def statistics(self, resampling: Resampling) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted."""
        return () if resampling.confidence_level is None else self.method.statistics(resampling)

    def judge(self, value: float, summaries: tuple[Any, ...], resampling: Resampling) -> Judgement:
        """Return the interval, if it is asked for."""
        found = self.method.judge(value, summaries, resampling).interval if summaries else None
        return Judgement() if found is None else Judgement((min(found[0], value), max(found[1], value)))
