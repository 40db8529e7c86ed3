"""The scaling-binning calibrator: a fitted sigmoid, made discrete so that its error can be measured."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from calkit.calibrators.binning.base import TableMaps
from calkit.calibrators.binning.histogram import equal_mass_edges
from calkit.calibrators.binning.lookup import Tables
from calkit.calibrators.binning.rows import Groups, LabelledRows, group_scores
from calkit.calibrators.registration import register_calibrator
from calkit.errors import UsageError
from calkit.stats.binning import as_n_bins

__all__ = ["ScalingBinning", "fit_sigmoid"]

Floats = NDArray[np.float64]

# Probabilities nearer to 0 than this have its log-odds: those of an exact 0 would outweigh all others.
_LEAST = 1e-12
_STEPS = 100
# A slope penalty in rows: keeps separable data finite.
_RIDGE = 1e-3


@register_calibrator("scaling-binning")
class ScalingBinning(TableMaps):
    """Scaling-binning: a sigmoid of the log-odds is fitted, its values are binned, and each bin says their mean.

    A function of few values can be checked: the calibration error of what this gives is estimated well from few rows,
    which that of a continuous map is not, while the values themselves have the small variance of a fitted curve.

    Parameters
    ----------
    n_bins : int, default=15
        Bins of equal mass, of the fitted values.
    mix : {"laplace", "probmetrics", None}, default="laplace"
        As for :class:`Isotonic`; without it a sigmoid can come near to 0.

    Attributes
    ----------
    slope_, intercept_ : ndarray of float64
        Sigmoid of each class: ``1 / (1 + exp(-(slope * log-odds + intercept)))``.
    keys_, values_, splits_, n_rows_, classes_, n_features_in_
        As for :class:`HistogramBinning`, over the values of the sigmoid.

    References
    ----------
    Kumar, Liang & Ma, "Verified uncertainty calibration", NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from calkit.calibrators import get_calibrator
    >>> from calkit.datasets import load_digits_logits
    >>> validation = load_digits_logits("validation")
    >>> calibrator = get_calibrator("scaling-binning:n_bins=10").fit(validation.scores, validation.y_true)
    >>> calibrator.slope_.shape
    (10,)
    """

    title: ClassVar[str] = "scaling-binning"
    is_step: ClassVar[bool] = True
    _state: ClassVar[tuple[str, ...]] = (*TableMaps._state, "slope_", "intercept_")

    slope_: Floats
    intercept_: Floats

    def __init__(self, n_bins: int = 15, mix: str | None = "laplace") -> None:
        self.n_bins = n_bins
        self.mix = mix

    def _fit_maps(self, rows: LabelledRows) -> None:
        as_n_bins(self.n_bins)
        lines, tables = [], []
        for column in rows.mapped:
            groups = rows.against_rest(column)
            line = fit_sigmoid(groups) if len(groups) else (1.0, 0.0)
            lines.append(line)
            scaled = _sigmoid(groups.score, *line)
            # Scores that the sigmoid makes equal are one; each says itself, so a bin says their mean.
            tables.append(self._table_of(group_scores(scaled, scaled, groups.weight)))
        self.slope_, self.intercept_ = np.array(lines).T.copy()
        self._keep(tables)

    def _fit_table(self, groups: Groups) -> tuple[Floats, Floats]:
        upper = equal_mass_edges(groups, self.n_bins)
        index = np.minimum(np.searchsorted(upper, groups.score, "left"), len(upper) - 1)
        weight = np.bincount(index, groups.weight, len(upper))
        # Edges between scores that differ by rounding may enclose none of them.
        kept = weight > 0
        edges = upper[kept]
        edges[-1] = upper[-1]
        return edges, np.clip(np.bincount(index, groups.positive, len(upper))[kept] / weight[kept], 0, 1)

    def _map_class(self, problem: int, x: Floats) -> Floats:
        scaled = _sigmoid(x, self.slope_[problem], self.intercept_[problem])
        return Tables(self.keys_, self.values_, self.splits_, self.is_step).look_up(problem, scaled)

    def table(self, problem: int) -> tuple[Floats, Floats]:
        """Return the ends of bins as probabilities before scaling, and the values of the bins.

        Raises
        ------
        UsageError
            If scaling reverses the order of the probabilities of the class, or makes them all one.
        """
        keys, values = super().table(problem)
        slope, intercept = self.slope_[problem], self.intercept_[problem]
        if not slope > 0:
            raise UsageError(f"scaling-binning has no table where its slope is not positive; here it is {slope:.3g}.")
        with np.errstate(divide="ignore"):
            return np.asarray(expit((logit(keys) - intercept) / slope)), values


def _log_odds(x: Floats) -> Floats:
    return np.asarray(logit(np.clip(x, _LEAST, 1 - _LEAST)))


def _sigmoid(x: Floats, slope: float, intercept: float) -> Floats:
    # NumPy's logarithm and exponential are several times as fast as SciPy's logit and expit.
    p = np.clip(x, _LEAST, 1 - _LEAST)
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-(slope * np.log(p / (1 - p)) + intercept))))


def fit_sigmoid(groups: Groups) -> tuple[float, float]:
    """Return slope and intercept of the sigmoid of least NLL, found by Newton's method from the identity.

    A ridge of a thousandth of a row towards the identity keeps both finite where the classes are separable, or one is
    absent.
    """
    z, n, s = _log_odds(groups.score), groups.weight, groups.positive
    # With log-odds of unit size the two directions are of like curvature.
    size = max(1.0, float(np.sqrt((n * z * z).sum() / n.sum())))
    features = np.stack([z / size, np.ones_like(z)])
    start = np.array([size, 0.0])

    def loss(beta: Floats) -> float:
        u = beta @ features
        return float((n * np.logaddexp(0, u) - s * u).sum() + _RIDGE / 2 * ((beta - start) ** 2).sum())

    beta, value = start, loss(start)
    for _ in range(_STEPS):
        p = expit(beta @ features)
        gradient = features @ (n * p - s) + _RIDGE * (beta - start)
        hessian = (features * (n * p * (1 - p))) @ features.T + _RIDGE * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        scale = 1.0
        while (found := loss(beta - scale * step)) > value and scale > 1e-10:
            scale /= 2
        done = value - found <= 1e-14 * (1 + abs(value))
        if found <= value:
            beta, value = beta - scale * step, found
        if done:
            break
    return float(beta[0] / size), float(beta[1])
