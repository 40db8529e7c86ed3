"""A calibrator that does no harm: a pool of small maps, kept only if its gain is beyond doubt."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from calkit.calibrators.base import Calibrator, Floats
from calkit.calibrators.choice.candidates import Candidates, cross_fitted, design, fit_candidates, names_of
from calkit.calibrators.choice.folds import row_hashes, stratified_folds
from calkit.calibrators.choice.pool import Gain, gain_of, log_pool, pooled, uniform_share
from calkit.calibrators.description import Description, FittedValue
from calkit.calibrators.formula import Formula, with_bias
from calkit.calibrators.registration import register_calibrator
from calkit.errors import CalibrationWarning, UsageError
from calkit.labels import TrueColumns
from calkit.predictions import Predictions
from calkit.shards import Shards

__all__ = ["AutoCalibrator"]

# Probabilities count as no less than this: trees and neighbours say 0 of what they have not seen.
_FLOOR = 1e-7

# Observations in favour of the identity in the pool, and of no share of the uniform distribution.
_PRIOR = 1.0
# The share is at least this number of observations' worth.
_LEAST = 0.1

_FEW_ROWS, _MANY_FOLDS, _FEW_FOLDS = 200, 10, 5
# Parts of the rows in turn judge weights found on the others.
_JUDGES = 5
# With fewer rows nothing is fitted.
_FEWEST = 10
# Weights of the pool are found on no more rows than this.
_WEIGHT_ROWS = 2000
# Held-out logits of all candidates take no more numbers than this; rows beyond are left to the last fit.
_MOST_NUMBERS = 40_000_000


@register_calibrator("auto")
class AutoCalibrator(Calibrator):
    r"""Pool small calibrators, each shrunk to the identity, and keep the pool only if it is better beyond doubt.

    Parameters
    ----------
    guard : float, default=0.75
        The pool is kept if the log-loss of held-out rows falls by more than this number of standard errors. 0 keeps it
        for any gain; 1.28 gives about 10 % false alarms on calibrated scores, and 1.64 about 5 %.

    Attributes
    ----------
    kept_ : bool
        Whether the pool is used; if not, probabilities stay as they are.
    gain_ : float
        Fall of the log-loss of held-out rows, in nats a row.
    error_ : float
        Its standard error: the larger of that of the gains seen and that expected if the probabilities were right.
    weights_ : dict of str to float
        Weight of each candidate in the pool.
    uniform_share_ : float
        e below.
    inverse_temperature_ : float
        Comes before the design.
    coef_ : ndarray of shape (d, K)
        A below.
    classes_ : ndarray of shape (K,)
    n_features_in_ : int

    Warns
    -----
    CalibrationWarning
        If there are fewer than 10 rows or one class only, so that nothing is fitted.

    Notes
    -----
    The candidates are temperature (with a prior on its logarithm) and, for two classes, affine, beta and a bounded
    quadratic scaling; for more, biases, structured vector and structured matrix scaling at two strengths. All are
    linear in one design D of the logits, so that their logarithmic pool is one map,
    :math:`p = (1 - e)\,\mathrm{softmax}(D A) + e / K`.

    1. Candidates are fitted in 10 folds (up to 200 rows) or 5.
    2. Weights of least log-loss on held-out rows, with one observation's worth in favour of the identity; then e.
    3. The gain is measured on rows that found neither candidates nor weights.
    4. If it is kept, candidates are fitted to all rows.

    Candidates of folds start from the fit to all rows and end where a step gains less than 1e-5 nats a row.
    Probabilities count as no less than 1e-7. Over 275 trials made from 25 data sets that were not used to set it, it
    made the log-loss worse in 2 % of them, temperature scaling in 13 %; see the user guide.

    References
    ----------
    Wolpert, "Stacked generalization", 1992. Yao, Vehtari, Simpson & Gelman, "Using stacking to average Bayesian
    predictive distributions", 2018. The pool of maps in one design, its prior and the guard are calkit's own.

    Examples
    --------
    >>> from calkit.calibrators import AutoCalibrator
    >>> from calkit.datasets import load_digits_logits
    >>> calibrator = AutoCalibrator().fit_predictions(load_digits_logits("validation"))
    >>> calibrator.kept_, bool(calibrator.gain_ > calibrator.error_)
    (True, True)
    """

    supports: ClassVar[frozenset[str]] = frozenset({"weights", "pairs"})
    _state: ClassVar[tuple[str, ...]] = (
        "kept_",
        "gain_",
        "error_",
        "weights_",
        "uniform_share_",
        "inverse_temperature_",
        "coef_",
    )

    kept_: bool
    gain_: float
    error_: float
    weights_: dict[str, float]
    uniform_share_: float
    inverse_temperature_: float
    coef_: NDArray[np.float64]

    def __init__(self, guard: float = 0.75) -> None:
        self.guard = guard

    def _fit(self, data: Predictions | Shards) -> None:
        if not isinstance(self.guard, int | float) or not self.guard >= 0:
            raise UsageError(f"guard must be a number of standard errors, at least 0, but is {self.guard!r:.60}.")
        assert isinstance(data, Predictions)  # noqa: S101 - shards are not supported
        rows = _Rows(data)
        names = names_of(rows.logits.shape[1])
        if rows.weight.sum() < _FEWEST or len(np.unique(rows.y)) < 2:
            self._leave(names, rows.logits.shape[1])
            return
        final = fit_candidates(rows.predictions(slice(None)))
        held_out, chosen = rows.cross_fitted(final, len(names))
        part = _Part(held_out, rows.logits[chosen], rows.y[chosen], rows.weight[chosen], rows.hashes[chosen])
        weights, self.uniform_share_ = part.pool(np.ones(len(chosen), bool))
        gain = part.gain(weights)
        self.weights_ = dict(zip(names, weights.tolist(), strict=True))
        self.gain_, self.error_ = gain.mean, gain.error
        self.kept_ = bool(gain.mean > self.guard * gain.error)
        self.inverse_temperature_ = final.beta
        self.coef_ = np.tensordot(weights, final.coef, 1)

    def _leave(self, names: tuple[str, ...], n_classes: int) -> None:
        warnings.warn(
            f"there are fewer than {_FEWEST} rows, or one class only, so nothing was fitted and probabilities stay as "
            "they are; fit on more data.",
            CalibrationWarning,
            stacklevel=5,
        )
        self.kept_, self.gain_, self.error_, self.uniform_share_ = False, 0.0, 0.0, 0.0
        self.weights_ = {name: float(name == "identity") for name in names}
        self.inverse_temperature_ = 1.0
        self.coef_ = np.zeros((5 if n_classes == 2 else n_classes + 1, n_classes))

    def _log_proba(self, logits: Floats) -> Floats:
        if not self.kept_:
            return np.asarray(log_softmax(logits, axis=1))
        features = design(_floored(logits.astype(np.float64)), self.inverse_temperature_)
        return pooled(features @ self.coef_, self.uniform_share_).astype(logits.dtype)

    def formula(self) -> Formula:
        """Return the map as a formula."""
        k = self.n_features_in_
        if not self.kept_:
            return Formula(with_bias(np.eye(k)))
        if k == 2:
            one, u, bounded, first, second = self.coef_
            # The design in terms of x_0, x_1, s², s |s| / (1 + |s|) and 1.
            matrix = np.stack([-u - second, u + first, 0 * u, bounded, one])
        else:
            centred = np.eye(k) - 1 / k
            matrix = np.vstack([centred @ self.coef_[:k], self.coef_[k:]])
        features: Literal["linear", "binary"] = "binary" if k == 2 else "linear"
        return Formula(matrix, features, self.inverse_temperature_, floor=_FLOOR, share=self.uniform_share_)

    def _check_state(self) -> None:
        if not 0 <= self.uniform_share_ < 1 or not np.isfinite(self.coef_).all():
            raise ValueError("its share of the uniform distribution or its coefficients are impossible")

    def describe(self) -> Description:
        """Return whether the pool was kept, the gain, its error and the weights."""
        verdict = "was kept" if self.kept_ else "was not kept, so probabilities stay as they are"
        used = ", ".join(f"{name} {weight:.2f}" for name, weight in self.weights_.items() if weight >= 0.005)
        note = (
            f"The pool {verdict}: on held-out rows the log-loss falls by {self.gain_:.4f} nats, with a standard error "
            f"of {self.error_:.4f}. Weights: {used}; uniform share {self.uniform_share_:.4f}."
        )
        values = (
            FittedValue("kept", "yes" if self.kept_ else "no"),
            FittedValue("gain", self.gain_),
            FittedValue("error", self.error_),
        )
        return Description("pool of calibrators", values, notes=(note,), temperature=None if self.kept_ else 1.0)


def _floored(logits: Floats) -> Floats:
    return np.asarray(log_softmax(np.maximum(log_softmax(logits, axis=1), np.log(_FLOOR)), axis=1))


class _Rows:
    """All rows in memory: log-probabilities of at least the floor, labels, weights, hashes."""

    def __init__(self, data: Predictions) -> None:
        blocks = list(data.blocks())
        for block in blocks:
            block.check()
        scores = np.concatenate([block.scores for block in blocks]).astype(np.float64)
        self.logits = _floored(scores)
        self.y = np.concatenate([block.require_labels() for block in blocks])
        weights = [np.ones(len(b)) if b.sample_weight is None else b.sample_weight for b in blocks]
        self.weight = np.concatenate(weights)
        # Distances from the top are the same for all logits that mean the same, but for rounding.
        self.hashes = row_hashes(self.logits.astype(np.float32).round(4))

    def predictions(self, rows: Any) -> Predictions:
        """Return some rows as predictions."""
        return Predictions(self.logits[rows], TrueColumns(self.y[rows]), kind="logits", sample_weight=self.weight[rows])

    def cross_fitted(self, final: Candidates, n_candidates: int) -> tuple[Floats, NDArray[np.intp]]:
        """Return logits (M, m, K) of all candidates for m rows that they were not fitted on, and which rows."""
        n_folds = _MANY_FOLDS if self.weight.sum() <= _FEW_ROWS else _FEW_FOLDS
        most = max(_FEW_ROWS, _MOST_NUMBERS // (n_candidates * self.logits.shape[1]))
        distinct = np.unique(self.hashes)
        chosen = np.flatnonzero(self.hashes <= distinct[min(most, len(distinct)) - 1])
        y = self.y[chosen]
        folds = stratified_folds(self.hashes[chosen], y, n_folds)
        return cross_fitted(self.logits[chosen], y, self.weight[chosen], folds, final), chosen


class _Part:
    """Held-out logits of all candidates, with the truth."""

    def __init__(
        self,
        held_out: Floats,
        before: Floats,
        y: NDArray[np.intp],
        weight: NDArray[np.float64],
        hashes: NDArray[np.uint64],
    ) -> None:
        self._held_out, self._before, self._y, self._weight, self._hashes = held_out, before, y, weight, hashes
        distinct = np.unique(hashes)
        self._few = hashes <= distinct[min(_WEIGHT_ROWS, len(distinct)) - 1]

    def pool(
        self, rows: NDArray[np.bool_], start: NDArray[np.float64] | None = None
    ) -> tuple[NDArray[np.float64], float]:
        """Return weights and the share of the uniform distribution, found on some rows."""
        few = np.flatnonzero(rows & self._few)
        if not len(few):
            few = np.flatnonzero(rows)
        weights = log_pool(self._held_out[:, few], self._y[few], self._weight[few], _PRIOR, start)
        chosen = np.flatnonzero(rows)
        y, weight = self._y[chosen], self._weight[chosen]
        log_proba = log_softmax(np.tensordot(weights, self._held_out[:, chosen], 1), axis=1)
        right = log_proba[np.arange(len(y)), y]
        return weights, uniform_share(right, log_proba.shape[1], weight, _PRIOR, _LEAST)

    def gain(self, start: NDArray[np.float64]) -> Gain:
        """Return the gain on rows that neither candidates nor weights have seen."""
        after = self._before.copy()
        judges = stratified_folds(self._hashes, self._y, _JUDGES)
        for judge in np.unique(judges).tolist():
            own = judges == judge
            if not own.all():
                weights, share = self.pool(~own, start)
                after[own] = pooled(np.tensordot(weights, self._held_out[:, own], 1), share)
        return gain_of(self._before, after, self._y, self._weight)
