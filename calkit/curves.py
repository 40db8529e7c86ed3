"""Curves of predictions as numbers: what the metrics of that name sum up, and the plots draw.

Each curve is made of pairs (probability, outcome), which add up over any split of the rows: ``from_pairs`` takes the
summary of a :class:`~calkit.stats.Pairs`, the functions take ``(y_true, y_proba)`` or predictions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, ParamSpec, Self, TypeVar, Unpack

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError
from calkit.estimators.corp import Decomposition, corp_decomposition, isotonic_curve
from calkit.estimators.cumulative import curve, null_sd
from calkit.estimators.ranked import Ranked
from calkit.estimators.selection import aurc_of, risk_coverage
from calkit.inference.whole import ranked_pairs
from calkit.metrics.base import as_predictions
from calkit.metrics.pos_label import with_event
from calkit.metrics.shared import SharedArguments, documented
from calkit.predictions import Predictions
from calkit.stats import ConfidencePairs, Pairs, View, default_view, get_view, summarize
from calkit.tabular import Tabular

__all__ = [
    "CorpCurve",
    "CumulativeCurve",
    "HighConfidenceCurve",
    "RiskCoverageCurve",
    "corp_curve",
    "cumulative_curve",
    "high_confidence_curve",
    "one_view",
    "risk_coverage_curve",
    "taken_predictions",
]

P = ParamSpec("P")
C = TypeVar("C")
FloatArray = NDArray[np.float64]


def taken_predictions(y_true: Any, y_proba: Any, **arguments: Any) -> Predictions:
    """Return predictions of the first two arguments: arrays, or a Predictions and nothing.

    Raises
    ------
    InputError
        If both are given, or the arrays do not fit each other, hold impossible values or are empty.
    """
    if not isinstance(y_true, Predictions):
        return as_predictions(y_true, y_proba, **arguments)
    if y_proba is not None:
        raise InputError("y_proba must be left out when the first argument is a Predictions.")
    return y_true


def one_view(predictions: Predictions, target: str | View | None) -> View:
    """Return the forecasts to show: of one event a row.

    Raises
    ------
    InputError
        If the target is several events: then each has a diagram of its own.
    """
    view = (default_view(predictions) if target is None else get_view(target)).bind(predictions)
    if view.keyed:
        raise InputError(
            f"target={view.spec!r} is several events, which have a diagram each: ReliabilityDisplay.each(predictions, "
            f"target={view.spec!r}); or name one class: target='positive:class=NAME'."
        )
    return view


@dataclass(frozen=True, eq=False)
class _Curve(Tabular):
    """A curve over the forecasts in the order of their probabilities."""

    @classmethod
    def from_pairs(cls, pairs: ConfidencePairs) -> Self:
        """Return the curve of a summary of all forecasts.

        Parameters
        ----------
        pairs : ConfidencePairs
            From :class:`~calkit.stats.Pairs`; those of parts of the rows are added with ``+``.
        """
        return cls._of(ranked_pairs(pairs))

    @classmethod
    def _of(cls, forecasts: Ranked, /) -> Self:
        raise NotImplementedError

    def columns(self) -> dict[str, FloatArray]:
        """Return the points as columns."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.metadata.get("column", True)}


# Of a field that is not a column of the points.
_SINGLE = {"column": False}


@dataclass(frozen=True, eq=False)
class RiskCoverageCurve(_Curve):
    """Error among the most confident forecasts, by how many of them are kept.

    Attributes
    ----------
    threshold : ndarray of shape (m,)
        Probabilities that occur, falling; forecasts of equal probability are kept together.
    coverage : ndarray of shape (m,)
        Share of the (weighted) forecasts of at least that probability, in (0, 1].
    risk : ndarray of shape (m,)
        Share of those whose event did not come, in [0, 1].
    aurc : float
        Area under the curve, as :func:`~calkit.metrics.aurc` has it: over every forecast, ties in any order.
    """

    threshold: FloatArray
    coverage: FloatArray
    risk: FloatArray
    aurc: float = field(metadata=_SINGLE)

    @property
    def accuracy(self) -> FloatArray:
        """Share of those whose event came, in [0, 1]."""
        return 1 - self.risk

    @classmethod
    def _of(cls, forecasts: Ranked) -> Self:
        return cls(forecasts.probability[::-1], *risk_coverage(forecasts), aurc_of(forecasts))


@dataclass(frozen=True, eq=False)
class HighConfidenceCurve(_Curve):
    """S99 for every threshold: how many forecasts are at least that probable, and how many of them come true.

    Attributes
    ----------
    threshold : ndarray of shape (m,)
        Probabilities that occur, falling.
    share : ndarray of shape (m,)
        Share of the (weighted) forecasts of at least that probability, in (0, 1].
    accuracy : ndarray of shape (m,)
        Share of those that came true, in [0, 1].
    """

    threshold: FloatArray
    share: FloatArray
    accuracy: FloatArray

    @property
    def coverage(self) -> FloatArray:
        """The share, as curves of risk against coverage call it."""
        return self.share

    @classmethod
    def _of(cls, forecasts: Ranked) -> Self:
        share, risk = risk_coverage(forecasts)
        return cls(forecasts.probability[::-1], share, 1 - risk)


@dataclass(frozen=True, eq=False)
class CumulativeCurve(_Curve):
    """S(q): the mean over all forecasts of outcome minus probability where the probability is at most q.

    It steps at each probability that occurs, from 0. Where it rises, the probabilities are too low; its slope over the
    share of forecasts is the gap. No bins, no bandwidth.

    Attributes
    ----------
    probability : ndarray of shape (m,)
        Probabilities q that occur, rising.
    share : ndarray of shape (m,)
        Share of the (weighted) forecasts of at most that probability.
    value : ndarray of shape (m,)
        S(q).
    sd : float
        Standard deviation of S(1) if the outcomes are drawn from the probabilities: the scale of noise.
    ks, kuiper : float
        Largest absolute value of S, and largest minus smallest S, as the metrics of that name.
    """

    probability: FloatArray
    share: FloatArray
    value: FloatArray
    sd: float = field(metadata=_SINGLE)

    @classmethod
    def _of(cls, forecasts: Ranked) -> Self:
        share = np.cumsum(forecasts.weight) / forecasts.total
        return cls(forecasts.probability, share, curve(forecasts), null_sd(forecasts))

    @property
    def ks(self) -> float:
        """Largest absolute value."""
        return float(np.abs(self.value).max())

    @property
    def kuiper(self) -> float:
        """Largest less smallest value, 0 before the first probability."""
        return float(max(self.value.max(), 0.0) - min(self.value.min(), 0.0))


@dataclass(frozen=True, eq=False)
class CorpCurve(_Curve):
    """CORP reliability curve: the rising function of the probability that is nearest to the outcomes.

    Attributes
    ----------
    probability : ndarray of shape (m,)
        Probabilities that occur, rising.
    weight : ndarray of shape (m,)
        Sum of the weights of the forecasts that have them.
    recalibrated : ndarray of shape (m,)
        Isotonic estimate of how often the event comes, in [0, 1].
    decomposition : Decomposition
        Score, miscalibration, discrimination and uncertainty of the Brier score.
    """

    probability: FloatArray
    weight: FloatArray
    recalibrated: FloatArray
    decomposition: Decomposition = field(metadata=_SINGLE)

    @classmethod
    def _of(cls, forecasts: Ranked) -> Self:
        found = corp_decomposition(forecasts)
        return cls(forecasts.probability, forecasts.weight, isotonic_curve(forecasts), found)


def _curve_of(kind: type[Any], y_true: Any, y_proba: Any, arguments: dict[str, Any]) -> Any:
    if "by" in arguments:
        raise TypeError("curves take no groups; take the rows of each group: predictions.take(rows)")
    y_true, arguments = with_event(y_true, y_proba, arguments)
    target = arguments.pop("target", None)
    if isinstance(y_true, Predictions) and arguments:
        raise InputError(f"{' and '.join(arguments)}: predictions hold it already; leave it out.")
    predictions = taken_predictions(y_true, y_proba, target=target, **arguments)
    statistic = Pairs(one_view(predictions, target))
    return kind.from_pairs(summarize(predictions, [statistic])[statistic])


def _documented(function: Callable[P, C]) -> Callable[P, C]:
    documented(function, function, without=("by",))
    return function


@_documented
def risk_coverage_curve(y_true: Any, y_proba: Any = None, **shared: Unpack[SharedArguments]) -> RiskCoverageCurve:
    """Return the error among the most confident forecasts, by how many are kept (selective prediction).

    Instead of the arrays, `y_true` may be a :class:`~calkit.Predictions`.

    Returns
    -------
    RiskCoverageCurve

    References
    ----------
    El-Yaniv & Wiener, "On the foundations of noise-free selective classification", JMLR 11, 2010.

    Examples
    --------
    >>> from calkit.curves import risk_coverage_curve
    >>> found = risk_coverage_curve([0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> found.coverage.round(3).tolist(), found.risk.round(3).tolist()
    ([0.333, 0.667, 1.0], [0.0, 0.0, 0.333])
    """
    found: RiskCoverageCurve = _curve_of(RiskCoverageCurve, y_true, y_proba, {**shared})
    return found


@_documented
def high_confidence_curve(y_true: Any, y_proba: Any = None, **shared: Unpack[SharedArguments]) -> HighConfidenceCurve:
    """Return S99 for every threshold: share and accuracy of the forecasts of at least each probability.

    Instead of the arrays, `y_true` may be a :class:`~calkit.Predictions`. At one threshold, :func:`~calkit.metrics.s99`
    and :func:`~calkit.metrics.s99_accuracy` with ``threshold=`` come with intervals.

    Returns
    -------
    HighConfidenceCurve

    Examples
    --------
    >>> from calkit.curves import high_confidence_curve
    >>> found = high_confidence_curve([0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> found.share.round(3).tolist(), found.accuracy.round(3).tolist()
    ([0.333, 0.667, 1.0], [1.0, 1.0, 0.667])
    """
    found: HighConfidenceCurve = _curve_of(HighConfidenceCurve, y_true, y_proba, {**shared})
    return found


@_documented
def cumulative_curve(y_true: Any, y_proba: Any = None, **shared: Unpack[SharedArguments]) -> CumulativeCurve:
    """Return the curve S(q) of summed residuals, of which :func:`~calkit.metrics.ks` is the largest absolute value.

    Instead of the arrays, `y_true` may be a :class:`~calkit.Predictions`.

    Returns
    -------
    CumulativeCurve

    References
    ----------
    Arrieta-Ibarra, Gujral, Tannen, Tygert & Xu, "Metrics of calibration for probabilistic predictions", JMLR 2022.

    Examples
    --------
    >>> from calkit.curves import cumulative_curve
    >>> found = cumulative_curve([1, 0], [0.2, 0.6])
    >>> found.value.round(12).tolist(), round(found.ks, 12)
    ([0.4, 0.1], 0.4)
    """
    found: CumulativeCurve = _curve_of(CumulativeCurve, y_true, y_proba, {**shared})
    return found


@_documented
def corp_curve(y_true: Any, y_proba: Any = None, **shared: Unpack[SharedArguments]) -> CorpCurve:
    """Return the CORP reliability curve: isotonic estimates of how often the event comes.

    Instead of the arrays, `y_true` may be a :class:`~calkit.Predictions`.

    Returns
    -------
    CorpCurve

    References
    ----------
    Dimitriadis, Gneiting & Jordan, "Stable reliability diagrams for probabilistic classifiers", PNAS 2021.

    Examples
    --------
    >>> from calkit.curves import corp_curve
    >>> found = corp_curve([1, 0, 1], [0.1, 0.2, 0.8])
    >>> found.recalibrated.tolist(), round(found.decomposition.miscalibration, 12)
    ([0.5, 0.5, 1.0], 0.13)
    """
    found: CorpCurve = _curve_of(CorpCurve, y_true, y_proba, {**shared})
    return found
