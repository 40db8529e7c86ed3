"""Temperature scaling: one number that divides all logits."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.base import Floats
from calkit.calibrators.description import Description, FittedValue
from calkit.calibrators.division import DividingCalibrator
from calkit.calibrators.grid_search import GridMinimum, grid_minimum
from calkit.calibrators.nll_root import nll_root
from calkit.calibrators.prior_root import inverse_temperature_with_prior
from calkit.calibrators.registration import register_calibrator
from calkit.errors import CalibrationWarning, InputError, UsageError
from calkit.metrics import Metric, get_metric
from calkit.predictions import Predictions
from calkit.shards import Shards
from calkit.stats import At, RowMean, Temperature, summarize

__all__ = ["PAPER_GRID", "TemperatureScaling", "temperature_curve"]

#: The grid of the paper: 0.1, 0.2, … 10.0.
PAPER_GRID = np.arange(1, 101) / 10

# A temperature this close to 1 shows in no figure.
_UNSEEN = 0.0005

_WARNINGS = {
    "separable": (
        "every true class has the largest logit, so the NLL falls without end as the temperature goes to 0; "
        "temperature_ is held at {:.6g}. Fit on data the classifier was not trained on, or on more of it."
    ),
    "below chance": (
        "the logits tell less than chance about the labels, so the NLL falls without end as the temperature rises; "
        "temperature_ is held at {:.6g}. Check that rows, labels and columns belong together."
    ),
    "constant": "all logits of each row are equal, so the temperature changes nothing; temperature_ is {:.6g}.",
}


@register_calibrator("temperature")
class TemperatureScaling(DividingCalibrator):
    """Divide the logits by a temperature.

    Parameters
    ----------
    objective : str, default="nll"
        What the temperature minimises: ``"nll"`` (solved exactly), or any metric by its spec, found on a grid:
        ``"ece"``, ``"adaece"``, ``"ece:n_bins=25"``, ``"adaece:convention=focal-calibration"``.
    grid : array-like of floats, optional
        Temperatures to try, positive and rising; or the same as text, ``"0.5,1,2"``, as the command line has it. By
        default the paper's, ``np.arange(1, 101) / 10``; with ``objective="nll"`` a grid is used only if given. The
        smallest of equally good temperatures is taken.
    prior : float, optional
        Standard deviation of a normal prior on log T, centred at T = 1; 0.5 is a good choice for few rows. With it a
        temperature is always determined. For ``objective="nll"`` without a grid.

    Attributes
    ----------
    temperature_ : float
        T, positive. Above 1 it softens over-confident probabilities; below 1 it sharpens them.
    inverse_temperature_ : float
        1 / T.
    objective_value_ : float
        The objective at `temperature_`, on the data of the fit.
    n_evaluations_ : int
        Full passes over the data.
    classes_ : ndarray of shape (K,)
        The class each column of the logits stands for.
    n_features_in_ : int
        Number of columns of the logits.

    Warns
    -----
    CalibrationWarning
        If the data cannot determine a temperature (separable, worse than chance, constant) or the best temperature
        is at the end of the grid.

    Notes
    -----
    The NLL is convex in 1/T and not in T, so its slope in 1/T has one root, found here to 1e-10 (relative) in float64
    for logits of any scale: scaling the logits by c scales T by c. On separable data T is held at 1/1000 of the mean
    distance of the logits from the largest one of their row, on data worse than chance at 1000 times it.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger, "On Calibration of Modern Neural Networks", ICML 2017 (NLL). "The Intriguing Effects
    of Focal Loss on the Calibration of Deep Neural Networks", 2020, Section 6 (grid search on ECE and AdaECE).

    Examples
    --------
    >>> from calkit import TemperatureScaling, ece
    >>> from calkit.datasets import load_digits_logits
    >>> validation, test = load_digits_logits("validation"), load_digits_logits("test")
    >>> calibrator = TemperatureScaling().fit(validation.scores, validation.y_true)
    >>> bool(calibrator.temperature_ > 1)
    True
    >>> before = ece(test.y_true, test.scores, from_logits=True)
    >>> after = ece(test.y_true, calibrator.predict_proba(test.scores))
    >>> after < before
    True
    """

    supports: ClassVar[frozenset[str]] = frozenset({"weights", "shards", "pairs", "soft"})
    keeps_order: ClassVar[bool] = True
    _state: ClassVar[tuple[str, ...]] = (
        "temperature_",
        "inverse_temperature_",
        "objective_value_",
        "n_evaluations_",
    )

    temperature_: float
    inverse_temperature_: float
    objective_value_: float
    n_evaluations_: int

    def __init__(self, objective: str = "nll", grid: Any = None, prior: float | None = None) -> None:
        self.objective = objective
        self.grid = grid
        self.prior = prior

    def _fit(self, predictions: Predictions | Shards) -> None:
        metric = get_metric(self.objective).bind(predictions)
        if self.prior is not None:
            self._fit_with_prior(predictions, metric)
        elif metric.name == "nll" and self.grid is None:
            self._fit_nll(predictions)
        else:
            self._fit_grid(predictions, metric, as_grid(self.grid))
        self.inverse_temperature_ = 1 / self.temperature_

    def _fit_with_prior(self, predictions: Predictions | Shards, metric: Metric) -> None:
        if metric.name != "nll" or self.grid is not None:
            raise UsageError("prior is for objective='nll' without a grid; leave one of them out.")
        if not (isinstance(self.prior, int | float) and 0 < self.prior < np.inf):
            raise UsageError(f"prior must be a positive number, the deviation of log T, but is {self.prior!r:.60}.")
        beta, self.objective_value_, self.n_evaluations_ = inverse_temperature_with_prior(predictions, self.prior)
        self.temperature_ = 1 / beta

    def _fit_nll(self, predictions: Predictions | Shards) -> None:
        root = nll_root(predictions)
        if root.outcome != "converged":
            warnings.warn(_WARNINGS[root.outcome].format(root.temperature), CalibrationWarning, stacklevel=5)
            loss = At(RowMean("nll"), Temperature(1 / root.temperature))
            self.objective_value_ = summarize(predictions, [loss], check=False)[loss].mean
        else:
            self.objective_value_ = root.nll
        self.temperature_ = root.temperature
        self.n_evaluations_ = root.n_passes

    def _fit_grid(self, predictions: Predictions | Shards, metric: Metric, grid: NDArray[np.float64]) -> None:
        best = _best(predictions, metric, grid)
        self.temperature_ = float(grid[best.index])
        self.objective_value_ = best.value
        self.n_evaluations_ = best.n_evaluations
        if best.index in (0, len(grid) - 1) and len(grid) > 1:
            warnings.warn(
                f"the best temperature, {self.temperature_:g}, is at the end of the grid; widen the grid, or check the "
                "scale of the logits.",
                CalibrationWarning,
                stacklevel=5,
            )

    def describe(self) -> Description:
        """Return the temperature, and what it does."""
        notes = []
        if abs(self.temperature_ - 1) >= _UNSEEN:
            how = "less" if self.temperature_ > 1 else "more"
            notes = [f"Dividing the logits by T makes it {how} sure and changes none of its answers."]
        value = FittedValue("temperature", self.temperature_, "T")
        return Description(
            "temperature scaling",
            (value,),
            notes=tuple(notes),
            temperature=self.temperature_,
            equation=self._equation,
        )

    def inverse_transform(self, X: Any) -> Floats:
        """Return logits that :meth:`transform` maps to ``X``, up to a constant per row.

        Parameters
        ----------
        X : array-like of shape (n, K)
            Calibrated logits or log-probabilities.

        Returns
        -------
        ndarray of shape (n, K)
        """
        logits = self._checked(X)
        return logits * logits.dtype.type(self.temperature_)


def as_grid(grid: Any) -> NDArray[np.float64]:
    """Return the temperatures to try; the paper's if ``grid`` is None.

    Raises
    ------
    InputError
        If they are not finite, positive and rising.
    """
    if grid is None:
        return PAPER_GRID
    try:
        # In a specification a grid is text: "temperature:objective=ece,grid=(0.5,1,2)".
        values = np.asarray(grid.split(",") if isinstance(grid, str) else grid, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"grid must hold numbers, 'grid=(0.5,1,2)' for instance, but is {grid!r:.60}.") from None
    if values.ndim != 1 or not values.size:
        raise InputError(f"grid must be a list of temperatures, but has shape {values.shape}.")
    if not (np.isfinite(values).all() and values[0] > 0 and (np.diff(values) > 0).all()):
        raise InputError("the temperatures of grid must be finite, positive and rising.")
    return values


def _best(predictions: Predictions | Shards, metric: Metric, grid: NDArray[np.float64]) -> GridMinimum:
    """Find the temperature of a grid with the best value of a metric, the smallest of equally good ones."""
    if metric.bounded_by_gap:
        return grid_minimum(predictions, metric, grid)
    sign = -1.0 if metric.higher_is_better else 1.0
    values = sign * _values(predictions, [metric], grid)[metric]
    best = int(np.nanargmin(values)) if not np.isnan(values).all() else 0
    return GridMinimum(best, float(sign * values[best]), len(grid))


def _values(
    predictions: Predictions | Shards, metrics: Sequence[Metric], grid: NDArray[np.float64]
) -> dict[Metric, NDArray[np.float64]]:
    """Return each metric at each temperature: sums in one pass over the rows, what needs more in passes of its own."""
    # What keeps the rows would keep them at every temperature.
    summed = [metric for metric in metrics if metric.statistic.is_sum]
    values = {metric: np.empty(len(grid)) for metric in metrics}
    if summed:
        scaled = {(m, t): At(m.statistic, Temperature(1 / t)) for t in grid.tolist() for m in summed}
        found = summarize(predictions, scaled.values())
        for metric in summed:
            values[metric][:] = [metric.value(found[scaled[metric, t]]) for t in grid.tolist()]
    for metric in values.keys() - set(summed):
        for index, temperature in enumerate(grid.tolist()):
            statistic = At(metric.statistic, Temperature(1 / temperature))
            values[metric][index] = metric.value(summarize(predictions, [statistic], check=index == 0)[statistic])
    return values


def temperature_curve(
    predictions: Predictions | Shards, metrics: Iterable[str | Metric] = ("ece",), *, grid: Any = None
) -> dict[str, NDArray[np.float64]]:
    """Compute metrics at every temperature of a grid.

    Parameters
    ----------
    predictions : Predictions
        Of kind "logits" or "probs".
    metrics : iterable of str or Metric, default=("ece",)
    grid : array-like of floats, optional
        Temperatures, positive and rising; by default 0.1, 0.2, … 10.

    Returns
    -------
    dict of ndarray, each of shape (len(grid),)
        ``"temperature"``, and the values of each metric by its spec.

    Examples
    --------
    >>> from calkit.calibrators import temperature_curve
    >>> from calkit.datasets import load_digits_logits
    >>> curve = temperature_curve(load_digits_logits("validation"), ["ece", "nll"], grid=[1.0, 2.0, 4.0])
    >>> [len(values) for values in curve.values()]
    [3, 3, 3]
    """
    temperatures = as_grid(grid)
    chosen = list(dict.fromkeys(get_metric(metric).bind(predictions) for metric in metrics))
    values = _values(predictions.logits(), chosen, temperatures)
    return {"temperature": temperatures, **{metric.spec: values[metric] for metric in chosen}}
