"""What composed calibrators share: the inner calibrator by its spec, and binary forecasts cut from all classes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.base import clone

from calkit.calibrators.base import Calibrator, Floats
from calkit.calibrators.inputs import as_logits
from calkit.calibrators.registration import get_calibrator
from calkit.errors import UsageError
from calkit.labels import TrueColumns
from calkit.lazy import Converted
from calkit.predictions import Predictions
from calkit.shards import Shards

__all__ = ["log_odds_pair", "new_calibrator", "supported_by", "with_binary"]


def new_calibrator(calibrator: str | Calibrator) -> Calibrator:
    """Return a calibrator, not yet fitted, by its spec, or a copy of one.

    Raises
    ------
    UsageError
        If it is neither a spec nor a calibrator.
    """
    if isinstance(calibrator, str):
        return get_calibrator(calibrator)
    if not isinstance(calibrator, Calibrator):
        raise UsageError(
            f"calibrator must be a spec such as 'temperature', or a calibrator, but is a {type(calibrator).__name__}."
        )
    return clone(calibrator)


def supported_by(calibrator: str | Calibrator, *features: str) -> frozenset[str]:
    """Return which of some features a calibrator supports."""
    return frozenset(features) & new_calibrator(calibrator).supports


def log_odds_pair(log_proba: Floats) -> Floats:
    """Return the logarithms of 1 - p and p as two columns, for the logarithms of some probabilities p.

    Parameters
    ----------
    log_proba : ndarray of shape (b,)
        At most 0.

    Returns
    -------
    ndarray of shape (b, 2)
    """
    with np.errstate(divide="ignore"):
        rest = np.where(log_proba > -np.log(2), np.log(-np.expm1(log_proba)), np.log1p(-np.exp(log_proba)))
    return np.stack([rest.astype(log_proba.dtype), log_proba], axis=1)


def with_binary(
    data: Predictions | Shards,
    convert: Callable[[Floats], Floats],
    happened: Callable[[Predictions], NDArray[np.bool_]],
) -> Predictions | Shards:
    """Return data of kind "logits" as forecasts of one event.

    Parameters
    ----------
    data : Predictions or Shards
    convert : callable
        Turns log-probabilities (b, K) into logits (b, 2) of the event's two outcomes. Shards need one that can be
        pickled.
    happened : callable
        Returns for each row whether the event happened.
    """
    if isinstance(data, Shards):
        return data.map(partial(with_binary, convert=convert, happened=happened))  # type: ignore[arg-type]
    scores = Converted(data.scores, partial(_converted, convert=convert), (data.n_samples, 2), np.float64)
    return data.replace(scores=scores, y_true=TrueColumns(happened(data).astype(np.intp)), class_names=None)


def _converted(rows: Any, convert: Callable[[Floats], Floats]) -> Floats:
    return convert(log_softmax(as_logits(np.asarray(rows, dtype=np.float64)), axis=1))
