"""Floors of measures of whole curves over classes: by labels of rows, or by draws of each class by itself."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from calkit.estimators.ranked import Ranked, ranked
from calkit.inference.few_events import Expected, expected_of_rows
from calkit.inference.floors import NullLaw, drawn_law, draws_of_one_label
from calkit.inference.judgement import Judgement
from calkit.inference.resampling import Resampling
from calkit.stats import ConfidencePairs, Statistic, View

__all__ = [
    "ByClassInference",
    "ClassDraws",
    "ClassesInference",
    "DrawnClassesInference",
    "drawn_labels_law",
    "expected_of_labels",
    "label_rows",
]

#: Takes forecasts of a class, number of draws and a generator, returns draws of the measure.
ClassDraws = Callable[[Ranked, int, np.random.Generator], NDArray[np.float64]]

# Probabilities that are gone through in all, curves that are measured, and the fewest draws.
_DRAWN_NUMBERS, _DRAWN_CURVES, _FEWEST_DRAWS = 20_000_000, 5_000, 100
# Curves in all of classes that are drawn each by itself.
_DRAWN_ALONE = 10_000


@dataclass(frozen=True)
class ClassesInference(ABC):
    """Floor and p-value of the mean over classes of a measure; subclasses define :meth:`law`."""

    statistic: Statistic[Any]
    interval: ClassVar[str] = "none"

    def on(self, view: View) -> Self:
        """Return the method for another view of classes."""
        return replace(self, statistic=self.statistic.on(view))

    def statistics(self, _: Resampling) -> tuple[Statistic[Any], ...]:
        """Return what has to be counted."""
        return (self.statistic,)

    @abstractmethod
    def law(self, parts: list[ConfidencePairs], resampling: Resampling) -> NullLaw:
        """Return the law of the mean over classes, if the model is calibrated."""

    def judge(self, value: float, summaries: tuple[Any, ...], resampling: Resampling) -> Judgement:
        """Return floor and p-value; nothing for soft labels."""
        parts: list[ConfidencePairs] = list(summaries[0].summaries.values())
        if math.isnan(value) or any(part.correct.dtype != bool for part in parts):
            return Judgement()
        law = self.law(parts, resampling)
        return Judgement(None, law.floor, law.p_value(value))


@dataclass(frozen=True)
class ByClassInference(ClassesInference):
    """For the mean over classes of a measure of the forecasts of each.

    Of a rare class few events come, so that no law of many events holds. The label of a row is drawn once for all
    classes, which thus depend on each other as they do in the value.

    Parameters
    ----------
    statistic : Statistic
        Pairs of each class.
    measure : callable
        Takes :class:`~calkit.estimators.ranked.Ranked`, returns the value of a class.
    ordinal : bool
        Whether the events are that the label is no higher than each class: they come about together.
    """

    measure: Callable[[Ranked], Any]
    ordinal: bool = False

    def law(self, parts: list[ConfidencePairs], resampling: Resampling) -> NullLaw:
        """Return the law of the mean over classes, if the model is calibrated."""
        return drawn_labels_law(self.measure, parts, resampling.n_resamples, resampling.random, ordinal=self.ordinal)


@dataclass(frozen=True)
class DrawnClassesInference(ClassesInference):
    """For the mean over classes of a measure that is drawn of each class by itself, of many classes fewer times.

    Parameters
    ----------
    statistic : Statistic
        Pairs of each class.
    draws : callable
        Takes :class:`~calkit.estimators.ranked.Ranked`, the number of draws and a generator, returns draws of the
        measure.
    """

    draws: ClassDraws

    def law(self, parts: list[ConfidencePairs], resampling: Resampling) -> NullLaw:
        """Return the law of the mean over classes, if the model is calibrated."""
        # The second class of two says it all.
        parts = parts[1:] if len(parts) == 2 else parts
        n, random = max(_FEWEST_DRAWS, min(resampling.n_resamples, _DRAWN_ALONE // len(parts))), resampling.random
        curves = (ranked(part.confidence, part.correct, part.weight) for part in parts)
        draws = np.mean([self.draws(one, n, random) for one in curves], axis=0)
        return drawn_law(draws_of_one_label(draws, len(parts)), expected=expected_of_labels(parts))

    def judge(self, value: float, summaries: tuple[Any, ...], resampling: Resampling) -> Judgement:
        """Return floor and p-value: of few rows that are not as expected, at least that of how unexpected they are."""
        found = super().judge(value, summaries, resampling)
        if found.p_value is None:
            return found
        least = _unexpected(list(summaries[0].summaries.values()), resampling.n_resamples, resampling.random)
        return replace(found, p_value=max(found.p_value, least))


def _unexpected(parts: Sequence[ConfidencePairs], n_draws: int, random: np.random.Generator) -> float:
    """Return the p-value of the mean probability of other labels than the true one; 0 if many are expected."""
    weight = np.ones(len(parts[0])) if parts[0].weight is None else parts[0].weight
    expected = expected_of_labels(parts)
    if not expected.few:
        return 0.0
    p, w, edges = label_rows(parts)
    rows = np.arange(len(w))
    n = max(_FEWEST_DRAWS, min(n_draws, _DRAWN_NUMBERS // max(p.size, 1)))
    drawn = [w @ p[rows, _drawn_labels(edges, random)] for _ in range(n)]
    observed = float(weight @ sum(part.confidence * part.correct for part in parts))
    return float(drawn_law(w.sum() - np.array(drawn), expected=expected).p_value(float(w.sum()) - observed))


def expected_of_labels(parts: Sequence[ConfidencePairs]) -> Expected:
    """Return how many labels other than the likeliest are expected: of few, draws tell nothing of a tail."""
    weight = np.ones(len(parts[0])) if parts[0].weight is None else parts[0].weight
    every = expected_of_rows(np.concatenate([part.confidence for part in parts]), np.tile(weight, len(parts)))
    # What is half of them where the keys are classes is less than half of those of thresholds.
    return every.of_one_label(len(parts)).unbounded


def drawn_labels_law(
    measure: Callable[[Ranked], Any],
    parts: Sequence[ConfidencePairs],
    n_draws: int,
    random: np.random.Generator,
    *,
    ordinal: bool = False,
) -> NullLaw:
    """Return the law of the mean over classes of a measure, by drawing the label of each row.

    Parameters
    ----------
    measure : callable
    parts : sequence of ConfidencePairs
        The same rows for each class.
    n_draws : int
        Fewer draws are made of many rows and classes: the p-value is then coarser.
    random : numpy.random.Generator
    ordinal : bool
        Whether the probabilities are those of labels no higher than each class, so that they are cumulative already.
    """
    p, w, edges = label_rows(parts)
    forecasts = [ranked(column, np.zeros(len(w), dtype=bool), w) for column in p.T]
    places = [np.searchsorted(own.probability, column) for own, column in zip(forecasts, p.T, strict=True)]
    n = max(_FEWEST_DRAWS, min(n_draws, _DRAWN_NUMBERS // max(p.size, 1), _DRAWN_CURVES // len(parts)))
    came = partial(_came_below, p) if ordinal else partial(_came_of_labels, edges)
    draws = [_drawn(measure, forecasts, places, came(random), w) for _ in range(n)]
    return drawn_law(np.array(draws), expected=expected_of_labels(parts))


def label_rows(
    parts: Sequence[ConfidencePairs], *, in_order: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return probabilities (n, K), weights (n,) and cumulative probabilities (n, K) of the rows that have weight.

    They come in an order of their own, so that what is drawn does not depend on theirs, unless that counts.
    """
    weight = parts[0].weight
    kept = np.ones(len(parts[0]), dtype=bool) if weight is None else weight > 0
    w = np.ones(int(kept.sum())) if weight is None else weight[kept]
    p = np.stack([part.confidence[kept] for part in parts], axis=1)
    if not in_order:
        order = np.lexsort((w, *p.T))
        p, w = p[order], w[order]
    edges = p.cumsum(axis=1)
    edges /= edges[:, -1:]
    return p, w, edges


def _drawn_labels(edges: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.intp]:
    """Draw the label of each row, given its cumulative probabilities (n, K)."""
    return np.asarray((random.random((len(edges), 1)) > edges[:, :-1]).sum(axis=1))


def _came_of_labels(edges: NDArray[np.float64], random: np.random.Generator) -> list[NDArray[np.intp]]:
    """Draw the label of each row; return the rows of each class."""
    label = _drawn_labels(edges, random)
    return np.split(np.argsort(label, kind="stable"), np.bincount(label, minlength=edges.shape[1]).cumsum()[:-1])


def _came_below(p: NDArray[np.float64], random: np.random.Generator) -> list[NDArray[np.intp]]:
    """Draw the label of each row; return the rows whose label is no higher than each class."""
    place = random.random(len(p))
    return [np.flatnonzero(place < column) for column in p.T]


def _drawn(
    measure: Callable[[Ranked], Any],
    forecasts: Sequence[Ranked],
    places: Sequence[NDArray[np.intp]],
    rows: Sequence[NDArray[np.intp]],
    weight: NDArray[np.float64],
) -> float:
    """Return the mean over keys of one set of outcomes, given the rows of each key whose event came."""
    values = [
        measure(replace(own, positive=np.bincount(place[of], weight[of], len(own.weight)).astype(np.float64)))
        for own, place, of in zip(forecasts, places, rows, strict=True)
    ]
    return float(np.mean(values))
