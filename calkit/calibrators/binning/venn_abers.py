"""Venn-Abers prediction: two isotonic values for every score, one for each outcome the new row might have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from calkit.calibrators.binning.base import OneVersusRestMaps
from calkit.calibrators.binning.isotonic import isotonic_blocks
from calkit.calibrators.binning.lookup import rank
from calkit.calibrators.binning.rows import NOISE, Groups, LabelledRows
from calkit.calibrators.inputs import softmax_by_class
from calkit.calibrators.registration import register_calibrator

__all__ = ["VennAbers", "VennAbersMaps", "merge_intervals", "venn_abers_values"]

Floats = NDArray[np.float64]


class VennAbersMaps(OneVersusRestMaps):
    """Venn-Abers prediction of several problems of two outcomes each, whose tables lie one after the other."""

    law_exceptions: ClassVar[dict[str, str]] = {
        "precision_is_kept": "a score that occurred joins its rows, which it does not in another precision",
    }
    _state: ClassVar[tuple[str, ...]] = ("scores_", "p0_", "p1_", "splits_", "n_rows_")

    scores_: Floats
    p0_: Floats
    p1_: Floats
    splits_: Any

    def __init__(self, mix: str | None = None) -> None:
        super().__init__(mix)

    #: Whether scores are probabilities, most of them tiny.
    _logarithmic: ClassVar[bool] = True

    def _take(self, groups: Sequence[Groups]) -> None:
        """Set the tables of the problems."""
        self.splits_ = np.cumsum([0, *(len(each) for each in groups)], dtype=np.intp)
        self.scores_ = np.concatenate([each.score for each in groups])
        values = [venn_abers_values(each) for each in groups]
        self.p0_, self.p1_ = (np.concatenate([pair[i] for pair in values]) for i in (0, 1))

    def _n_problems(self) -> int:
        raise NotImplementedError

    def _both(self, problem: int, x: Floats) -> tuple[Floats, Floats]:
        """Return p0 and p1 of scores: a score that occurred joins the rows that have it."""
        start, stop = self.splits_[problem], self.splits_[problem + 1]
        scores = self.scores_[start:stop]
        # Each problem before this one has one place more than it has scores.
        places = slice(start + problem, stop + problem + 1)
        p0, p1 = self.p0_[places], self.p1_[places]
        if not len(scores):
            return np.zeros(len(x)), np.ones(len(x))
        reach = NOISE * np.abs(x)
        at = rank(scores, x + reach, logarithmic=self._logarithmic)
        tied = (at > 0) & (scores.take(at - 1) >= x - reach)
        return p0.take(at), p1.take(at - tied)

    def _map_class(self, problem: int, x: Floats) -> Floats:
        p0, p1 = self._both(problem, x)
        return p1 / (1 - p0 + p1)

    def _n_values(self) -> int:
        return len(self.p0_)

    def _check_state(self) -> None:
        problems, splits = self._n_problems(), np.asarray(self.splits_)
        rising = len(splits) == problems + 1 and splits[0] == 0 and (np.diff(splits) >= 0).all()
        if not rising or splits[-1] != len(self.scores_):
            raise ValueError("its scores do not fit its classes")
        if not len(self.p0_) == len(self.p1_) == len(self.scores_) + problems:
            raise ValueError("its values do not fit its scores")
        if not ((self.p0_ >= 0) & (self.p1_ <= 1) & (self.p0_ <= self.p1_)).all():
            raise ValueError("its values are impossible")


@register_calibrator("venn-abers")
class VennAbers(VennAbersMaps):
    """Inductive Venn-Abers prediction, one class against the rest.

    For every score, isotonic regression is fitted twice, with the new row as a negative and as a positive: [p0, p1]
    holds a perfectly calibrated probability if the rows are exchangeable. The single probability is p1 / (1 - p0 +
    p1), the point of least regret in log-loss, which is never 0.

    Parameters
    ----------
    mix : {"laplace", "probmetrics", None}, default=None
        As for :class:`Isotonic`.

    Attributes
    ----------
    scores_ : ndarray of float64
        Distinct scores of each class, one class after the other.
    p0_, p1_ : ndarray of float64
        Both values at every place between scores, one more than scores of each class.
    splits_ : ndarray of intp
        Where the scores of each class begin and end.
    n_rows_, classes_, n_features_in_
        As for :class:`Isotonic`.

    Notes
    -----
    :class:`CalibratedClassifier` merges the predictors of its folds by the geometric means of their intervals: cross
    Venn-Abers prediction.

    With sample weights both values are those of weighted isotonic regression with a new row of weight 1; the
    guarantee is for rows of equal weight.

    References
    ----------
    Vovk, Petej & Fedorova, "Large-scale probabilistic predictors with and without guarantees of validity", NeurIPS
    2015.

    Examples
    --------
    >>> from calkit.calibrators import get_calibrator
    >>> logits = [[0.0, -2.0], [0.0, -1.0], [0.0, 1.0], [0.0, 2.0]]
    >>> calibrator = get_calibrator("venn-abers").fit(logits, [0, 1, 0, 1])
    >>> calibrator.predict_interval([[0.0, 0.0]])[0, 1].round(3)
    array([0.333, 0.667])
    """

    title: ClassVar[str] = "Venn-Abers prediction"

    def predict_interval(self, X: Any) -> Floats:
        """Return both probabilities of each class, before the rows are made to sum to 1.

        Parameters
        ----------
        X : array-like of shape (n, K) or (n,)
            Logits.

        Returns
        -------
        ndarray of float64, shape (n, K, 2)
            p0 and p1; of two classes, those of the first are the complements.
        """
        check_is_fitted(self)
        probs = softmax_by_class(self._checked(X))
        if len(probs) == 2:
            low, high = self._both(0, probs[1])
            return np.stack([np.stack([1 - high, 1 - low], axis=1), np.stack([low, high], axis=1)], axis=1)
        return np.stack([np.stack(self._both(c, x), axis=1) for c, x in enumerate(probs)], axis=1)

    @classmethod
    def merged_proba(cls, members: Sequence[Any], logits: Sequence[Any]) -> Floats:
        """Return the probabilities of cross Venn-Abers prediction: intervals are merged by :func:`merge_intervals`."""
        intervals = np.stack([member.predict_interval(each) for member, each in zip(members, logits, strict=True)])
        probs = merge_intervals(intervals[..., 0], intervals[..., 1])
        impossible = np.asarray(np.isneginf(np.stack(logits)).all(axis=0))
        probs[impossible] = 0.0
        cls._normalise(probs, ~impossible)
        members[0]._mix_in(probs, impossible, float(np.mean([member.n_rows_ for member in members])))
        return probs

    def _fit_maps(self, rows: LabelledRows) -> None:
        self._take([rows.against_rest(column) for column in rows.mapped])

    def _n_problems(self) -> int:
        return 1 if len(self.classes_) == 2 else len(self.classes_)


def merge_intervals(p0: Floats, p1: Floats) -> Floats:
    """Merge the intervals of several Venn-Abers predictors (cross Venn-Abers) into single probabilities.

    Parameters
    ----------
    p0, p1 : ndarray of float64
        Both probabilities of each predictor, fitted on its own fold; predictors along the first axis.

    Returns
    -------
    ndarray of float64
        ``GM(p1) / (GM(1 - p0) + GM(p1))``, with the geometric mean GM over the predictors.

    References
    ----------
    Vovk, Petej & Fedorova, NeurIPS 2015, Section 4.

    Examples
    --------
    >>> import numpy as np
    >>> merge_intervals(np.array([[0.2], [0.4]]), np.array([[0.4], [0.6]])).round(4)
    array([0.4142])
    """
    with np.errstate(divide="ignore"):
        miss, hit = (np.exp(np.log(part).mean(axis=0)) for part in (1 - p0, p1))
    return np.asarray(hit / (miss + hit))


def venn_abers_values(groups: Groups) -> tuple[Floats, Floats]:
    """Return p0 and p1 at every place a new row can take among the scores.

    Parameters
    ----------
    groups : Groups
        m distinct scores.

    Returns
    -------
    p0, p1 : ndarray of float64, shape (m + 1,)
        Isotonic value of a negative, and of a positive, row after each number of scores.

    Notes
    -----
    With P_i = (W_i, S_i) the weight and the positives up to score i, the value of a positive of weight 1 at place i is

        max over a <= i of  min over b > i of  (1 + S_b - S_a) / (1 + W_b - W_a).

    The inner minimum is the same over all b > a, and is taken at a vertex of the greatest convex minorant of the
    points without the new row: a line that ended inside a block of mean m would be less steep than m, and the value
    is at least m there. Along the vertices the ratio falls and then rises, so a walk from each place to the right,
    done for all places at once, finds it; a running maximum does the rest. A negative row is the mirror image.
    """
    m = len(groups)
    if not m:
        return np.zeros(1), np.ones(1)
    weight, positive = (np.append(0.0, np.cumsum(part)) for part in (groups.weight, groups.positive))
    starts, _ = isotonic_blocks(groups)
    block_of = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    p1 = np.ones(m + 1)
    p1[:-1] = _walk(np.arange(m), block_of + 1, 1, starts, weight, positive)
    p0 = np.zeros(m + 1)
    p0[1:] = 1 - _walk(np.arange(1, m + 1), block_of, -1, starts, weight, weight - positive)
    low = np.minimum.accumulate(p0[::-1])[::-1]
    return np.clip(low, 0, 1), np.clip(np.maximum.accumulate(p1), 0, 1)


def _walk(
    place: NDArray[np.intp],
    vertex: NDArray[np.intp],
    step: int,
    starts: NDArray[np.intp],
    weight: Floats,
    positive: Floats,
) -> Floats:
    """Return the least ratio over the vertices from `vertex` on, in the direction of `step`, for every place."""
    end = len(starts) - 1 if step > 0 else 0
    s, w = positive[place], weight[place]
    at = starts[vertex]
    best = (1 + abs(positive[at] - s)) / (1 + abs(weight[at] - w))
    vertex = vertex.copy()
    active = np.flatnonzero(vertex != end)
    while len(active):
        following = vertex[active] + step
        at = starts[following]
        ratio = (1 + abs(positive[at] - s[active])) / (1 + abs(weight[at] - w[active]))
        better = ratio <= best[active]
        active, following, ratio = active[better], following[better], ratio[better]
        best[active], vertex[active] = ratio, following
        active = active[following != end]
    return best
