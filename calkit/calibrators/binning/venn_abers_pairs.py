"""Venn-Abers prediction of many classes by all pairs of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.binning.base import OneVersusRestMaps
from calkit.calibrators.binning.lookup import rank
from calkit.calibrators.binning.rows import Groups, LabelledRows, group_scores
from calkit.calibrators.binning.venn_abers import venn_abers_values
from calkit.calibrators.description import Description, FittedValue
from calkit.calibrators.registration import register_calibrator

__all__ = ["OneVsOneVennAbers"]

Floats = NDArray[np.float64]


@register_calibrator("venn-abers-one-vs-one")
class OneVsOneVennAbers(OneVersusRestMaps):
    r"""Venn-Abers prediction, one class against one other, for all pairs.

    For each pair of classes, inductive Venn-Abers prediction maps the difference of their log-probabilities, learned
    from the rows of both, to the probability :math:`p_{ij}` of the first among the two. The pairs give

    .. math:: p_i \propto \frac{1}{\sum_{j \ne i} 1 / p_{ij} - (K - 2)}.

    Parameters
    ----------
    mix : {"laplace", "probmetrics", None}, default=None
        As for :class:`Isotonic`.

    Attributes
    ----------
    scores_ : ndarray of float64
        Distinct differences of each pair, one pair after the other: (0, 1), (0, 2), ...
    p0_, p1_ : ndarray of float64
        Both values of the second class at every place between them, one more than differences of each pair.
    splits_ : ndarray of intp
        Where the differences of each pair begin and end.
    n_rows_, classes_, n_features_in_
        As for :class:`Isotonic`.

    Notes
    -----
    A pair of which no row is known has 1/2. There are K (K - 1) / 2 pairs: with many classes each has few rows, and
    :class:`VennAbers`, which sets each class against all the rest, is better and faster. Of two classes both are the
    same.

    References
    ----------
    Manokhin, "Multi-class probabilistic classification using inductive and cross Venn-Abers predictors", COPA 2017.
    The coupling of pairs is that of Price, Knerr, Personnaz & Dreyfus, NeurIPS 1994.

    Examples
    --------
    >>> from calkit.calibrators import get_calibrator
    >>> from calkit.datasets import load_digits_logits
    >>> validation = load_digits_logits("validation")
    >>> calibrator = get_calibrator("venn-abers-one-vs-one").fit(validation.scores, validation.y_true)
    >>> len(calibrator.splits_) - 1
    45
    """

    title: ClassVar[str] = "Venn-Abers prediction by pairs"
    law_exceptions: ClassVar[dict[str, str]] = {
        "precision_is_kept": "a score that occurred joins its rows, which it does not in another precision",
    }
    _state: ClassVar[tuple[str, ...]] = ("scores_", "p0_", "p1_", "splits_", "n_rows_")

    scores_: Floats
    p0_: Floats
    p1_: Floats
    splits_: Any

    def __init__(self, mix: str | None = None) -> None:
        self.mix = mix

    def _fit_maps(self, rows: LabelledRows, columns: list[int]) -> None:  # noqa: ARG002 - pairs, not columns
        groups = list(_pairs(rows))
        self.splits_ = np.cumsum([0, *(len(each) for each in groups)], dtype=np.intp)
        self.scores_ = np.concatenate([each.score for each in groups])
        values = [venn_abers_values(each) for each in groups]
        self.p0_, self.p1_ = (np.concatenate([pair[i] for pair in values]) for i in (0, 1))

    def _mapped(self, probs: Floats) -> Floats:
        n_classes = probs.shape[1]
        logs, impossible = _logs(np.ascontiguousarray(probs.T))
        inverse = np.full(logs.shape, 2.0 - n_classes)
        for problem, (i, j) in enumerate(combinations(range(n_classes), 2)):
            second = self._map_class(problem, logs[j] - logs[i])
            second = np.where(impossible[i], 1.0, second) if impossible is not None else second
            second = np.where(impossible[j], 0.0, second) if impossible is not None else second
            with np.errstate(divide="ignore"):
                inverse[i] += 1 / (1 - second)
                inverse[j] += 1 / second
        return np.asarray(1 / inverse.T)

    def _map_class(self, problem: int, x: Floats) -> Floats:
        start, stop = self.splits_[problem], self.splits_[problem + 1]
        scores = self.scores_[start:stop]
        places = slice(start + problem, stop + problem + 1)
        p0, p1 = self.p0_[places], self.p1_[places]
        if not len(scores):
            return np.full(len(x), 0.5)
        at = rank(scores, x)
        tied = (at > 0) & (scores.take(at - 1) == x)
        low, high = p0.take(at), p1.take(at - tied)
        return high / (1 - low + high)

    def _n_values(self) -> int:
        return len(self.p0_)

    def describe(self) -> Description:
        """Return the numbers of pairs and of values."""
        values = (
            FittedValue("n_pairs", len(self.splits_) - 1, "pairs"),
            FittedValue("n_values", len(self.p0_), "values"),
        )
        return Description(self.title, values)

    def _check_state(self) -> None:
        splits, pairs = np.asarray(self.splits_), len(self.classes_) * (len(self.classes_) - 1) // 2
        if len(splits) != pairs + 1 or splits[0] != 0 or (np.diff(splits) < 0).any() or splits[-1] != len(self.scores_):
            raise ValueError("its scores do not fit its classes")
        if not len(self.p0_) == len(self.p1_) == len(self.scores_) + pairs:
            raise ValueError("its values do not fit its scores")
        if not ((self.p0_ >= 0) & (self.p1_ <= 1) & (self.p0_ <= self.p1_)).all():
            raise ValueError("its values are impossible")


def _logs(probs: Floats) -> tuple[Floats, NDArray[np.bool_] | None]:
    """Return log-probabilities, and where they are 0, of classes that are impossible."""
    impossible = probs <= 0
    if not impossible.any():
        return np.log(probs), None
    return np.log(np.where(impossible, 1.0, probs)), impossible


def _pairs(rows: LabelledRows) -> Iterator[Groups]:
    """Yield the groups of each pair of classes: the second against the first, among the rows of both."""
    logs, impossible = _logs(np.ascontiguousarray(rows.probs.T))
    share = [rows.outcome(column) for column in range(rows.n_classes)]
    for i, j in combinations(range(rows.n_classes), 2):
        both = share[i] + share[j]
        known = both > 0 if impossible is None else (both > 0) & ~impossible[i] & ~impossible[j]
        at = np.flatnonzero(known)
        weight = both[at] if rows.weight is None else both[at] * rows.weight[at]
        yield group_scores(logs[j][at] - logs[i][at], share[j][at] / both[at], weight)
