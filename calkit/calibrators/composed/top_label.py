"""Top label: the confidence in the predicted class is calibrated, the other classes share the rest as before."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from calkit.calibrators.base import Calibrator, Floats
from calkit.calibrators.composed.parts import log_odds_pair, new_calibrator, supported_by, with_binary
from calkit.calibrators.description import Description
from calkit.calibrators.registration import register_calibrator
from calkit.predictions import Predictions
from calkit.shards import Shards

__all__ = ["TopLabel"]


@register_calibrator("top-label")
class TopLabel(Calibrator):
    """Calibrate the confidence in the predicted class; the others keep their proportions.

    Parameters
    ----------
    calibrator : str or Calibrator, default="beta"
        A binary calibrator, fitted on the confidence and whether the prediction was right.

    Attributes
    ----------
    calibrator_ : Calibrator
        The fitted one, of two classes: wrong and right.
    classes_ : ndarray of shape (K,)
    n_features_in_ : int

    Notes
    -----
    ECE and all that judges confidence alone sees a binary problem, whose calibration needs fewer rows than that of K
    classes. A calibrated confidence may be less than the probability of another class; then the prediction changes.

    References
    ----------
    Gupta & Ramdas, "Top-label calibration and multiclass-to-binary reductions", ICLR 2022.

    Examples
    --------
    >>> from calkit import ece
    >>> from calkit.calibrators import TopLabel
    >>> from calkit.datasets import load_digits_logits
    >>> calibrator = TopLabel("beta").fit_predictions(load_digits_logits("validation"))
    >>> test = load_digits_logits("test")
    >>> ece(test.y_true, calibrator.predict_proba(test.scores)) < ece(test.y_true, test.scores, from_logits=True)
    True
    """

    _state: ClassVar[tuple[str, ...]] = ("calibrator_",)

    calibrator_: Calibrator

    def __init__(self, calibrator: str | Calibrator = "beta") -> None:
        self.calibrator = calibrator

    @property
    def supports(self) -> frozenset[str]:  # type: ignore[override]
        """What the binary calibrator supports; pairs are for that one itself."""
        return supported_by(self.calibrator, "weights", "shards")

    def _fit(self, data: Predictions | Shards) -> None:
        self.calibrator_ = new_calibrator(self.calibrator).fit_predictions(with_binary(data, _confidence, _is_right))

    def _log_proba(self, logits: Floats) -> Floats:
        log_proba = log_softmax(logits, axis=1)
        rows, top = np.arange(len(logits)), log_proba.argmax(axis=1)
        calibrated = self.calibrator_._log_proba(log_odds_pair(log_proba, top))
        others = log_proba.copy()
        others[rows, top] = -np.inf
        with np.errstate(invalid="ignore"):
            total = logsumexp(others, axis=1, keepdims=True)
            # Where nothing was left for the others, what is given back is shared equally.
            alike = others.dtype.type(-np.log(max(1, logits.shape[1] - 1)))
            equal = np.where(np.isneginf(total), alike, others - total)
            found = equal + calibrated[:, :1]
        found[rows, top] = calibrated[:, 1]
        return np.asarray(found, dtype=logits.dtype)

    def describe(self) -> Description:
        """Return what the binary calibrator says."""
        inner = self.calibrator_.describe()
        return Description(f"{inner.title} of the top label", inner.values, inner.curves, equation=inner.equation)


def _confidence(log_proba: Floats) -> Floats:
    return log_odds_pair(log_proba, log_proba.argmax(axis=1))


def _is_right(predictions: Predictions) -> NDArray[Any]:
    found = [block.scores.argmax(axis=1) for block in predictions.replace(sample_weight=None).blocks()]
    return np.concatenate(found) == np.asarray(predictions.y_true)
