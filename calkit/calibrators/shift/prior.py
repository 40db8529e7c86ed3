"""Prior correction: probabilities for data in which classes are more or less frequent than in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from calkit.calibrators.base import Calibrator, Floats
from calkit.calibrators.description import Description, FittedValue
from calkit.calibrators.formula import Formula, with_bias
from calkit.calibrators.inputs import as_logits, by_pieces, softmax
from calkit.calibrators.parametric.features import shifted_logits, softmax_in_place
from calkit.calibrators.parametric.objective import can_be_kept
from calkit.calibrators.registration import register_calibrator
from calkit.errors import UsageError
from calkit.predictions import Predictions
from calkit.shards import Shards
from calkit.stats import LogitGap, Statistic, summarize
from calkit.stats.rows import Rows

__all__ = ["PriorCorrection"]


# Sums of products of probabilities below this may have lost their digits.
_LEAST_SUM = 1e-200


@register_calibrator("prior")
class PriorCorrection(Calibrator):
    r"""Multiply probabilities by the ratio of the frequencies of the classes, and divide by the sum.

    Parameters
    ----------
    source_prior : array-like of shape (K,), optional
        Frequencies of the classes in training; by default all the same.
    target_prior : array-like of shape (K,), optional
        Frequencies where the classifier is used, if they are known. By default they are estimated from the scores of
        the rows of the fit, whose labels are not looked at.
    tol : float, default=1e-8
        The estimation ends when no frequency changes by more.
    max_iter : int, default=1000

    Attributes
    ----------
    source_prior_, target_prior_ : ndarray of shape (K,)
    n_iter_ : int
        Passes of the estimation.
    converged_ : bool
    classes_ : ndarray of shape (K,)
    n_features_in_ : int

    Notes
    -----
    Where the classes that a row's logits leave possible all have frequency 0, its probabilities stay.

    The estimate is that of maximum likelihood under label shift: classes change in frequency, and each looks as it did.
    It assumes calibrated probabilities; calibrate first, on labelled rows of the source, where they are not. With
    p the probabilities, s the frequencies of training and t those sought, each step is

    .. math:: t_k \leftarrow \frac{1}{n} \sum_i \frac{p_{ik} t_k / s_k}{\sum_j p_{ij} t_j / s_j}

    References
    ----------
    Saerens, Latinne & Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities: a simple
    procedure", Neural Computation 14, 2002.

    Examples
    --------
    A known ratio: the event is nine times as rare where the classifier is used.

    >>> from calkit.calibrators import PriorCorrection
    >>> correction = PriorCorrection(source_prior=[0.5, 0.5], target_prior=[0.9, 0.1])
    >>> correction.fit([[0.0, 0.0]], None).predict_proba([[0.0, 0.0]])
    array([[0.9, 0.1]])
    """

    supports: ClassVar[frozenset[str]] = frozenset({"weights", "shards", "soft"})
    needs_labels: ClassVar[bool] = False
    _state: ClassVar[tuple[str, ...]] = ("source_prior_", "target_prior_", "n_iter_", "converged_")

    source_prior_: NDArray[np.float64]
    target_prior_: NDArray[np.float64]
    n_iter_: int
    converged_: bool

    def __init__(
        self, source_prior: Any = None, target_prior: Any = None, tol: float = 1e-8, max_iter: int = 1000
    ) -> None:
        self.source_prior = source_prior
        self.target_prior = target_prior
        self.tol = tol
        self.max_iter = max_iter

    def _fit(self, data: Predictions | Shards) -> None:
        n_classes = data.n_classes or 0
        self.source_prior_ = _as_prior("source_prior", self.source_prior, n_classes)
        self.n_iter_, self.converged_ = 0, True
        if self.target_prior is not None:
            self.target_prior_ = _as_prior("target_prior", self.target_prior, n_classes)
            summarize(data, [LogitGap()])
        else:
            self._estimate(data)

    def _estimate(self, data: Predictions | Shards) -> None:
        summarize(data, [LogitGap()])
        kept = _Kept.of(data) if can_be_kept(data) else None
        target, self.converged_ = self.source_prior_, False
        while not self.converged_ and self.n_iter_ < self.max_iter:
            statistic = _Shares(tuple(self._log_ratio_of(target).tolist()))
            found = None if kept is None else kept.shares(np.array(statistic.log_ratio))
            if found is None:
                found = summarize(data, [statistic], check=False)[statistic]
            following = found / found.sum()
            self.converged_ = bool(np.abs(following - target).max() <= self.tol)
            target, self.n_iter_ = following, self.n_iter_ + 1
        self.target_prior_ = target

    def _log_ratio_of(self, target: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(target) - np.log(self.source_prior_))

    def _log_proba(self, logits: Floats) -> Floats:
        return np.asarray(log_softmax(self._logits(logits), axis=1))

    def _proba(self, logits: Floats) -> Floats:
        ratio = self._log_ratio_of(self.target_prior_)
        return by_pieces(lambda piece: _softmax(piece, ratio), logits)

    def _logits(self, logits: Floats) -> Floats:
        # Beside large logits a ratio would be lost.
        with np.errstate(over="ignore"):
            shifted = logits - logits.max(axis=1, keepdims=True)
        return _corrected(shifted, self._log_ratio_of(self.target_prior_))

    def formula(self) -> Formula:
        """Return the map as a formula."""
        return Formula(with_bias(np.eye(self.n_features_in_), self._log_ratio_of(self.target_prior_)))

    def describe(self) -> Description:
        """Return the frequencies of the target, where there are few classes."""
        few = self.target_prior_[:5].tolist()
        names = [str(name) for name in self.classes_[:5].tolist()]
        values = tuple(
            FittedValue(f"prior_{name}", value, f"P({name})") for name, value in zip(names, few, strict=True)
        )
        return Description("prior correction", values)


def _softmax(logits: Floats, log_ratio: NDArray[np.float64]) -> Floats:
    p = _corrected(shifted_logits(logits, 1.0, logits.dtype), log_ratio)
    softmax_in_place(p)
    return p


def _corrected(shifted: Floats, log_ratio: NDArray[np.float64]) -> Floats:
    """Add ratios to logits less their largest; rows of which they would leave nothing stay."""
    found = shifted + log_ratio.astype(shifted.dtype)
    if np.isneginf(log_ratio).any():
        nothing = np.isneginf(found).all(axis=1)
        found[nothing] = shifted[nothing]
    return found


def _as_prior(name: str, values: Any, n_classes: int) -> NDArray[np.float64]:
    if values is None:
        return np.full(n_classes, 1 / n_classes)
    try:
        given = [float(v) for v in values.split(",")] if isinstance(values, str) else values
        prior = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{name} must hold {n_classes} numbers, but is {values!r:.60}.") from None
    positive = prior > 0 if name == "source_prior" else prior >= 0
    if prior.shape != (n_classes,) or not np.isfinite(prior).all() or not positive.all() or not prior.sum() > 0:
        raise UsageError(
            f"{name} must hold {n_classes} positive frequencies, one per class, but is {np.array2string(prior)}."
        )
    return np.asarray(prior / prior.sum())


@dataclass(frozen=True, eq=False)
class _Kept:
    """Probabilities of rows in memory, so that a step of the estimation is two products."""

    probs: NDArray[np.float64]
    weight: NDArray[np.float64]

    @classmethod
    def of(cls, data: Predictions | Shards) -> _Kept:
        """Return those of data of kind "logits"."""
        assert isinstance(data, Predictions)  # noqa: S101 - others are not kept
        weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        logits = as_logits(np.asarray(data.scores, dtype=np.float64))
        return cls(np.asarray(softmax(logits), dtype=np.float64), weight)

    def shares(self, log_ratio: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return what :class:`_Shares` adds up; None where the sum of a row is too small to divide by."""
        ratio = np.exp(log_ratio - log_ratio.max())
        total = self.probs @ ratio
        return ratio * ((self.weight / total) @ self.probs) if total.min() > _LEAST_SUM else None


@dataclass(frozen=True)
class _Shares(Statistic[Any]):
    """Statistic: the probabilities of the classes after a correction, added up."""

    log_ratio: tuple[float, ...]
    is_sum: ClassVar[bool] = True
    needs_distribution = True

    def measure(self, rows: Rows) -> NDArray[np.float64]:
        """Return the sums of one block."""
        corrected = log_softmax(rows.scores.astype(np.float64), axis=1) + np.array(self.log_ratio)
        probs = np.exp(log_softmax(corrected, axis=1))
        weight = np.ones(len(probs)) if rows.weight is None else rows.weight
        return np.asarray(weight @ probs)
