"""Top-label histogram binning: the confidence in each predicted class has a histogram of its own."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.base import ProbabilityCalibrator
from calkit.calibrators.binning.histogram import equal_mass_edges, histogram_table
from calkit.calibrators.binning.lookup import Tables
from calkit.calibrators.binning.rows import gather, group_scores
from calkit.calibrators.description import Description, FittedValue
from calkit.calibrators.inputs import softmax
from calkit.calibrators.registration import register_calibrator
from calkit.errors import InputError
from calkit.predictions import Predictions
from calkit.shards import Shards

__all__ = ["TopLabelHistogram"]

Floats = NDArray[np.float64]


@register_calibrator("top-label-histogram")
class TopLabelHistogram(ProbabilityCalibrator):
    """Histogram binning of the confidence, one histogram for each predicted class.

    What it gives is calibrated for "among the rows where the classifier says *cat* with 0.9", not only "among the rows
    where it says something with 0.9". The other classes of a row share what is left in the proportions they had, so the
    largest probability may end at another class where the calibrated confidence is small.

    Parameters
    ----------
    rows_per_bin : int, default=50
        Rows a bin should hold; a class predicted n times has ``max(1, n // rows_per_bin)`` bins of equal mass.
    smoothing : float, default=1.0
        Rows of the uniform law that are added to each class: keeps probabilities of 0 and 1 out. 0 for none.

    Attributes
    ----------
    keys_, values_ : ndarray of float64
        Upper ends of the bins, and the accuracy in each, of all classes one after the other.
    splits_ : ndarray of intp, shape (K + 1,)
        Where each class begins and ends; a class that was never predicted keeps its confidence.
    classes_ : ndarray of shape (K,)
    n_features_in_ : int

    References
    ----------
    Gupta & Ramdas, "Top-label calibration and multiclass-to-binary reductions", ICLR 2022.

    Examples
    --------
    >>> from calkit import ece
    >>> from calkit.calibrators import get_calibrator
    >>> from calkit.datasets import load_digits_logits
    >>> validation, test = load_digits_logits("validation"), load_digits_logits("test")
    >>> calibrator = get_calibrator("top-label-histogram").fit(validation.scores, validation.y_true)
    >>> ece(test.y_true, calibrator.predict_proba(test.scores)) < 0.06
    True
    """

    supports: ClassVar[frozenset[str]] = frozenset({"weights", "shards", "pairs", "soft"})
    _state: ClassVar[tuple[str, ...]] = ("keys_", "values_", "splits_")

    keys_: Floats
    values_: Floats
    splits_: Any

    def __init__(self, rows_per_bin: int = 50, smoothing: float = 1.0) -> None:
        self.rows_per_bin = rows_per_bin
        self.smoothing = smoothing

    def _fit(self, data: Predictions | Shards) -> None:
        if isinstance(self.rows_per_bin, bool) or not self.rows_per_bin >= 1:
            raise InputError(f"rows_per_bin must be at least 1, but is {self.rows_per_bin!r}.")
        if not 0 <= self.smoothing < np.inf:
            raise InputError(f"smoothing must be finite and not negative, but is {self.smoothing!r}.")
        rows = gather(data)
        predicted = rows.probs.argmax(axis=1)
        confidence = rows.probs.max(axis=1)
        votes = rows.votes
        right = (rows.y_true == predicted) if votes is None else votes[np.arange(len(predicted)), predicted]
        tables = []
        for column in range(rows.n_classes):
            own = predicted == column
            weight = None if rows.weight is None else rows.weight[own]
            groups = group_scores(confidence[own], right[own].astype(np.float64), weight)
            if not len(groups):
                tables.append((np.empty(0), np.empty(0)))
                continue
            n_bins = max(1, int(groups.total_weight // self.rows_per_bin))
            upper, value = histogram_table(groups, equal_mass_edges(groups, n_bins), "midpoint")
            n = groups.total_weight
            tables.append((upper, (n * value + self.smoothing / rows.n_classes) / (n + self.smoothing)))
        found = Tables.of(tables, is_step=True)
        self.keys_, self.values_, self.splits_ = found.keys, found.values, found.splits

    def _proba(self, logits: Any) -> Any:
        probs = softmax(logits.astype(np.float64, copy=False))
        every = np.arange(len(probs))
        predicted = probs.argmax(axis=1)
        confidence = probs[every, predicted]
        tables = Tables(self.keys_, self.values_, self.splits_, is_step=True)
        order = np.argsort(predicted, kind="stable")
        cuts = np.searchsorted(predicted[order], np.arange(probs.shape[1] + 1))
        found = np.empty(len(probs))
        for column in np.flatnonzero(np.diff(cuts)).tolist():
            own = order[cuts[column] : cuts[column + 1]]
            found[own] = tables.look_up(column, confidence[own])
        probs[every, predicted] = 0.0
        rest = probs.sum(axis=1)
        # Where nothing is left to share in proportion, the other possible classes share alike; if there are none, the
        # predicted class is certain.
        alone = np.flatnonzero(rest == 0)
        if len(alone):
            probs[alone] = ~np.isneginf(logits[alone])
            probs[alone, predicted[alone]] = 0.0
            rest[alone] = probs[alone].sum(axis=1)
            found[rest == 0] = 1.0
        probs *= ((1 - found) / np.where(rest > 0, rest, 1))[:, None]
        probs[every, predicted] = found
        return probs.astype(logits.dtype, copy=False)

    def _check_state(self) -> None:
        splits, values = np.asarray(self.splits_), self.values_
        if len(splits) != len(self.classes_) + 1 or splits[-1] != len(self.keys_) or len(values) != len(self.keys_):
            raise ValueError("its tables do not fit its classes")
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError("its tables are impossible")

    def describe(self) -> Description:
        """Return the number of bins of all classes."""
        value = FittedValue("n_values", len(self.values_), "bins")
        return Description("top-label histogram binning", (value,))
