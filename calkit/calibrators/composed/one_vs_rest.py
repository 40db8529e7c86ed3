"""One-versus-rest: a binary calibrator for each class, the results divided by their sum."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from calkit.calibrators.base import Calibrator, Floats
from calkit.calibrators.composed.parts import fit_each, log_odds_pair, supported_by, with_binary, with_log_proba
from calkit.calibrators.description import Description, FittedValue
from calkit.calibrators.inputs import as_classes
from calkit.calibrators.registration import register_calibrator
from calkit.predictions import Predictions
from calkit.shards import Shards

__all__ = ["OneVsRest"]


@register_calibrator("one-vs-rest", aliases=("ovr",))
class OneVsRest(Calibrator):
    """Calibrate the probability of each class by itself, then divide by the sum.

    Parameters
    ----------
    calibrator : str or Calibrator, default="beta"
        A binary calibrator, fitted once per class on the log-odds of that class against the rest.

    Attributes
    ----------
    calibrators_ : list of Calibrator
        One per class.
    classes_ : ndarray of shape (K,)
    n_features_in_ : int

    Notes
    -----
    A row in which every class gets probability 0 becomes uniform.

    References
    ----------
    Zadrozny & Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD 2002.

    Examples
    --------
    >>> from calkit.calibrators import OneVsRest
    >>> from calkit.datasets import load_digits_logits
    >>> calibrator = OneVsRest("beta").fit_predictions(load_digits_logits("validation"))
    >>> len(calibrator.calibrators_)
    10
    """

    _state: ClassVar[tuple[str, ...]] = ("calibrators_",)

    calibrators_: list[Calibrator]

    def __init__(self, calibrator: str | Calibrator = "beta") -> None:
        self.calibrator = calibrator

    @property
    def supports(self) -> frozenset[str]:  # type: ignore[override]
        """What the binary calibrator supports; pairs need no one-versus-rest."""
        return supported_by(self.calibrator, "weights", "shards")

    def _fit(self, data: Predictions | Shards) -> None:
        data, normalised = with_log_proba(data)
        names = as_classes(data.class_names, data.n_classes or 0).tolist()
        each = (
            (
                f"class {name}",
                with_binary(data, partial(_against_rest, k=k), partial(_is_class, k=k), normalised=normalised),
            )
            for k, name in enumerate(names)
        )
        title = "binary calibrators (their class 1 is the class itself, 0 the rest)"
        self.calibrators_ = fit_each(self.calibrator, each, title=title)

    def _check_state(self) -> None:
        if len(self.calibrators_) != self.n_features_in_:
            raise ValueError(f"it holds {len(self.calibrators_)} calibrators for {self.n_features_in_} classes")

    def _log_proba(self, logits: Floats) -> Floats:
        log_proba = log_softmax(logits, axis=1)
        found = np.empty_like(log_proba)
        for k, calibrator in enumerate(self.calibrators_):
            found[:, k] = calibrator._log_proba(_against_rest(log_proba, k))[:, 1]
        total = logsumexp(found, axis=1, keepdims=True)
        uniform = found.dtype.type(-np.log(found.shape[1]))
        with np.errstate(invalid="ignore"):
            return np.where(np.isneginf(total), uniform, found - total)

    def describe(self) -> Description:
        """Return the number of binary calibrators, and their kind."""
        inner = self.calibrators_[0].describe().title
        return Description(f"{inner}, one versus rest", (FittedValue("n_calibrators", len(self.calibrators_)),))


def _against_rest(log_proba: Floats, k: int) -> Floats:
    return log_odds_pair(log_proba, np.full(len(log_proba), k))


def _is_class(predictions: Predictions, k: int) -> NDArray[Any]:
    return np.asarray(predictions.y_true) == k
