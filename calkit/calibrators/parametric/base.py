"""What all parametric calibrators share: the fit by Newton's method, its certificate, and prediction."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.base import Calibrator
from calkit.calibrators.description import Description, FittedValue
from calkit.calibrators.formula import Formula
from calkit.calibrators.inputs import by_pieces
from calkit.calibrators.nll_root import nll_root
from calkit.calibrators.parametric.features import (
    FEW_CLASSES_BY_ROW,
    LARGEST_IN_SINGLE,
    Block,
    Kept,
    bounded_logits,
    log_probabilities,
    softmax_in_place,
)
from calkit.calibrators.parametric.maps import LinearMap
from calkit.calibrators.parametric.objective import Model, can_be_kept
from calkit.calibrators.parametric.problem import Penalty, Problem
from calkit.calibrators.parametric.solver import Solution
from calkit.calibrators.parametric.totals import ClassTotals, DataTotals
from calkit.calibrators.subsample import subsample
from calkit.errors import CalibrationWarning, InputError, UsageError
from calkit.parameters import is_number
from calkit.predictions import Predictions
from calkit.shards import Shards
from calkit.stats import summarize

__all__ = ["DEFAULT_RIDGE", "Parametric", "Penalty", "Ridged", "as_strength", "truth_is_possible"]

Floats = NDArray[np.floating[Any]]

#: The ridge of methods without a penalty, where the data do not determine their parameters.
DEFAULT_RIDGE = 1e-4

# Rows from which a first temperature is found.
_FIRST_ROWS = 500

# Logits that ask for a larger factor leave log-probabilities that do not differ.
_MOST_SHARP = 1e6


class Parametric(Calibrator):
    """Base of calibrators that map log-probabilities x by ``u = J(x) θ``, θ of least regularised log-loss.

    A subclass gives the map, its penalty, and names for the parameters.

    Attributes
    ----------
    objective_ : float
        The least value found: mean log-loss in nats plus the penalty.
    gap_bound_ : float
        Bound on `objective_` less the least value there is, in nats a row: from the gradient and the ridge where all
        parameters are penalised, else half the Newton decrement, which is an estimate: the bound of the second-order
        model at the solution.
    gradient_norm_ : float
        Largest absolute entry of the gradient, computed in float64.
    n_iter_ : int
        Newton steps.
    n_passes_ : int
        Passes over the rows, of all kinds.
    converged_ : bool
        Whether `gap_bound_` is no more than `tol`.
    ridge_ : float
        The ridge that was added because the data did not determine the parameters; 0 if there was no need.
    """

    supports: ClassVar[frozenset[str]] = frozenset({"weights", "shards", "soft"})
    _certificate: ClassVar[tuple[str, ...]] = (
        "inverse_temperature_",
        "mix_",
        "ridge_",
        "objective_",
        "gap_bound_",
        "gradient_norm_",
        "n_iter_",
        "n_passes_",
        "converged_",
    )
    #: Names of the attributes that hold the parameters.
    _parameters: ClassVar[tuple[str, ...]]
    #: Whether one temperature, of least log-loss, comes before the map.
    _temperature_first: ClassVar[bool] = False
    #: Whether a part 1/(n+1) of the uniform distribution is mixed in before the logarithm.
    _mixes: ClassVar[bool] = False
    #: What the method is called in texts.
    _title: ClassVar[str]

    tol: float
    inverse_temperature_: float
    mix_: float
    ridge_: float
    objective_: float
    gap_bound_: float
    gradient_norm_: float
    n_iter_: int
    n_passes_: int
    converged_: bool

    #: Whether a class without rows leaves parameters open.
    _is_per_class: ClassVar[bool] = True

    @abstractmethod
    def _map(self, n_classes: int) -> LinearMap:
        """Return the map."""

    @abstractmethod
    def _penalty(self, totals: DataTotals) -> Penalty:
        """Return the penalty for such data."""

    def _unpack(self, theta: NDArray[np.float64]) -> None:
        """Set the attributes of `_parameters` from θ: by default parts of equal length."""
        for name, part in zip(self._parameters, np.split(theta, len(self._parameters)), strict=True):
            setattr(self, name, part)

    def _pack(self) -> NDArray[np.float64]:
        """Return θ made of the attributes of `_parameters`."""
        return np.concatenate([np.atleast_1d(getattr(self, name)) for name in self._parameters])

    def _model(self, totals: DataTotals, kept: Kept) -> Model:
        """Return how features and labels are made."""
        return Model(self._map(totals.n_classes), self.inverse_temperature_, self.mix_, kept=kept)

    def _choose(self, problem: Problem) -> Penalty:
        """Return the penalty, after looking for its strength where the data are to tell."""
        return self._penalty(problem.totals)

    def _fit(self, data: Predictions | Shards) -> None:
        tol = as_strength("tol", self.tol, positive=True)
        totals = truth_is_possible(data)
        first = self._penalty(totals)
        # Without a temperature of its own, a map begins at that of a few rows.
        sample = data if self._temperature_first else subsample(data, _FIRST_ROWS) or data
        root = nll_root(sample, precise=self._temperature_first)
        beta = 1 / root.temperature
        self.inverse_temperature_ = beta if self._temperature_first else 1.0
        self.mix_ = 1 / (totals.weight + 1) if self._mixes else 0.0
        model = self._model(totals, Kept(active=can_be_kept(data)))
        is_usable = root.outcome == "converged" and beta < _MOST_SHARP
        start = first.center * beta if is_usable and not self._temperature_first else first.center
        start = start if first.free is None else np.where(first.free, start, first.center)
        problem = Problem(data, model, totals, tol, start)
        solution = self._solve(problem, self._choose(problem))
        self.n_passes_ = problem.n_passes + (root.n_passes if sample is data else 0)
        self._unpack(solution.theta)

    def _solve(self, problem: Problem, penalty: Penalty) -> Solution:
        """Minimise; with a small ridge, and a warning, where the data do not determine the parameters."""
        totals = problem.totals
        default = DEFAULT_RIDGE if getattr(self, "ridge", None) is None and not penalty.ridge.all() else 0.0
        absent = np.flatnonzero(totals.by_class == 0) if self._is_per_class else np.empty(0, np.intp)
        self.ridge_, solution = 0.0, None
        if not (default and len(absent)):
            least = -np.inf if penalty.ridge.any() else np.log(2) * totals.least_weight / totals.weight
            solution = self._minimise(problem, penalty, least)
        if default and (solution is None or solution.outcome == "undetermined"):
            why = _absent_classes(absent) if len(absent) else "the data can be separated, or their scores hardly differ"
            self._warn(
                f"{why}, so the parameters of {self._title} are not determined; a ridge of {default:g} on them was "
                "added. Fit on more data, or choose a penalty yourself."
            )
            self.ridge_ = default
            ridge = np.where(penalty.ridge > 0, penalty.ridge, default)
            solution = self._minimise(problem, replace(penalty, ridge=ridge), -np.inf)
        assert solution is not None  # noqa: S101 - one of the two branches has run
        self._certify(solution)
        return solution

    def _certify(self, solution: Solution) -> None:
        """Keep what is known of the solution; warn if it is not the minimum."""
        if not np.isfinite(solution.value):
            raise InputError("the logits are too large for this calibrator; divide them by their standard deviation.")
        self.objective_, self.gap_bound_ = solution.value, solution.gap
        self.gradient_norm_ = float(abs(solution.gradient).max())
        self.n_iter_, self.converged_ = solution.n_iter, solution.outcome == "converged"
        if solution.outcome == "undetermined":
            self._warn(
                f"the data do not determine the parameters of {self._title}; choose a ridge, or fit on more data."
            )
        elif not self.converged_:
            self._warn(
                f"{self._title} ended {solution.gap:.2g} nats a row from the minimum, more than tol={self.tol:g}; a "
                "larger penalty helps where the data hardly determine the parameters."
            )

    def _minimise(self, problem: Problem, penalty: Penalty, least: float) -> Solution:
        return problem.minimise(penalty, least=least)

    def _warn(self, message: str) -> None:
        warnings.warn(message, CalibrationWarning, stacklevel=6)

    def _log_proba(self, logits: Floats) -> Floats:
        return self._mapped(logits, _log_softmax)

    def _proba(self, logits: Floats) -> Floats:
        return self._mapped(logits, _softmax)

    def _mapped(self, logits: Floats, finish: Any) -> Floats:
        """Return what `finish` makes of the mapped logits, piece by piece."""
        parameters = self._pack()
        dtype = logits.dtype if abs(parameters).max() <= LARGEST_IN_SINGLE else np.dtype(np.float64)
        parameters = parameters.astype(dtype)
        return by_pieces(lambda piece: finish(self._map_piece(piece.astype(dtype, copy=False), parameters)), logits)

    def _map_piece(self, logits: Floats, parameters: Floats) -> Floats:
        """Return the mapped logits of some rows, in an array of their own."""
        mapping = self._map(logits.shape[1])
        if mapping.ignores_constants and not self.mix_:
            x, masked = bounded_logits(logits, self.inverse_temperature_)
        else:
            x, masked = log_probabilities(
                logits, self.inverse_temperature_, self.mix_, logits.dtype, FEW_CLASSES_BY_ROW
            )
        block = Block(x, np.empty(0, np.intp), masked=masked)
        u = mapping.apply(parameters, replace(block, basis=mapping.basis(block)))
        if masked is not None:
            u[masked] = -np.inf
        return u

    def formula(self) -> Formula | None:
        """Return the map as a formula, if it is linear in log-probabilities."""
        found = self._map(self.n_features_in_).as_matrix(self._pack())
        return None if found is None else Formula(*found, self.inverse_temperature_, mix=self.mix_)

    def _check_state(self) -> None:
        parameters = self._pack()
        if parameters.shape != (self._map(self.n_features_in_).size,) or not np.isfinite(parameters).all():
            raise ValueError("its parameters are not finite, or not as many as its classes need")

    def describe(self) -> Description:
        """Return how many parameters were fitted, and how well."""
        values = [FittedValue("n_parameters", len(self._pack()), "parameters")]
        if self._temperature_first:
            values.insert(0, FittedValue("temperature", 1 / self.inverse_temperature_, "T"))
        return Description(self._title, tuple(values), notes=self._notes())

    def _notes(self) -> tuple[str, ...]:
        if not self.ridge_:
            return ()
        return (f"The data do not determine all parameters; a ridge of {self.ridge_:g} on them was added.",)


class Ridged(Parametric):
    """Base of those with a ridge of the user's choice, by default none.

    Parameters
    ----------
    ridge : float, optional
    tol : float, default=1e-9
    """

    def __init__(self, ridge: float | None = None, tol: float = 1e-9) -> None:
        self.ridge = ridge
        self.tol = tol

    def _penalty(self, totals: DataTotals) -> Penalty:
        ridge = 0.0 if self.ridge is None else as_strength("ridge", self.ridge)
        return Penalty.towards_identity(self._map(totals.n_classes), ridge)


def truth_is_possible(data: Predictions | Shards) -> DataTotals:
    """Return the totals of the data, in the pass that checks the scores.

    Raises
    ------
    InputError
        If a true class has probability 0.
    """
    statistic = ClassTotals(int(data.n_classes or 0))
    found: DataTotals = summarize(data, [statistic])[statistic]
    if found.impossible is not None:
        raise InputError(
            f"row {found.impossible} gives its true class probability 0 (a logit of -inf), so its log-loss is infinite "
            "whatever the calibrator; leave such rows out, or pass probabilities, in which 0 counts as the smallest "
            "number of their precision."
        )
    return found


def as_strength(name: str, value: Any, *, positive: bool = False) -> float:
    """Return a parameter that is a finite number, not negative.

    Raises
    ------
    UsageError
        If it is not.
    """
    if not is_number(value) or not (value > 0 if positive else value >= 0) or not value < np.inf:
        least = "above" if positive else "at least"
        raise UsageError(f"{name} must be a finite number, {least} 0, but is {value!r:.60}.")
    return float(value)


def _absent_classes(absent: NDArray[np.intp]) -> str:
    few = ", ".join(str(k) for k in absent[:5].tolist())
    more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
    return f"class {few} is not in the data" if len(absent) == 1 else f"classes {few}{more} are not in the data"


def _softmax(u: Floats) -> Floats:
    softmax_in_place(u)
    return u


def _log_softmax(u: Floats) -> Floats:
    # The maximum goes first: beside a large one the logarithm of a sum would be lost.
    u -= u.max(axis=1)[:, None]
    total = softmax_in_place(u.copy(order="K"))
    u -= total[:, None]
    return u
