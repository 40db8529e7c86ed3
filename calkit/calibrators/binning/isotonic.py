"""Isotonic regression of each class against the rest, plain and centred."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from calkit.calibrators.binning.base import TableMaps
from calkit.calibrators.binning.lookup import rank
from calkit.calibrators.binning.rows import NOISE, Groups, LabelledRows, starts_of
from calkit.calibrators.registration import register_calibrator

__all__ = ["CentredIsotonic", "Isotonic", "isotonic_blocks"]

Floats = NDArray[np.float64]


def isotonic_blocks(groups: Groups) -> tuple[NDArray[np.intp], Floats]:
    """Return the first group of each block of the isotonic fit, one past the last at the end, and the blocks' means."""
    fit = isotonic_regression(groups.positive / groups.weight, weights=groups.weight)
    starts = np.asarray(fit.blocks, dtype=np.intp)
    means = np.add.reduceat(groups.positive, starts[:-1]) / np.add.reduceat(groups.weight, starts[:-1])
    # Weighted sums may round to a little past 0 or 1.
    return starts, np.clip(means, 0, 1)


@register_calibrator("isotonic")
class Isotonic(TableMaps):
    """Isotonic regression: the rising function of the probability that fits the outcomes best.

    Each class is fitted against the rest, and the values are divided by their sum. Between scores that occurred the map
    is linear, beyond them constant. Scores count as equal only if they are equal to 12 digits: rounding alone, which
    differs with the probabilities of the other classes, does not part them.

    Parameters
    ----------
    mix : {"laplace", "probmetrics", None}, default="laplace"
        Share of the uniform law in the result: (n p + 1) / (n + K) of n rows and K classes, or (n p + 1 / K) / (n + 1);
        None for none, which can give probability 0 and so an infinite NLL.

    Attributes
    ----------
    keys_, values_ : ndarray of float64
        Ends of the blocks and their values, of all classes, one after the other.
    splits_ : ndarray of intp
        Where each class begins and ends. Of two classes only the second has a map.
    n_rows_ : float
        Sum of the weights.
    classes_ : ndarray of shape (K,)
    n_features_in_ : int

    References
    ----------
    Zadrozny & Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD 2002.

    Examples
    --------
    >>> from calkit.calibrators import get_calibrator
    >>> from calkit.datasets import load_digits_logits
    >>> from calkit import ece
    >>> validation, test = load_digits_logits("validation"), load_digits_logits("test")
    >>> calibrator = get_calibrator("isotonic").fit(validation.scores, validation.y_true)
    >>> ece(test.y_true, calibrator.predict_proba(test.scores)) < 0.05
    True
    """

    title: ClassVar[str] = "isotonic regression"

    def _fit_table(self, groups: Groups) -> tuple[Floats, Floats]:
        starts, means = isotonic_blocks(groups)
        ends = np.stack([groups.score[starts[:-1]], groups.score[starts[1:] - 1]], axis=1)
        return _without_repeats(ends.ravel(), np.repeat(means, 2))

    def _fit_maps(self, rows: LabelledRows) -> None:
        plain = rows.weight is None and rows.votes is None and rows.impossible is None
        if plain and rows.n_classes > 2:
            self._keep([_without_repeats(*table) for table in _all_classes(rows.probs, rows.y_true)])
        else:
            super()._fit_maps(rows)


@register_calibrator("centred-isotonic", aliases=("centered-isotonic",))
class CentredIsotonic(TableMaps):
    """Isotonic regression through the centres of its blocks, so that it rises instead of stepping.

    One knot stands at the mean score of each block; the first and the last block, and blocks of value 0 or 1, stay
    flat.

    Parameters
    ----------
    mix : {"laplace", "probmetrics", None}, default="laplace"
        As for :class:`Isotonic`.

    Attributes
    ----------
    keys_, values_, splits_, n_rows_, classes_, n_features_in_
        As for :class:`Isotonic`.

    References
    ----------
    Oron & Flournoy, "Centered isotonic regression", Statistics in Biopharmaceutical Research 9, 2017.

    Examples
    --------
    >>> from calkit.calibrators import get_calibrator
    >>> from calkit.datasets import load_digits_logits
    >>> validation = load_digits_logits("validation")
    >>> get_calibrator("centred-isotonic").fit(validation.scores, validation.y_true).describe().title
    'centred isotonic regression'
    """

    title: ClassVar[str] = "centred isotonic regression"

    def _fit_table(self, groups: Groups) -> tuple[Floats, Floats]:
        starts, means = isotonic_blocks(groups)
        first, last = groups.score[starts[:-1]], groups.score[starts[1:] - 1]
        weight = np.add.reduceat(groups.weight, starts[:-1])
        middle = np.add.reduceat(groups.weight * groups.score, starts[:-1]) / weight
        middle = np.clip(middle, first, last)
        flat = (means <= 0) | (means >= 1)
        left, right = np.where(flat, first, middle), np.where(flat, last, middle)
        left[0], right[-1] = first[0], last[-1]
        return _without_repeats(np.stack([left, middle, right], axis=1).ravel(), np.repeat(means, 3))


def _without_repeats(keys: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Leave out points that repeat the one before."""
    new = np.append(True, (np.diff(keys) > 0) | (np.diff(values) != 0))
    return keys[new], values[new]


def _all_classes(probs: Floats, y_true: NDArray[np.intp]) -> list[tuple[Floats, Floats]]:
    """Return the isotonic table of every class without sorting its column.

    A block can begin only at the score of a positive (or at the smallest score), and those are few: ranking all scores
    among them gives the counts between them. One pool of adjacent violators serves all classes, whose means are kept
    apart by adding 2 to each further class.
    """
    n_classes = probs.shape[1]
    columns = np.ascontiguousarray(probs.T)
    hits, rows, problem, left, gaps = [], [], [], [], []
    for column in range(n_classes):
        scores = columns[column]
        of_class = np.sort(scores[y_true == column])
        begin = np.flatnonzero(starts_of(of_class))
        keys, positives = of_class[begin], np.diff(begin, append=len(of_class))
        gap = rank(keys, scores * (1 + NOISE), logarithmic=True) if len(keys) else np.zeros(len(scores), np.intp)
        count = np.bincount(gap, minlength=len(keys) + 1)
        # Gap j holds the scores from key j-1 up to key j; gap 0, which may be empty, has no positive.
        skipped = int(count[0] == 0)
        hits.append(np.append(0, positives)[skipped:])
        rows.append(count[skipped:])
        problem.append(np.full(len(keys) + 1 - skipped, column))
        left.append(np.append(scores.min(), keys)[skipped:])
        gaps.append((gap, skipped))
    hit, row, of, start = (np.concatenate(part) for part in (hits, rows, problem, left))
    blocks = isotonic_regression(hit / row + 2.0 * of, weights=row.astype(float)).blocks
    value = np.add.reduceat(hit, blocks[:-1]) / np.add.reduceat(row, blocks[:-1])
    first = np.searchsorted(of, np.arange(n_classes + 1))
    block_of = np.searchsorted(of[blocks[:-1]], np.arange(n_classes + 1))
    tables = []
    for column, (gap, skipped) in enumerate(gaps):
        own = slice(block_of[column], block_of[column + 1])
        # The right end of a block is the greatest score in the gap that closes it.
        closing = blocks[1:][own] - 1 - first[column] + skipped
        # Gaps that close no block share the last place.
        place = np.full(closing[-1] + 1, len(closing))
        place[closing] = np.arange(len(closing))
        inside = np.flatnonzero((place < len(closing)).take(gap, mode="clip"))
        right = np.full(len(closing), -np.inf)
        np.maximum.at(right, place[gap[inside]], columns[column][inside])
        ends = np.stack([start[blocks[:-1][own]], right], axis=1).ravel()
        tables.append((ends, np.repeat(value[own], 2)))
    return tables
