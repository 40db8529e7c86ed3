"""Venn-Abers prediction of many classes by all pairs of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import combinations
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.binning.rows import Groups, LabelledRows, group_scores
from calkit.calibrators.binning.venn_abers import VennAbersMaps
from calkit.calibrators.description import Description, FittedValue
from calkit.calibrators.registration import register_calibrator
from calkit.errors import CalibrationWarning

__all__ = ["OneVsOneVennAbers"]

Floats = NDArray[np.float64]

# Beyond this number of pairs (500 classes) the user is warned of the time.
_MANY_PAIRS = 125_000


@register_calibrator("venn-abers-one-vs-one")
class OneVsOneVennAbers(VennAbersMaps):
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
    :class:`VennAbers`, which sets each class against all the rest, is better and faster. The time grows with the
    square of K: a minute and a half for 1,000 classes. Of two classes both are the same.

    Warns
    -----
    CalibrationWarning
        If there are more than 500 classes.

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
    _logarithmic: ClassVar[bool] = False

    def _fit_maps(self, rows: LabelledRows) -> None:
        n_pairs = rows.n_classes * (rows.n_classes - 1) // 2
        if n_pairs > _MANY_PAIRS:
            warnings.warn(
                f"{rows.n_classes} classes have {n_pairs:,} pairs, each with a map of its own: the fit, or predictions "
                "of some thousands of rows, can take minutes. Use venn-abers, which sets each class against the rest.",
                CalibrationWarning,
                stacklevel=5,
            )
        self._take(list(_pairs(rows)))

    def _n_problems(self) -> int:
        return len(self.classes_) * (len(self.classes_) - 1) // 2

    def _mapped(self, by_class: Floats) -> Floats:
        n_classes = len(by_class)
        logs, impossible = _logs(by_class)
        inverse = np.full(logs.shape, 2.0 - n_classes)
        for problem, (i, j) in enumerate(combinations(range(n_classes), 2)):
            second = self._map_class(problem, logs[j] - logs[i])
            second = np.where(impossible[i], 1.0, second) if impossible is not None else second
            second = np.where(impossible[j], 0.0, second) if impossible is not None else second
            with np.errstate(divide="ignore"):
                inverse[i] += 1 / (1 - second)
                inverse[j] += 1 / second
        return np.asarray(1 / inverse)

    def describe(self) -> Description:
        """Return the numbers of pairs and of values."""
        values = (
            FittedValue("n_pairs", len(self.splits_) - 1, "pairs"),
            FittedValue("n_values", len(self.p0_), "values"),
        )
        return Description(self.title, values)


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
