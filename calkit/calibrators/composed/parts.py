"""What composed calibrators share: the inner calibrator by its spec, and binary forecasts cut from all classes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp
from sklearn.base import clone

from calkit.calibrators.base import Calibrator, Floats
from calkit.calibrators.inputs import as_logits
from calkit.calibrators.registration import get_calibrator
from calkit.errors import CalibrationWarning, UsageError
from calkit.labels import TrueColumns
from calkit.lazy import Converted
from calkit.predictions import Predictions
from calkit.shards import Shards

__all__ = ["fit_each", "log_odds_pair", "new_calibrator", "supported_by", "with_binary", "with_log_proba"]

_NUMBER = re.compile(r"[-+]?\d[\d.]*(e[-+]?\d+)?")


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


def fit_each(
    calibrator: str | Calibrator, data: Iterable[tuple[Any, Predictions | Shards]], *, title: str
) -> list[Calibrator]:
    """Fit a calibrator to several data; what more than one warns of is said once, with the number of those that do.

    Parameters
    ----------
    calibrator : str or Calibrator
    data : iterable of (object, Predictions or Shards)
        Each with what it is of: a class, say.
    title : str
        What the calibrators are called: ``"binary calibrators"``.
    """
    found, said = [], dict[tuple[type[Warning], str], tuple[Any, str, int]]()
    for of, own in data:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", CalibrationWarning)
            found.append(new_calibrator(calibrator).fit_predictions(own))
        for warning in caught:
            # Warnings that differ by their numbers are the same.
            key = warning.category, _NUMBER.sub("0", str(warning.message))
            first, message, n = said.get(key, (of, str(warning.message), 0))
            said[key] = first, message, n + 1
    for (category, _), (first, message, n) in said.items():
        warnings.warn(f"{n} of {len(found)} {title}, the first that of {first}: {message}", category, stacklevel=5)
    return found


def supported_by(calibrator: str | Calibrator, *features: str) -> frozenset[str]:
    """Return which of some features a calibrator supports."""
    return frozenset(features) & new_calibrator(calibrator).supports


def log_odds_pair(log_proba: Floats, columns: NDArray[np.intp]) -> Floats:
    """Return the logarithms of 1 - p and p as two columns, p being the probability of one class in each row.

    Where p is above 1/2, 1 - p is the sum of the others: it keeps its digits where p is 1 but for rounding.

    Parameters
    ----------
    log_proba : ndarray of shape (b, K)
        Normalised.
    columns : ndarray of intp, shape (b,)
        The class of each row.

    Returns
    -------
    ndarray of shape (b, 2)
    """
    rows = np.arange(len(log_proba))
    pair = np.empty((len(log_proba), 2), log_proba.dtype)
    own = pair[:, 1] = log_proba[rows, columns]
    likely = np.flatnonzero(own > -np.log(2))
    others = log_proba[likely]
    others[np.arange(len(likely)), columns[likely]] = -np.inf
    pair[:, 0] = np.log1p(-np.exp(np.minimum(own, -np.log(2))))
    pair[likely, 0] = logsumexp(others, axis=1) if len(likely) else 0
    return pair


def with_log_proba(data: Predictions | Shards) -> tuple[Predictions | Shards, bool]:
    """Return data with its logits normalised, where they are in memory, and whether they were."""
    if not isinstance(data, Predictions) or type(data.scores) is not np.ndarray:
        return data, False
    return data.replace(scores=_log_proba(data.scores)), True


def with_binary(
    data: Predictions | Shards,
    convert: Callable[[Floats], Floats],
    happened: Callable[[Predictions], NDArray[np.bool_]],
    *,
    normalised: bool = False,
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
    normalised : bool, default=False
        Whether the logits are log-probabilities in memory, of :func:`with_log_proba`.
    """
    if isinstance(data, Shards):
        return data.map(partial(with_binary, convert=convert, happened=happened))  # type: ignore[arg-type]
    scores: Any = (
        convert(data.scores)
        if normalised
        else Converted(data.scores, partial(_converted, convert=convert), (data.n_samples, 2), np.float64)
    )
    return data.replace(scores=scores, y_true=TrueColumns(happened(data).astype(np.intp)), class_names=None)


def _converted(rows: Any, convert: Callable[[Floats], Floats]) -> Floats:
    return convert(_log_proba(rows))


def _log_proba(rows: Any) -> Floats:
    return np.asarray(log_softmax(as_logits(np.asarray(rows, dtype=np.float64)), axis=1))
