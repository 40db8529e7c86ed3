"""One map per class, from its probability to how often it is true: one class against the rest."""

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from calkit.calibrators.base import ProbabilityCalibrator
from calkit.calibrators.binning.lookup import Tables
from calkit.calibrators.binning.rows import Groups, LabelledRows, gather
from calkit.calibrators.binning.table_export import export_table
from calkit.calibrators.description import Curve, Description, FittedValue
from calkit.calibrators.inputs import row_slices, softmax_by_class
from calkit.errors import InputError
from calkit.predictions import Predictions
from calkit.shards import Shards

__all__ = ["MIXES", "OneVersusRestMaps", "TableMaps"]

Floats = NDArray[np.float64]

#: Weight of the uniform law in the result, in rows per class and in all, by name.
MIXES = {"laplace": (1.0, 0.0), "probmetrics": (0.0, 1.0), None: (0.0, 0.0)}

# The most classes whose curves are described.
_CURVES = 10
_CURVE_POINTS = 400


class OneVersusRestMaps(ProbabilityCalibrator):
    """Base of calibrators that map the probability of each class by itself, then divide by the sum.

    Of two classes, the probability of the second is mapped, and the first has the rest. A subclass fits in
    :meth:`_fit_maps` and maps one class in :meth:`_map_class`.

    Parameters
    ----------
    mix : {"laplace", "probmetrics", None}, default="laplace"
        Share of the uniform law in the result.
    """

    supports: ClassVar[frozenset[str]] = frozenset({"weights", "shards", "pairs", "soft"})
    title: ClassVar[str]
    n_rows_: float

    def __init__(self, mix: str | None = "laplace") -> None:
        self.mix = mix

    @abstractmethod
    def _fit_maps(self, rows: LabelledRows) -> None:
        """Learn the map of each of the columns that have one, problem by problem."""

    @abstractmethod
    def _map_class(self, problem: int, x: Floats) -> Floats:
        """Return the map of a problem at probabilities x of shape (n,), in float64."""

    def _fit(self, data: Predictions | Shards) -> None:
        if self.mix not in MIXES:
            raise InputError(f"mix must be 'laplace', 'probmetrics' or None, but is {self.mix!r}.")
        rows = gather(data)
        self.n_rows_ = rows.total_weight
        self._fit_maps(rows)

    def _proba(self, logits: Any) -> Any:
        mapped = self._mapped(softmax_by_class(logits))
        # Logits are finite, or -inf, which the least of all tells.
        all_possible = not np.isneginf(logits.min(initial=0))
        out = np.empty(logits.shape, logits.dtype)
        for part in row_slices(len(logits), 8 * logits.shape[1]):
            probs = np.array(mapped[:, part].T, order="C")
            impossible = None if all_possible else np.isneginf(logits[part])
            if impossible is not None:
                probs[impossible] = 0.0
            self._normalise(probs, True if impossible is None else ~impossible)
            self._mix_in(probs, impossible, self.n_rows_)
            out[part] = probs
        return out

    def _mix_in(self, probs: Floats, impossible: NDArray[np.bool_] | None, n_rows: float) -> None:
        """Mix the uniform distribution in, where `mix` says so."""
        strength = self.mixed_rows(probs.shape[1])
        if strength and impossible is None:
            probs *= n_rows / (n_rows + strength)
            probs += strength / probs.shape[1] / (n_rows + strength)
        elif strength:
            probs *= n_rows
            probs += strength / probs.shape[1]
            probs[impossible] = 0.0
            probs /= probs.sum(axis=1, keepdims=True)

    def mixed_rows(self, n_classes: int) -> float:
        """Return how many rows' worth of the uniform distribution `mix` stands for."""
        per_class, in_all = MIXES[self.mix]
        return per_class * n_classes + in_all

    def _mapped(self, by_class: Floats) -> Floats:
        """Turn probabilities of shape (K, n) into values of the maps, in place."""
        if len(by_class) == 2:
            by_class[1] = self._map_class(0, by_class[1])
            np.subtract(1, by_class[1], out=by_class[0])
            return by_class
        for problem, x in enumerate(by_class):
            by_class[problem] = self._map_class(problem, x)
        return by_class

    @staticmethod
    def _normalise(probs: Floats, possible: Any) -> None:
        """Divide by the sum; a row in which nothing is left is shared by the possible classes."""
        total = probs.sum(axis=1)
        empty = total <= 0
        if empty.any():
            probs[empty] = True if possible is True else possible[empty]
            total = probs.sum(axis=1)
        probs /= total[:, None]

    def describe(self) -> Description:
        """Return the number of classes and, of few, the map of each."""
        curves = []
        if len(self.classes_) <= _CURVES:
            shown = self.classes_[1:] if len(self.classes_) == 2 else self.classes_
            grid = np.linspace(0, 1, _CURVE_POINTS)
            for problem, label in enumerate(shown.tolist()):
                values = self._map_class(problem, grid)
                curves.append(Curve(f"class {label}", tuple(grid.tolist()), tuple(values.tolist())))
        value = FittedValue("n_values", self._n_values(), "values")
        return Description(self.title, (value,), tuple(curves))

    @abstractmethod
    def _n_values(self) -> int:
        """Return how many numbers were learned."""


class TableMaps(OneVersusRestMaps):
    """One-versus-rest maps that are tables; a subclass makes that of one class of its :class:`Groups`."""

    is_step: ClassVar[bool] = False
    _state: ClassVar[tuple[str, ...]] = ("keys_", "values_", "splits_", "n_rows_")

    keys_: Floats
    values_: Floats
    splits_: Any

    @abstractmethod
    def _fit_table(self, groups: Groups) -> tuple[Floats, Floats]:
        """Return keys and values of one class (see :class:`Tables`); `groups` has at least one score."""

    def table(self, problem: int) -> tuple[Floats, Floats]:
        """Return keys, which are probabilities, and values of one class (of two, of the second)."""
        return Tables(self.keys_, self.values_, self.splits_, self.is_step).table(problem)

    def export_table(self, path: str | Path) -> None:
        """Write the map as tables that any program can apply, as CSV or JSON by the suffix.

        For each class (of two, for the second) there are pairs of probability and value: the upper ends of steps, whose
        value holds up to and at them, or points between which the map is a straight line. Values of a row are divided
        by their sum; then a share of the uniform distribution is mixed in.

        Parameters
        ----------
        path : str or path
            Ends in ``.csv`` or ``.json``.

        Raises
        ------
        UsageError
            If the suffix is another one.
        CalkitError
            If the table, read back and applied to 1,000 rows, gives other probabilities; nothing is written then.
        """
        check_is_fitted(self)
        export_table(self, path)

    def _fit_maps(self, rows: LabelledRows) -> None:
        self._keep([self._table_of(rows.against_rest(column)) for column in rows.mapped])

    def _table_of(self, groups: Groups) -> tuple[Floats, Floats]:
        # A class that is impossible in every row has nothing to learn from, and nothing to map.
        return self._fit_table(groups) if len(groups) else (np.empty(0), np.empty(0))

    def _keep(self, maps: list[tuple[Floats, Floats]]) -> None:
        tables = Tables.of(maps, is_step=self.is_step)
        self.keys_, self.values_, self.splits_ = tables.keys, tables.values, tables.splits

    def _map_class(self, problem: int, x: Floats) -> Floats:
        return Tables(self.keys_, self.values_, self.splits_, self.is_step).look_up(problem, x)

    def _n_values(self) -> int:
        return len(self.values_)

    def _check_state(self) -> None:
        keys, values, splits = self.keys_, self.values_, np.asarray(self.splits_)
        problems = 1 if len(self.classes_) == 2 else len(self.classes_)
        if not (len(splits) == problems + 1 and splits[0] == 0 and splits[-1] == len(keys) == len(values)):
            raise ValueError("its tables do not fit its classes")
        if (np.diff(splits) < 0).any() or not ((values >= 0) & (values <= 1)).all() or not self.n_rows_ > 0:
            raise ValueError("its tables are impossible")
        for start, stop in pairwise(splits.tolist()):
            if (np.diff(keys[start:stop]) < 0).any():
                raise ValueError("the keys of a table do not rise")
