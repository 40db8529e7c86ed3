"""select_calibrator: a table of candidates with intervals, and the best of them, if any is worth it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from calkit.calibrators.base import Calibrator, Floats
from calkit.calibrators.choice.folds import row_hashes, stratified_folds
from calkit.calibrators.choice.pool import Gain, gain_of
from calkit.calibrators.choice.sample import floored, in_memory
from calkit.calibrators.registration import CALIBRATORS, get_calibrator
from calkit.errors import CalibrationWarning, InputError, UsageError
from calkit.labels import TrueColumns
from calkit.predictions import Predictions, not_predictions
from calkit.specs import parse_spec

__all__ = ["DEFAULT_CANDIDATES", "CandidateScore", "Selection", "select_calibrator"]

#: What is compared by default; those of two classes only where there are two.
DEFAULT_CANDIDATES = (
    "temperature",
    "adaptive-temperature",
    "svs",
    "sms",
    "beta",
    "quadratic",
    "ets",
    "auto",
)


@dataclass(frozen=True)
class CandidateScore:
    """How a candidate does on held-out rows.

    Attributes
    ----------
    name : str
        Its spec.
    log_loss : float
        Mean over the rows, in nats.
    gain : float
        Log-loss without calibration less that.
    error : float
        Standard error of the gain.
    low, high : float
        Limits of the interval of the gain.
    """

    name: str
    log_loss: float
    gain: float
    error: float
    low: float
    high: float


@dataclass(frozen=True)
class Selection:
    """What :func:`select_calibrator` returns.

    Attributes
    ----------
    calibrator : Calibrator
        The chosen one, fitted on all rows.
    name : str
        Its spec; ``"identity"`` if no candidate is worth it.
    table : tuple of CandidateScore
        All candidates, the least log-loss first.
    confidence_level : float
        Of the intervals.
    """

    calibrator: Calibrator
    name: str
    table: tuple[CandidateScore, ...]
    confidence_level: float

    def __str__(self) -> str:
        width = max(len(row.name) for row in self.table)
        head = f"{'':2}{'calibrator':{width}}  log-loss    gain  {self.confidence_level * 100:g} % interval"
        lines = [
            f"{'*' if row.name == self.name else ' ':2}{row.name:{width}}  {row.log_loss:8.4f} {row.gain:+8.4f}  "
            f"[{row.low:+.4f}, {row.high:+.4f}]"
            for row in self.table
        ]
        return "\n".join([head, *lines])


def select_calibrator(
    predictions: Predictions,
    candidates: Iterable[str] | None = None,
    *,
    cv: int = 5,
    guard: float = 0.75,
    confidence_level: float = 0.95,
) -> Selection:
    """Compare calibrators by cross-validation, and fit the best one.

    Parameters
    ----------
    predictions : Predictions
        Of kind "logits" or "probs", with labels.
    candidates : iterable of str, optional
        Specs; by default :data:`DEFAULT_CANDIDATES`, as far as they serve the number of classes.
    cv : int, default=5
        Folds, at least 2.
    guard : float, default=0.75
        The best one is chosen if its gain exceeds this number of standard errors; else nothing is done.
    confidence_level : float, default=0.95

    Returns
    -------
    Selection

    Raises
    ------
    UsageError
        If a candidate is unknown, or a number is out of range.
    InputError
        If there are fewer rows than folds, or predictions are pairs.

    Examples
    --------
    >>> from calkit.calibrators import select_calibrator
    >>> from calkit.datasets import load_digits_logits
    >>> selection = select_calibrator(load_digits_logits("validation"), ["temperature", "svs"])
    >>> [row.name for row in selection.table][-1]
    'identity'
    """
    if not isinstance(predictions, Predictions):
        raise not_predictions(predictions)
    if not cv >= 2 or not guard >= 0 or not 0 < confidence_level < 1:
        raise UsageError("cv must be at least 2, guard at least 0, and confidence_level between 0 and 1.")
    predictions.require_labels()
    data = predictions.logits()
    rows = _HeldOut(data, cv)
    names = [name for name in _named(candidates, data.n_classes or 0) if name != "identity"]
    deviations = NormalDist().inv_cdf(0.5 + confidence_level / 2)
    before = rows.log_proba("identity")
    table = [_score("identity", before, Gain(0.0, 0.0), rows, deviations)]
    for name in names:
        after = rows.log_proba(name)
        table.append(_score(name, after, gain_of(before, after, rows.y, rows.weight), rows, deviations))
    table.sort(key=lambda row: row.log_loss)
    best = table[0]
    name = best.name if best.gain > guard * best.error else "identity"
    return Selection(get_calibrator(name).fit_predictions(data), name, tuple(table), confidence_level)


def _named(candidates: Iterable[str] | None, n_classes: int) -> list[str]:
    names = list(DEFAULT_CANDIDATES if candidates is None else candidates)
    found = {name: CALIBRATORS[parse_spec(name).name] for name in names}
    if candidates is None:
        names = [name for name in names if n_classes == 2 or not found[name].binary_only]
    if not names:
        raise UsageError("candidates is empty: name at least one calibrator.")
    return names


def _score(name: str, log_proba: Floats, gain: Gain, rows: _HeldOut, deviations: float) -> CandidateScore:
    losses = -log_proba[np.arange(len(rows.y)), rows.y]
    loss = float(losses @ rows.weight / rows.weight.sum())
    reach = deviations * gain.error
    return CandidateScore(name, loss, gain.mean, gain.error, gain.mean - reach, gain.mean + reach)


class _HeldOut:
    """Rows in folds that depend on the rows alone."""

    def __init__(self, data: Predictions, cv: int) -> None:
        if data.sample_weight is not None:
            data = data.take(data.sample_weight > 0)
        scores, self.y = in_memory(data)
        self.weight = np.ones(len(self.y)) if data.sample_weight is None else data.sample_weight
        self.folds = stratified_folds(row_hashes(scores), self.y, cv)
        self._rows = data.replace(
            scores=scores.astype(np.float64, copy=False), y_true=TrueColumns(self.y), class_names=None
        )
        if len(np.unique(self.folds)) < cv:
            raise InputError(f"there are fewer different rows than the {cv} folds; take fewer folds, or more rows.")

    def log_proba(self, name: str) -> Floats:
        """Return log-probabilities of all rows by a calibrator fitted on other folds."""
        found = np.empty(self._rows.scores.shape)
        for fold in np.unique(self.folds).tolist():
            rest, own = self.folds != fold, self.folds == fold
            calibrator = get_calibrator(name)
            with warnings.catch_warnings():
                # The last fit, to all rows, warns where there is cause.
                warnings.simplefilter("ignore", CalibrationWarning)
                calibrator.fit_predictions(self._rows.take(rest))
            found[own] = floored(np.asarray(calibrator.apply(self._rows.take(own), kind="logits").scores))
        return found
