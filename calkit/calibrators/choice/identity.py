"""The calibrator that changes nothing."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import log_softmax

from calkit.calibrators.base import Calibrator, Floats
from calkit.calibrators.description import Description
from calkit.calibrators.formula import Formula, with_bias
from calkit.calibrators.inputs import softmax
from calkit.calibrators.registration import register_calibrator

__all__ = ["Identity"]


@register_calibrator("identity")
class Identity(Calibrator):
    """Leave probabilities as they are: what other calibrators are compared with.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
    n_features_in_ : int

    Examples
    --------
    >>> from calkit.calibrators import Identity
    >>> Identity().fit([[0.0, 1.0], [2.0, 0.0]], [1, 0]).predict_proba([[0.0, 0.0]])
    array([[0.5, 0.5]])
    """

    supports: ClassVar[frozenset[str]] = frozenset({"weights", "shards", "pairs", "soft"})
    keeps_order: ClassVar[bool] = True

    def _fit(self, data: Any) -> None:
        """Learn nothing; the scores are checked all the same."""
        from calkit.stats import RowMean, summarize

        summarize(data, [RowMean("correct")])

    def _log_proba(self, logits: Floats) -> Floats:
        return np.asarray(log_softmax(logits, axis=1))

    def _proba(self, logits: Floats) -> Floats:
        return softmax(logits)

    def _logits(self, logits: Floats) -> Floats:
        return logits

    def formula(self) -> Formula:
        """Return the map as a formula."""
        return Formula(with_bias(np.eye(self.n_features_in_)), inverse_temperature=1.0)

    def describe(self) -> Description:
        """Return its name, and that it equals a temperature of 1."""
        return Description("no calibration", temperature=1.0)
